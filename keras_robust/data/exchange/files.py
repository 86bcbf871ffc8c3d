"""Copies of files, and the folder that appears when all is written."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from keras_robust.common.errors import invalid
from keras_robust.common.opening import open_plain

__all__ = ["copied", "new_folder", "suffix_of"]


@contextmanager
def new_folder(final: Path, argument: str, make: bool = True) -> Iterator[Path]:
    """A folder to write in, which becomes `final` at the end, or vanishes with an error.

    Raises:
        FileExistsError: `final` holds something.
    """
    if final.exists() and (not final.is_dir() or any(final.iterdir())):
        raise invalid(
            argument,
            "a new folder",
            said=f"{argument}={str(final)!r}, which is there",
            remedy="Name another one.",
            kind=FileExistsError,
        )
    if not make:
        yield final
        return
    final.parent.mkdir(parents=True, exist_ok=True)
    # Beside it, so that relative paths are the same from there.
    folder = final.parent.resolve() / f".{final.resolve().name}.{os.getpid()}.part"
    folder.mkdir()
    try:
        yield folder
        if final.is_dir():
            final.rmdir()
        os.replace(folder, final)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise


def copied(source: Path, target: Path) -> Path:
    """A copy of a plain file."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with open_plain(source) as file, open(target, "xb") as copy:
        shutil.copyfileobj(file, copy)
    return target


def suffix_of(path: Path) -> str:
    """The ending of a file's name, both parts of .nii.gz."""
    return ".nii.gz" if path.name.lower().endswith(".nii.gz") else path.suffix.lower()
