"""What an audit found, in a few lines: for the terminal, and at the top of the report."""

from collections import Counter
from collections.abc import Sequence

import numpy as np
import pandas as pd

from keras_robust.audit.folder import Audit, AuditCase
from keras_robust.audit.truth import DETECTION
from keras_robust.data.layouts.labels import class_title

__all__ = ["dice_of_classes", "judge_warnings", "mean_dice", "summary"]

MOST_FINDINGS = 12
POOR_DICE = 0.7  # of predictions with the masks as they are: such a judge is not worth much


def summary(audit: Audit) -> list[str]:
    """How good the judges are, how many masks are probably wrong, what is wrong with the dataset as
    a whole and who draws otherwise than the others, and, where the truth is known, how well the
    wrong ones were found; a sentence each."""
    trust = audit.info.get("trust") or {}
    lines = [_judges(audit), *judge_warnings(audit), _found(audit), *trust.get("sentences", ())]
    return [*lines, *_of_dataset(audit), *_detected(audit)]


def _of_dataset(audit: Audit) -> list[str]:
    """Findings and habits, which audits of earlier versions lack."""
    messages = [str(one["message"]) for one in audit.info.get("findings", ())]
    messages += [str(sentence) for sentence in audit.info.get("habits", ())]
    if len(messages) <= MOST_FINDINGS:
        return messages
    more = len(messages) - MOST_FINDINGS
    return [*messages[:MOST_FINDINGS], f"And {more} more such findings: audit.json has all."]


def judge_warnings(audit: Audit) -> list[str]:
    """What to say of predictions that agree badly with most of the masks."""
    dice = [d for d in map(mean_dice, audit.cases) if d == d]
    if not dice or np.median(dice) >= POOR_DICE:
        return []
    remedy = (
        "Take predictions of a better model."
        if "predictions" in audit.info.get("settings", {})
        else "Train longer (--budget, --steps), at a larger --size, or on more images."
    )
    return [
        f"Half of the predictions agree with the masks to a Dice below {np.median(dice):.2f}. "
        f"Such a model is a poor judge. {remedy}"
    ]


def mean_dice(case: AuditCase) -> float:
    """Of mask and prediction, over the classes that either has; NaN where there are none."""
    values = [figures.dice for figures in case.classes if figures.dice == figures.dice]
    return float(np.mean(values)) if values else float("nan")


def dice_of_classes(audit: Audit) -> dict[int, float]:
    """Median Dice of predictions and masks of each foreground class that any of them has."""
    values: dict[int, list[float]] = {}
    for case in audit.cases:
        for figures in case.classes:
            if figures.dice == figures.dice:
                values.setdefault(figures.label, []).append(figures.dice)
    return {label: float(np.median(found)) for label, found in sorted(values.items())}


def _judges(audit: Audit) -> str:
    found = dice_of_classes(audit)
    if not found:
        return "Judges: neither masks nor predictions hold any object."
    if len(found) == 1:
        return f"Judges: median Dice {next(iter(found.values())):.2f} with the masks as they are."
    of_classes = _listed([f"{class_title(k, audit.class_names)} {d:.2f}" for k, d in found.items()])
    return f"Judges: median Dice with the masks as they are, by class: {of_classes}."


def _found(audit: Audit) -> str:
    kinds = Counter(case.kind for case in audit.cases if case.kind != "none")
    verb = "is" if kinds.total() == 1 else "are"
    count = f"{kinds.total()} of {len(audit.cases)} masks {verb} probably wrong"
    listed = _listed([f"{kind} {number}" for kind, number in kinds.most_common()])
    return f"{count}: {listed}." if listed else f"{count}."


def _detected(audit: Audit) -> list[str]:
    path = audit.folder / DETECTION
    if not path.is_file():
        return []
    table = pd.read_csv(path, index_col="score")
    value = float(table.loc[audit.ranked_by, "AUROC"])
    if value != value:
        return [
            "Against the truth: all masks are right, or all are wrong, so that there is no AUROC."
        ]
    return [
        f"Against the truth: AUROC of {audit.ranked_by} {value:.3f}, average precision "
        f"{float(table.loc[audit.ranked_by, 'average precision']):.3f}."
    ]


def _listed(parts: Sequence[str], most: int = 8) -> str:
    rest = [f"and {len(parts) - most} more"] if len(parts) > most else []
    return ", ".join([*parts[:most], *rest])
