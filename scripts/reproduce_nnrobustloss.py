"""Repeat the nnRobustLoss study (2026) on real images, within the budget of one CPU core.

    python scripts/reproduce_nnrobustloss.py bubil data/bubil_multi_256
    python scripts/reproduce_nnrobustloss.py hippocampus data/msd_hippocampus
    python scripts/reproduce_nnrobustloss.py hippocampus_long data/msd_hippocampus
    python scripts/reproduce_nnrobustloss.py tables

The same command continues an interrupted study; finished runs are skipped. What is trained stays
in `runs/nnrobustloss/`; `tables` scores it, copies what shows it (configurations, histories,
scores; no weights) to `docs/results/nnrobustloss/runs/` and writes tables, tests and figures beside
them, of whatever is finished.

* `bubil`: real label noise. 270 microscopy images, each with a gold standard and seven masks of
  crowd workers. Every image keeps one mask of the crowd, drawn: different people on different
  images. Three folds of images, stratified by the kind of cell; whole images at 64².
* `hippocampus`: 180 volumes to train on, 80 to test, two classes. Boundary noise of mean Dice .70,
  then .85; patches by the plan, with fewer features and steps; with further seeds at .70.
* `hippocampus_long`: the same at .70, trained as the strong baseline of `scripts/hippocampus.yaml`
  is, ten times as long and with twice the features; the best with a further seed.

Options are near the middle of the paper's search ranges; methods that have some are trained once
more with those that `keras-robust tune` finds, in few and short trials that see noisy training
masks only (of the cells, those of the first fold). A second process that is given the same command
takes its share of the trials.
"""

import argparse
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from keras_robust.annotators import mix_annotators, simulate_dataset
from keras_robust.common.files import atomic_write_text
from keras_robust.data import Dataset
from keras_robust.noise import BoundaryNoise
from keras_robust.planning.fingerprint import fingerprint
from keras_robust.planning.plan import make_plan
from keras_robust.scheduling import BenchmarkConfig, run_benchmark
from keras_robust.scheduling.grid import LossEntry
from keras_robust.scheduling.live import StudyView
from keras_robust.scheduling.records import RunRecord, find_runs
from keras_robust.studies.crossval.report import write_cross_validation_report
from keras_robust.studies.crossval.scores import ONE_PEER, unscored
from keras_robust.tuning import tune
from keras_robust.tuning.space import SPACES

BASELINE = Path(__file__).with_name("hippocampus.yaml")
SEEDS = [0, 1, 2]
SVLS = {"sigma": 0.6}
REFERENCE = {"name": "ce+dice", "label": "Baseline (ref.)"}
# Single networks first: they take half the time.
METHODS: list[dict[str, Any]] = [
    {"name": "ce+dice", "label": "Baseline"},
    {"name": "t+dice", "label": "T-Loss+Dice"},
    {"name": "apl2", "label": "APL2"},
    {"name": "t", "label": "T-Loss"},
    {"name": "svls", "options": SVLS, "label": "SVLS"},
    {"name": "apl1", "label": "APL1"},
    {"name": "stocot", "label": "StoCoT"},
    {"name": "cot", "label": "CoT"},
    {"name": "cot+", "label": "CoT+"},
    {"name": "hrl", "options": SVLS, "label": "HRL"},
    {"name": "t-stocot", "label": "T-Loss, StoCoT"},
    {"name": "t+dice-stocot", "label": "T-Loss+Dice, StoCoT"},
]
# Without it, 5 % of the voxels may be most of a class that has 2 % of them.
BALANCED = {"name": "cot", "options": {"balanced": True}, "label": "CoT balanced"}
# Of the paper's 30 trials of 50 epochs; twice as many for the four options of HRL. The schedules of
# the selections shrink with the epochs.
TRIALS = {"apl2": 6, "svls": 6, "stocot": 6, "cot": 6, "cot+": 6, "hrl": 12}
TRIAL_EPOCHS = 20
SCHEDULES: dict[str, dict[str, int]] = {
    "cot": {"ramp_epochs": 4},
    "cot+": {"ramp_epochs": 4, "warmup": 4},
    "stocot": {"ramp": 8, "warmup": 8},
}
TITLES = {
    "bubil": "Robust methods on masks of a crowd",
    "hippocampus": "Robust methods under boundary noise",
    "hippocampus_long": "Robust methods under boundary noise, trained ten times as long",
}
KEPT = (
    "history.csv",
    "run.json",
    "test.csv",
    "entry.json",
    "evaluation.csv",
    ONE_PEER,
    "reliability.csv",
)


