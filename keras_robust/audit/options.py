"""What is asked of an audit."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from keras_robust.common.errors import invalid
from keras_robust.data.parts import WHOLE, Part
from keras_robust.methods import check_names
from keras_robust.scheduling.processes import Crew, Processes

__all__ = ["AuditOptions"]

BUDGET = 20.0  # minutes


@dataclass(frozen=True)
class AuditOptions:
    """Whose masks an audit judges, by what, and how it ranks them.

    Args:
        annotator: Whose masks to judge, one or several; needed where the dataset has several.
        train_on: Whose masks to train on; by default the first of `annotator`.
        split: Only images of this split; by default all.
        loss: A name that `keras_robust.losses.get` knows.
        folds: Number of folds; groups of images, such as patients, are kept whole.
        repeats: How often all folds are trained, each time from other initial weights: the mean
            predicts, and where they disagree is evidence.
        size: Size that images are resized to and learned whole, see
            `keras_robust.training.DataConfig`; by default volumes, and larger images of small
            objects, are learned in patches, see `keras_robust.audit.judges.judge_config`.
        budget: Minutes that training and prediction may take: so many steps are made as fit, by
            the time that a few take, between 200 and 5,000; 20 where neither it nor `steps` nor
            `epochs` is given.
        steps: Steps of each fold, in place of a budget.
        epochs: Passes over the images, per fold, in place of a budget.
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
        part: Of the folds, those that `train_part` trains on this machine.
        crew: Who trains the folds, in place of `jobs` processes of this machine: see
            `keras_robust.scheduling.cluster.joined`.

    >>> AuditOptions(annotator="anna").annotators
    ('anna',)
    """

    annotator: str | Sequence[str] | None = None
    train_on: str | None = None
    split: str | None = None
    loss: str = "t+dice"
    folds: int = 5
    repeats: int = 1
    size: Sequence[int] | None = None
    budget: float | None = None
    steps: int | None = None
    epochs: int | None = None
    training: Mapping[str, Any] | None = None
    predictions: str | Path | Sequence[str | Path] | None = None
    scores: Sequence[str] | None = None
    truth: str | None = None
    wrong_below: float | None = None
    jobs: int = 1
    threads: int | None = None
    part: Part = WHOLE
    crew: Crew | None = None

    def __post_init__(self) -> None:
        lengths = ("budget", "steps", "epochs")
        given = {name: getattr(self, name) for name in lengths if getattr(self, name) is not None}
        if len(given) > 1:
            raise invalid(
                "budget",
                "one of budget (minutes), steps and epochs",
                said=", ".join(f"{name}={value}" for name, value in given.items()),
            )
        if self.wrong_below is not None and self.truth is None:
            raise invalid(
                "wrong_below",
                "none without a truth",
                said=f"wrong_below={self.wrong_below}",
                remedy="Name the annotator who is right (truth), or leave it out.",
            )
        for name, value in {**given, "repeats": self.repeats}.items():
            if not value > 0:
                raise invalid(name, "a positive number", said=f"{name}={value}")
        fields = self.fields
        network = fields.get("model") or {}
        check_names(fields["loss"], fields.get("loss_options") or (), network.get("name"))

    @property
    def trained_by(self) -> Crew:
        """Who trains the folds."""
        return self.crew or Processes(self.jobs, self.threads)

    @property
    def minutes(self) -> float | None:
        """The budget; None where steps or epochs are given, in `training` as well."""
        lengths = {"epochs", "steps_per_epoch"} & set(self.training or {})
        if self.steps is not None or self.epochs is not None or lengths:
            return None
        return BUDGET if self.budget is None else self.budget

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
        fields: dict[str, Any] = {"loss": self.loss, **(self.training or {})}
        if self.epochs is not None:
            fields["epochs"] = self.epochs
        if self.size is not None:
            fields["data"] = {**(fields.get("data") or {}), "size": tuple(self.size)}
        return fields
