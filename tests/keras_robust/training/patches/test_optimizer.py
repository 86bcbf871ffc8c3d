"""The optimiser of a planned run."""

import keras
import pytest

from keras_robust.losses import TLoss
from keras_robust.models import CoTeaching, SmallLossSelection
from keras_robust.training.config import PlanConfig
from keras_robust.training.patches.optimizer import make_optimizer


def network() -> keras.Model:
    inputs = keras.Input((4, 4, 1))
    return keras.Model(inputs, keras.layers.Conv2D(1, 1, activation="sigmoid")(inputs))


@pytest.mark.parametrize("name", ["sgd", "adam"])
@pytest.mark.parametrize("peers", [False, True])
def test_the_penalty_leaves_the_parameters_of_a_loss_alone(name, peers):
    optimizer = make_optimizer(PlanConfig(folder="plan", optimizer=name))
    model = CoTeaching(network, SmallLossSelection()) if peers else network()
    model.compile(optimizer, TLoss())
    of_loss = model.loss_parameters.trainable_variables
    assert len(of_loss) == 1 + peers
    for variable in model.trainable_variables:
        decays = not any(variable is other for other in of_loss)
        assert optimizer._use_weight_decay(variable) == decays
