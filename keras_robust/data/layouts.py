"""Which layout a dataset folder has."""

import os
from pathlib import Path

from keras_robust.data.dataset import Dataset
from keras_robust.data.manifest import MANIFEST, read_manifest
from keras_robust.data.problems import Problem

__all__ = ["read_layout"]


def read_layout(path: str | os.PathLike[str]) -> tuple[Dataset | None, list[Problem]]:
    """Read the dataset folder at `path` in whatever layout it has.

    Returns:
        The dataset, None where its form does not allow one, and every problem of the form.

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
    if (root / MANIFEST).is_file():
        return read_manifest(root)
    raise ValueError(f"no known layout at {path}")
