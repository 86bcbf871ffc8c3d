"""Suspicion scores of masks, from out-of-sample predictions of the same images."""

import inspect
import math
import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from operator import length_hint
from typing import Any, TypeVar

import numpy as np

from keras_robust.common.errors import invalid
from keras_robust.common.progress import Progress
from keras_robust.common.registry import Registry
from keras_robust.suspicion.base import PerMask, Score
from keras_robust.suspicion.class_differences import (
    ClassDifferences,
    class_differences,
    soft_dice_score,
    surface_score,
)
from keras_robust.suspicion.cleanlab_scores import ConfidentLearning, Softmin
from keras_robust.suspicion.judged import Comparison, Judged
from keras_robust.suspicion.kinds.naming import kind_of_error
from keras_robust.suspicion.kinds.others import Fit, Others
from keras_robust.suspicion.kinds.places import Place, places_of
from keras_robust.suspicion.learned.default_score import DefaultScore
from keras_robust.suspicion.learned.trust import Trust
from keras_robust.suspicion.t_scores import TResidual, TWeight

__all__ = [
    "SCORES",
    "ClassDifferences",
    "Judgement",
    "Suspicion",
    "judge_masks",
    "register_score",
    "score_masks",
]

Cases = Callable[[], Iterable[Judged]]
Scored = TypeVar("Scored", bound=Callable[..., Any])

# log 2: as probably wrong as right.
DOUBTFUL = float(np.log(2))
# Columns that audit.csv has anyway; those of the classes end with a number.
COLUMNS = ("rank", "id", "annotator", "score", "p_wrong", "kind", "unit", "mask_sha256")


def _checked(name: str, score: Any) -> type[Score]:
    if re.search(r"_\d+$", name):
        raise invalid("name", "no `_` and number at its end, as columns of classes have", name)
    if inspect.isclass(score) and issubclass(score, Score):
        return score
    if callable(score) and not inspect.isclass(score):
        return PerMask.of(score)
    raise invalid("score", "a function of a `Comparison`, or a subclass of `Score`", score)


SCORES: Registry[type[Score]] = Registry(
    "score",
    "keras_robust.scores",
    {
        "default": DefaultScore,
        "t_residual": TResidual,
        "t_weight": TWeight,
        "soft_dice": PerMask.of(soft_dice_score),
        "surface": PerMask.of(surface_score),
        "softmin": Softmin,
        "confident_learning": ConfidentLearning,
    },
    _checked,
    reserved=COLUMNS,
)


def register_score(name: str, words: str = "") -> Callable[[Scored], Scored]:
    """Make a suspicion score of one's own known by a name, to `score_masks` and `audit`.

    Args:
        name: Small letters, digits and `_`; not one of the project's, nor of a column of
            audit.csv. The same name again takes the place of what it stood for.
        words: What reports say of it; by default the first sentence of its docstring.

    Returns:
        A decorator of a function of a `Comparison` that gives a number, higher for a more
        suspicious mask; or of a subclass of `Score`, for what needs to see all masks.

    Raises:
        ValueError: Another name, or neither function nor `Score`.

    >>> @register_score("disagreeing")
    ... def disagreeing(comparison):
    ...     "Share of the elements whose label is not the predicted one."
    ...     return (comparison.labels != comparison.predicted).mean()
    >>> masks = [Judged("a", np.eye(4, dtype=np.uint8), np.zeros((4, 4, 1)))]
    >>> float(score_masks(lambda: masks, scores=["disagreeing"])[0].scores["disagreeing"])
    0.25
    """
    return SCORES.register(name, words)


@dataclass(frozen=True)
class Suspicion:
    """What the scores say of one mask.

    Attributes:
        id: Name of the image.
        scores: Every selected score by name; higher is more suspicious.
        kind: One of `keras_robust.suspicion.KINDS`.
        classes: Figures of every foreground class.
        places: Where the mask and what the model says part, worst first; none where the kind is
            "none".
        fit: How the mask fits the images of other cases; `None` where the kind is "none".
        p_wrong: How probable it is that the mask is wrong, from 0 to 1; see `DefaultScore`.
    """

    id: str
    scores: Mapping[str, float]
    kind: str
    classes: tuple[ClassDifferences, ...]
    places: tuple[Place, ...] = ()
    fit: Fit | None = None
    p_wrong: float = float("nan")


@dataclass(frozen=True)
class Judgement:
    """What is said of the masks of a dataset.

    Attributes:
        masks: One `Suspicion` per case, in their order.
        trust: How far to trust it.
    """

    masks: list[Suspicion]
    trust: Trust


