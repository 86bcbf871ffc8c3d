"""What is wrong with a dataset as a whole: files mixed up, slices out of order, labels moved."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from hashlib import sha256
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from keras_robust.audit.inputs import AuditInputs
from keras_robust.common.hashes import sha256_if_there
from keras_robust.common.progress import Progress
from keras_robust.data import Case, Dataset
from keras_robust.suspicion.kinds.classes import best_relabelling
from keras_robust.suspicion.kinds.others import Fit

__all__ = ["Finding", "findings_of_masks", "findings_of_scores"]

Labels = NDArray[np.uint8]
# A mask of fewer elements, or one that is a box, may be drawn twice by chance.
LEAST_ELEMENTS = 32
# Of slices of at least this share of the largest: smaller ones may differ from their neighbours.
LARGE_SLICE = 0.3
# A slice is out of place where it overlaps its neighbours by so much less than these do each other.
OUT_OF_PLACE = 0.25
LEAST_SLICES = 2
# Labels of two annotators are exchanged where their agreement rises by so much.
EXCHANGED = 0.3
# A mask fits another image better than its own by so much, in Dice.
FITS_BETTER = 0.15
SHOWN = 6


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong, in plain words.

    Args:
        kind: "one mask, two images", "swapped files", "other case's mask", "mirrored",
            "labels permuted", "slices missing" or "slices out of order".
        ids: The images concerned.
        annotator: Whose masks.
        message: What is wrong and what to do.
        source: "masks", or "predictions" where these were needed to see it.
    """

    kind: str
    ids: tuple[str, ...]
    annotator: str
    message: str
    source: str = "masks"

    def as_json(self) -> dict[str, Any]:
        """As audit.json holds it."""
        return {**asdict(self), "ids": list(self.ids)}

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> "Finding":
        """The inverse of `as_json`."""
        return cls(**{**stored, "ids": tuple(stored["ids"])})


def findings_of_masks(inputs: AuditInputs, progress: Progress | None = None) -> list[Finding]:
    """What masks and images tell before anything is trained or predicted.

    Masks that are the same under two images which are not; volumes whose slices are out of order,
    or empty between drawn ones; annotators whose labels are exchanged against those of others on
    the same images.

    Args:
        inputs: The judged masks, and those trained on.
        progress: Called as `progress(done, total)`.
    """
    dataset = inputs.dataset
    same: dict[tuple[str, str], list[Case]] = defaultdict(list)
    found: list[Finding] = []
    counted = _Exchanged(dataset)
    cases = [case for case in dataset if case.mask is not None]
    for number, case in enumerate(cases, start=1):
        labels = dataset.read_mask(case)
        if _is_particular(labels):
            content = sha256(f"{labels.shape}".encode() + labels.tobytes()).hexdigest()
            same[case.annotator, content].append(case)
        if labels.ndim == 3:
            found += _of_slices(labels, case)
        counted.add(case, labels)
        if progress is not None:
            progress(number, len(cases))
    copies = (_of_copies(copied) for copied in same.values())
    return [*filter(None, copies), *counted.findings(), *found]


def findings_of_scores(
    judged: Iterable[tuple[Case, str, Fit | None]], known: Iterable[Finding] = ()
) -> list[Finding]:
    """What the kinds of single masks add up to.

    Args:
        judged: Each mask with the kind of its error, and how it fits other images.
        known: Findings of the masks, which are not repeated.
    """
    by_annotator: dict[str, list[tuple[Case, str, Fit | None]]] = defaultdict(list)
    for case, kind, fit in judged:
        by_annotator[case.annotator].append((case, kind, fit))
    found: list[Finding] = []
    told = {id for one in known if one.kind == "one mask, two images" for id in one.ids}
    for annotator, ours in sorted(by_annotator.items()):
        alien = {case.id for case, kind, _ in ours if kind == "other case's mask"} - told
        found += _of_fits(annotator, {case.id: fit for case, _, fit in ours if fit}, alien)
        for kind, words in (
            ("mirrored", "look mirrored, turned by quarters or with two axes exchanged"),
            ("labels permuted", "seem to have their labels exchanged"),
        ):
            ids = tuple(case.id for case, name, _ in ours if name == kind)
            if ids:
                found.append(
                    Finding(
                        kind,
                        ids,
                        annotator,
                        f"{_count(ids)} by {annotator} {words}: {_listed(ids)}. Look at how they "
                        "were exported.",
                        "predictions",
                    )
                )
    return found


