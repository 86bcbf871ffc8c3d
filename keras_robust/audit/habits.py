"""Annotators and groups of cases compared: how much larger or smaller each draws."""

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import exp, log
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from keras_robust.audit.folder import AuditCase
from keras_robust.common.tables import write_csv
from keras_robust.data import Case
from keras_robust.metrics import bootstrap_interval

__all__ = ["HABITS", "Habit", "groupings", "habits", "sentences", "write_habits"]

HABITS = "habits.csv"
# Groups of fewer masks say nothing; columns with more values than this name cases, not groups.
LEAST_MASKS, MOST_GROUPS = 8, 12
# What is no habit: smaller than this, or within an interval of this confidence, as many are looked
# at.
LEAST_EFFECT, CONFIDENCE, SURE = 0.05, 0.95, 0.995
# One mask with a missing object is an error and no habit: ratios count up to this.
LARGEST_RATIO = 2.0
# Columns that tell of files, not of people.
GEOMETRY = re.compile(r"(^|_)(height|width|depth|shape|spacing|scale|size|area|fg|h|w)$")


@dataclass(frozen=True)
class Habit:
    """How much larger or smaller than expected the masks of a group are drawn.

    Ratios of areas, or volumes, over all classes: 0.1 is 10 % larger, -0.1 is 10 % smaller. Their
    means are geometric; intervals are of 95 %, by bootstrap over images, or over the groups of the
    dataset such as patients.

    Args:
        by: "annotator", a column of the dataset, or "id" for the beginning of the ids.
        group: The annotator, or the value of the column.
        masks: How many.
        than_model: Than the model says.
        model_interval: Of that.
        than_others: Than the model says, less what the same is of all other groups: a model that
            draws too large itself does so in all.
        others_interval: Of that.
        than_annotators: Than the other annotators draw on the same images; `nan` where there are
            none.
        annotators_interval: Of that.
        systematic: Whether it is a habit: 5 % or more, and the same sign throughout an interval of
            99.5 %.
    """

    by: str
    group: str
    masks: int
    than_model: float
    model_interval: tuple[float, float]
    than_others: float
    others_interval: tuple[float, float]
    than_annotators: float
    annotators_interval: tuple[float, float]
    systematic: bool

    def row(self) -> dict[str, float | str]:
        """A row of habits.csv."""
        row: dict[str, float | str] = {"by": self.by, "group": self.group, "masks": self.masks}
        for name, value, (low, high) in (
            ("than_model", self.than_model, self.model_interval),
            ("than_others", self.than_others, self.others_interval),
            ("than_annotators", self.than_annotators, self.annotators_interval),
        ):
            cells = {name: value, f"{name}_low": low, f"{name}_high": high}
            row |= {key: "" if cell != cell else round(cell, 4) for key, cell in cells.items()}
        return row | {"systematic": str(self.systematic)}


def habits(judged: Sequence[AuditCase], cases: Sequence[Case]) -> tuple[Habit, ...]:
    """What each annotator and group does, by the areas of masks and predictions.

    Groups are the annotators, where several are judged; the values of those columns of the dataset
    that have few, such as a site or a scanner; its groups where they are few; and the beginnings
    of the ids, up to the first `_` or `-`, where these are few.

    Args:
        judged: The masks of an audit.
        cases: Those of the dataset, the judged ones among them.
    """
    known = {(case.id, case.annotator): case for case in cases}
    pairs = [
        (one, known[one.id, one.annotator]) for one in judged if (one.id, one.annotator) in known
    ]
    pairs = [pair for pair in pairs if _log_ratio(pair[0]) is not None]
    ratios = np.array([_log_ratio(one) or 0.0 for one, _ in pairs])
    peers = _than_peers([one for one, _ in pairs])
    units = [case.group or case.id for _, case in pairs]
    found = []
    for by, names in groupings([case for _, case in pairs]).items():
        for group in sorted(set(names) - {""}):
            chosen = np.array([name == group for name in names])
            found.append(_habit(by, group, ratios, peers, chosen, units))
    return tuple(found)


def groupings(cases: Sequence[Case]) -> dict[str, list[str]]:
    """The group of each case, by what groups them.

    >>> from pathlib import Path
    >>> cases = [Case(f"{s}_{n}", Path("i"), None, "", "") for s in "ab" for n in range(9)]
    >>> {by: sorted(set(names)) for by, names in groupings(cases).items()}
    {'id': ['a', 'b']}
    """
    found = {"annotator": [case.annotator for case in cases]}
    for column in sorted({name for case in cases for name in case.extra}):
        if not GEOMETRY.search(column):
            found[column] = [case.extra.get(column, "") for case in cases]
    found["group"] = [case.group or "" for case in cases]
    found["id"] = [re.split(r"[_-]", case.id)[0] for case in cases]
    kept: dict[str, list[str]] = {}
    for by, names in found.items():
        counts = Counter(name for name in names if name)
        few = 1 < len(counts) <= MOST_GROUPS and min(counts.values()) >= LEAST_MASKS
        if few and names not in kept.values():
            kept[by] = names
    return kept


