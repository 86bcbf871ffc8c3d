"""How long the models of an audit will take, measured from a few steps of the first."""

import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from math import ceil
from pathlib import Path
from typing import Any

from keras_robust.audit.judges.recipe import with_steps
from keras_robust.planning.plan_files import load_plan
from keras_robust.scheduling.grid import PlannedRun
from keras_robust.scheduling.processes import Crew
from keras_robust.scheduling.records import RunRecord
from keras_robust.scheduling.scheduler import run_planned

__all__ = ["LEAST_STEPS", "MOST_STEPS", "Pace", "measure"]

LEAST_STEPS, MOST_STEPS = 200, 5000  # of a fold: fewer teach nothing, more change little
TRIED = 4  # steps of an epoch of the trial, of which the second of three is timed
FORWARD = 1 / 3  # of the time of a step: without the way back
PREDICTED = 2  # times: by the run, for its own Dice, and by the audit


@dataclass(frozen=True)
class Pace:
    """What the parts of an audit take.

    Args:
        step: Seconds of a training step.
        begin: Seconds until the first step of a run.
        image: Seconds to predict an image.
    """

    step: float
    begin: float
    image: float

    def forecast(self, steps: int, folds: int, images: int, jobs: int = 1) -> float:
        """Seconds of the folds and of predicting all images.

        >>> Pace(step=0.5, begin=10, image=1).forecast(100, folds=5, images=20)
        340.0
        """
        rounds = ceil(folds / jobs)
        return rounds * (self.begin + steps * self.step) + PREDICTED * images * self.image

    def steps_within(self, minutes: float, folds: int, images: int, jobs: int = 1) -> int:
        """Steps of each fold that fit so many minutes, 200 to 5,000.

        >>> Pace(step=0.5, begin=10, image=1).steps_within(14, folds=5, images=20)
        300
        """
        left = 60 * minutes - self.forecast(0, folds, images, jobs)
        return min(MOST_STEPS, max(LEAST_STEPS, int(left / ceil(folds / jobs) / self.step)))

    def to_json(self) -> dict[str, float]:
        """The numbers as JSON has them."""
        return {name: round(value, 4) for name, value in asdict(self).items()}


def measure(config: Mapping[str, Any], folds: int, folder: Path, crew: Crew) -> Pace:
    """Train for a few steps, as a fold would, and see what they take.

    Args:
        config: Of the folds, with its plan.
        folds: Their number.
        folder: To work in; it is removed.
        crew: Who trains the folds.

    Raises:
        ValueError: The training failed.
    """
    tried = with_steps(config, 3 * TRIED)
    shape = {"epochs": 3, "evaluate_every": 3}
    if config["plan"]:
        tried |= shape | {"plan": {**tried["plan"], "steps_per_epoch": TRIED}}
    else:
        tried |= shape | {"steps_per_epoch": TRIED}
    tried["data"] = {**config["data"], "fold": (0, folds), "test_limit": 1}
    shutil.rmtree(folder, ignore_errors=True)  # of a trial that was stopped
    state = run_planned(
        [PlannedRun("trial", tried, "a few steps")],
        folder,
        crew=crew,
        retry=True,
        check=lambda configs: None,
    )
    (run,) = state.runs
    if run.state != "finished":
        raise ValueError(
            f"A trial of a few training steps failed: {run.error or run.state} "
            f"({run.folder / 'log.txt'} has more). The same command again tries it once more."
        )
    seconds = list(RunRecord.read(run.folder).history["seconds"])
    shutil.rmtree(folder, ignore_errors=True)
    step = max(seconds[1] / TRIED, 1e-4)
    views = 4 if len(config["data"]["size"]) == 2 and config["augment"] else 1
    patches, batch = 1.0 + views, config["batch_size"]
    if plan := config["plan"]:
        # Once by the run itself and once by the audit, both with every mirror.
        mirrors = 2 ** len(plan["patch_size"]) if plan["mirror_axes"] is None else 1
        patches, batch = _windows(plan) * 2 * mirrors / PREDICTED, plan["batch_size"]
    return Pace(step, max(run.seconds - 2 * seconds[1], 0.0), FORWARD * step / batch * patches)


def _windows(plan: Mapping[str, Any]) -> int:
    """Patches that a typical image is predicted in, each moved by half of it."""
    median = load_plan(plan["folder"])[0].median_shape
    count = 1
    for length, patch in zip(median, plan["patch_size"], strict=True):
        count *= 1 + ceil(max(length - patch, 0) / (patch / 2))
    return count