def bubil(data: Path, work: Path) -> None:
    """Train on the crowd's masks, test against the gold standard."""
    mixed = work / "data"
    mix_annotators(data, ["crowd_*"], "crowd", output=mixed)
    base: dict[str, Any] = {
        "data": {
            "path": str(mixed),
            "size": (64, 64),
            "annotator": "crowd",
            "clean_annotator": "gold",
            "train_split": None,
            "stratify": "dataset",
            "cache": "memory",
        },
        "model": {"features": 8, "max_features": 128},
        "epochs": 60,
        "batch_size": 8,
        "evaluate_every": 10,
        "evaluate_last": 10,
        "save_predictions": 0,
        # Only the convolutions run in bfloat16; weights, ν, loss and Dice are float32.
        "precision": "mixed_bfloat16",
        "tensorboard": False,
    }
    gold = {**REFERENCE, "annotator": "gold"}
    train(base, [gold, *METHODS], work, folds=3)
    first = {**base, "data": {**base["data"], "fold": (0, 3)}}
    train_tuned(base, METHODS, work, first, folds=3)


def hippocampus(data: Path, work: Path) -> None:
    """Train under boundary noise, test against the clean masks."""
    places, annotators = boundary_noise(data, work, (0.7, 0.85))
    base = {
        "data": places["data"],
        "plan": {
            **places["plan"],
            "features": 8,
            "batch_size": 2,
            "steps_per_epoch": 8,
            "mirror_axes": [],
            "optimizer": "adam",
            "learning_rate": 2e-3,
        },
        "epochs": 50,
        "save_predictions": 0,
        "precision": "mixed_bfloat16",
        "tensorboard": False,
    }
    harsh, mild = ([{**method, "annotator": name} for method in METHODS] for name in annotators)
    balanced = {**BALANCED, "annotator": annotators[0]}
    train(base, [REFERENCE, *harsh, balanced, *mild], work)
    train_tuned(base, harsh, work, base)
    train_tuned(base, mild, work, base)
    train(base, [REFERENCE, *harsh], work, seeds=SEEDS[:2])
    train(base, [REFERENCE, *mild[:2]], work, seeds=SEEDS[:2])
    alone = [method for method in harsh if not LossEntry(**method).training()["selection"]]
    train(base, [REFERENCE, *alone], work, seeds=SEEDS)


def hippocampus_long(data: Path, work: Path) -> None:
    """The same as the strong baseline is trained."""
    places, (annotator,) = boundary_noise(data, work, (0.7,))
    base = yaml.safe_load(BASELINE.read_text(encoding="utf-8"))
    del base["loss"]
    base |= {
        "data": {**base["data"], **places["data"]},
        "plan": {**base["plan"], **places["plan"]},
        "save_predictions": 0,
    }
    methods = [{**method, "annotator": annotator} for method in METHODS]
    train(base, [REFERENCE, *methods], work)
    again = [
        method for method in methods if method["name"] in ("ce+dice", "t+dice", "t+dice-stocot")
    ]
    train(base, again, work, seeds=SEEDS[:2])


def boundary_noise(
    data: Path, work: Path, mean_dices: Sequence[float]
) -> tuple[dict[str, dict[str, str]], list[str]]:
    """Noisy masks, and a plan made of the clean ones; settings that lead to them, and names."""
    noisy, plan = work / "data", work / "plan"
    names = [
        simulate_dataset(data, BoundaryNoise(mean_dice), output=noisy).name
        for mean_dice in mean_dices
    ]
    if not (plan / "plan.json").is_file():
        found = fingerprint(Dataset.open(noisy).select(annotator="msd_expert", split="train"))
        atomic_write_text(plan / "fingerprint.json", found.model_dump_json(indent=2) + "\n")
        atomic_write_text(plan / "plan.json", make_plan(found).to_json())
    masks = {"annotator": "msd_expert", "clean_annotator": "msd_expert"}
    return {
        "data": {"path": str(noisy), "cache": "memory", **masks},
        "plan": {"folder": str(plan)},
    }, names


def train_tuned(
    base: dict[str, Any],
    methods: Sequence[dict[str, Any]],
    work: Path,
    trials_base: dict[str, Any],
    **more: Any,
) -> None:
    """Train the methods that have options with those that are best on noisy training masks."""
    for method in methods:
        if method["name"] in TRIALS:
            train(base, [tuned(trials_base, method, work)], work, **more)


