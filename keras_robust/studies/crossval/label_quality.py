"""How far the masks that runs were trained on are from those they are measured against."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from keras_robust.data import Dataset
from keras_robust.data.layouts.labels import class_title
from keras_robust.metrics import dice
from keras_robust.scheduling.records import RunRecord
from keras_robust.studies.crossval.scores import is_reference, trained_on
from keras_robust.training.choosing import choose_cases

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["label_quality"]


def label_quality(runs: Sequence[RunRecord]) -> "pd.DataFrame":
    """Dice of training masks against clean ones: the paper's label noise quantification.

    Every image to train on (of all folds together) that both annotators drew, in its own size.
    Noise that is simulated while a run is prepared (`noise` in its configuration) is in the run's
    `noise.jsonl`, not here; nor are data sets that cannot be opened.

    Returns:
        Columns trained_on, id, label, dice; a structure in neither mask is left out. An image
        whose masks cannot be read has one row, with no label and no Dice.
    """
    import pandas as pd

    rows = []
    seen: set[tuple[object, object]] = set()
    for run in runs:
        data = run.config.get("data") or {}
        pair = (data.get("path"), data.get("annotator"), data.get("clean_annotator"))
        # Each image is outside some fold, so that the limit of a fold says nothing of their union.
        limit = None if data.get("fold") else data.get("train_limit")
        choice = (data.get("train_split"), limit, data.get("limit_seed", 0))
        if not all(pair) or (pair, choice) in seen or is_reference(run) or run.setting[0] > 0:
            continue
        seen.add((pair, choice))
        try:
            dataset = Dataset.open(str(pair[0]))
            own = choose_cases(dataset, str(pair[1]), *choice)
            clean = dataset.select(annotator=pair[2])
        except (OSError, ValueError):
            continue
        truth = {case.id: case for case in clean}
        for case in own:
            if case.id not in truth or (pair, case.id) in seen:
                continue
            seen.add((pair, case.id))
            row = {"trained_on": trained_on(run), "id": case.id}
            try:
                masks = own.read_mask(case), clean.read_mask(truth[case.id])
                options: dict[str, Any] = {
                    "classes": dataset.classes,
                    "ignore_label": dataset.ignore_label,
                }
                values = np.atleast_1d(dice(*masks, empty=np.nan, **options))
            except (OSError, ValueError):
                rows.append(row | {"label": "", "dice": np.nan})
                continue
            rows += [
                row | {"label": class_title(label, dataset.class_names), "dice": value}
                for label, value in enumerate(values, start=1)
                if np.isfinite(value)
            ]
    return pd.DataFrame(rows, columns=["trained_on", "id", "label", "dice"])
