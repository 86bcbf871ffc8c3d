"""What a suspicion score is: it looks at every mask twice, then gives one number per mask."""

from collections.abc import Callable, Hashable, Sequence
from functools import wraps
from typing import Any, TypeVar

from keras_robust.suspicion.judged import Comparison

__all__ = ["PerMask", "Score", "once_per_mask"]

Result = TypeVar("Result")


class Score:
    """Base of the suspicion scores; a subclass writes `judge` and `scores`.

    One is made for each dataset. All masks are shown to `learn`, then again, in the same order, to
    `judge`; one mask is in memory at a time.

    Args:
        classes: Number of classes K, background included.
        nu: ν of a training with the T-Loss; `None` where it is not known.
    """

    def __init__(self, classes: int, nu: float | None = None):
        self.classes, self.nu = classes, nu

    def learn(self, comparison: Comparison) -> None:
        """Look at a mask for the first time."""

    def judge(self, comparison: Comparison) -> None:
        """Look at a mask for the second time."""
        raise NotImplementedError

    def scores(self) -> Sequence[float]:
        """One number per mask, in the order of `judge`; higher is more suspicious."""
        raise NotImplementedError


class PerMask(Score):
    """A score that is a function of one mask and its prediction."""

    function: Callable[[Comparison], float]

    def __init__(self, classes: int, nu: float | None = None):
        super().__init__(classes, nu)
        self._found: list[float] = []

    def judge(self, comparison: Comparison) -> None:
        self._found.append(type(self).function(comparison))

    def scores(self) -> Sequence[float]:
        return self._found

    @classmethod
    def of(cls, function: Callable[[Comparison], float]) -> type["PerMask"]:
        """The class of the score that a function computes; its docstring is that of the function.

        >>> PerMask.of(lambda comparison: 0.5)(classes=2).scores()
        []
        """
        members = {"function": staticmethod(function), "__doc__": function.__doc__}
        return type("PerMask", (cls,), members)


def once_per_mask(function: Callable[[Comparison], Result]) -> Callable[[Comparison], Result]:
    """Let several scores share what a function says of a mask."""

    @wraps(function)
    def remembered(comparison: Comparison) -> Result:
        memory: dict[Hashable, Any] = comparison.memory
        if function not in memory:
            memory[function] = function(comparison)
        return memory[function]

    return remembered
