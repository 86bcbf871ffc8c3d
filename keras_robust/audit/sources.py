"""What predicts the images of an audit: models trained on the other folds, or files."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from keras_robust.audit.folder import JUDGES, PREDICTIONS, SPREAD
from keras_robust.audit.folds import check_folds, predict_folds, train_folds
from keras_robust.audit.given.models import GivenModels
from keras_robust.audit.inputs import AuditInputs
from keras_robust.audit.judges.pace import measure
from keras_robust.audit.judges.recipe import judge_config, steps_of, with_plan, with_steps
from keras_robust.audit.options import AuditOptions
from keras_robust.common.files import atomic_write_json
from keras_robust.common.opening import read_json
from keras_robust.common.progress import StageProgress
from keras_robust.data.files.maps import has_map
from keras_robust.scheduling.state import StudyState

__all__ = ["Folds", "Given", "choose_source"]

WORTH_A_FORECAST = 300  # steps in all; fewer are made before a forecast is


def choose_source(asked: AuditOptions, inputs: AuditInputs) -> "Folds | Given":
    """What predicts the images."""
    dataset = inputs.dataset
    folders = asked.prediction_folders
    if folders:
        return Given(folders, GivenModels.find(folders, dataset, inputs.ids))
    return Folds(judge_config(inputs, asked), asked)


@dataclass(frozen=True)
class Folds:
    """Predictions by cross-validation."""

    config: dict[str, Any]
    asked: AuditOptions

    @property
    def files(self) -> dict[str, list[Path]]:
        return {}

    @property
    def settings(self) -> dict[str, Any]:
        asked = self.asked
        training = {**self.config, "threads": None}
        if asked.minutes is not None or asked.steps is not None:
            for decided_later in ("epochs", "steps_per_epoch", "evaluate_every"):
                del training[decided_later]
        length = {"budget": asked.minutes, "steps": asked.steps}
        return {"folds": asked.folds, "repeats": asked.repeats, **length, "training": training}

    def check(self, inputs: AuditInputs) -> None:
        """Raise what would stop the training, before anything is written."""
        check_folds(self.config, self.asked.folds, inputs)

    def predict(
        self, inputs: AuditInputs, output: Path, tell: StageProgress, say: Callable[[str], None]
    ) -> None:
        channels = inputs.channels
        folder = output / PREDICTIONS
        if all(has_map(folder, id, channels) for id in inputs.ids):
            return

        runs = self.train(self.complete(inputs, output, tell, say), output, tell)
        predict_folds(
            runs, inputs, folder, output / SPREAD, channels, lambda d, n: tell("predicting", d, n)
        )

    def train(
        self, config: Mapping[str, Any], output: Path, tell: StageProgress
    ) -> list[list[Path]]:
        """Train the folds, or this machine's part of them; see `train_folds`."""

        def show(state: StudyState) -> None:
            done, total = (sum(getattr(r, k) for r in state.runs) for k in ("done", "epochs"))
            tell("training", done, total)

        asked = self.asked
        return train_folds(
            config,
            asked.folds,
            output,
            repeats=asked.repeats,
            part=asked.part,
            crew=asked.trained_by,
            progress=show,
        )

    def complete(
        self, inputs: AuditInputs, output: Path, tell: StageProgress, say: Callable[[str], None]
    ) -> dict[str, Any]:
        """The configuration with its plan and steps; those of an earlier call, where it chose."""
        asked = self.asked
        config = with_plan(
            self.config, inputs, output / "plan", lambda done, n: tell("plan", done, n)
        )
        trained_on = len(inputs.dataset.select(annotator=inputs.trained_on).ids)
        images, folds = len(inputs.ids), asked.folds * asked.repeats
        steps = asked.steps
        try:
            steps = int(read_json(output / JUDGES, dict)["steps"])
            return with_steps(config, steps)
        except FileNotFoundError:
            pass
        if steps is not None:
            config = with_steps(config, steps)
        count = steps or steps_of(config, trained_on * (asked.folds - 1) // asked.folds)
        if asked.minutes is None and folds * count < WORTH_A_FORECAST:
            return config
        crew = asked.trained_by
        pace = measure(config, asked.folds, output / "trial", crew)
        at_a_time = max(1, crew.free(()))
        if asked.minutes is not None:
            count = pace.steps_within(asked.minutes, folds, images, at_a_time)
            config = with_steps(config, count)
            found = {"steps": count, "pace": pace.to_json(), "budget": asked.minutes}
            atomic_write_json(output / JUDGES, found)
        minutes = pace.forecast(count, folds, images, at_a_time) / 60
        over = asked.minutes is not None and minutes > 1.1 * asked.minutes
        say(
            f"Forecast: about {minutes:.0f} min, for {folds} models of {count} steps of "
            f"{pace.step:.2g} s and {images} images to predict."
            + (f" That is over {asked.minutes:g} min: fewer steps teach nothing." if over else "")
        )
        return config


@dataclass(frozen=True)
class Given:
    """Predictions that are there already."""

    folders: tuple[Path, ...]
    given: GivenModels

    @property
    def files(self) -> dict[str, list[Path]]:
        return self.given.files

    @property
    def settings(self) -> dict[str, Any]:
        named = [str(folder.resolve()) for folder in self.folders]
        return {"predictions": named[0] if len(named) == 1 else named}

    def check(self, inputs: AuditInputs) -> None:
        """The files have been found already."""

    def predict(
        self, inputs: AuditInputs, output: Path, tell: StageProgress, say: Callable[[str], None]
    ) -> None:
        self.given.copy(
            inputs.dataset,
            output / PREDICTIONS,
            output / SPREAD,
            lambda d, n: tell("predicting", d, n),
        )
