"""The tables of a cross-validation: methods x measures, per class, and whether they differ."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from keras_robust.common.errors import invalid
from keras_robust.common.tables import read_frame
from keras_robust.metrics import Reliability
from keras_robust.reports.names import in_order
from keras_robust.scheduling.records import RunRecord
from keras_robust.studies.crossval.paired_tests import paired_tests
from keras_robust.studies.crossval.scores import (
    MEASURES,
    is_scored,
    label_titles,
    measure_title,
    natural,
    over_seeds,
    per_case,
    per_fold,
    trained_on,
)
from keras_robust.studies.statistics import SettingTest, compare
from keras_robust.studies.tables import label_of
from keras_robust.training.records.finished import RELIABILITY

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Comparison", "compare_methods", "reliabilities", "spread", "table1", "table2"]


def spread(values: Iterable[float], digits: int = 3) -> str:
    """Mean and sample standard deviation, the latter in units of the last digit.

    >>> spread([0.755, 0.761, 0.767]), spread([1.2, 1.4], 2), spread([0.7]), spread([])
    ('0.761(6)', '1.30(14)', '0.700', '–')
    """
    kept = [value for value in values if math.isfinite(value)]
    if not kept:
        return "–"
    mean = sum(kept) / len(kept)
    if len(kept) == 1:
        return f"{mean:.{digits}f}"
    variance = sum((value - mean) ** 2 for value in kept) / (len(kept) - 1)
    return f"{mean:.{digits}f}({round(math.sqrt(variance) * 10**digits)})"


def table1(scores: "pd.DataFrame") -> "pd.DataFrame":
    """Methods x measures, mean over classes and regions: the paper's Table 1.

    Each cell is the mean over folds, and over seeds, of the mean over the cases of a fold, with
    the standard deviation between them. `missed` counts the structures that are in one mask only,
    whose surface distance is infinite.
    """
    import numpy as np
    import pandas as pd

    columns = {}
    for measure, (_, digits) in MEASURES.items():
        if np.isfinite(scores[measure].astype(float)).any():
            values, title = per_fold(scores, measure), measure_title(scores, measure)
            columns[title] = {name: spread(row, digits) for name, row in values.iterrows()}
    methods = in_order(scores["method"])
    table = pd.DataFrame(columns).reindex(methods).fillna("–")
    if missed := _missed(scores):
        table["missed"] = [missed[method] for method in methods]
    table.index.name = "Method"
    return table


def table2(scores: "pd.DataFrame") -> "pd.DataFrame":
    """Methods x classes and regions, each with all measures and `missed`: the paper's Table 2."""
    import numpy as np
    import pandas as pd

    methods, index = in_order(scores["method"]), []
    rows: list[Mapping[str, object]] = []
    titles = label_titles(scores)
    for label in natural(scores["label"]):
        for measure, (_, digits) in MEASURES.items():
            own = scores[scores["label"] == label]
            if not np.isfinite(own[measure].astype(float)).any():
                continue
            values = per_fold(scores, measure, label)
            cells = {name: spread(row, digits) for name, row in values.iterrows()}
            rows.append({method: cells.get(method, "–") for method in methods})
            index.append(f"{titles[label]}: {measure_title(scores, measure)}")
        if missed := _missed(scores[scores["label"] == label]):
            rows.append(missed)
            index.append(f"{titles[label]}: missed")
    return pd.DataFrame(rows, index=pd.Index(index, name="Class"), columns=methods).T.rename_axis(
        "Method"
    )


def _missed(scores: "pd.DataFrame") -> dict[str, int]:
    """By method, how many structures are in one mask only; empty where none is."""
    import numpy as np

    found = np.isinf(scores["asd"].astype(float)).groupby(scores["method"]).sum()
    return {method: int(count) for method, count in found.items()} if found.any() else {}


@dataclass(frozen=True)
class Comparison:
    """Whether the methods of one setting differ in one measure.

    Attributes:
        setting: Whose masks they were trained on.
        baseline: The method that the paired tests compare with.
        folds: ANOVA and Tukey's HSD over folds, each the mean over its seeds (without folds, over
            seeds); the reference, and single peers of methods that are there with both, are left
            out.
        paired_cases: Wilcoxon's signed-rank test over cases; see `paired_tests`.
        paired_folds: Paired t-test over folds.
    """

    setting: str
    baseline: str
    folds: SettingTest
    paired_cases: "pd.DataFrame"
    paired_folds: "pd.DataFrame"


def compare_methods(
    scores: "pd.DataFrame", setting: str, baseline: str | None = None, measure: str = "dice"
) -> Comparison:
    """Test the methods of one setting against each other and against the baseline.

    Args:
        scores: Of the methods of the setting, and of the reference.
        setting: Its name.
        baseline: A method; by default "Baseline", else CE+Dice, else the first.
        measure: A key of `MEASURES`.

    Raises:
        ValueError: There is no such method.
    """
    methods = in_order(scores.loc[scores["trained_on"] == setting, "method"])
    if baseline is None:
        preferred = [name for name in ("Baseline", "CE+Dice") if name in methods]
        baseline = (preferred or methods)[0]
    elif baseline not in methods:
        raise invalid("baseline", f"one of {methods}", baseline)
    values = over_seeds(per_fold(scores, measure))
    folds = {
        method: {fold: float(value) for fold, value in values.loc[method].dropna().items()}
        for method in values.index
    }
    return Comparison(
        setting,
        baseline,
        compare(
            {
                method: list(folds.get(method, {}).values())  # none where every one is infinite
                for method in methods
                if not method.endswith("(one peer)")
            },
            unit="fold",
        ),
        paired_tests(per_case(scores, measure), baseline),
        paired_tests(folds, baseline, "t"),
    )


def reliabilities(runs: Sequence[RunRecord]) -> dict[tuple[str, str], dict[str, Reliability]]:
    """Confidence and correctness over all folds: (trained on, method) -> label -> bins."""

    found: dict[tuple[str, str], dict[str, Reliability]] = {}
    for run in runs:
        if not is_scored(run, RELIABILITY):
            continue
        own = found.setdefault((trained_on(run), label_of(run)), {})
        content = run.content(RELIABILITY)
        options = {"dtype": {"label": str}, "keep_default_na": False}
        table = read_frame(run.folder / RELIABILITY, content, **options)
        for label, rows in table.groupby("label"):
            rows = rows.sort_values("bin")
            columns = (rows[name].to_numpy() for name in ("count", "total_confidence", "correct"))
            bins = Reliability(*columns)
            own[str(label)] = own[str(label)] + bins if str(label) in own else bins
    return found
