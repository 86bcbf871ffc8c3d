"""Regions that networks learn: overlapping unions of labels, in the order they are painted."""

from typing import Any

from keras_robust.common.regions import Regions
from keras_robust.data.problems import Problem, error

__all__ = ["read_regions"]


def read_regions(labels: Any, order: Any, problems: list[Problem]) -> Regions:
    """The regions of nnU-Net's `labels`, painted by its `regions_class_order`.

    Args:
        labels: Names to labels or lists of them.
        order: The label to paint of each of them but the background; `None` for no regions.
        problems: Get an error where the two do not fit.

    >>> read_regions({"background": 0, "organ": [1, 2], "lesion": 2}, [1, 2], [])
    ((1, (1, 2)), (2, (2,)))
    """
    if order is None or not isinstance(labels, dict):
        return ()
    groups = {k: tuple(v) if isinstance(v, list) else (v,) for k, v in labels.items()}
    groups.pop("ignore", None)
    members = [group for group in groups.values() if group != (0,)]
    fits = isinstance(order, list) and len(order) == len(members)
    if not fits or not all(
        label in own and not any(label in later for later in members[number + 1 :])
        for number, (label, own) in enumerate(zip(order, members, strict=True))
    ):
        message = (
            f"Expected `regions_class_order` as {len(members)} labels, one of each of `labels` but "
            "the background and in their order, none of which a later one paints over: larger "
            f"regions first. Received: {order!r}."
        )
        problems.append(error("labels", message, path="dataset.json"))
        return ()
    return tuple(zip(order, members, strict=True))
