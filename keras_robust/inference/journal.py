"""What a folder of predicted masks was written by, so that the next command continues it."""

import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from keras_robust.common.errors import invalid
from keras_robust.common.files import atomic_write_text
from keras_robust.common.hashes import sha256
from keras_robust.common.opening import parse_json, read_text
from keras_robust.data import Case, Part, mask_suffix
from keras_robust.data.files.names import picture_path
from keras_robust.data.parts import WHOLE
from keras_robust.inference.cases import each_image

__all__ = ["Journal", "model_hash"]


def model_hash(path: str | Path) -> str:
    """What the weights of a run folder or a `.keras` file are known by.

    Raises:
        OSError: There is neither.
    """
    path = Path(path)
    if not path.is_dir():
        return sha256(path)
    return sha256(*sorted((path / "checkpoints").glob("*/manifest.json")))


class Journal:
    """The masks in a folder that came of the same models, options and images.

    Each part of the images has a file of its own, so that several machines write into one folder:
    its first line says what made the masks, each further one that the mask of an image is there.

    Args:
        output: Folder of the masks.
        made_by: Models and options, as JSON.
        part: Which of the parts is written here.
        overwrite: Write every mask again, whatever there is.

    Raises:
        FileExistsError: The folder has masks of other models or options.
    """

    def __init__(
        self, output: Path, made_by: Mapping[str, Any], part: Part = WHOLE, overwrite: bool = False
    ):
        self.output, self.made_by = output, dict(made_by)
        self.path = output / f"predicted-{part.number}-of-{part.count}.jsonl"
        self._overwrite = overwrite
        self._known: dict[str, str] | None = None  # image by id; none where nothing is noted
        for path in sorted(output.glob("predicted-*-of-*.jsonl")):
            records = [_record(line) for line in read_text(path).splitlines()]
            if records and records[0].get("made_by") == self.made_by:
                noted = {str(r["id"]): str(r.get("image")) for r in records if "id" in r}
                self._known = (self._known or {}) | noted
            elif overwrite:
                path.unlink(missing_ok=True)
            else:
                raise self._refused("masks of other models or options")

    def left(self, cases: Iterable[Case]) -> list[Case]:
        """One case of each image whose mask is not there, or was made of another image.

        Raises:
            FileExistsError: The folder has masks of these images, and no command noted them.
        """
        images = each_image(cases)
        if self._overwrite:
            return images
        there = [case for case in images if self._mask(case).exists()]
        if there and self._known is None:
            raise self._refused(f"{len(there)} masks, the first {self._mask(there[0]).name}")
        known = self._known or {}
        done = {case.id for case in there if known.get(case.id) == sha256(*case.channels)}
        return [case for case in images if case.id not in done]

    def begin(self) -> None:
        """Note what makes the masks, before the first is written."""
        if not self.path.exists():
            atomic_write_text(self.path, _line({"made_by": self.made_by}))

    def add(self, case: Case) -> None:
        """Note that the mask of a case is there."""
        with self.path.open("r+b") as file:
            # A line that a kill has cut must not spoil the next.
            whole = file.seek(-1, os.SEEK_END) >= 0 and file.read(1) == b"\n"
            line = _line({"id": case.id, "image": sha256(*case.channels)})
            file.write((line if whole else f"\n{line}").encode())

    def _mask(self, case: Case) -> Path:
        return picture_path(self.output, case.id, mask_suffix(case.image))

    def _refused(self, said: str) -> Exception:
        refused: Exception = invalid(
            "output",
            "a new folder, or one with masks of the same models and options",
            said=f"{str(self.output)!r} with {said}",
            remedy="Choose another folder, or overwrite the masks (--overwrite).",
            kind=FileExistsError,
        )
        return refused


def _line(record: Mapping[str, Any]) -> str:
    return json.dumps(record, sort_keys=True) + "\n"


def _record(line: str) -> dict[str, Any]:
    """A line of a journal; the last one may have been cut by a kill."""
    try:
        record = parse_json(line)
    except ValueError:
        return {}
    return record if isinstance(record, dict) else {}
