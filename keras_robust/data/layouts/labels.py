"""What labels are called, and the regions that networks learn: overlapping unions of labels."""

from collections.abc import Sequence
from typing import Any

from keras_robust.data.problems import Problem, error
from keras_robust.data.regions import Regions

__all__ = ["class_name", "class_names", "class_title", "read_regions"]


def class_names(labels: Any, classes: int) -> tuple[str, ...]:
    """Names of the classes of nnU-Net's `labels`, background first; "" for one without.

    >>> class_names({"background": 0, "organ": [1, 2], "lesion": 2}, 3)
    ('background', '', 'lesion')
    """
    found = {}
    for name, value in labels.items() if isinstance(labels, dict) else ():
        number = value[0] if isinstance(value, list) and len(value) == 1 else value
        if isinstance(number, int):
            found[number] = str(name)
    return tuple(found.get(number, "") for number in range(classes))


def class_title(label: int | str, names: Sequence[str]) -> str:
    """The number of a class with its name, where it has one; the name of a region as it is.

    >>> class_title(2, ["background", "", "lesion"]), class_title("1", ["background", ""])
    ('2 lesion', '1')
    """
    name = class_name(label, names)
    return f"{label} {name}" if name else str(label)


def class_name(label: int | str, names: Sequence[str]) -> str:
    """The name of a class by its number; "" for one without, and for a region."""
    number = int(label) if str(label).isdigit() else -1
    name = names[number] if 0 <= number < len(names) else ""
    return "" if name == str(label) else name


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
