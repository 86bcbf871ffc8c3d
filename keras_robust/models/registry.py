"""Networks by name, those of one's own among them."""

import inspect
import re
from collections.abc import Callable
from typing import Any, TypeVar

from keras_robust.common.extensions import import_own
from keras_robust.models.unet import UNet

__all__ = ["build_network", "network_names", "register_network"]

Builder = TypeVar("Builder", bound=Callable[..., Any])

_OURS: dict[str, Callable[..., Any]] = {"unet": UNet}
_OWN: dict[str, Callable[..., Any]] = {}


def register_network(name: str) -> Callable[[Builder], Builder]:
    """Make a network of one's own known by a name, to `model.name` of configurations.

    Args:
        name: Small letters, digits and `_`; not one of the project's. The same name again takes
            the place of what it stood for.

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
    if not re.fullmatch("[a-z0-9_]+", name) or name in _OURS:
        raise ValueError(
            "Invalid value for argument `name`. Expected small letters and digits, and none of "
            f"{list(_OURS)}. Received: name={name!r}"
        )

    def add(builder: Builder) -> Builder:
        _OWN[name] = builder
        return builder

    return add


def network_names() -> list[str]:
    """The names that are known.

    >>> network_names()[0]
    'unet'
    """
    return [*_OURS, *_OWN]


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
    import_own()
    builder = {**_OURS, **_OWN}.get(name)
    if builder is None:
        raise ValueError(
            f"Invalid value for argument `model.name`. Expected one of {network_names()}. "
            f"Received: model.name={name!r}. Register a network of your own with "
            "`keras_robust.models.register_network` first."
        )
    parameters = inspect.signature(builder).parameters
    if not any(p.kind is p.VAR_KEYWORD for p in parameters.values()):
        if options.get("regions") and "regions" not in parameters:
            raise ValueError(
                "Invalid value for argument `plan.regions`. Expected False for the network "
                f"{name!r}, which has no argument `regions` that gives each class a sigmoid. "
                "Received: plan.regions=True. Give it one, or train labels."
            )
        options = {key: value for key, value in options.items() if key in parameters}
    return builder(input_shape, classes=classes, **options)
