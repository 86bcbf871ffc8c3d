"""Targets, weights and losses of each output of a model."""

from typing import Any

from keras_robust.common.errors import invalid


def output_names(y_pred: Any, model: Any) -> list:
    """Names of the outputs, in order; numbers where they have none.

    >>> output_names({"fine": 1, "coarse": 2}, None)
    ['fine', 'coarse']
    """
    if isinstance(y_pred, dict):
        return list(y_pred)
    if not isinstance(y_pred, list | tuple):
        return [None]
    names = getattr(model, "output_names", None)
    return list(names) if names and len(names) == len(y_pred) else list(range(len(y_pred)))


def like_outputs(y_pred: Any, values: list, names: list) -> Any:
    """Values of the outputs in the structure of `y_pred`.

    >>> like_outputs({"fine": 1, "coarse": 2}, [3, 4], ["fine", "coarse"])
    {'fine': 3, 'coarse': 4}
    """
    if isinstance(y_pred, dict):
        return dict(zip(names, values, strict=True))
    return type(y_pred)(values) if isinstance(y_pred, list | tuple) else values[0]


def by_output(value: Any, names: list, of: str | None = None) -> list:
    """One value per output from a dict by name, a list in order, or one value for all.

    Raises:
        ValueError: A list of another length, or a name that is missing where `of` says of what.

    >>> by_output({"b": 2, "a": 1}, ["a", "b"])
    [1, 2]
    >>> by_output(0.5, ["a", "b"])
    [0.5, 0.5]
    """
    if isinstance(value, dict):
        missing = [name for name in names if name not in value]
        if missing and of == "y":
            raise invalid("y", f"targets for the outputs {names}", sorted(value))
        return [value.get(name) for name in names]
    if isinstance(value, list | tuple):
        if len(value) != len(names):
            raise invalid(of or "sample_weight", f"one value for each of {names}", len(value))
        return list(value)
    return [value] * len(names)
