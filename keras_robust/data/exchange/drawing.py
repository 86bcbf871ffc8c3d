"""What one annotator drew on one image, and the images that annotation files name."""

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path, PureWindowsPath
from urllib.parse import unquote

import numpy as np
from numpy.typing import NDArray

from keras_robust.common.errors import invalid
from keras_robust.data.exchange.shapes import Shape, paint
from keras_robust.data.files.formats import exif_orientation
from keras_robust.data.files.images import image_shape
from keras_robust.data.files.unreadable import IMAGE_SUFFIXES

__all__ = ["Drawing", "Images", "as_stored"]


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
