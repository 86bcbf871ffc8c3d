"""The loop from an audit to a model that was trained again."""

import csv
import importlib
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from keras_robust.audit.run import audit
from keras_robust.cli import app
from keras_robust.data import Dataset
from keras_robust.refinement import refine
from keras_robust.scheduling.state import RunState, StudyState

module = importlib.import_module("keras_robust.refinement.refine")


@pytest.fixture
def dataset(tmp_path):
    """Sixteen discs, four masks of the twelve to train on elsewhere; the predictions are right."""
    root = tmp_path / "discs"
    y, x = np.indices((24, 24))
    lines = ["id,image,mask,annotator,split"]
    for number in range(16):
        disc = (y - 12) ** 2 + (x - 8 - number % 5) ** 2 < 25 + number
        drawn = np.roll(disc, 9, axis=1) if number < 4 else disc
        wrote = {"images": 60 + 120 * disc, "masks": 255 * drawn, "p": np.where(disc, 240, 10)}
        for folder, array in wrote.items():
            (root / folder).mkdir(parents=True, exist_ok=True)
            Image.fromarray(array.astype(np.uint8)).save(root / folder / f"{number:02d}.png")
        split = "test" if number >= 12 else "train"
        lines.append(f"{number:02d},images/{number:02d}.png,masks/{number:02d}.png,ann,{split}")
    (root / "manifest.csv").write_text("\n".join(lines) + "\n")
    audit(root, tmp_path / "discs-audit", split="train", predictions=root / "p")
    return root


@pytest.fixture
def planned(monkeypatch):
    """The runs that would be trained, in a process each."""
    runs = {}

    def run_planned(plans, output, **options):
        runs.update({plan.name: plan.config for plan in plans})
        states = [RunState(plan, output / plan.name, 1, "finished") for plan in plans]
        return StudyState(states)

    class Record:
        @staticmethod
        def read(folder):
            return SimpleNamespace(
                mean_of_last=lambda name: {"refined": 0.9, "plain": 0.8}[folder.name]
            )

    monkeypatch.setattr(module, "run_planned", run_planned)
    monkeypatch.setattr(module, "RunRecord", Record)
    return runs


def test_wrong_masks_become_soft_targets_and_are_trained_on(dataset, tmp_path, planned):
    before = {path: path.read_bytes() for path in (dataset / "masks").glob("*.png")}
    arguments = ["refine", str(dataset), "--steps", "40", "--compare", "--set", "batch_size=3"]
    done = CliRunner().invoke(app, [*arguments, "--quiet"])
    assert done.exit_code == 0, done.output
    assert "of 12 masks became soft targets" in done.output
    assert "Dice on the test images: refined 0.9000, plain 0.8000." in done.output
    # Both are trained alike, but for whose masks.
    both = [dict(planned[name]) for name in ("refined", "plain")]
    data = [config.pop("data") for config in both]
    assert both[0] == both[1] and both[0]["epochs"] * both[0]["steps_per_epoch"] == 40
    assert [part.pop("annotator") for part in data] == ["ann-refined", "ann"]
    assert data[0] == data[1] and data[0]["train_split"] == "train"
    assert (data[0]["clean_annotator"], data[0]["test_split"]) == ("ann", "test")
    with (tmp_path / "discs-refined" / "refined.csv").open() as file:
        rows = {row["id"]: row for row in csv.DictReader(file)}
    assert len(rows) == 12 and set(list(rows)[:4]) == {"00", "01", "02", "03"}
    opened = Dataset.open(dataset)
    assert opened.soft_annotators == ("ann-refined",) and opened.annotators == (
        "ann",
        "ann-refined",
    )
    for case in opened.select(annotator="ann-refined"):
        sure, target = float(rows[case.id]["sure"]), opened.read_target(case)
        drawn = np.asarray(Image.open(dataset / "masks" / f"{case.id}.png")) / 255
        predicted = np.asarray(Image.open(dataset / "p" / f"{case.id}.png")) / 255
        np.testing.assert_allclose(target, drawn + sure * (predicted - drawn), atol=0.005)
        assert float(rows[case.id]["changed"]) == pytest.approx(
            np.abs(target - drawn).mean(), abs=0.01
        )
    assert {path: path.read_bytes() for path in before} == before
    # The same again has nothing left to do.
    times = {path: path.stat().st_mtime_ns for path in (dataset / "masks").rglob("*.png")}
    again = CliRunner().invoke(app, [*arguments, "--quiet"])
    assert again.exit_code == 0 and again.output == done.output
    assert {path: path.stat().st_mtime_ns for path in times} == times


def test_audits_that_say_nothing_of_probabilities_are_refused(dataset, tmp_path):
    other = tmp_path / "other"
    audit(dataset, other, split="train", predictions=dataset / "p", scores=["soft_dice"])
    with pytest.raises(ValueError, match="ranked by `default`.*soft_dice"):
        refine(dataset, tmp_path / "out", other)
    with pytest.raises(FileNotFoundError, match="keras-robust audit"):
        refine(dataset, tmp_path / "out", tmp_path / "nowhere")
