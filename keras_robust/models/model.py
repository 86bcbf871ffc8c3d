"""A Keras model that owns the parameters of its losses, by Keras's public methods alone."""

from typing import Any

import keras

from keras_robust.losses.keras_private import exempt_from_weight_decay
from keras_robust.losses.ownership import LossParameters, claim, refuse_hdf5

__all__ = ["Model"]


class Model(keras.Model):
    """A `keras.Model` that trains the parameters of its losses, such as ν of the T-Loss.

    `keras_robust.losses.TLoss` trains with any Keras model. This one needs nothing of Keras for
    that but what is public, so that it goes on working when Keras changes inside. It is made of
    inputs and outputs, also those of a model that there is: `Model(model.input, model.output)`;
    or subclassed, with a `call` of one's own.

    Args:
        *args, **options: of `keras.Model`.

    Raises:
        TypeError: A subclass is given inputs and outputs.

    >>> from keras_robust.losses import TLoss
    >>> inputs = keras.Input((8, 8, 3))
    >>> model = Model(inputs, keras.layers.Dense(1, activation="sigmoid")(inputs))
    >>> model.compile("adam", loss=TLoss())
    >>> [variable.name for variable in model.trainable_variables]
    ['kernel', 'bias', 'nu_tilde']
    """

    def __new__(cls, *args: Any, **options: Any) -> "Model":
        if cls is Model and _are_tensors(args, options):
            cls = FunctionalModel
        return super().__new__(cls, *args, **options)

    def __init__(self, *args: Any, **options: Any):
        if _are_tensors(args, options):
            # Keras would turn the bases of all subclasses into those of functional models.
            raise TypeError(
                f"{type(self).__name__} is a subclass of keras_robust.models.Model. Expected no "
                "`inputs` and `outputs`, which Model itself takes. Received: both. Subclass "
                "`keras.Model`, which trains the parameters of a loss as well."
            )
        super().__init__(*args, **options)
        self.loss_parameters = LossParameters()

    def losses_to_train(self, loss: Any) -> Any:
        """The losses whose parameters the model owns when it is compiled with `loss`."""
        return loss

    def compile(
        self, optimizer: Any = "rmsprop", loss: Any = None, *args: Any, **options: Any
    ) -> None:
        """As `keras.Model.compile`."""
        if loss is not None:
            self.loss_parameters.hold(claim(self, self.losses_to_train(loss)))
        super().compile(optimizer, loss, *args, **options)
        exempt_from_weight_decay(self.optimizer, self.loss_parameters.variables)

    def compile_from_config(self, config: dict[str, Any]) -> None:
        self.compile(**keras.saving.deserialize_keras_object(config))
        if self.optimizer is not None and self.built:
            self.optimizer.build(self.trainable_variables)

    def save(self, filepath: Any, *args: Any, **options: Any) -> None:
        """As `keras.Model.save`.

        Raises:
            ValueError: A file in the legacy HDF5 format, which cannot hold parameters of losses.
        """
        if self.loss_parameters.variables:
            refuse_hdf5(filepath)
        super().save(filepath, *args, **options)


def _are_tensors(args: tuple, options: dict[str, Any]) -> bool:
    return len(args) >= 2 or bool({"inputs", "outputs"} & options.keys())


# Public, but without a public name.
_Functional: Any = type(keras.Model(*[keras.Input((1,), name="any")] * 2, name="any"))


@keras.saving.register_keras_serializable(package="keras_robust", name="Model")
class FunctionalModel(_Functional, Model):
    """The `Model` that is made of inputs and outputs."""

    # By these arguments Keras knows what it saves as a graph of layers.
    def __init__(self, inputs: Any, outputs: Any, name: str | None = None, **options: Any):
        super().__init__(inputs, outputs, name=name, **options)
        self.loss_parameters = LossParameters()