def sentences(found: Sequence[Habit]) -> Iterator[str]:
    """What to say of each habit, the one furthest from the model first; of two groups, of whom one
    draws larger and so the other smaller, of that one alone."""
    groups = Counter(habit.by for habit in found)
    told: set[str] = set()
    for habit in sorted(found, key=lambda one: -abs(log(1 + one.than_model))):
        if habit.systematic and not (groups[habit.by] == 2 and habit.by in told):
            told.add(habit.by)
            yield _sentence(habit)


def _sentence(habit: Habit) -> str:
    who = f"{habit.group} draws" if habit.by == "annotator" else (
        f"The masks with {habit.by} {habit.group} are drawn"
    )  # fmt: skip
    low, high = habit.others_interval
    size = "larger" if habit.than_others > 0 else "smaller"
    ends = sorted(abs(end) for end in (low, high))
    text = (
        f"{who} {abs(habit.than_others):.0%} {size} than the others, by what the model says of the "
        f"images (95 % interval {ends[0]:.0%} to {ends[1]:.0%}, {habit.masks} masks)"
    )
    if habit.than_annotators == habit.than_annotators:
        text += f", and {habit.than_annotators:+.0%} against the others on the same images"
    return f"{text}: a habit rather than {habit.masks} single errors."


def _habit(
    by: str,
    group: str,
    ratios: NDArray[np.float64],
    peers: NDArray[np.float64],
    chosen: NDArray[np.bool_],
    units: Sequence[str],
) -> Habit:
    apart = np.stack([ratios * chosen, chosen, ratios * ~chosen, ~chosen], axis=1)

    def difference(means: NDArray[np.float64]) -> NDArray[np.float64]:
        with np.errstate(invalid="ignore", divide="ignore"):
            return means[:, 0] / means[:, 1] - means[:, 2] / means[:, 3]

    def interval(confidence: float) -> tuple[float, float]:
        return bootstrap_interval(apart, difference, groups=units, confidence=confidence)

    than_others = float(ratios[chosen].mean() - ratios[~chosen].mean())
    low, high = interval(SURE)
    of_peers = chosen & np.isfinite(peers)
    compared = peers[of_peers]
    own = [unit for unit, is_own in zip(units, chosen, strict=True) if is_own]
    with_peers = [unit for unit, has in zip(units, of_peers, strict=True) if has]
    enough = len(set(with_peers)) >= LEAST_MASKS
    nothing = (float("nan"), float("nan"))
    return Habit(
        by,
        group,
        int(chosen.sum()),
        exp(ratios[chosen].mean()) - 1,
        _relative(bootstrap_interval(ratios[chosen], groups=own)),
        exp(than_others) - 1,
        _relative(interval(CONFIDENCE)),
        exp(compared.mean()) - 1 if enough else float("nan"),
        _relative(bootstrap_interval(compared, groups=with_peers)) if enough else nothing,
        abs(exp(than_others) - 1) >= LEAST_EFFECT and (low > 0 or high < 0),
    )


def _relative(interval: tuple[float, float]) -> tuple[float, float]:
    return exp(interval[0]) - 1, exp(interval[1]) - 1


def _areas(case: AuditCase) -> tuple[float, float]:
    return sum(c.area for c in case.classes), sum(c.predicted_area for c in case.classes)


def _log_ratio(case: AuditCase) -> float | None:
    """Of a mask and its prediction, within limits; `None` where one of them is empty."""
    area, predicted = _areas(case)
    if not (area and predicted):
        return None
    return float(np.clip(log(area / predicted), -log(LARGEST_RATIO), log(LARGEST_RATIO)))


def _than_peers(judged: Sequence[AuditCase]) -> NDArray[np.float64]:
    """Log ratio of each mask to the mean of those by others of the same image; `nan` without."""
    by_image: dict[str, list[tuple[str, float]]] = {}
    for case in judged:
        by_image.setdefault(case.id, []).append((case.annotator, log(_areas(case)[0])))
    found = []
    for case in judged:
        others = [area for name, area in by_image[case.id] if name != case.annotator]
        away = log(_areas(case)[0]) - np.mean(others) if others else float("nan")
        found.append(float(np.clip(away, -log(LARGEST_RATIO), log(LARGEST_RATIO))))
    return np.array(found)


def write_habits(folder: str | Path, found: Sequence[Habit]) -> Path:
    """Write habits.csv, a row per group."""
    rows = [habit.row() for habit in found]
    columns = list(rows[0]) if rows else ["by", "group", "masks", "than_model"]
    return write_csv(Path(folder) / HABITS, columns, rows)
