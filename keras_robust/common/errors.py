"""The errors for what users gave, in one grammar."""

import inspect
from collections.abc import Mapping
from typing import Any

_UNSAID = object()


def invalid(
    argument: str,
    expected: str,
    received: Any = _UNSAID,
    remedy: str = "",
    *,
    said: str = "",
    kind: type[Exception] = ValueError,
) -> Any:
    """The error for an argument outside its range, in the grammar of Keras.

    Args:
        argument: Its name.
        expected: What it may be.
        received: What it is.
        remedy: What to do, in sentences.
        said: What was received, in words, in place of `received`.
        kind: Class of the error.

    >>> invalid("q", "0 < q <= 1", 1.5)
    ValueError('Invalid value for argument `q`. Expected 0 < q <= 1. Received: q=1.5')
    """
    what = said or ("none" if received is _UNSAID else f"{argument}={received!r}")
    message = f"Invalid value for argument `{argument}`. Expected {expected}. Received: {what}"
    return kind(f"{message}. {remedy}" if remedy else message)


def made(cls: Any, options: Mapping[str, Any], *arguments: Any) -> Any:
    """An object of a class from options that a user wrote.

    Raises:
        ValueError: an option of a type that the class cannot take.
    """
    try:
        return cls(*arguments, **options)
    except TypeError as error:
        remedy = f"Give each a value of the right type ({error})."
        raise invalid("options", f"such as {cls.__name__} takes", dict(options), remedy) from error


def options_of(cls: type) -> list[str]:
    """Names of what a class is made from, with what it passes on to its bases by `**options`."""
    names: dict[str, None] = {}
    for base in cls.__mro__[:-1]:
        if "__init__" in vars(base):
            parameters = list(inspect.signature(vars(base)["__init__"]).parameters.values())[1:]
            names |= {p.name: None for p in parameters if p.kind is not p.VAR_KEYWORD}
            if not any(p.kind is p.VAR_KEYWORD for p in parameters):
                break
    return list(names)
