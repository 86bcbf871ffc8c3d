"""Pascal VOC: masks as palette indices, or as the colours that tools make of them."""

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from keras_robust.common.errors import invalid
from keras_robust.common.files import atomic_write_bytes, atomic_write_text
from keras_robust.data.dataset import Dataset
from keras_robust.data.exchange.export import Export
from keras_robust.data.exchange.found import Draw, Found
from keras_robust.data.exchange.listed.layouts import found_listing
from keras_robust.data.exchange.registry import Format, Given
from keras_robust.data.files.formats import picture_shape, read_picture
from keras_robust.data.layouts.voc import (
    BORDER,
    IMAGES,
    MASKS,
    colours_of,
    is_voc,
    palette,
    read_voc,
)

__all__ = ["VOC", "labels_of_colours", "read_voc_source", "write_voc"]


def labels_of_colours(
    colours: NDArray, known: dict[tuple[int, ...], int], path: Path
) -> NDArray[np.uint8]:
    """Labels (H, W) of colours (H, W, 3), by the colour of each label.

    Raises:
        ValueError: A colour that no label has.
    """
    coded = colours[..., :3].astype(np.int64) @ (65536, 256, 1)
    keys = {red * 65536 + green * 256 + blue: label for (red, green, blue), label in known.items()}
    found, inverse = np.unique(coded, return_inverse=True)
    unknown = [int(code) for code in found if int(code) not in keys]
    if unknown:
        listed = ", ".join(f"({c >> 16}, {c >> 8 & 255}, {c & 255})" for c in unknown[:6])
        raise invalid(
            "source",
            "masks in the colours of labelmap.txt, or of VOC's palette",
            said=f"{len(unknown)} other colour(s) in {str(path)!r}: {listed}",
            remedy="Complete labelmap.txt, with a line such as cell:128,0,0:: for each class.",
        )
    table = np.array([keys[int(code)] for code in found], np.uint8)
    return table[inverse.reshape(coded.shape)]


def read_voc_source(source: Path, given: Given) -> Found:
    """A folder of VOC, its masks in colours turned into labels."""
    told = colours_of(source)
    numbered = {tuple(colour): number for number, colour in enumerate(palette().tolist())}
    known = {**(told or numbered), tuple(palette()[BORDER].tolist()): BORDER}

    def as_read(mask: Path) -> Path | Draw:
        if not told and picture_shape(mask)[2] == 1:
            return mask
        return _drawn(mask, known)

    return found_listing(VOC.title, source, read_voc(source), given, as_read)


def _drawn(mask: Path, known: dict[tuple[int, ...], int]) -> Callable[[Path], NDArray]:
    def draw(image: Path) -> NDArray:
        picture = read_picture(mask)
        if picture.values.shape[-1] == 1 and picture.palette is None:
            return picture.values[..., 0]
        colours = picture.colours()
        try:
            return labels_of_colours(colours, known, mask)
        except ValueError:
            if picture.palette is None:
                raise
            return picture.values[..., 0]  # of a palette that is not meant: indices are labels

    return draw


def write_voc(dataset: Dataset, export: Export) -> None:
    """JPEGImages, SegmentationClass with VOC's palette, lists of the splits, and labelmap.txt."""
    export.require_copy()
    colours = palette()
    by_split: dict[str, list[str]] = {}
    for case in export.cases():
        export.image(case, Path(IMAGES))
        labels = export.labels(case)
        labels = np.where(labels == dataset.ignore_label, np.uint8(BORDER), labels)
        image = Image.fromarray(labels)
        image.putpalette(colours.ravel().tolist())
        buffer = io.BytesIO()
        image.save(buffer, "PNG")
        atomic_write_bytes(export.folder / MASKS / f"{case.id}.png", buffer.getvalue())
        by_split.setdefault(case.split or "trainval", []).append(case.id)
    for split, ids in by_split.items():
        listed = export.folder / "ImageSets" / "Segmentation" / f"{split}.txt"
        atomic_write_text(listed, "\n".join(ids) + "\n")
    named = export.names.items()
    names = ["background", *(name for label, name in named if label != dataset.ignore_label)]
    lines = [f"{n}:{','.join(map(str, colours[i].tolist()))}::" for i, n in enumerate(names)]
    text = "\n".join(["# label:color_rgb:parts:actions", *lines]) + "\n"
    atomic_write_text(export.folder / "labelmap.txt", text)


VOC = Format(
    "Pascal VOC",
    f"{IMAGES} and {MASKS}",
    is_voc,
    read_voc_source,
    write_voc,
)
