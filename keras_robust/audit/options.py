"""What is asked of an audit."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

__all__ = ["EPOCHS", "AuditOptions"]

EPOCHS = 50


@dataclass(frozen=True)
class AuditOptions:
    """Whose masks an audit judges, by what, and how it ranks them.

    Args:
        annotator: Whose masks to judge, one or several; needed where the dataset has several.
        train_on: Whose masks to train on; by default the first of `annotator`.
        split: Only images of this split; by default all.
        loss: A name that `keras_robust.losses.get` knows.
        folds: Number of folds; groups of images, such as patients, are kept whole.
        size: Size that the models are trained at, see `keras_robust.training.DataConfig`.
        epochs: Passes over the images, per fold.
        training: Further fields of `keras_robust.training.TrainConfig`, sections as mappings.
        predictions: Folder of predictions by any model that has not seen the images, instead of
            training; several folders for several models. Also a folder of trained nnU-Net models:
            see `keras_robust.audit.given.finding.model_folders` and `GivenPredictions`.
        scores: Names out of `keras_robust.suspicion.SCORES`, the one that ranks first; by default
            all, ranked by `"default"`.
        truth: Annotator whose masks are right, to measure how well the scores find wrong ones.
        wrong_below: Dice with the truth below which a mask is wrong; see
            `keras_robust.audit.truth.compare_with_truth`.
        jobs: Folds that are trained at a time.
        threads: CPU threads per fold; by default the CPUs divided by `jobs`.

    >>> AuditOptions(annotator="anna").annotators
    ('anna',)
    """

    annotator: str | Sequence[str] | None = None
    train_on: str | None = None
    split: str | None = None
    loss: str = "t"
    folds: int = 5
    size: Sequence[int] | None = None
    epochs: int = EPOCHS
    training: Mapping[str, Any] | None = None
    predictions: str | Path | Sequence[str | Path] | None = None
    scores: Sequence[str] | None = None
    truth: str | None = None
    wrong_below: float | None = None
    jobs: int = 1
    threads: int | None = None

    @property
    def annotators(self) -> tuple[str, ...]:
        """Those named; empty where none is."""
        name = self.annotator
        return (name,) if isinstance(name, str) else tuple(name or ())

    @property
    def prediction_folders(self) -> tuple[Path, ...]:
        """Those of `predictions`; empty for training."""
        given = self.predictions
        return (Path(given),) if isinstance(given, str | Path) else tuple(map(Path, given or ()))

    @property
    def fields(self) -> dict[str, Any]:
        """The fields of `TrainConfig` that the folds train with, beside what an audit sets."""
        fields: dict[str, Any] = {"loss": self.loss, "epochs": self.epochs, **(self.training or {})}
        if self.size is not None:
            fields["data"] = {**(fields.get("data") or {}), "size": tuple(self.size)}
        return fields
