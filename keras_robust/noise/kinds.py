"""The kinds of error that can be simulated: one registry of samplers and operators."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property, wraps
from typing import Any, TypeVar

import numpy as np

from keras_robust.common.errors import invalid
from keras_robust.common.registry import Registry, first_sentence

from .generators import generator_of

Parameters = dict[str, Any]
Drawn = tuple[np.ndarray, Parameters]

Operator = TypeVar("Operator", bound=Callable[..., np.ndarray])

# Other kinds of the log, and names that stand for several kinds.
RESERVED = ("clean", "boundary", "shapes", "mistakes", "all")


class NotHere(ValueError):
    """A kind of error cannot be made in a mask; the text says why, as half a sentence."""


@dataclass(frozen=True)
class Draw:
    """What the sampler of a kind draws from.

    Attributes:
        beta: relative change of area asked for.
        seed, id, stream: what all random numbers depend on.
        max_angle: largest rotation in degrees.
        source: id of the case that `other` is the mask of; empty where there is none.
        other: the clean mask of another case, of any size; reads it when called.
    """

    beta: float
    seed: int
    id: str
    stream: tuple[int, ...]
    max_angle: float = 30.0
    source: str = ""
    other: Callable[[], np.ndarray] | None = None

    @cached_property
    def generator(self) -> np.random.Generator:
        """The random numbers of this mask, or of this structure of it."""
        return generator_of(self.seed, self.id, *self.stream)


@dataclass(frozen=True)
class NoiseKind:
    """A kind of error: how its parameters are drawn, and what they do.

    Args:
        name: of the kind, in logs and options.
        group: what it is listed under.
        title: in a word or two, as for a button.
        tip: what an annotator did, in a sentence without full stop.
        draw: the sampler. ``draw(own, allowed, draw)`` of one structure, or with `whole`
            ``draw(mask, draw)``, gives the noisy structure or mask and its parameters, which JSON
            can hold; it raises `NotHere` where this kind cannot be made.
        perform: the operator. ``perform(own, allowed, **parameters)``, or with `whole`
            ``perform(mask, **parameters)``, gives the same again. It writes to no argument; `own`
            and `allowed` are as for `map_structures`.
        whole: whether it is made in a mask as a whole, not in each structure on its own.
        takes_other: whether it needs the mask of another case.
    """

    name: str
    group: str
    title: str
    tip: str
    draw: Callable[..., Drawn]
    perform: Callable[..., np.ndarray]
    whole: bool = False
    takes_other: bool = False


def _checked(name: str, kind: Any) -> NoiseKind:
    if not isinstance(kind, NoiseKind):
        remedy = "Decorate the operator with `keras_robust.noise.register`."
        raise invalid("kind", "an operator with the sampler of its parameters", kind, remedy)
    return kind


NOISES: Registry[NoiseKind] = Registry(
    "kind of error", "keras_robust.noises", {}, _checked, reserved=RESERVED
)


def register(
    name: str,
    words: str = "",
    *,
    draw: Callable[..., Parameters],
    title: str = "",
    group: str = "Own",
    whole: bool = False,
    takes_other: bool = False,
) -> Callable[[Operator], Operator]:
    """Make a kind of error of one's own known: to `LabelNoise`, logs, options and the noise lab.

    Args:
        name: of small letters, digits and `_`, and none of the project's. The same name again
            takes the place of what it stood for.
        words: what an annotator did, in a sentence; by default the first of the docstring.
        draw: the sampler. ``draw(own, allowed, draw)`` of one structure, or with `whole`
            ``draw(mask, draw)``, gives the parameters of the operator, which JSON can hold; it
            raises `NotHere` where this kind cannot be made.
        title: in a word or two, as for a button; by default the name.
        group: what it is listed under.
        whole: whether it is made in a mask as a whole, not in each structure on its own.
        takes_other: whether the sampler needs the mask of another case.

    Returns:
        A decorator of the operator. ``operator(own, allowed, **parameters)``, or with `whole`
        ``operator(mask, **parameters)``, gives the noisy structure or mask. It writes to no
        argument; `own` is the mask of a structure, and `allowed` where it may grow, None for
        anywhere.

    Raises:
        ValueError: a name that is taken, or has other characters.

    >>> import numpy as np
    >>> def corner_of(mask, draw):
    ...     return {"corner": [int(draw.generator.integers(length)) for length in mask.shape]}
    >>> @register("stray_click", draw=corner_of, whole=True)
    ... def stray_click(mask, corner):
    ...     "One click in the wrong place."
    ...     result = mask.copy()
    ...     result[tuple(corner)] = mask.max()
    ...     return result
    >>> kind_named("stray_click").title
    'Stray click'
    """
    NOISES.check_name(name)

    def add(operator: Operator) -> Operator:
        @wraps(draw)
        def drawn(*given: Any) -> Drawn:
            parameters = draw(*given)
            return operator(*given[:-1], **parameters), parameters

        tip = (words or first_sentence(operator)).removesuffix(".")
        called = title or name.replace("_", " ").capitalize()
        kind = NoiseKind(name, group, called, tip, drawn, operator, whole, takes_other)
        NOISES.add(name, kind, words)
        return operator

    return add


def register_ours(kinds: Iterable[NoiseKind]) -> tuple[str, ...]:
    """Register kinds of the project; their names."""
    ours = {kind.name: kind for kind in kinds}
    NOISES.built_in.update(ours)
    return tuple(ours)


def kind_named(name: str) -> NoiseKind:
    """The kind of that name.

    Raises:
        ValueError: there is none.
    """
    return NOISES.find(str(name), "kind")


def all_kinds() -> tuple[NoiseKind, ...]:
    """The project's kinds, and those that this process registered or that packages offer.

    For menus, napari's among them: modules of one's own, which may need Keras, are not imported.
    """
    return tuple(kind for _, kind in NOISES.each(modules=False))
