"""Runs by a plan, predicted and scored from their folders."""

import csv

import numpy as np
import pytest

from keras_robust.inference import PlannedPredictor, evaluate_run, load_predictor
from keras_robust.training import SelectionConfig
from keras_robust.training.patches.network import build_planned, finest

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")


def test_a_run_is_scored_as_when_it_was_trained(planned_run):
    result = evaluate_run(planned_run.folder)
    with open(planned_run.folder / "test.csv") as file:
        expected = {row["id"]: float(row["dice"]) for row in csv.DictReader(file)}
    assert result.per_image == pytest.approx(expected)
    assert {(row.id, row.label) for row in result.rows} == {(i, n) for i in expected for n in "12"}
    assert (planned_run.folder / "evaluation.csv").is_file()
    assert all(row.asd > 0 and 0 <= row.ece <= 1 for row in result.rows)


def test_a_run_says_along_which_axes_it_is_mirrored(planned_run, planned_config):
    mirrored = load_predictor(planned_run.folder)
    plain = load_predictor(planned_run.folder, mirror=False)
    assert isinstance(mirrored, PlannedPredictor) and isinstance(plain, PlannedPredictor)
    assert (mirrored.mirror_axes, plain.mirror_axes) == ((1,), ())
    with pytest.raises(ValueError, match="a run with a plan"):
        load_predictor(planned_run.folder, "zscore")
    with pytest.raises(ValueError, match="`peers`. Expected one of"):
        load_predictor(planned_run.folder, peers="b")


def test_two_peers_predict_their_mean_or_the_first(planned_run, planned_config):
    config = planned_config.model_copy(update={"selection": SelectionConfig(name="cot")})
    model = build_planned(config, planned_run.plan[0], 3)
    image = np.random.default_rng(0).normal(size=(1, 8, 16, 16, 1)).astype("float32")
    both = [finest(peer).predict_on_batch(image) for peer in model.peers]
    mean = finest(model).predict_on_batch(image)
    np.testing.assert_allclose(mean, np.mean(both, axis=0), atol=1e-6)
    model.inference = "a"
    np.testing.assert_allclose(finest(model).predict_on_batch(image), both[0], atol=1e-6)
