"""A loss and a network of one's own, by one class or function and one line each."""

import keras
import pytest
from keras import ops

from keras_robust import losses
from keras_robust.common import extensions as own
from keras_robust.models import build_network, register_network, robust_method
from keras_robust.training import train

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")


@losses.register("cubes")
class Cubes(losses.VoxelLoss):
    def __init__(self, power: float = 3.0, **options):
        super().__init__(**options)
        self.power = power

    def values(self, targets, predictions):
        return ops.mean(ops.abs(targets - predictions) ** self.power, axis=-1)

    def get_config(self):
        return {**super().get_config(), "power": self.power}


@register_network("pointwise")
def pointwise(input_shape, classes):
    inputs = keras.Input(input_shape)
    last = keras.layers.Conv2D(classes, 1, activation="sigmoid", dtype="float32")
    return keras.Model(inputs, last(inputs))


def test_both_train_by_their_names(small_config, tmp_path):
    config = small_config.model_copy(
        update={
            "loss": "cubes+dice",
            "loss_options": {"power": 2.0},
            "model": small_config.model.model_copy(update={"name": "pointwise"}),
            "noise": None,
            "epochs": 1,
        }
    )
    run = train(config, tmp_path)
    assert run.load_model().count_params() == 4  # three channels and a bias
    assert run.config.loss == "cubes+dice"


def test_a_loss_is_copied_with_its_options():
    loss = losses.get("svls-cubes", power=4.0, sigma=0.5)
    copy = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(loss))
    assert copy.get_config() == loss.get_config()
    y, p = [[[1, 0, 2]]], [[[[0.2, 0.5, 0.3], [0.7, 0.2, 0.1], [0.1, 0.1, 0.8]]]]
    assert float(copy(y, p)) == float(loss(y, p))


def test_methods_take_it():
    assert robust_method("cubes", power=2.0).loss.power == 2.0
    assert robust_method("stocot", loss="svls-cubes").loss.sigma == 1.0
    assert type(robust_method("cot", loss=Cubes()).loss) is Cubes
    with pytest.raises(ValueError, match="Expected.*'cubes'") as caught:
        robust_method("cubus")
    assert "stocot" in caught.value.__notes__[0]


def test_a_module_that_the_environment_names(monkeypatch, tmp_path):
    (tmp_path / "my_own_losses.py").write_text(
        "from keras_robust import losses\n"
        "@losses.register('own_ce')\n"
        "class OwnCE(losses.CE):\n"
        "    pass\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    for modules, fails in (("my_own_losses", False), ("no_such_module", True)):
        monkeypatch.setenv(own.VARIABLE, modules)
        own.import_own.cache_clear()
        if fails:
            with pytest.raises(ValueError, match="no_such_module"):
                losses.get("ce")
        else:
            assert type(losses.get("own_ce")).__name__ == "OwnCE"
    monkeypatch.delenv(own.VARIABLE)
    own.import_own.cache_clear()


def test_names_that_cannot_be():
    with pytest.raises(ValueError, match="none of"):
        losses.register("ce")
    with pytest.raises(ValueError, match="small letters"):
        losses.register("my+loss")
    with pytest.raises(ValueError, match="SegmentationLoss"):
        losses.register("own")(dict)
    with pytest.raises(ValueError, match="small letters"):
        register_network("unet")
    with pytest.raises(ValueError, match=r"model\.name"):
        build_network("nobody", (8, 8, 3), 1)
    with pytest.raises(ValueError, match="cubes"):
        losses.get("nobody")
