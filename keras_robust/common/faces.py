"""The face of a room: its public names, imported when they are first used."""

import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any

import lazy_loader

__all__ = ["attach"]


class _Face(ModuleType):
    """A package whose public names win over its files of the same name.

    Importing `inference/predict.py` by any road makes Python set `predict` of the package to that
    file, where the function `predict` is the public name.
    """

    def __setattr__(self, name: str, value: Any) -> None:
        is_file = isinstance(value, ModuleType) and not hasattr(value, "__path__")
        if is_file and name in self.__dict__.get("__all__", ()):
            value = getattr(value, name, value)
        super().__setattr__(name, value)


def attach(name: str, file: str) -> tuple[Callable[[str], Any], Callable[[], list[str]], list[str]]:
    """`__getattr__`, `__dir__` and `__all__` of a package, from the stub `__init__.pyi` beside it.

    Args:
        name: Of the package, `__name__`.
        file: Of the package, `__file__`.
    """
    sys.modules[name].__class__ = _Face
    return lazy_loader.attach_stub(name, file)
