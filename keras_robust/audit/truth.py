"""How well an audit found the masks that are wrong, where the truth is known."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from keras_robust.annotators.roles import JOURNAL
from keras_robust.audit.folder import Audit, AuditCase
from keras_robust.common.errors import invalid
from keras_robust.common.files import atomic_write_text
from keras_robust.common.opening import parse_json, read_text
from keras_robust.common.progress import Progress
from keras_robust.common.tables import frame_csv
from keras_robust.data import Case, Dataset
from keras_robust.metrics.overlap import drawn_dice
from keras_robust.metrics.ranking import auroc, average_precision, precision_at_k, spearman

if TYPE_CHECKING:
    import pandas as pd

WRONG_BELOW = 0.8
TRUTH, DETECTION = "truth.csv", "detection.csv"
PRECISION_AT = (10, 50, 100)
# What simulated noise does, in the words of an audit.
KIND_OF_NOISE = {
    "dilate": "too large",
    "erode": "too small",
    "affine": "shifted",
    "cut": "part missing",
    "hole": "hole",
    "leak": "leak",
    "object_missing": "missing object",
    "object_added": "extra object",
    "polygon": "coarse",
    "brush": "coarse",
    "mirror": "mirrored",
    "rotate": "mirrored",
    "grid": "shifted",
    "slices_missing": "slices missing",
    "slices_repeated": "shifted",
    "slices_shifted": "shifted",
    "neighbour_slice": "shifted",
    "class_changed": "wrong class",
    "class_swapped": "wrong class",
    "class_part": "wrong class",
    "labels_shifted": "labels permuted",
    "other_case": "other case's mask",
}


def kind_of_noise(noise: str, whole: Mapping[str, Any] | None = None) -> str:
    """What a simulated error is in the words of an audit; "" for one that these do not tell.

    Args:
        noise: Kind of `keras_robust.noise`.
        whole: Its parameters, where it was made in a mask as a whole.

    >>> kind_of_noise("erode"), kind_of_noise("stray_click")
    ('too small', '')
    >>> kind_of_noise("labels_shifted", {"labels": {"1": 2, "2": 1}})  # two that are exchanged
    'wrong class'
    """
    labels = (whole or {}).get("labels")
    if noise == "labels_shifted" and isinstance(labels, Mapping):
        if len(labels) == 2 and all(
            labels.get(str(new)) == int(old) for old, new in labels.items()
        ):
            return "wrong class"
    return KIND_OF_NOISE.get(noise, "")


@dataclass(frozen=True)
class TrueCase:
    """A judged mask beside the true one.

    Args:
        case: What the audit said.
        dice: Of the mask and the true one, mean over foreground classes.
        wrong: Whether the mask counts as wrong.
        kind: What was done to a simulated mask, in the words of an audit; "" where nobody knows.
    """

    case: AuditCase
    dice: float
    wrong: bool
    kind: str = ""


@dataclass(frozen=True)
class Truth:
    """Judged masks beside the true ones.

    Args:
        annotator: Whose masks are true.
        cases: Those of which there is a true mask, most suspicious first.
        rule: What counts as wrong, as a sentence.
    """

    annotator: str
    cases: tuple[TrueCase, ...]
    rule: str

    def wrong(self) -> NDArray[np.bool_]:
        """`(n,)`, which masks are wrong."""
        return np.array([case.wrong for case in self.cases], bool)

    def detection(self) -> "pd.DataFrame":
        """How well each score finds the wrong masks, one row per score.

        Columns: AUROC, average precision, precision at k for k up to the number of masks and at
        the number of wrong ones, and Spearman's rank correlation with one minus the Dice.
        """
        import pandas as pd

        wrong = self.wrong()
        error = [1 - case.dice for case in self.cases]
        counts = sorted({k for k in (*PRECISION_AT, int(wrong.sum())) if 1 <= k <= len(wrong)})
        rows = {}
        for name in self.cases[0].case.scores:
            scores = [case.case.scores[name] for case in self.cases]
            row = {"AUROC": auroc(scores, wrong)}
            row["average precision"] = average_precision(scores, wrong)
            row |= {f"precision at {k}": precision_at_k(scores, wrong, k) for k in counts}
            row["Spearman"] = spearman(scores, error)
            rows[name] = row
        table = pd.DataFrame.from_dict(rows, orient="index")
        table.index.name = "score"
        return table

    def kinds(self) -> "pd.DataFrame | None":
        """What was done to the wrong masks (rows) and what the audit called it (columns)."""
        import pandas as pd

        known = [case for case in self.cases if case.wrong and case.kind]
        if not known:
            return None
        table = pd.crosstab(
            pd.Series([case.kind for case in known], name="what was done"),
            pd.Series([case.case.kind for case in known], name="what the audit says"),
        )
        table.columns.name = None
        return table

    def kind_accuracy(self) -> float:
        """Share of the wrong masks of known kind that the audit names right; NaN without any."""
        right = [c.kind == c.case.kind for c in self.cases if c.wrong and c.kind]
        return float(np.mean(right)) if right else float("nan")

    def write(self, folder: str | Path) -> None:
        """Write truth.csv, a row per mask, and detection.csv, a row per score."""
        import pandas as pd

        rows = [
            {
                "rank": case.case.rank,
                "id": case.case.id,
                "annotator": case.case.annotator,
                "score": case.case.score,
                "kind": case.case.kind,
                "true_kind": case.kind,
                "dice": case.dice,
                "wrong": case.wrong,
            }
            for case in self.cases
        ]
        atomic_write_text(Path(folder) / TRUTH, frame_csv(pd.DataFrame(rows), index=False))
        atomic_write_text(Path(folder) / DETECTION, frame_csv(self.detection()))


def compare_with_truth(
    audit: Audit,
    dataset: Dataset,
    annotator: str,
    wrong_below: float | None = None,
    progress: Progress | None = None,
) -> Truth:
    """Compare the masks of an audit with those of an annotator who is right.

    Args:
        audit: What was judged.
        dataset: With the masks of both.
        annotator: Whose masks are true.
        wrong_below: A mask is wrong where its Dice with the true one is below this. `None`: below
            0.8, and for the masks of a simulated annotator wherever the simulation changed them.
        progress: Called as `progress(done, total)`.

    Raises:
        ValueError: The annotator has no mask of a judged image, or was judged himself.
    """
    check_truth(dataset, audit.annotators, annotator, wrong_below)
    true = {case.id: case for case in dataset.select(annotator=annotator)}
    own = {(case.id, case.annotator): case for case in dataset}
    noise = {name: _simulated_kinds(dataset, name) for name in audit.annotators}
    judged = [case for case in audit.cases if case.id in true]
    found = []
    for number, case in enumerate(judged, start=1):
        value = _dice(dataset, own[case.id, case.annotator], true[case.id])
        done, parameters = noise[case.annotator].get(case.id, (None, None))
        if wrong_below is None and done is not None:
            # A corruption that could not be carried out, as of an empty mask, leaves it right.
            wrong = done != "clean" and value < 1
        else:
            wrong = value < (WRONG_BELOW if wrong_below is None else wrong_below)
        kind = kind_of_noise(done or "", parameters)
        found.append(TrueCase(case, value, wrong, kind))
        if progress is not None:
            progress(number, len(judged))
    return Truth(annotator, tuple(found), _rule(annotator, noise, wrong_below))


def check_truth(
    dataset: Dataset, judged: Sequence[str], annotator: str, wrong_below: float | None
) -> None:
    """Refuse a truth that cannot be compared with.

    Raises:
        ValueError: See `compare_with_truth`.
    """
    ids = {case.id for case in dataset.select(annotator=annotator)}
    if annotator in judged or not ids & {c.id for c in dataset if c.annotator in judged}:
        raise invalid(
            "truth",
            ("an annotator whose masks are not judged and who drew masks of the judged images"),
            said=f"truth={annotator!r}; judged are {', '.join(judged)}",
        )
    if wrong_below is not None and not 0 < wrong_below <= 1:
        raise invalid(
            "wrong_below", "a Dice above 0 and up to 1", said=f"wrong_below={wrong_below}"
        )


def _dice(dataset: Dataset, one: Case, other: Case) -> float:
    masks = [dataset.read_mask(case) for case in (one, other)]
    if masks[0].shape != masks[1].shape:
        raise invalid(
            "truth",
            "masks of one size",
            said=(
                f"{str(one.mask)!r} of {masks[0].shape} and {str(other.mask)!r} of {masks[1].shape}"
            ),
        )
    return drawn_dice(masks[0], masks[1], dataset.classes, dataset.ignore_label)


def _simulated_kinds(
    dataset: Dataset, annotator: str
) -> dict[str, tuple[str, Mapping[str, Any] | None]]:
    """Kind of corruption, and parameters of one of a whole mask, by id, from the journals beside
    the masks of a simulated annotator."""
    folders = {c.mask.parent for c in dataset if c.annotator == annotator and c.mask}
    kinds: dict[str, tuple[str, Mapping[str, Any] | None]] = {}
    for folder in sorted(folders):
        try:
            lines = read_text(folder / JOURNAL).splitlines()
        except (OSError, ValueError):
            continue
        for line in lines:
            try:
                record = parse_json(line)
                done = record["corruption"]
                kinds[record["id"]] = done["kind"], done.get("whole")
            except (ValueError, KeyError, TypeError):
                continue  # the first line holds the parameters
    return kinds


def _rule(annotator: str, noise: Mapping[str, Mapping[str, Any]], wrong_below: float | None) -> str:
    limit = WRONG_BELOW if wrong_below is None else wrong_below
    by_dice = f"its Dice with the mask by {annotator} is below {limit:g}"
    simulated = [name for name, kinds in noise.items() if kinds and wrong_below is None]
    if not simulated:
        return f"A mask counts as wrong where {by_dice}."
    changed = "where the simulation changed it"
    if len(simulated) == len(noise):
        return f"A mask counts as wrong {changed}."
    return f"A mask counts as wrong {changed}; one that was not simulated, where {by_dice}."