def _of_fits(annotator: str, fits: Mapping[str, Fit], alien: set[str]) -> Iterator[Finding]:
    better = {
        id: fit
        for id, fit in fits.items()
        if fit.best - fit.own >= FITS_BETTER and (fit.copied or fit.best >= 0.7)
    }
    pairs = [
        (id, fit.other)
        for id, fit in better.items()
        if id < fit.other and fit.other in better and better[fit.other].other == id
    ]
    for one, other in pairs:
        yield Finding(
            "swapped files",
            (one, other),
            annotator,
            f"The masks of {one} and {other} by {annotator} seem to be swapped: each fits the "
            f"other image better (Dice {better[one].best:.2f} and {better[other].best:.2f}) than "
            f"its own ({better[one].own:.2f} and {better[other].own:.2f}).",
            "predictions",
        )
    swapped = {id for pair in pairs for id in pair}
    for id, fit in sorted(better.items()):
        if id in alien - swapped:
            yield Finding(
                "other case's mask",
                (id, fit.other),
                annotator,
                f"The mask of {id} by {annotator} fits the image of {fit.other} (Dice "
                f"{fit.best:.2f}) better than its own ({fit.own:.2f}).",
                "predictions",
            )


def _is_particular(labels: Labels) -> bool:
    """Whether nobody draws the same mask twice by chance: neither tiny, nor a box."""
    drawn = np.nonzero(labels)
    if len(drawn[0]) < LEAST_ELEMENTS:
        return False
    box = np.prod([int(p.max() - p.min()) + 1 for p in drawn])
    return bool(len(drawn[0]) < box)


def _of_copies(copied: Sequence[Case]) -> Finding | None:
    if len(copied) < 2:
        return None
    # One photograph under two ids, which `verify` tells, has one mask rightly.
    images = {sha256_if_there(*case.channels): case for case in copied}
    if len(images) < 2:
        return None
    ids = tuple(case.id for case in images.values())
    by = copied[0].annotator
    return Finding(
        "one mask, two images",
        ids,
        by,
        f"The masks of {_listed(ids)} by {by} are one and the same, though the images are not: all "
        "but one of them belong to another image.",
    )


def _of_slices(labels: Labels, case: Case) -> Iterator[Finding]:
    """Slices across each axis: empty between drawn ones, or unlike both neighbours."""
    for axis in range(3):
        mask = np.moveaxis(labels > 0, axis, 0)
        areas = mask.sum(axis=(1, 2))
        drawn = np.flatnonzero(areas)
        if len(drawn) < 5:
            continue
        empty = [z for z in range(drawn[0], drawn[-1]) if not areas[z] and _bridged(mask, areas, z)]
        if empty:
            yield Finding(
                "slices missing",
                (case.id,),
                case.annotator,
                f"In the mask of {case.id} by {case.annotator} {_slices(empty, axis)} hold "
                "nothing, between slices that do.",
            )
        odd = [z for z in range(1, len(mask) - 1) if _out_of_place(mask, areas, z)]
        if len(odd) >= LEAST_SLICES:
            yield Finding(
                "slices out of order",
                (case.id,),
                case.annotator,
                f"In the mask of {case.id} by {case.annotator} {_slices(odd, axis)} do not fit "
                "between their neighbours: they may be out of order, or shifted.",
            )


