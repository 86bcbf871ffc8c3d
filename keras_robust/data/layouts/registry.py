"""Which layout a dataset folder has."""

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

from keras_robust.common.errors import invalid
from keras_robust.common.registry import Registry
from keras_robust.common.words import quote
from keras_robust.data.cases import ordered
from keras_robust.data.layouts.datalist import is_datalist, read_datalist
from keras_robust.data.layouts.folders import is_folders, read_folders
from keras_robust.data.layouts.manifest import MANIFEST, read_manifest
from keras_robust.data.layouts.nnunet import is_nnunet, read_nnunet
from keras_robust.data.layouts.paired import ISIC2017, read_isic2017, read_shenzhen
from keras_robust.data.layouts.voc import MASKS, is_voc, read_voc
from keras_robust.data.layouts.volume_facts import with_spacing
from keras_robust.data.listing import Listing
from keras_robust.data.problems import Problem

__all__ = [
    "LAYOUTS",
    "Layout",
    "has_layout",
    "layout_of",
    "layout_titles",
    "read_layout",
    "register_layout",
]

Read = Callable[[Path], tuple[Listing | None, list[Problem]]]
Reader = TypeVar("Reader", bound=Read)


@dataclass(frozen=True)
class Layout:
    """One way to lay out a dataset folder.

    Args:
        name: For people.
        looks_for: What tells it, for people.
        fits: Whether a folder has it.
        read: Its listing, None where its form does not allow one, and every problem of the form.
    """

    name: str
    looks_for: str
    fits: Callable[[Path], bool]
    read: Read


def _has(*names: str) -> Callable[[Path], bool]:
    return lambda root: any((root / name).exists() for name in names)


def _checked(name: str, layout: Any) -> Layout:
    if not isinstance(layout, Layout):
        remedy = "Decorate the function with `keras_robust.data.register_layout`."
        raise invalid("layout", "a reader with the marks that tell its layout", layout, remedy)
    return layout


_ISIC = tuple(images for images, _ in ISIC2017.values())
# In the order in which they are looked for: a manifest beside other things says how to read the
# folder.
LAYOUTS: Registry[Layout] = Registry(
    "layout",
    "keras_robust.layouts",
    {
        "manifest": Layout("manifest", MANIFEST, _has(MANIFEST), read_manifest),
        "datalist": Layout(
            "list of cases (Decathlon, MONAI)",
            "dataset.json or datalist.json with training",
            is_datalist,
            read_datalist,
        ),
        "nnunet": Layout("nnU-Net raw", "imagesTr", is_nnunet, read_nnunet),
        "isic2017": Layout("ISIC 2017", " or ".join(_ISIC), _has(*_ISIC), read_isic2017),
        "shenzhen": Layout("Shenzhen", "CXR_png", _has("CXR_png"), read_shenzhen),
        "voc": Layout("Pascal VOC", MASKS, is_voc, read_voc),
        "folders": Layout(
            "folders", "images/ beside masks/, or a.png beside a_mask.png", is_folders, read_folders
        ),
    },
    _checked,
)


def register_layout(name: str, *marks: str, words: str = "") -> Callable[[Reader], Reader]:
    """Make a layout of one's own known to `Dataset.open`, and so to all that reads datasets.

    What has the marks of one of the project's own layouts is read as that, but for plain folders of
    images and masks, which are looked for last.

    Args:
        name: Small letters, digits and `_`; not one of the project's. The same name again takes
            the place of what it stood for.
        *marks: Files or folders in the dataset folder, of which one tells the layout.
        words: What errors and help call it; by default its name.

    Returns:
        A decorator of a function that is called with the dataset folder, and returns a `Listing` of
        its cases and a list of `Problem` found in its form.

    Raises:
        ValueError: Another name, or no marks.

    >>> @register_layout("numbered", "numbers.txt")
    ... def read_numbered(root):
    ...     return Listing(root, root.name, classes=2, cases=()), []
    >>> "numbered" in LAYOUTS
    True
    """
    LAYOUTS.check_name(name)
    if not marks or not all(isinstance(mark, str) and mark for mark in marks):
        raise invalid("marks", "names of files or folders that tell the layout", marks)

    def add(read: Reader) -> Reader:
        LAYOUTS.add(name, Layout(words or name, " or ".join(marks), _has(*marks), read), words)
        return read

    return add


def layout_titles() -> list[str]:
    """What the layouts are called.

    >>> layout_titles()[0], "nnU-Net raw" in layout_titles()
    ('manifest', True)
    """
    return [layout.name for _, layout in _in_order()]


def layout_of(root: Path) -> Layout | None:
    """The layout of a folder; `None` for none that is known."""
    if not root.is_dir():
        return None
    return next((layout for _, layout in _in_order() if layout.fits(root)), None)


def has_layout(path: str | os.PathLike[str]) -> bool:
    """Whether a path is a folder in one of the layouts, whatever is wrong with it."""
    return layout_of(Path(path)) is not None


def _in_order() -> Iterator[tuple[str, Layout]]:
    """All layouts, the project's first; what any folder of pictures may fit comes last."""
    last = {}
    for name, layout in LAYOUTS.each():
        if name == "folders":
            last[name] = layout
        else:
            yield name, layout
    yield from last.items()


def read_layout(path: str | os.PathLike[str]) -> tuple[Listing | None, list[Problem]]:
    """Read the dataset folder at `path` in whatever layout it has.

    Returns:
        Its listing, None where its form does not allow one, and every problem of the form.

    Raises:
        FileNotFoundError: No such folder.
        ValueError: A file, or a folder of no known layout; the error lists what was looked for.
    """
    root = Path(path)
    if not root.exists():
        raise invalid(
            "path",
            "a dataset folder",
            said=f"path={str(path)!r}, which does not exist",
            remedy="Check its spelling.",
            kind=FileNotFoundError,
        )
    if not root.is_dir():
        raise invalid(
            "path",
            "a dataset folder",
            said=f"path={str(path)!r}, a file",
            remedy="Unpack archives; name the folder of a manifest.",
        )
    for name, layout in _in_order():
        if layout.fits(root):
            listing, problems = layout.read(root)
            if listing is not None:
                cases = with_spacing(ordered(list(listing.cases)))
                listing = replace(listing, cases=cases, layout=name)
            return listing, problems
    looked_for = "; ".join(f"{layout.name}: {layout.looks_for}" for _, layout in _in_order())
    contents = sorted(child.name for child in root.iterdir())
    shown = ", ".join(map(quote, contents[:8])) + (", ..." if len(contents) > 8 else "")
    raise invalid(
        "path",
        f"a dataset folder that has ({looked_for})",
        said=f"path={str(path)!r} with {shown or 'nothing in it'}",
        remedy=(
            "Name the folder that holds these, name the two folders in a "
            'dataset.json, as in {"images": "photos", "masks": "outlines"}, or '
            "write a manifest.csv. `keras-robust import` makes a dataset of what other tools write."
        ),
    )
