"""How much `keras-robust refine` wins back of what wrong masks cost.

    python scripts/evaluate_refine.py SHARED_DATA WORK --studies isic --alphas 0 0.3 0.5

For every share of wrong masks: a training on the clean masks, one on the noisy ones as they are
(plain), and one on the soft targets of `refine` after an audit of the same masks (refined); of one
network and as many steps all three, Dice on clean test masks. What is won back is
(refined - plain) / (clean - plain). Results go to docs/results/refine/. Finished runs are not
repeated.
"""

import argparse
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from keras_robust.annotators import simulate_dataset
from keras_robust.audit.run import audit
from keras_robust.common.tables import write_csv
from keras_robust.data import Dataset
from keras_robust.data.layouts.manifest_writing import write_view
from keras_robust.noise import LabelNoise
from keras_robust.refinement.refine import refine
from keras_robust.scheduling.grid import PlannedRun
from keras_robust.scheduling.records import RunRecord
from keras_robust.scheduling.scheduler import run_planned

OUTPUT = Path("docs/results/refine")
BETA = 0.7
# Folder below SHARED_DATA, its clean annotator, images to train and to test on, how it is learned.
STUDIES: dict[str, tuple[str, int, int, dict[str, Any]]] = {
    "isic": (
        "isic2018_task1_128",
        100,
        60,
        {
            "data": {"size": (64, 64), "cache": "memory"},
            "model": {"features": 8, "max_features": 64},
            "batch_size": 8,
        },
    ),
    "hippocampus": (
        "msd_hippocampus",
        40,
        20,
        {"plan": {"patch_size": (32, 32, 32), "features": 8, "batch_size": 2}},
    ),
}


def study_view(name: str, data: Path, work: Path) -> tuple[Path, str]:
    """A dataset of some images in `train` and some in `test`, and its clean annotator."""
    folder, train, test, _ = STUDIES[name]
    dataset = Dataset.open(data / folder)
    (clean,) = dataset.annotators
    ids = np.random.default_rng(0).permutation(dataset.ids)[: train + test]
    split = {id: "train" if number < train else "test" for number, id in enumerate(ids)}
    chosen = dataset.select(ids=set(ids))
    cases = tuple(replace(case, split=split[case.id]) for case in chosen)
    view = work / name / "data"
    if not view.exists():
        write_view(replace(chosen, cases=cases), view)
    return view, clean


def rows(name: str, data: Path, work: Path, alphas: list[float], steps: int) -> Iterator[dict]:
    """A row for each share of wrong masks."""
    view, clean = study_view(name, data, work)
    training = STUDIES[name][3]
    for alpha in alphas:
        annotator = clean
        if alpha:
            noise = LabelNoise(alpha=alpha, beta=BETA, seed=0)
            annotator = simulate_dataset(view, noise, source=clean, split="train").name
        folder = work / name / f"alpha-{alpha:g}"
        audit(
            view, folder / "audit", annotator=annotator, split="train", folds=3, steps=steps,
            training=training, threads=1,
        )  # fmt: skip
        found = refine(
            view, folder / "refined", folder / "audit", truth=clean, compare=True, threads=1,
            name=f"refined-{alpha:g}", training=training,
        )  # fmt: skip
        yield {
            "study": name,
            "alpha": alpha,
            "beta": BETA if alpha else 0,
            "steps": steps,
            "masks": found.masks,
            "changed": found.changed,
            "clean": clean_dice(folder, annotator, clean),
            **{key: round(value, 4) for key, value in found.dice.items()},
        }


def clean_dice(folder: Path, annotator: str, clean: str) -> float:
    """Test Dice of the same training on the clean masks."""
    plain = RunRecord.read(folder / "refined" / "runs" / "plain").config
    config = {**plain, "data": {**plain["data"], "annotator": clean}}
    if config["plan"]:
        config["plan"] = {**config["plan"], "folder": str(folder / "refined" / "plan-clean")}
    if annotator == clean:
        record = RunRecord.read(folder / "refined" / "runs" / "plain")
    else:
        if config["plan"]:
            _copy_plan(Path(plain["plan"]["folder"]), Path(config["plan"]["folder"]))
        state = run_planned([PlannedRun("clean", config)], folder / "clean", threads=1, retry=True)
        record = RunRecord.read(state.runs[0].folder)
    return round(record.mean_of_last("dice_test"), 4)


def _copy_plan(source: Path, target: Path) -> None:
    target.mkdir(parents=True, exist_ok=True)
    for file in ("plan.json", "fingerprint.json"):
        (target / file).write_bytes((source / file).read_bytes())


def write_page(table: pd.DataFrame) -> None:
    """The page of the results, from all rows that were measured."""
    shown = table.copy()
    lost = shown["clean"] - shown["plain"]
    shown["won back"] = ((shown["refined"] - shown["plain"]) / lost).where(lost > 0.005)
    lines = [
        "# What training again wins back",
        "",
        "Written by `scripts/evaluate_refine.py`. Test Dice on clean masks of three trainings of "
        "one network and as many steps: on the clean masks, on the noisy ones as they are (plain), "
        "and on the soft targets of `keras-robust refine` (refined). *Won back* is the share of "
        "the loss from clean to plain; it is left out where that is below 0.005. One seed per row: "
        "differences of a hundredth say little.",
        "",
        "| " + " | ".join(shown.columns) + " |",
        "|" + "---|" * len(shown.columns),
    ]
    for _, row in shown.iterrows():
        cells = [f"{v:.3g}" if isinstance(v, float) and v == v else str(v) for v in row]
        lines.append("| " + " | ".join("–" if cell == "nan" else cell for cell in cells) + " |")
    (OUTPUT / "README.md").write_text("\n".join(lines) + "\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("work", type=Path)
    parser.add_argument("--studies", nargs="+", default=list(STUDIES), choices=list(STUDIES))
    parser.add_argument("--alphas", nargs="+", type=float, default=[0, 0.3, 0.5])
    parser.add_argument("--steps", type=int, default=1000)
    arguments = parser.parse_args()
    OUTPUT.mkdir(parents=True, exist_ok=True)
    file = OUTPUT / "refine.csv"
    known = pd.read_csv(file).to_dict("records") if file.is_file() else []
    for name in arguments.studies:
        for row in rows(name, arguments.data, arguments.work, arguments.alphas, arguments.steps):
            known = [
                old for old in known if (old["study"], old["alpha"]) != (row["study"], row["alpha"])
            ] + [row]
            known.sort(key=lambda one: (one["study"], one["alpha"]))
            write_csv(file, list(row), known)
            write_page(pd.DataFrame(known))


if __name__ == "__main__":
    main()
