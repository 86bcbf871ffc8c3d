"""Modules of one's own that losses and networks are registered in."""

import os
from functools import cache
from importlib import import_module

__all__ = ["VARIABLE", "import_own"]

VARIABLE = "KERAS_ROBUST_IMPORT"


@cache
def import_own() -> None:
    """Import, once, the modules that the environment variable KERAS_ROBUST_IMPORT names.

    So the processes that `benchmark` and `tune` start know what is registered there, too.

    Raises:
        ValueError: There is no such module; commas or spaces separate several.
    """
    for name in os.environ.get(VARIABLE, "").replace(",", " ").split():
        try:
            import_module(name)
        except ModuleNotFoundError as error:
            raise ValueError(
                f"Invalid value for the environment variable {VARIABLE}. Expected modules that "
                f"Python finds. Received: {name!r}: {error}. Name its folder in PYTHONPATH."
            ) from error
