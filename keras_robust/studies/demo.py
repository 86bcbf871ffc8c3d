"""The demonstration: two losses trained on noisy masks of the packaged images, and a report."""

from collections.abc import Callable
from pathlib import Path

from keras_robust.scheduling.grid import BenchmarkConfig, LossEntry
from keras_robust.scheduling.scheduler import StudyState, run_benchmark

ALPHA = BETA = 0.7
LOSSES = ("ce+dice", "t")


def demo_study(size: int = 96, features: int = 8, epochs: int = 60) -> BenchmarkConfig:
    """The study that the demonstration runs: CE + Dice and T-Loss at α = β = 0.7, one seed.

    Args:
        size: Height and width in pixels that the packaged images are resized to.
        features: Of the U-Net's first level.
        epochs: Passes over the 80 training images.

    >>> [run.name for run in demo_study().runs()]
    ['ce+dice_a0.7_b0.7_s0', 't_a0.7_b0.7_s0']
    """
    from keras_robust.data import sample_path

    base = {
        "data": {"path": str(sample_path()), "size": [size, size], "cache": "memory"},
        "model": {"features": features},
        "epochs": epochs,
        "batch_size": 8,
        "evaluate_every": 2,
        "evaluate_last": min(10, epochs),
        "save_predictions": 6,
        "tensorboard": False,
    }
    losses = [LossEntry(name=name) for name in LOSSES]
    return BenchmarkConfig(base=base, losses=losses, noise=[(ALPHA, BETA)], seeds=[0])


def run_demo(
    output: str | Path,
    study: BenchmarkConfig | None = None,
    jobs: int = 2,
    progress: Callable[[StudyState], None] | None = None,
) -> Path:
    """Train on noisy masks of the packaged images and write a self-contained report.

    The same call again continues where an interrupted one stopped, and only writes the report anew
    where nothing remains to be trained.

    Args:
        output: Folder, made when missing; gets `runs/` and `report.html`.
        study: What to train; `demo_study()` by default.
        jobs: Runs at a time.
        progress: As in `run_benchmark`.

    Returns:
        Path of the report.

    Raises:
        RuntimeError: A training failed; its log is named.
        ValueError: `output` holds a demonstration of other settings.
    """
    from keras_robust.studies.demo_report import write_demo_report

    output = Path(output)
    state = run_benchmark(
        study or demo_study(), output / "runs", jobs=jobs, retry=True, progress=progress
    )
    unfinished = [run for run in state.runs if run.state != "finished"]
    if unfinished:
        reasons = ". ".join(f"{run.plan.name}: {run.error or run.state}" for run in unfinished)
        raise RuntimeError(f"Not all runs finished. {reasons}. Details are in {output / 'runs'}.")
    return write_demo_report([run.folder for run in state.runs], output / "report.html")


def describe_demo(output: str | Path) -> str:
    """What a finished demonstration measured, where it is, and what to try next, as text."""
    from keras_robust.scheduling.records import find_runs
    from keras_robust.studies.tables import label_of

    output = Path(output)
    lines = [f"Dice on clean test masks, mean of the last epochs (α = β = {ALPHA}):"]
    for run in find_runs(output / "runs"):
        lines.append(f"  {label_of(run):12s} {run.mean_of_last():.3f}")
    return "\n".join(
        [
            *lines,
            f"Report:  {output / 'report.html'}  (open it in a browser)",
            f"Runs:    {output / 'runs'}  (configuration, history, weights, predictions of each)",
            "Try next:",
            f"  keras-robust report {output / 'runs'}   tables and figures as CSV and PNG",
            "  keras-robust verify DATASET      look through images and masks of your own",
            "  keras-robust train --help        train on them",
            "One seed on 35 test images shows how it works, not which loss is better:",
            "  keras-robust benchmark --help    compares losses with several seeds and tests",
        ]
    )
