"""The names that there are, in the help of the options that take one."""

import os
from collections.abc import Callable
from typing import Any

from typer.core import TyperArgument, TyperCommand, TyperOption

from keras_robust.common.registry import VARIABLE

__all__ = ["ListsNames"]


def _losses() -> str:
    from keras_robust.methods import loss_menu

    names = list(loss_menu())
    if os.environ.get(VARIABLE):  # else nothing but Keras would be imported
        from keras_robust.losses import names as registered

        names = list(dict.fromkeys([*names, *registered()]))
    return f"Known: {', '.join(names)}, sums of these, svls- before one."


def _scores() -> str:
    from keras_robust.suspicion import SCORES

    return f"Known: {', '.join(SCORES)}."


def _kinds() -> str:
    from keras_robust.noise import GROUPS, NOISES

    return f"Known: {', '.join([*NOISES, *GROUPS])}."


def _layouts() -> str:
    from keras_robust.data.layouts import layout_titles

    return f"Layouts: {', '.join(layout_titles())}."


def _formats() -> str:
    from keras_robust.data.exchange import FORMATS

    return f"Formats: {', '.join(name for name in FORMATS if name != 'layout')}."


NAMES: dict[str, Callable[[], str]] = {
    "loss": _losses,
    "score": _scores,
    "kinds": _kinds,
    "dataset": _layouts,
    "format": _formats,
}


class ListsNames(TyperCommand):
    """A command whose help tells the names that there are, those of one's own among them."""

    def format_help(self, ctx: Any, formatter: Any) -> None:
        self.list_names()
        super().format_help(ctx, formatter)

    def list_names(self) -> None:
        """Complete the help of the options; not before it is asked for, as it costs imports."""
        for parameter in self.params:
            if parameter.name in NAMES and isinstance(parameter, TyperOption | TyperArgument):
                parameter.help = f"{parameter.help} {NAMES[parameter.name]()}"