def _bridged(mask: NDArray[np.bool_], areas: NDArray, z: int) -> bool:
    """Whether the drawn slices before and behind an empty one are of one structure."""
    before = int(np.flatnonzero(areas[:z])[-1])
    behind = z + int(np.flatnonzero(areas[z:])[0])
    large = min(areas[before], areas[behind]) >= LARGE_SLICE * areas.max()
    return bool(large and _overlap(mask[before], mask[behind]) > 0.5)


def _out_of_place(mask: NDArray[np.bool_], areas: NDArray, z: int) -> bool:
    if areas[z - 1 : z + 2].min() < LARGE_SLICE * areas.max():
        return False
    to_them = max(_overlap(mask[z], mask[z - 1]), _overlap(mask[z], mask[z + 1]))
    return _overlap(mask[z - 1], mask[z + 1]) - to_them > OUT_OF_PLACE


def _overlap(one: NDArray[np.bool_], other: NDArray[np.bool_]) -> float:
    return 2 * float((one & other).sum()) / max(int(one.sum()) + int(other.sum()), 1)


class _Exchanged:
    """Labels of annotators against each other, counted over the images that they share."""

    def __init__(self, dataset: Dataset):
        self.classes = dataset.classes
        self._ignored = dataset.ignore_label
        self._image = ""
        self._masks: dict[str, Labels] = {}
        self._counts: dict[tuple[str, str], NDArray[np.int64]] = {}
        self._ids: dict[tuple[str, str], list[str]] = defaultdict(list)

    def add(self, case: Case, labels: Labels) -> None:
        """Count one mask; the masks of an image follow each other."""
        if self.classes <= 2:
            return
        if case.id != self._image:
            self._image, self._masks = case.id, {}
        if self._ignored is not None:
            labels = np.where(labels == self._ignored, 0, labels)
        for other, mask in self._masks.items():
            if mask.shape == labels.shape:
                pair = np.bincount(
                    (labels.astype(np.int64) * self.classes + mask).ravel(),
                    minlength=self.classes**2,
                ).reshape(self.classes, self.classes)
                self._counts[case.annotator, other] = pair + self._counts.get(
                    (case.annotator, other), np.int64(0)
                )
                self._ids[case.annotator, other].append(case.id)
        self._masks[case.annotator] = labels

    def findings(self) -> Iterator[Finding]:
        """Pairs of annotators who agree where labels of one are exchanged."""
        for (one, other), counts in sorted(self._counts.items()):
            new = best_relabelling(counts)
            drawn = counts[1:, 1:].sum()
            same = np.trace(counts[1:, 1:])
            then = sum(counts[label, new[label]] for label in range(1, self.classes))
            if drawn and (then - same) / drawn >= EXCHANGED:
                changed = [
                    f"{a} and {b}" for a, b in combinations(range(1, self.classes), 2)
                    if new[a] == b and new[b] == a
                ] or [f"{a} for {b}" for a, b in enumerate(new) if a != b]  # fmt: skip
                yield Finding(
                    "labels permuted",
                    tuple(self._ids[one, other]),
                    one,
                    f"{one} and {other} agree where labels are exchanged ({_listed(changed)}): on "
                    f"{then / drawn:.0%} of what both draw, instead of {same / drawn:.0%}. One of "
                    "them has other numbers for the classes.",
                )


def _count(ids: Sequence[str]) -> str:
    return f"{len(ids)} masks" if len(ids) > 1 else "1 mask"


def _listed(names: Sequence[str]) -> str:
    rest = [f"{len(names) - SHOWN} more"] if len(names) > SHOWN else []
    shown = [*names[:SHOWN], *rest]
    return shown[0] if len(shown) == 1 else f"{', '.join(shown[:-1])} and {shown[-1]}"


def _slices(numbers: Sequence[int], axis: int) -> str:
    return f"slices {_listed([str(number + 1) for number in numbers])} along axis {axis + 1}"
