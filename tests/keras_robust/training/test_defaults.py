import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from keras_robust.cli.training_view import budget
from keras_robust.data import Dataset, sample_path
from keras_robust.inference.given import cases_to_score
from keras_robust.training import TrainConfig
from keras_robust.training.choosing import choose_annotators, chosen_cases
from keras_robust.training.defaults import (
    EPOCH_STEPS,
    FEW_STEPS,
    default_budget,
    with_budget,
    with_held_out,
)


@given(st.integers(1, 100_000))
def test_small_sets_are_not_starved_of_steps(images):
    batch_size, steps = default_budget(images)
    assert 1 <= batch_size <= min(16, images)
    assert steps == max(EPOCH_STEPS, images // batch_size)
    # A larger set gets no smaller batches, and the default run no fewer steps than the least.
    assert default_budget(images + 1)[0] >= batch_size
    assert TrainConfig(data={"path": "a"}).epochs * steps >= FEW_STEPS


def test_what_is_given_is_kept():
    data = {"path": sample_path(), "train_limit": 20}
    chosen = with_budget(TrainConfig(data=data))
    assert (chosen.batch_size, chosen.steps_per_epoch) == (2, 10)
    for fields in ({"batch_size": 16}, {"steps_per_epoch": 3}, {"plan": {"folder": "plan"}}):
        given = TrainConfig(data=data, **fields)
        assert with_budget(given) == given
    with pytest.raises(FileNotFoundError, match="nowhere"):
        with_budget(TrainConfig(data={"path": "nowhere"}))


def test_few_steps_are_warned_of():
    config = TrainConfig(data={"path": "a"}, epochs=20)
    assert budget(config, 1000) == "20 epochs of 50 steps."
    assert "Warning: 980 steps in all, fewer than 1000" in budget(config, 980)


@pytest.mark.parametrize(("images", "tested"), [(4, 0), (5, 1), (12, 2)])
def test_of_a_folder_without_splits_some_images_are_held_out(tmp_path, images, tested):
    """One in five: 12 images make folds of 3, 3, 2, 2 and 2, and the first in order of ids has 2 or
    3; fewer than five make none."""
    write_pairs(tmp_path, images)
    config = with_held_out(TrainConfig(data={"path": tmp_path}))
    dataset = Dataset.open(tmp_path)
    train, test = chosen_cases(dataset, config.data, *choose_annotators(dataset, config.data))
    ids = set(test.ids) if test else set()
    assert len(ids) in (tested, tested + 1 if images % 5 else tested)
    assert set(train.ids) | ids == set(dataset.ids) and not set(train.ids) & ids
    # What was held out is what the run is scored on, where nobody says more.
    run = tmp_path / "run"
    run.mkdir()
    (run / "run.json").write_text("{}")
    (run / "config.yaml").write_text(config.to_yaml())
    scored, _ = cases_to_score(dataset, [run])
    assert set(scored.ids) == (ids or set(dataset.ids))
    assert set(cases_to_score(dataset, [run, run])[0].ids) == set(dataset.ids)


def test_splits_that_are_there_or_named_are_kept(tmp_path):
    config = TrainConfig(data={"path": sample_path()})
    assert with_held_out(config) == config
    write_pairs(tmp_path, 6)
    named = TrainConfig(data={"path": tmp_path, "train_split": None, "test_split": None})
    assert with_held_out(named) == named
    sample = Dataset.open(sample_path())
    assert set(cases_to_score(sample, [tmp_path])[0].splits) == {"test"}


def write_pairs(folder, count):
    for kind in ("images", "masks"):
        (folder / kind).mkdir()
        for number in range(count):
            pixels = np.full((8, 8), number % 2, np.uint8)
            Image.fromarray(pixels).save(folder / kind / f"{number}.png")
