"""The global norm of gradients, of each peer apart."""

from collections.abc import Callable
from typing import Any

from keras_robust.losses.keras_private import clip_gradients_by


def clip_each_peer(optimizer: Any, groups: Callable[[], list[list]]) -> None:
    """Let an optimiser with `global_clipnorm` clip the gradients of each group of variables apart.

    Two networks under one optimiser would otherwise be clipped by their common norm, and so learn
    more slowly than each does alone.

    Args:
        optimizer: of Keras; left alone where it has no `global_clipnorm`.
        groups: the groups, asked for at each step; variables outside make a further group.
    """
    optimizer = getattr(optimizer, "inner_optimizer", optimizer)
    if not getattr(optimizer, "global_clipnorm", None):
        return

    def clip(gradients: list, variables: list, together: Callable[[list], list]) -> list:
        group_of = {id(v): number for number, group in enumerate(groups()) for v in group}
        clipped = list(gradients)
        numbers = [group_of.get(id(v), -1) for v in variables]
        for group in set(numbers):
            members = [i for i, number in enumerate(numbers) if number == group]
            own = together([gradients[i] for i in members])
            for i, gradient in zip(members, own, strict=True):
                clipped[i] = gradient
        return clipped

    clip_gradients_by(optimizer, clip)
