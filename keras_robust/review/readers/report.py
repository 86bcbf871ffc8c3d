"""What a review has come to: decisions, how much was changed, by whom, the time, the agreement."""

import os
from collections.abc import Iterable
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from keras_robust.annotators.roles import reviewers as reviewers_of
from keras_robust.common.errors import invalid
from keras_robust.common.files import atomic_write_text
from keras_robust.common.progress import Progress
from keras_robust.common.tables import frame_csv
from keras_robust.data.dataset import Dataset
from keras_robust.review.decision import DECISIONS, Decision
from keras_robust.review.log import ReviewLog, read_log
from keras_robust.review.readers.agreement import agreement

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["review_table", "write_review_report"]

COLUMNS = (
    "reviewer",
    "id",
    "annotator",
    "decision",
    "dice_with_annotator",
    "changed_share",
    "seconds",
    "time",
    "comment",
)
LONGEST_S = 1800.0  # a longer look at one case was a pause


def review_table(
    dataset: Dataset | str | os.PathLike[str],
    reviewers: Iterable[str] = (),
    progress: Progress | None = None,
) -> "pd.DataFrame":
    """The last decision of each reviewer on each image, one row each.

    Args:
        dataset: The dataset, or its folder, which has the logs: of a review that was written to
            another folder, that folder.
        reviewers: Names; by default all with a log.
        progress: Called with the number of decisions looked at and in total.

    Returns:
        Columns reviewer, id, annotator, decision; dice_with_annotator, of the mask held for right
        with the annotator's, and changed_share, the elements in which they differ over those that
        the annotator labelled, both empty where there is no mask to compare; seconds, from when the
        case was shown to the decision, all decisions on it together; time, comment.

    Raises:
        ValueError: Nobody has reviewed the dataset, or not one of the reviewers named.
    """
    import pandas as pd

    logs = _logs(dataset, reviewers)
    total = sum(len(log.decisions) for log in logs)
    rows: list[dict[str, Any]] = []
    for log in logs:
        for decision in log.decisions.values():
            rows.append(_row(log, decision))
            if progress is not None:
                progress(len(rows), total)
    return pd.DataFrame(rows, columns=list(COLUMNS))


def write_review_report(
    dataset: Dataset | str | os.PathLike[str],
    output: str | os.PathLike[str],
    reviewers: Iterable[str] = (),
    progress: Progress | None = None,
) -> Path:
    """Write report.html, decisions.csv (see `review_table`) and agreement.csv (pairs of reviewers).

    Args:
        dataset: See `review_table`.
        output: Folder; made when missing.
        reviewers: See `review_table`.
        progress: See `review_table`.

    Returns:
        The page.

    Raises:
        ValueError: See `review_table`.
        OSError: The folder cannot be written.
    """
    from keras_robust.reports import page as html

    opened = dataset if isinstance(dataset, Dataset) else Dataset.open(dataset)
    table = review_table(opened, reviewers, progress)
    pairs = _pairs(_logs(opened, reviewers))
    folder = Path(output)
    for name, content in (("decisions", table), ("agreement", pairs)):
        text = frame_csv(content, index=False, float_format="%.6g")
        atomic_write_text(folder / f"{name}.csv", text)
    summary = _summary(table, len(opened.ids))
    parts = [
        html.paragraph(f"{len(opened.ids)} images; {table['id'].nunique()} decided on."),
        html.heading("Reviewers"),
        html.table(summary, index=False),
        html.paragraph(
            "Dice and the share that was changed are of repaired masks with the annotator's, the "
            "median. Time runs from when a case was shown to its decision; of looks longer than "
            "half an hour, half an hour counts.",
            "soft",
        ),
    ]
    if len(pairs):
        parts += [html.heading("Agreement"), html.table(pairs, index=False)]
    changed = table[table["decision"] == "repair"].sort_values("dice_with_annotator")
    if len(changed):
        shown = changed.head(20)[["id", "reviewer", "annotator", "dice_with_annotator", "comment"]]
        parts += [
            html.heading("Masks that were changed most"),
            html.table(shown, text=["reviewer", "annotator", "comment"], index=False),
        ]
    parts.append(html.folded("All decisions", [html.table(table, text=["comment"], index=False)]))
    return atomic_write_text(folder / "report.html", html.page(f"Review of {opened.name}", parts))


def _logs(dataset: Dataset | str | os.PathLike[str], names: Iterable[str]) -> list[ReviewLog]:
    opened = dataset if isinstance(dataset, Dataset) else Dataset.open(dataset)
    chosen = tuple(names) or tuple(reviewers_of(opened.root))
    if not chosen:
        raise invalid(
            "dataset",
            "a dataset that somebody has reviewed",
            str(opened.root),
            "Review it by keras-robust view; a review written to another folder is in that one.",
        )
    return [read_log(opened, opened.root, name) for name in chosen]


def _row(log: ReviewLog, decision: Decision) -> dict[str, Any]:
    from keras_robust.metrics.overlap import drawn_dice

    dataset, case = log.dataset, log.case(decision.id, decision.annotator)
    dice = changed = float("nan")
    final = log.final_mask(decision.id)
    if final is not None and case is not None and case.mask is not None:
        try:
            drawn = dataset.read_mask(case, anywhere=True)
        except (OSError, ValueError):
            drawn = None
        if drawn is not None and drawn.shape == final.shape:
            dice = drawn_dice(final, drawn, dataset.classes, dataset.ignore_label)
            apart, there = np.count_nonzero(final != drawn), np.count_nonzero(drawn)
            changed = apart / there if there else (float("inf") if apart else 0.0)
    looks = [d.seconds for d in log.history if d.id == decision.id and d.seconds is not None]
    return {
        "reviewer": log.reviewer,
        "id": decision.id,
        "annotator": decision.annotator,
        "decision": decision.decision,
        "dice_with_annotator": dice,
        "changed_share": changed,
        "seconds": sum(min(s, LONGEST_S) for s in looks) if looks else float("nan"),
        "time": decision.time,
        "comment": decision.comment,
    }


def _summary(table: "pd.DataFrame", images: int) -> "pd.DataFrame":
    import pandas as pd

    rows = []
    for name, own in table.groupby("reviewer", sort=True):
        repaired = own[own["decision"] == "repair"]
        counts = {decision: int((own["decision"] == decision).sum()) for decision in DECISIONS}
        rows.append(
            {
                "reviewer": name,
                "decided": f"{len(own)} of {images}",
                **counts,
                "Dice of repairs": repaired["dice_with_annotator"].median(),
                "changed": repaired["changed_share"].median(),
                "seconds a case": own["seconds"].median(),
                "minutes in all": own["seconds"].sum() / 60,
            }
        )
    return pd.DataFrame(rows)


def _pairs(logs: list[ReviewLog]) -> "pd.DataFrame":
    import pandas as pd

    found = [agreement(one, other) for one, other in combinations(logs, 2)]
    rows = [
        {
            "reviewers": " and ".join(pair.reviewers),
            "both decided": len(pair.decisions),
            "alike": pair.observed,
            "kappa": pair.kappa,
            "dice": pair.mean_dice,
            "disputed": len(pair.disputed),
        }
        for pair in found
    ]
    columns = ["reviewers", "both decided", "alike", "kappa", "dice", "disputed"]
    return pd.DataFrame(rows, columns=columns)
