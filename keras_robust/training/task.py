"""What the two kinds of training, on whole images and on patches by a plan, have in common."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Protocol

import keras


class Task(Protocol):
    """The data and the network of a run, and how it is scored."""

    steps: int
    """Of an epoch."""

    @property
    def facts(self) -> dict[str, Any]:
        """What `run.json` holds of it."""

    def build(self) -> keras.Model:
        """The compiled model, with its initial weights."""

    def stream(self, first_epoch: int) -> Iterable[Any]:
        """Endless batches for `fit`, from an epoch on."""

    def callbacks(self) -> list[keras.callbacks.Callback]:
        """Further ones for `fit`."""

    def columns(self, epoch: int, rows: Sequence[Mapping[str, Any]]) -> dict[str, float]:
        """Figures of an epoch, from 0, for the history; `rows` are those of the epochs before."""

    def is_best(self, rows: Sequence[Mapping[str, Any]]) -> bool:
        """Whether the last epoch is the best so far, and to be kept."""

    def describe(self, epoch: int, batch: int) -> str:
        """The images of a batch."""

    def finish(self, rows: Sequence[Mapping[str, Any]]) -> dict[str, float]:
        """Write test.csv and predictions; the results of the run."""
