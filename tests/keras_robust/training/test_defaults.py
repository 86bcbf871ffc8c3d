import pytest
from hypothesis import given
from hypothesis import strategies as st

from keras_robust.cli.training_view import budget
from keras_robust.data import sample_path
from keras_robust.training import TrainConfig
from keras_robust.training.defaults import EPOCH_STEPS, FEW_STEPS, default_budget, with_budget


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
