"""The formats of other tools, by name."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from keras_robust.common.errors import invalid
from keras_robust.common.registry import Registry
from keras_robust.common.words import quote
from keras_robust.data.dataset import Dataset
from keras_robust.data.exchange.export import Export
from keras_robust.data.exchange.found import Found

__all__ = ["FORMATS", "Format", "Given", "format_of"]


@dataclass(frozen=True)
class Given:
    """What a user says of a source beside its path.

    Args:
        images: Folder of the images, where it is another than the source tells.
        masks: Of plain folders: that of the masks, or how the names of masks end.
        annotator: Who drew the masks.
    """

    images: Path | None = None
    masks: str | None = None
    annotator: str = "annotator"


@dataclass(frozen=True)
class Format:
    """How one tool writes its data sets.

    Args:
        title: For people.
        looks_for: What tells it, for people.
        fits: Whether a file or folder has it.
        read: What it holds.
        write: Writes a dataset; None where that is not offered.
    """

    title: str
    looks_for: str
    fits: Callable[[Path], bool]
    read: Callable[[Path, Given], Found]
    write: Callable[[Dataset, Export], None] | None = None


def _of(module: str) -> str:
    return f"keras_robust.data.exchange.{module}"


GENERAL = ("layout", "folders")  # what other formats may look like
# In the order in which they are looked for.
FORMATS: Registry[Format] = Registry(
    "format",
    "keras_robust.formats",
    {
        "coco": _of("coco:COCO"),
        "cvat": _of("cvat:CVAT"),
        "labelme": _of("labelme:LABELME"),
        "label_studio": _of("label_studio:LABEL_STUDIO"),
        "geojson": _of("geojson:GEOJSON"),
        "voc": _of("listed.voc:VOC"),
        "decathlon": _of("listed.datalist:DECATHLON"),
        "monai": _of("listed.datalist:MONAI"),
        "layout": _of("listed.layouts:LAYOUT"),
        "nnunet": _of("listed.layouts:NNUNET"),
        "slicer": _of("listed.slicer:SEGMENTS"),
        "dicom_seg": _of("dicom.formats:DICOM_SEG"),
        "rtstruct": _of("dicom.formats:RTSTRUCT"),
        "folders": _of("listed.layouts:FOLDERS"),
    },
)


def format_of(source: Path, name: str | None) -> Format:
    """The format of a source.

    Args:
        source: A file or a folder.
        name: Of the format; None to find out.

    Raises:
        ValueError: No such name, or a source of no known format.
    """
    if name is not None:
        return FORMATS.find(name, "format")
    fitting = {key: known for key, known in FORMATS.each() if known.fits(source)}
    of_tools = [key for key in fitting if key not in GENERAL]
    if len(of_tools) > 1:
        titles = " and ".join(fitting[key].title for key in of_tools)
        raise invalid(
            "source",
            "a data set in one format",
            said=f"source={str(source)!r}, which holds {titles}",
            remedy=f"Say which is meant, as in format={of_tools[0]!r} (--format {of_tools[0]}).",
        )
    for known in fitting.values():
        return known
    listed = "; ".join(f"{known.title}: {known.looks_for}" for _, known in FORMATS.each())
    held = sorted(child.name for child in source.iterdir()) if source.is_dir() else [source.name]
    shown = ", ".join(map(quote, held[:8])) + (", ..." if len(held) > 8 else "")
    raise invalid(
        "source",
        f"a data set in one of the formats ({listed})",
        said=f"source={str(source)!r} with {shown or 'nothing in it'}",
        remedy="Unpack archives; name the file or the folder that holds these, or its format.",
    )
