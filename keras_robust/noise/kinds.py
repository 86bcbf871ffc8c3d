"""The kinds of error that can be simulated: one registry of samplers and operators."""

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from keras_robust.common.extensions import import_own

from .draws import generator_of

Parameters = dict[str, Any]
Drawn = tuple[np.ndarray, Parameters]

RESERVED = ("clean", "boundary")


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


_KINDS: dict[str, NoiseKind] = {}
_OURS: set[str] = set()  # names that nobody else may take


def register_kind(kind: NoiseKind) -> NoiseKind:
    """Make a kind of error of one's own known: to `LabelNoise`, logs, options and the noise lab.

    Args:
        kind: its name is of small letters, digits and `_`, and none of the project's. The same
            name again takes the place of what it stood for.

    Returns:
        `kind` itself.

    Raises:
        ValueError: a name that is taken, or has other characters.

    >>> import numpy as np
    >>> def mark(mask, corner):
    ...     result = mask.copy()
    ...     result[tuple(corner)] = mask.max()
    ...     return result
    >>> def draw_mark(mask, draw):
    ...     corner = [int(draw.generator.integers(length)) for length in mask.shape]
    ...     return mark(mask, corner), {"corner": corner}
    >>> stray = NoiseKind("stray", "own", "Stray pixel", "One click in the wrong place",
    ...                   draw_mark, mark, whole=True)
    >>> register_kind(stray).name
    'stray'
    """
    if not re.fullmatch("[a-z0-9_]+", kind.name) or kind.name in {*RESERVED, *_OURS}:
        raise ValueError(
            "Invalid value for argument `name`. Expected small letters, digits and `_`, and none "
            f"of {sorted({*RESERVED, *_OURS})}. Received: name={kind.name!r}."
        )
    _KINDS[kind.name] = kind
    return kind


def register_ours(kinds: Iterable[NoiseKind]) -> tuple[str, ...]:
    """Register kinds of the project; their names."""
    names = tuple(register_kind(kind).name for kind in kinds)
    _OURS.update(names)
    return names


def kind_named(name: str) -> NoiseKind:
    """The kind of that name.

    Raises:
        ValueError: there is none.
    """
    known = known_names([name])
    if name not in known:
        raise ValueError(
            f"Invalid value for argument `kind`. Expected 'clean' or one of {known}. "
            f"Received: kind={str(name)!r}."
        )
    return _KINDS[name]


def known_names(wanted: Iterable[str]) -> tuple[str, ...]:
    """The names of all kinds; modules of one's own are imported where one that is wanted is not
    among them."""
    if not _KINDS.keys() >= set(wanted):
        import_own()
    return tuple(_KINDS)


def all_kinds() -> tuple[NoiseKind, ...]:
    """Every kind that is registered in this process, in the order of registration."""
    return tuple(_KINDS.values())
