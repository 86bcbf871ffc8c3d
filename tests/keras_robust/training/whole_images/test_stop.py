"""Runs that stop where wrong masks are learned by heart."""

import csv
import io
import json
from functools import partial

import numpy as np
import pytest

from keras_robust.data import Dataset
from keras_robust.scheduling import LossEntry
from keras_robust.training import Run, TrainConfig, pipeline, train
from keras_robust.training.checkpoint import Checkpoints
from keras_robust.training.memorising.correction import corrected
from keras_robust.training.memorising.looks import around, kept_of, looks
from keras_robust.training.whole_images import corrections
from keras_robust.training.whole_images.cases import prepare

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")


@pytest.fixture
def config(small_config):
    changes = {"stop": "memorising", "epochs": 5, "save_predictions": 0}
    return small_config.model_copy(update=changes)


@pytest.fixture
def third_is_the_last(monkeypatch):
    monkeypatch.setattr(pipeline, "is_over", lambda passes, scores: len(passes) >= 3)


def weights(checkpoints, number=None):
    files = checkpoints.newest()[1] if number is None else checkpoints.read(number)
    return files["state.npz"]


def arrays(state):
    with np.load(io.BytesIO(state), allow_pickle=False) as stored:
        return dict(stored)


def test_a_run_ends_and_keeps_its_best_epoch(config, tmp_path, third_is_the_last):
    run = train(config, tmp_path)
    passes, scores = looks(run.history)
    assert passes == [1, 2, 3] and len(run.history) == 3
    kept = run.info["kept"]
    assert kept == kept_of(passes, scores, passes)
    assert f"pass {kept}" in run.info["message"]
    folder = tmp_path / "checkpoints"
    together = around(kept, map(int, passes))
    expected = [arrays(weights(Checkpoints(folder / "watched"), n)) for n in together]
    found = arrays(weights(Checkpoints(folder)))
    names = [name for name, value in found.items() if value.dtype.kind == "f"]
    own = expected[together.index(kept)]
    means = {name: np.mean([one[name] for one in expected], axis=0) for name in names}
    for name in names:  # those of the optimiser are its own
        mean = own[name] if np.array_equal(found[name], own[name]) else means[name]
        np.testing.assert_allclose(found[name], mean, rtol=1e-6)
    differ = [name for name in names if not np.array_equal(found[name], own[name])]
    assert len(together) > 1 and len(differ) > len(names) / 4
    with open(tmp_path / "test.csv") as file:
        dice = [float(row["dice"]) for row in csv.DictReader(file)]
    assert run.results["dice_test"] == pytest.approx(np.mean(dice))


def test_nobody_trains_on_the_images_that_are_watched(config, tmp_path, small_config):
    dataset = Dataset.open(config.data.path)
    data = prepare(dataset, config, tmp_path, lambda done, total: None)
    whole = prepare(dataset, small_config, tmp_path, lambda done, total: None)
    assert data.held_out is not None and whole.held_out is None
    learned, watched = set(data.train.ids), set(data.held_out.ids)
    assert not learned & watched and learned | watched == set(whole.train.ids)
    assert len(watched) == pytest.approx(len(whole.train.ids) / 5, abs=1)
    assert len(data.kinds) == len(data.train.ids) and set(data.train_clean.ids) == learned
    # Noise is that of the whole: held-out masks are as wrong as the others.
    masks = dict(zip(whole.train.ids, map(whole.train.mask, range(100)), strict=False))
    for index, id in enumerate(data.held_out.ids):
        np.testing.assert_array_equal(data.held_out.mask(index), masks[id])


def test_interrupted_and_resumed_equals_uninterrupted(config, tmp_path, third_is_the_last):
    def interrupt(stage, done, total, figures):
        if (stage, done) == ("epoch", 2):
            raise KeyboardInterrupt

    whole = train(config, tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        train(config, tmp_path / "cut", progress=interrupt)
    again = train(config, tmp_path / "cut", resume=True)
    assert again.info["kept"] == whole.info["kept"]
    of = [Checkpoints(run.folder / "checkpoints") for run in (whole, again)]
    assert weights(of[0]) == weights(of[1])
    assert json.loads(of[1].newest()[1]["history.json"])[-1]["epoch"] == again.info["kept"]
    assert isinstance(again, Run)


def test_a_plan_stops_by_itself():
    with pytest.raises(ValueError, match="null with a plan"):
        TrainConfig(data={"path": "x"}, plan={"folder": "p"}, stop="memorising")


@pytest.fixture
def correcting(small_config):
    changes = {"stop": "memorising", "correct": True, "epochs": 6, "save_predictions": 0}
    return small_config.model_copy(update=changes)


def test_training_goes_on_with_corrected_masks(correcting, tmp_path, monkeypatch):
    monkeypatch.setattr(pipeline, "is_over", lambda passes, scores: len(passes) >= 3)
    # A network of a few passes is sure of nothing: what is half probable is taken.
    monkeypatch.setattr(corrections, "corrected", partial(corrected, confident=0.5))
    whole = train(correcting, tmp_path / "whole")
    assert [row.get("corrected") for row in whole.history] == [None] * 3 + [1.0] * 3
    assert "Masks were corrected in" in whole.info["message"]
    written = sorted(path.stem for path in (whole.folder / "corrected_masks").iterdir())
    dataset = Dataset.open(correcting.data.path)
    data = prepare(dataset, correcting, tmp_path, lambda done, total: None)
    assert written == sorted(data.train.ids)
    learned = corrections.read_corrected(whole.folder, data)
    masks = [(data.train.mask(n), learned.mask(n)) for n in range(len(data.train.ids))]
    changed = float(np.mean([np.mean(one != other) for one, other in masks]))
    assert 0 < changed and f"{changed:.1%}" in whole.info["message"]

    def interrupt(stage, done, total, figures):
        if (stage, done) == ("epoch", 5):  # amid the passes over corrected masks
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(correcting, tmp_path / "cut", progress=interrupt)
    again = train(correcting, tmp_path / "cut", resume=True)
    assert weights(Checkpoints(again.folder / "checkpoints")) == weights(
        Checkpoints(whole.folder / "checkpoints")
    )
    assert again.info["message"] == whole.info["message"]


def test_correction_needs_its_moment():
    with pytest.raises(ValueError, match="memorising beside it"):
        TrainConfig(data={"path": "x"}, correct=True)


def test_a_method_corrects_by_its_name():
    fields = LossEntry(name="t+dice-stocot-corrected").training()
    assert fields["correct"] and fields["stop"] == "memorising"
    assert (fields["loss"], fields["selection"]["name"]) == ("t+dice", "stocot")
    assert TrainConfig(data={"path": "x"}, **fields).correct
