"""Which layout a dataset folder has."""

import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from keras_robust.common.words import quote
from keras_robust.data.layouts.folders import is_folders, read_folders
from keras_robust.data.layouts.manifest import MANIFEST, read_manifest
from keras_robust.data.layouts.nnunet import is_nnunet, read_nnunet
from keras_robust.data.layouts.paired import ISIC2017, read_isic2017, read_shenzhen
from keras_robust.data.layouts.volume_facts import with_spacing
from keras_robust.data.listing import Listing
from keras_robust.data.problems import Problem

__all__ = ["Layout", "has_layout", "layout_of", "read_layout"]


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
    read: Callable[[Path], tuple[Listing | None, list[Problem]]]


def _has(*names: str) -> Callable[[Path], bool]:
    return lambda root: any((root / name).exists() for name in names)


_ISIC = tuple(images for images, _ in ISIC2017.values())
# In this order: a manifest beside other things says how to read the folder.
LAYOUTS = (
    Layout("manifest", MANIFEST, _has(MANIFEST), read_manifest),
    Layout("nnU-Net raw", "imagesTr", is_nnunet, read_nnunet),
    Layout("ISIC 2017", " or ".join(_ISIC), _has(*_ISIC), read_isic2017),
    Layout("Shenzhen", "CXR_png", _has("CXR_png"), read_shenzhen),
    Layout(
        "folders", "images/ beside masks/, or a.png beside a_mask.png", is_folders, read_folders
    ),
)


def layout_of(root: Path) -> Layout | None:
    """The layout of a folder; `None` for none that is known."""
    return next((layout for layout in LAYOUTS if layout.fits(root)), None)


def has_layout(path: str | os.PathLike[str]) -> bool:
    """Whether a path is a folder in one of the layouts, whatever is wrong with it."""
    return layout_of(Path(path)) is not None


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
        raise FileNotFoundError(
            "Invalid value for argument `path`. Expected a dataset folder. "
            f"Received: path={str(path)!r}, which does not exist. Check its spelling."
        )
    if not root.is_dir():
        raise ValueError(
            "Invalid value for argument `path`. Expected a dataset folder. "
            f"Received: path={str(path)!r}, a file. Unpack archives; name the folder of a manifest."
        )
    layout = layout_of(root)
    if layout is not None:
        listing, problems = layout.read(root)
        if listing is not None:
            listing = replace(listing, cases=with_spacing(listing.cases))
        return listing, problems
    looked_for = "; ".join(f"{layout.name}: {layout.looks_for}" for layout in LAYOUTS)
    contents = sorted(child.name for child in root.iterdir())
    shown = ", ".join(map(quote, contents[:8])) + (", ..." if len(contents) > 8 else "")
    raise ValueError(
        f"Invalid value for argument `path`. Expected a dataset folder that has ({looked_for}). "
        f"Received: path={str(path)!r} with {shown or 'nothing in it'}. "
        "Name the folder that holds these, name the two folders in a dataset.json, as in "
        '{"images": "photos", "masks": "outlines"}, or write a manifest.csv.'
    )