def tuned(base: dict[str, Any], method: dict[str, Any], work: Path) -> dict[str, Any]:
    """The method with the best options that its trials find."""
    space = SPACES[method["name"]]
    annotator = method.get("annotator", base["data"]["annotator"])
    selection = space.fixed.get("selection.name")
    schedule = {f"selection.options.{k}": v for k, v in SCHEDULES.get(str(selection), {}).items()}
    label = f"{method['label']} tuned"
    record = tune(
        {**base, "data": {**base["data"], "annotator": annotator}},
        work / "tuning" / annotator / method["name"],
        space.model_copy(update={"fixed": {**space.fixed, **schedule}}),
        trials=TRIALS[method["name"]],
        epochs=TRIAL_EPOCHS,
        label=label,
        threads=1,
    )
    if record.best is None:
        raise RuntimeError(f"No trial of {label} is finished; its folder is {record.folder}.")
    # Rounded, since they name the run folder.
    options = {k.rsplit(".", 1)[-1]: float(f"{record.best[k]:.3g}") for k in space.search}
    return {**method, "options": {**method.get("options", {}), **options}, "label": label}


def train(base: dict[str, Any], methods: Sequence[dict[str, Any]], work: Path, **more: Any) -> None:
    """Train what is not trained yet, one run at a time on one thread."""
    settings = {"noise": [(0, 0)], "seeds": SEEDS[:1], **more}
    study = BenchmarkConfig(base=base, losses=methods, **settings)
    with StudyView() as view:
        run_benchmark(study, work / "runs", jobs=1, threads=1, progress=view)


def tables(name: str, work: Path, output: Path) -> None:
    """Score the finished runs of a study, keep what shows them, and write its report."""
    from keras_robust.inference import evaluate_run
    from keras_robust.training import Run

    for folder in unscored(find_runs(work / "runs")):
        if Run(folder).config.selection is not None:
            evaluate_run(folder, peers="a", table=ONE_PEER)
        evaluate_run(folder)
    finished = [run for run in find_runs(work / "runs") if run.status == "finished"]
    if not finished:
        return
    for run in finished:
        kept = output / "runs" / name / run.name
        kept.mkdir(parents=True, exist_ok=True)
        config = yaml.safe_load((run.folder / "config.yaml").read_text(encoding="utf-8"))
        config["data"]["path"] = f"runs/nnrobustloss/{name}/data"
        if config.get("plan"):
            config["plan"]["folder"] = f"runs/nnrobustloss/{name}/plan"
        atomic_write_text(kept / "config.yaml", yaml.safe_dump(config, sort_keys=False))
        for file in KEPT:
            if (run.folder / file).is_file():
                shutil.copyfile(run.folder / file, kept / file)
    for trials in sorted((work / "tuning").glob("*/*/trials.csv")):
        method = trials.parent
        kept = output / "tuning" / name / method.parent.name
        kept.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(trials, kept / f"{method.name}.csv")
    first = [run.folder for run in finished if run.seed == SEEDS[0]]
    print(write_cross_validation_report(first, output / name, TITLES[name]))
    # Methods that were trained again are compared with each other, seeds and all.
    again = {name_of(run) for run in finished if run.seed != SEEDS[0]}
    seeds = [run.folder for run in finished if name_of(run) in again]
    if seeds:
        title = f"{TITLES[name]}: several seeds"
        print(write_cross_validation_report(seeds, output / f"{name}_seeds", title))


def name_of(run: RunRecord) -> str:
    """Its folder without the seed."""
    return run.name.rpartition("_s")[0]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("study", choices=[*TITLES, "tables"])
    parser.add_argument("data", type=Path, nargs="?", help="dataset folder, to train")
    parser.add_argument("--work", type=Path, default=Path("runs/nnrobustloss"))
    parser.add_argument("--output", type=Path, default=Path("docs/results/nnrobustloss"))
    arguments = parser.parse_args()
    if arguments.study == "tables":
        for name in TITLES:
            if (arguments.work / name / "runs").is_dir():
                tables(name, arguments.work / name, arguments.output)
    elif arguments.data is None:
        parser.error("name the dataset folder to train on")
    else:
        study = {"bubil": bubil, "hippocampus": hippocampus, "hippocampus_long": hippocampus_long}
        study[arguments.study](arguments.data, arguments.work / arguments.study)


if __name__ == "__main__":
    main()
