"""Which layout a dataset folder has."""

import os
from dataclasses import replace
from pathlib import Path

from keras_robust.common.words import quote
from keras_robust.data.layouts.manifest import MANIFEST, read_manifest
from keras_robust.data.layouts.nnunet import read_nnunet
from keras_robust.data.layouts.paired import ISIC2017, read_isic2017, read_shenzhen
from keras_robust.data.layouts.volume_facts import with_spacing
from keras_robust.data.listing import Listing
from keras_robust.data.problems import Problem

__all__ = ["has_layout", "read_layout"]

# What tells a layout, in order: a manifest beside other things says how to read the folder.
LAYOUTS = (
    ("manifest", (MANIFEST,), read_manifest),
    ("nnU-Net raw", ("imagesTr",), read_nnunet),
    ("ISIC 2017", tuple(images for images, _ in ISIC2017.values()), read_isic2017),
    ("Shenzhen", ("CXR_png",), read_shenzhen),
)


def has_layout(path: str | os.PathLike[str]) -> bool:
    """Whether a path is a folder in one of the layouts, whatever is wrong with it."""
    root = Path(path)
    return any((root / mark).exists() for _, marks, _ in LAYOUTS for mark in marks)


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
    for _, marks, read in LAYOUTS:
        if any((root / mark).exists() for mark in marks):
            listing, problems = read(root)
            if listing is not None:
                listing = replace(listing, cases=with_spacing(listing.cases))
            return listing, problems
    looked_for = "; ".join(f"{name}: {' or '.join(marks)}" for name, marks, _ in LAYOUTS)
    contents = sorted(child.name for child in root.iterdir())
    shown = ", ".join(map(quote, contents[:8])) + (", ..." if len(contents) > 8 else "")
    raise ValueError(
        f"Invalid value for argument `path`. Expected a dataset folder that has ({looked_for}). "
        f"Received: path={str(path)!r} with {shown or 'nothing in it'}. "
        "Name the folder that holds these, or write a manifest.csv."
    )
