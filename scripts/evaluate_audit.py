"""How well the audit finds wrong masks, and what holds of what it promises: docs/results/audit.

    python scripts/evaluate_audit.py shared/data [--work runs/audit] [--rows NAME ...]

Every row and every score; leave one kind out; P(wrong) and its calibration; what the audit says of
itself against what is there; kinds of error. The rows and their small models: `audit_rows.py`.
"""

import argparse
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
from audit_rows import ROWS, Evidence, Masks, kinds_said, look, masks_of
from numpy.typing import NDArray

from keras_robust.common.files import atomic_write_text
from keras_robust.metrics.ranking import auroc, average_precision
from keras_robust.noise import GROUPS
from keras_robust.suspicion import SCORES
from keras_robust.suspicion.learned.default_score import DefaultScore

HEAD = """# How well the audit finds wrong masks

Models that train for a few minutes of one core; better ones find more. Dice of their predictions
with the true masks: {dice}.
Every mask is judged by a model that was trained with T-Loss + Dice on the other half of the
images, on masks with the same errors. Rows `isic` and `hippocampus` have simulated errors in a
share α of the masks, of about β of the object: `shapes` (grown, shrunk, moved), `mistakes` (parts,
objects, outlines, slices, classes, files), or none. `bubil` has real ones of a crowd: wrong is a
mask whose Dice with the gold standard is below .8.

The score was designed on the rows marked \\*, and on scenes that a program drew (discs, tiny and
many objects, vessels, membranes, nested classes, volumes); the other rows were looked at once.
[Kinds of error by judges of known quality](kinds.md) have a page of their own.

Written by `scripts/evaluate_audit.py`.
"""


def page(rows: list[Evidence]) -> str:
    """The page, of rows that are judged."""
    dice = ", ".join(f"{one.masks.of_model():.2f} ({one.row.name})" for one in rows)
    tables = (_held, _detection, _probabilities, _recalls, _kinds, _left_out)
    return "\n".join([HEAD.format(dice=dice), *(line for table in tables for line in table(rows))])


def _held(rows: list[Evidence]) -> Iterator[str]:
    """Each promise with the figure that was reached, met or missed."""
    yield "## What holds\n"
    for one in rows:
        wrong, flagged = one.wrong, one.p_wrong > 0.5
        error = _calibration_error(one.p_wrong, wrong)
        checks = [(f"calibration error {error:.2f}, .05 at most", error <= 0.05)]
        if wrong.any():
            values = {name: auroc(scores, wrong) for name, scores in one.scores.items()}
            best = max(value for name, value in values.items() if name != "default")
            margin = values["default"] - best
            checks.append(
                (f"{margin:+.3f} to the best other score, -.010 at least", margin >= -0.01)
            )
            recall, hits = flagged[wrong].mean(), (flagged & wrong).sum()
            precision = hits / max(flagged.sum(), 1)
            found = (
                f"{recall:.0%} of the wrong flagged at a precision of {precision:.0%}, 80 and 70 %"
            )
            checks.append((found, recall >= 0.8 and precision >= 0.7))
        else:
            checks.append((f"{flagged.mean():.0%} flagged, 5 % at most", flagged.mean() <= 0.05))
        said = "; ".join(f"{text}: **{'met' if met else 'missed'}**" for text, met in checks)
        yield f"- {one.name}: {said}."
    yield ""


def _detection(rows: list[Evidence]) -> Iterator[str]:
    names = list(rows[0].scores)
    yield "## AUROC\n"
    yield f"| row | masks | wrong | {' | '.join(names)} | average precision | control |"
    yield "|---|" + "--:|" * (len(names) + 4)
    found = []
    for one in rows:
        wrong = one.wrong
        if wrong.any():
            values = [auroc(one.scores[name], wrong) for name in names]
            found.append(values)
            cells = [f"**{v:.3f}**" if v == max(values) else f"{v:.3f}" for v in values]
            precision = average_precision(one.scores["default"], wrong)
            control = "" if one.row.family else f"{_control(one):.3f}"
            yield (
                f"| {one.name} | {len(wrong)} | {wrong.sum()} | {' | '.join(cells)} | "
                f"{precision:.2f} | {control} |"
            )
    means = " | ".join(f"{value:.3f}" for value in np.mean(found, axis=0))
    yield f"| mean | | | {means} | | |"
    yield (
        "\nControl, for real errors: AUROC of the soft Dice of the *true* masks. As far as it is\n"
        "above .5, masks are wrong where images are difficult, and a score finds them for that.\n"
    )


def _control(one: Evidence) -> float:
    masks = replace(one.masks, given=one.masks.true)
    (score,) = scores = [SCORES.built_in["soft_dice"](masks.classes)]
    look(scores, masks)
    return auroc(score.scores(), one.wrong)


