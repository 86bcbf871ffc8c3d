"""What was done to one mask, in enough detail to do it again; and the log of many."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from keras_robust.common.errors import invalid
from keras_robust.common.files import atomic_write_text
from keras_robust.common.opening import parse_json, read_text

from .boundary import resize_object
from .catalogue import kind_named
from .reference import reference_affine_object
from .structures import check_mask, labels_of, map_structures, without_channel


@dataclass(frozen=True)
class Corruption:
    """One line of the log.

    Attributes:
        id: of the image.
        kind: "clean", "boundary", or the name of a kind of `LabelNoise`.
        parameters: per label (as text) the parameters of the operator: `iterations`, or `angle`
            (degrees), `shift`, `centre` and, in volumes, `axis` (voxels); along boundaries the
            `operator`, "dilate" or "erode", the number of `voxels` it leads to, the `direction` of
            its last layer, and the `dice` reached; of other kinds those of their operator (see
            `keras_robust.noise.mistakes`). None for a structure on its own that was left as it is.
        asked: relative change of area that was asked for (beta).
        reached: ``|clean XOR noisy| / |clean|``, summed over structures; for dilation and erosion
            this is the relative change of area.
        dice: overlap of the noisy with the clean mask, mean over structures; 1 for an empty mask.
        note: why the mask, or a structure of it, was left unchanged; otherwise empty.
        whole: parameters of what was done to the mask as a whole; None where nothing was. Of the
            mask of another case it holds the `source`, its id, and the mask itself, so that
            nothing else is needed to replay it.

    >>> import numpy as np
    >>> mask = np.zeros((8, 8), np.uint8)
    >>> mask[2:6, 2:6] = 1
    >>> done = Corruption("a", "erode", {"1": {"iterations": 1}}, asked=0.7, reached=0.75, dice=0.4)
    >>> int(done.apply(mask).sum())
    4
    >>> Corruption.from_json(done.to_json()) == done
    True
    """

    id: str
    kind: str
    parameters: Mapping[str, Mapping[str, Any] | None] = field(default_factory=dict)
    asked: float = 0.0
    reached: float = 0.0
    dice: float = 1.0
    note: str = ""
    whole: Mapping[str, Any] | None = None

    def apply(self, mask: np.ndarray) -> np.ndarray:
        """The noisy mask again, to the byte, from the clean mask.

        Raises:
            ValueError: the labels in `mask` are not those of the corrupted mask.
        """
        if self.kind == "clean":
            return np.array(mask)
        labels = [str(label) for label in labels_of(check_mask(mask))]
        if labels != list(self.parameters):
            raise invalid(
                "mask",
                f"the clean mask of {self.id!r}, with labels {list(self.parameters)}",
                said=f"mask with labels {labels}",
            )

        whole = self.whole
        if whole is not None:
            operator = kind_named(self.kind).perform
            return without_channel(np.asarray(mask), lambda plain: operator(plain, **whole))

        def operate(label: int, own: np.ndarray, allowed: np.ndarray | None) -> np.ndarray:
            return perform(self.kind, own, allowed, self.parameters[str(label)])

        return map_structures(mask, operate)

    def to_json(self) -> str:
        """One line of JSON; floats keep every bit."""
        return json.dumps(asdict(self), allow_nan=False)

    @classmethod
    def from_json(cls, line: str) -> "Corruption":
        """The inverse of `to_json`."""
        return cls(**parse_json(line))


def perform(
    kind: str, own: np.ndarray, allowed: np.ndarray | None, parameters: Mapping[str, Any] | None
) -> np.ndarray:
    """Apply the operator `kind` with known parameters to one structure."""
    if parameters is None:
        return own.copy()
    if kind == "boundary":
        wanted = {key: parameters[key] for key in ("operator", "voxels", "direction")}
        return resize_object(own, allowed, **wanted)
    if kind == "affine" and "centre" not in parameters:
        return reference_affine_object(own, allowed, **parameters)
    return kind_named(kind).perform(own, allowed, **parameters)


def write_log(path: str | Path, log: Iterable[Corruption]) -> None:
    """Write one JSON line per mask, atomically.

    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "noise.jsonl"
    >>> write_log(path, [Corruption("a", "clean")])
    >>> read_log(path)[0].kind
    'clean'
    """
    atomic_write_text(Path(path), "".join(f"{corruption.to_json()}\n" for corruption in log))


def read_log(path: str | Path) -> list[Corruption]:
    """The log written by `write_log`.

    Raises:
        ValueError: a line is no log entry; the message names the line.
    """
    log = []
    for number, line in enumerate(read_text(path).splitlines(), start=1):
        try:
            log.append(Corruption.from_json(line))
        except (ValueError, TypeError) as error:
            raise ValueError(
                f"Invalid noise log {path}: line {number} is no entry of a log ({error}). "
                "Write it again with `write_log` or `keras-robust simulate`."
            ) from error
    return log
