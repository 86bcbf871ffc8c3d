"""Generations of files that survive a kill at any moment."""

import json
import os
import re
import shutil
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path

from keras_robust.common.files import atomic_write_bytes, sync_folder
from keras_robust.common.hashes import described, difference
from keras_robust.common.opening import read_json

MANIFEST = "manifest.json"


class Checkpoints:
    """Numbered generations of named files under one folder, the newest few kept.

    A generation is written under a temporary name, synced to disk and renamed as a whole; its
    manifest holds the size and SHA-256 of each file. Reading takes the newest generation whose
    files agree with the manifest, and warns of those that it had to pass over.

    Args:
        folder: Made when missing.
        keep: Generations to keep.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     checkpoints = Checkpoints(folder)
    ...     checkpoints.save(1, {"state": b"abc"})
    ...     checkpoints.newest()
    (1, {'state': b'abc'})
    """

    def __init__(self, folder: str | Path, keep: int = 2):
        self.folder = Path(folder)
        self.keep = keep

    def save(self, number: int, files: Mapping[str, bytes]) -> None:
        """Write one generation; remove the oldest ones, and those of higher numbers.

        Raises:
            OSError: The folder cannot be written; older generations are then untouched.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        temporary = self.folder / f".{number:06d}.tmp"
        shutil.rmtree(temporary, ignore_errors=True)
        temporary.mkdir()
        members = {name: described(content) for name, content in files.items()}
        manifest = json.dumps({"generation": number, "files": members}, indent=2).encode()
        final = self._path(number)
        try:
            for name, content in {**files, MANIFEST: manifest}.items():
                atomic_write_bytes(temporary / name, content)
            if final.exists():
                shutil.rmtree(final)
            os.replace(temporary, final)
        except OSError as error:
            shutil.rmtree(temporary, ignore_errors=True)
            raise OSError(error.errno, error.strerror, str(final)) from error
        except BaseException:
            shutil.rmtree(temporary, ignore_errors=True)
            raise
        sync_folder(self.folder)
        # Higher numbers are damaged, or of a course that was begun again from an earlier epoch.
        self._keep([other for other in self.numbers() if other <= number][-self.keep :])

    def tidy(self) -> None:
        """Remove what a kill left: generations half written, or half removed.

        Nobody else may be writing meanwhile.
        """
        if self.folder.is_dir():
            for path in self.folder.glob(".*.tmp"):
                shutil.rmtree(path, ignore_errors=True)
            self._keep(self.numbers()[-self.keep :])

    def _keep(self, numbers: Sequence[int]) -> None:
        for other in set(self.numbers()) - set(numbers):
            shutil.rmtree(self._path(other), ignore_errors=True)

    def newest(self) -> tuple[int, dict[str, bytes]] | None:
        """Number and files of the newest valid generation; `None` where there is none.

        Warns:
            UserWarning: A newer generation is damaged.
        """
        for number in reversed(self.numbers()):
            try:
                return number, self.read(number)
            except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
                warnings.warn(
                    f"Checkpoint {self._path(number)} is damaged and was passed over: {error}",
                    stacklevel=2,
                )
        return None

    def numbers(self) -> list[int]:
        """Numbers of all generations, valid or not, oldest first."""
        if not self.folder.is_dir():
            return []
        return sorted(int(p.name) for p in self.folder.iterdir() if re.fullmatch(r"\d+", p.name))

    def _path(self, number: int) -> Path:
        return self.folder / f"{number:06d}"

    def read(self, number: int) -> dict[str, bytes]:
        """The files of one generation.

        Raises:
            OSError, ValueError: It is damaged, or there is none.
        """
        manifest = read_json(self._path(number) / MANIFEST, dict)
        files = {}
        for name, member in manifest["files"].items():
            if Path(name).name != name:
                raise ValueError(f"the manifest names a file outside the folder: {name!r}")
            content = (self._path(number) / name).read_bytes()
            if reason := difference(content, member):
                raise ValueError(f"{name}: {reason}")
            files[name] = content
        return files