def _probabilities(rows: list[Evidence]) -> Iterator[str]:
    yield "## P(wrong)\n"
    yield (
        "Flagged are masks of a P above one half. Wanted: 80 % of the wrong ones, at a precision\n"
        "of 70 %; of masks that are all right 5 % at most; a calibration error of .05 at most.\n"
    )
    yield "| row | wrong | estimated | flagged | recall | precision | calibration error |"
    yield "|---|--:|--:|--:|--:|--:|--:|"
    for one in rows:
        wrong, p = one.wrong, one.p_wrong
        flagged, hits = p > 0.5, int(((p > 0.5) & wrong).sum())
        recall = f"{hits / wrong.sum():.2f}" if wrong.any() else ""
        precision = f"{hits / flagged.sum():.2f}" if flagged.any() and wrong.any() else ""
        yield (
            f"| {one.name} | {wrong.mean():.2f} | {p.mean():.2f} | {flagged.mean():.2f} | "
            f"{recall} | {precision} | {_calibration_error(p, wrong):.2f} |"
        )


def _calibration_error(p: NDArray[np.float64], wrong: NDArray[np.bool_]) -> float:
    """Expected, over tenths."""
    tenth = np.minimum((p * 10).astype(int), 9)
    found = 0.0
    for one in np.unique(tenth):
        chosen = tenth == one
        found += abs(float(p[chosen].mean() - wrong[chosen].mean())) * float(chosen.mean())
    return found


def _recalls(rows: list[Evidence]) -> Iterator[str]:
    yield "\n## What the audit says of itself\n"
    yield (
        "Share among the first 10 % of the masks: of planted mistakes that change about so\n"
        "much of the objects, and of the errors that are there. "
        "They should agree within .10, as far\n"
        "as all that are wrong find room among the first 10 %.\n"
    )
    yield "| row | planted, 10 % | 20 % | 50 % | actual errors | AUROC of planted |"
    yield "|---|--:|--:|--:|--:|--:|"
    for one in rows:
        planted = {part.change: f"{part.first:.2f}" for part in one.trust.found}
        score, wrong = one.scores["default"], one.wrong
        actual = (score >= np.quantile(score, 0.9))[wrong]
        cells = [planted.get(change, "") for change in (0.1, 0.2, 0.5)]
        cells += [f"{actual.mean():.2f}" if wrong.any() else "", f"{one.trust.auroc:.3f}"]
        yield f"| {one.name} | {' | '.join(cells)} |"


def _kinds(rows: list[Evidence]) -> Iterator[str]:
    yield "\n## Kinds\n"
    yield (
        "Of wrong masks that are flagged, how many the audit calls what was done to them (wanted:\n"
        "80 %); `uncertain` counts as wrong.\n"
    )
    yield "| row | flagged and wrong | named right | called otherwise |"
    yield "|---|--:|--:|---|"
    for one in rows:
        chosen = one.wrong & (one.p_wrong > 0.5) & (one.masks.called != "")
        if chosen.any():
            said, done = kinds_said(one.masks, chosen), one.masks.called[chosen]
            pairs = Counter(f"{a} for {b}" for a, b in zip(said, done, strict=True) if a != b)
            others = ", ".join(f"{pair} {count}" for pair, count in pairs.most_common(4))
            yield f"| {one.name} | {len(said)} | {(said == done).mean():.0%} | {others} |"


def _left_out(rows: list[Evidence]) -> Iterator[str]:
    yield "\n## Without the kind that is judged\n"
    yield (
        "AUROC of the default score, of wrong masks of one kind among the right ones: as it is,\n"
        "and learned without mistakes of that kind.\n"
    )
    yield "| row | kind | masks | with | without |"
    yield "|---|---|--:|--:|--:|"
    for one in rows:
        wrong, kinds = one.wrong, one.masks.kinds
        for kind in sorted(set(kinds[wrong]) & set(GROUPS["all"])):
            chosen = ~wrong | (kinds == kind)
            count = int((wrong & (kinds == kind)).sum())
            own = auroc(one.scores["default"][chosen], wrong[chosen])
            without = auroc(_learned_without(kind, one.masks)[chosen], wrong[chosen])
            yield f"| {one.name} | {kind} | {count} | {own:.3f} | {without:.3f} |"


def _learned_without(kind: str, masks: Masks) -> NDArray[np.float64]:
    class Without(DefaultScore):
        kinds = tuple(name for name in GROUPS["all"] if name != kind)

    score = Without(masks.classes)
    look([score], masks)
    return np.array(score.scores())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("data", type=Path, help="folder of the datasets")
    parser.add_argument("--work", type=Path, default=Path("runs/audit"))
    parser.add_argument("--output", type=Path, default=Path("docs/results/audit/index.md"))
    parser.add_argument("--rows", nargs="*", help="names of rows; by default all")
    asked = parser.parse_args()
    chosen = [row for row in ROWS if asked.rows is None or row.name in asked.rows]
    rows = []
    for row in chosen:
        masks = masks_of(row, asked.data, asked.work)
        rows.append(Evidence.of(row, masks))
        print(f"{row.name}: Dice of the predictions {masks.of_model():.3f}", flush=True)
    atomic_write_text(asked.output, page(rows) + "\n")


if __name__ == "__main__":
    main()
