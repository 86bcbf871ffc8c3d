"""What one annotator drew on one image, and the images that annotation files name."""

import os
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PureWindowsPath
from urllib.parse import unquote

import numpy as np
from numpy.typing import NDArray

from keras_robust.common.errors import invalid
from keras_robust.common.opening import read_text
from keras_robust.data.exchange.found import Entry, Found, Made, labels_of, unique_ids
from keras_robust.data.exchange.shapes import Shape, paint
from keras_robust.data.files.formats import exif_orientation
from keras_robust.data.files.images import image_shape
from keras_robust.data.files.unreadable import IMAGE_SUFFIXES
from keras_robust.data.problems import Problem

__all__ = ["LABELS", "Drawing", "Images", "Sheet", "as_stored", "found_sheets"]

LABELS = "labels.txt"  # names of classes, a line each, in the order of their numbers


@dataclass(frozen=True)
class Drawing:
    """Shapes on an image, which it makes labels of when it is called with the image's file.

    Args:
        shapes: Label and shape, in the order in which they are painted.
        told: Height and width of the image, as the annotation file has them.
    """

    shapes: tuple[tuple[int, Shape], ...]
    told: tuple[int, int] | None = None

    def __call__(self, image: Path) -> NDArray[np.uint8]:
        """Labels (H, W) on the grid of the image as stored.

        Raises:
            ValueError: It was drawn on an image of another size.
        """
        stored = image_shape(image)
        turn = exif_orientation(image) or 1
        seen = stored[::-1] if 5 <= turn <= 8 else stored
        # Tools show a photograph turned as its EXIF says; the project reads it as stored. A size
        # that fits only the stored one says that a tool did not.
        if self.told == stored != seen:
            seen, turn = stored, 1
        if len(stored) != 2 or self.told not in (None, seen):
            raise invalid(
                "source",
                f"shapes drawn on an image of {' x '.join(map(str, stored))}",
                said=f"a drawing on {self.told} (height, width) for {str(image)!r}",
                remedy="Give it the image that was annotated, not a resized one.",
            )
        return as_stored(paint((seen[0], seen[1]), self.shapes), turn)


@dataclass(frozen=True)
class Sheet:
    """An image and what one annotator drew on it, with the names of the classes.

    Args:
        file: The image, or one that is to be made.
        shapes: Name of the class and shape, in the order in which they are painted.
        told: See `Drawing`.
        annotator, split: See `keras_robust.data.Case`.
        id: Of the image, where its name is none.
        drawn: Whether the annotator has looked at it at all.
    """

    file: Path | Made
    shapes: Sequence[tuple[str, Shape]]
    told: tuple[int, int] | None = None
    annotator: str = ""
    split: str = ""
    id: str = ""
    drawn: bool = True


def found_sheets(
    format: str,
    root: Path,
    sheets: Sequence[Sheet],
    notes: Counter[str],
    problems: list[Problem],
    names: Iterable[str] | None = None,
) -> Found:
    """What a source of drawings holds.

    Args:
        format, root: See `Found`.
        sheets: The drawings.
        notes: What was left out, and how often.
        problems: What is wrong.
        names: Of the classes in their order, where the source tells them; else those of a
            labels.txt beside it, else all that were drawn, sorted.
    """
    known = list(names) if names is not None else _names_beside(root)
    used = {name for sheet in sheets for name, _ in sheet.shapes}
    labels, numbers = labels_of([*known, *sorted(used - set(known))])
    files = [s.file if isinstance(s.file, Path) else s.file.source for s in sheets]
    ids = unique_ids(list(dict.fromkeys(files)), root, problems)
    entries = []
    for sheet, file in zip(sheets, files, strict=True):
        shapes = tuple((numbers[name], shape) for name, shape in sheet.shapes)
        mask = Drawing(shapes, sheet.told) if sheet.drawn else None
        entry = Entry(sheet.id or ids[file], (sheet.file,), mask, sheet.annotator, sheet.split)
        entries.append(replace(entry, blank=sheet.drawn and not shapes))
    told = [f"{count} {what}" for what, count in notes.items()]
    blank = sum(entry.blank for entry in entries)
    if blank:
        told.append(
            f"{blank} image(s) on which nothing is drawn are all background; with --unmarked "
            "unlabelled they have no mask"
        )
    description = {"labels": labels}
    return Found(root, format, tuple(entries), description, tuple(told), tuple(problems))


def _names_beside(root: Path) -> list[str]:
    try:
        lines = read_text(root / LABELS).splitlines()
    except (OSError, ValueError):
        return []
    return list(dict.fromkeys(line.strip() for line in lines if line.strip()))


def as_stored(shown: NDArray, orientation: int) -> NDArray:
    """An array as shown by an EXIF orientation, on the grid of the file.

    >>> shown = np.array([[1, 2, 3]])
    >>> as_stored(shown, 6).tolist()  # turned right by a quarter to be shown
    [[3], [2], [1]]
    """
    undone = {
        2: lambda a: a[:, ::-1],
        3: lambda a: a[::-1, ::-1],
        4: lambda a: a[::-1],
        5: lambda a: a.T,
        6: lambda a: np.rot90(a, 1),
        7: lambda a: a[::-1, ::-1].T,
        8: lambda a: np.rot90(a, -1),
    }
    return np.ascontiguousarray(undone.get(orientation, lambda a: a)(shown))


class Images:
    """Finds the images that an annotation file names, in some folders and below them.

    Args:
        folders: Where names begin, in the order in which they are tried.
    """

    def __init__(self, folders: Iterable[Path | None]):
        self.folders = [folder for folder in folders if folder is not None]
        self._below: dict[str, list[Path]] | None = None

    def find(self, name: str) -> Path | str:
        """The image of a name or path, as any system writes it; else why there is none."""
        if not name or "\0" in name:
            return "has no name"
        parts = [p for p in PureWindowsPath(name).parts if p not in ("..", ".", "/", "\\")]
        parts = [part for part in parts if not part.endswith((":\\", ":", ":/"))]
        for start in range(len(parts)):
            for folder in self.folders:
                path = folder.joinpath(*parts[start:])
                if path.is_file():
                    return path
        found = self._all().get(parts[-1] if parts else "", [])
        if len(found) > 1:
            listed = " and ".join(str(path) for path in found[:3])
            return f"is there more than once ({listed}); name the folder that is meant (--images)"
        where = " or ".join(map(str, self.folders))
        return found[0] if found else f"is not in {where}; name the folder of the images (--images)"

    def find_any(self, names: Sequence[str]) -> Path | str:
        """The first of several names that is there."""
        found: Path | str = "has no name"
        for name in [*names, *(unquote(name) for name in names)]:
            found = self.find(name)
            if isinstance(found, Path):
                return found
        return found

    def _all(self) -> dict[str, list[Path]]:
        if self._below is None:
            self._below = {}
            for folder in dict.fromkeys(self.folders):
                for where, inner, files in os.walk(folder):
                    inner[:] = sorted(name for name in inner if name[0] != ".")
                    for name in files:
                        path = Path(where, name)
                        known = self._below.setdefault(name, [])
                        if name.lower().endswith(IMAGE_SUFFIXES) and path not in known:
                            known.append(path)
        return self._below
