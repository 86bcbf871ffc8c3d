"""Networks by name, those of one's own among them."""

import inspect
from collections.abc import Callable
from typing import Any, TypeVar

from keras_robust.common.errors import invalid
from keras_robust.common.registry import Registry
from keras_robust.models.unet import UNet

__all__ = ["build_network", "network_names", "register_network"]

Builder = TypeVar("Builder", bound=Callable[..., Any])


def _checked(name: str, builder: Any) -> Callable[..., Any]:
    if not callable(builder):
        raise invalid("builder", "a function or class that returns a Keras model", builder)
    return builder


NETWORKS: Registry[Callable[..., Any]] = Registry(
    "network", "keras_robust.networks", {"unet": UNet}, _checked
)


def register_network(name: str, words: str = "") -> Callable[[Builder], Builder]:
    """Make a network of one's own known by a name, to `model.name` of configurations.

    Args:
        name: Small letters, digits and `_`; not one of the project's. The same name again takes
            the place of what it stood for.
        words: A sentence on it; by default the first of its docstring.

    Returns:
        A decorator of a function or class that is called with `input_shape`, `(*spatial,
        channels)`, and the keyword `classes`, and with those of `features`, `max_features`,
        `depth`, `strides`, `kernels`, `encoder`, `deep_supervision` and `regions` that it takes, as
        for `keras_robust.models.UNet`. It returns a functional `keras.Model` of probabilities
        `(*spatial, classes)`, or of a list of them, finest first.

    Raises:
        ValueError: A name that is taken, or has other characters.

    >>> import keras
    >>> @register_network("pixelwise")
    ... def pixelwise(input_shape, classes):
    ...     inputs = keras.Input(input_shape)
    ...     return keras.Model(inputs, keras.layers.Dense(classes, activation="sigmoid")(inputs))
    >>> build_network("pixelwise", (8, 8, 3), classes=1, features=4).output_shape
    (None, 8, 8, 1)
    """
    return NETWORKS.register(name, words)


def network_names() -> list[str]:
    """The names that are known.

    >>> network_names()[0]
    'unet'
    """
    return list(NETWORKS)


def build_network(name: str, input_shape: tuple[int, ...], classes: int, **options: Any) -> Any:
    """A network by name, with those of the options that it takes.

    Args:
        name: Of `network_names`.
        input_shape: `(*spatial, channels)`.
        classes: Channels of the output.
        **options: See `register_network`.

    Raises:
        ValueError: An unknown name, or a network that knows no `regions` where they are asked for.
    """
    builder = NETWORKS.find(name, "model.name")
    parameters = inspect.signature(builder).parameters
    if not any(p.kind is p.VAR_KEYWORD for p in parameters.values()):
        if options.get("regions") and "regions" not in parameters:
            raise invalid(
                "plan.regions",
                f"False for the network {name!r}, which has no argument `regions` that gives each "
                "class a sigmoid",
                True,
                "Give it one, or train labels.",
            )
        options = {key: value for key, value in options.items() if key in parameters}
    return builder(input_shape, classes=classes, **options)