def score_masks(
    cases: Cases,
    *,
    classes: int = 2,
    scores: Collection[str] | None = None,
    nu: float | None = None,
    ignore_label: int | None = None,
    progress: Progress | None = None,
) -> list[Suspicion]:
    """Score every mask of a dataset against predictions of a model that has not seen it.

    Args:
        cases: Returns the masks with their predictions, in the same order each time it is called;
            one is in memory at a time.
        classes: Number of classes K, background included.
        scores: Names out of `SCORES`; `None` for all that can be had, which without cleanlab are
            all but its two.
        nu: ν of the training with the T-Loss, for `t_weight`; `None` for the ν at which the
            T-Loss of these masks is least.
        ignore_label: A label that stands for "unknown".
        progress: Called as `progress(done, total)`; the total is 0 where `cases()` has no length.

    Returns:
        One `Suspicion` per case, in their order.

    Raises:
        ImportError: A score needs cleanlab, which is absent.
        ValueError: A score or a case does not fit; see `Judged`.

    >>> mask = np.zeros((8, 8), np.uint8)
    >>> mask[2:6, 2:6] = 1
    >>> probabilities = np.where(mask, 0.9, 0.1)[..., np.newaxis]
    >>> found = score_masks(lambda: [Judged("a", mask, probabilities), Judged("b", 1 - mask,
    ...     probabilities)], scores=["t_residual"])
    >>> [round(one.scores["t_residual"], 2) for one in found]
    [0.01, 0.81]
    """
    return judge_masks(
        cases,
        classes=classes,
        scores=scores,
        nu=nu,
        ignore_label=ignore_label,
        progress=progress,
    ).masks


def judge_masks(
    cases: Cases,
    *,
    classes: int = 2,
    scores: Collection[str] | None = None,
    nu: float | None = None,
    ignore_label: int | None = None,
    progress: Progress | None = None,
) -> Judgement:
    """As `score_masks`, and how far it is to be trusted."""
    if nu is not None and not nu > 0:
        raise invalid("nu", "a positive number, or None", nu)
    chosen = _made(scores, classes, nu)
    doubt = chosen.get("default")
    if not isinstance(
        doubt, DefaultScore
    ):  # which says of every mask whether, and how, it is wrong
        doubt = DefaultScore(classes)
    looking = list(dict.fromkeys([doubt, *chosen.values()]))
    done = 0

    def comparisons() -> Iterable[Comparison]:
        nonlocal done
        given = cases()
        total = 2 * length_hint(given)
        for case in given:
            yield Comparison(case, classes, ignore_label)
            done += 1
            if progress is not None:
                progress(done, total)

    others = Others()
    for comparison in comparisons():
        others.add(comparison)
        for score in looking:
            score.learn(comparison)
    found: list[tuple[str, tuple[ClassDifferences, ...]]] = []
    for comparison in comparisons():
        for score in looking:
            score.judge(comparison)
        found.append((comparison.id, class_differences(comparison)))
    numbers = {score: score.scores() for score in looking}
    ids = [id for id, _ in found]
    columns = {name: _numbers(name, numbers[one], ids) for name, one in chosen.items()}
    # -log of the probability that each is right.
    p_wrong = [-math.expm1(-number) for number in numbers[doubt]]
    flagged = [number > DOUBTFUL for number in numbers[doubt]]

    def compare(case: Judged) -> Comparison:
        return Comparison(case, classes, ignore_label)

    explained = _explained(cases, flagged, p_wrong, compare, others)
    masks = [
        Suspicion(
            id,
            {name: column[index] for name, column in columns.items()},
            explained[index][0],
            figures,
            *explained[index][1:],
            p_wrong[index],
        )
        for index, (id, figures) in enumerate(found)
    ]
    return Judgement(masks, doubt.trust(_median_dice(masks)))


def _median_dice(masks: Sequence[Suspicion]) -> dict[int, float]:
    """Of predictions and masks, by class; of the classes that any mask or prediction holds."""
    values: dict[int, list[float]] = {}
    for mask in masks:
        for one in mask.classes:
            if one.dice == one.dice:
                values.setdefault(one.label, []).append(one.dice)
    return {label: float(np.median(found)) for label, found in sorted(values.items())}


def _explained(
    cases: Cases,
    flagged: Sequence[bool],
    p_wrong: Sequence[float],
    compare: Callable[[Judged], Comparison],
    others: Others,
) -> list[tuple[str, tuple[Place, ...], Fit | None]]:
    """Kind of error, places and fit of each mask that is probably wrong; else "none"."""
    found: list[tuple[str, tuple[Place, ...], Fit | None]] = [("none", (), None)] * len(flagged)
    if any(flagged):
        for index, case in enumerate(cases()):
            if flagged[index]:
                comparison = compare(case)
                fit = others.fit(comparison)
                kind = kind_of_error(comparison, fit=fit)
                found[index] = kind, places_of(comparison, kind, p_wrong[index]), fit
    return found


def _made(scores: Collection[str] | None, classes: int, nu: float | None) -> dict[str, Score]:
    """The selected scores in the order of `SCORES`."""
    if scores is None:
        every = {}
        for name, make in SCORES.each():
            with suppress(ImportError):
                every[name] = make(classes, nu)
        return every
    if not scores or isinstance(scores, str):
        raise invalid("scores", f"names out of {list(SCORES)}", scores)
    made = {name: SCORES.find(name, "scores") for name in scores}
    return {name: made[name](classes, nu) for name in SCORES if name in made}


def _numbers(name: str, values: Sequence[float], ids: Sequence[str]) -> list[float]:
    """One number for each mask.

    Raises:
        ValueError: A score gave something else.
    """
    if len(values) != len(ids):
        received = f"{len(values)} for {len(ids)} masks"
        raise invalid(f"scores of {name}", "one number per mask", received)
    numbers = [float(value) for value in values]
    for number, id in zip(numbers, ids, strict=True):
        if math.isnan(number):
            remedy = f"Mask {id!r}. Mend the score, or leave it out."
            raise invalid(f"scores of {name}", "a number for each mask", number, remedy)
    return numbers
