"""The report of a demonstration: a few losses at one noise setting, in one readable page."""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from keras_robust.common.errors import invalid
from keras_robust.common.files import atomic_write_text
from keras_robust.reports import page as html
from keras_robust.reports.names import in_order
from keras_robust.scheduling.records import RunRecord, find_runs
from keras_robust.studies import curves as figures
from keras_robust.studies.panels import mask_panels
from keras_robust.studies.tables import label_of, setting_label


def write_demo_report(
    runs: Sequence[str | Path], output: str | Path, title: str = "Training on noisy masks"
) -> Path:
    """Compare runs of one noise setting, one per loss: table, learning curves, ν, masks.

    The page says what was measured, whichever loss is ahead.

    Args:
        runs: Run folders, one per loss.
        output: The HTML file; it is self-contained.
        title: Heading of the page.

    Returns:
        `output`.

    Raises:
        ValueError: If there is no run, or the runs differ in their label noise.
    """
    records = find_runs(runs)
    settings = {run.setting for run in records}
    if len(settings) > 1:
        raise invalid(
            "runs",
            "runs of one noise setting",
            said=" and ".join(setting_label(s) for s in sorted(settings)),
            remedy="Use write_report.",
        )
    order = in_order(label_of(run) for run in records)
    records.sort(key=lambda run: order.index(label_of(run)))
    parts = [html.paragraph(_introduction(records))]
    parts += [html.heading("What was measured"), html.table(_table(records), index=True)]
    parts.append(html.paragraph(_explanation(records), "soft"))
    parts += [html.paragraph(sentence) for sentence in _findings(records)]
    parts += _curves(records) + _tolerance(records) + _masks(records)
    return atomic_write_text(Path(output), html.page(title, parts))


def _introduction(runs: Sequence[RunRecord]) -> str:
    alpha, beta = runs[0].setting
    labels = " and ".join(label_of(run) for run in runs)
    noise = (
        f"{alpha:.0%} of the training masks were dilated, eroded or displaced so that their area "
        f"differs by {beta:.0%}"
        if alpha
        else "the training masks were left as they are"
    )
    return (
        f"The same network was trained with {labels}; {noise}. All numbers compare predictions "
        "with clean masks, those of held-out test images and those of the training images."
    )


def _table(runs: Sequence[RunRecord]) -> pd.DataFrame:
    rows = []
    for run in runs:
        nu = run.history["nu"].dropna() if "nu" in run.history else pd.Series(dtype=float)
        rows.append(
            {
                "test Dice": _number(run.mean_of_last("dice_test")),
                "test Dice, all pixels pooled": _number(run.mean_of_last("dice_test_pooled")),
                "training images": _number(run.mean_of_last("dice_train")),
                "… with noisy masks": _number(_noisy(run)),
                "final ν": f"{nu.iloc[-1]:.4g}" if len(nu) else "–",
                "time": f"{run.history['seconds'].sum() / 60:.1f} min",
                "status": run.status,
            }
        )
    table = pd.DataFrame(rows, index=pd.Index([label_of(run) for run in runs], name="Loss"))
    return table.drop(columns="status") if set(table["status"]) == {"finished"} else table


def _number(value: float) -> str:
    return f"{value:.3f}" if value == value else "–"


def _noisy(run: RunRecord) -> float:
    """Mean over the kinds of noise of the Dice on training images whose mask was corrupted."""
    columns = [name for name in figures.KINDS if name != "dice_train_clean"]
    return float(pd.Series([run.mean_of_last(name) for name in columns]).mean())


def _explanation(runs: Sequence[RunRecord]) -> str:
    return (
        f"Dice, mean over images and over the last {runs[0].last_epochs} epochs; pooled: one Dice "
        "over the pixels of all test images. Training images: Dice of the predictions against the "
        "clean masks, over all of them and as the mean over the kinds of noise."
    )


def _findings(runs: Sequence[RunRecord]) -> list[str]:
    dice = {label_of(run): run.mean_of_last("dice_test") for run in runs}
    ranked = sorted((x for x in dice if dice[x] == dice[x]), key=lambda x: dice[x], reverse=True)
    if len(ranked) < 2:
        return ["There are not two finished runs to compare yet."]
    first, second = ranked[:2]
    sentences = [
        f"{first} reached the higher test Dice in this run: {dice[first]:.3f} against "
        f"{dice[second]:.3f} of {second}, a difference of {dice[first] - dice[second]:.3f}."
    ]
    wins = _wins(runs, first, second)
    if wins:
        sentences[0] += f" {first} is better on {wins[0]} of {wins[1]} test images."
    seeds = {run.seed for run in runs}
    if len(seeds) == 1:
        sentences.append(
            "This is one seed on few images: which loss is ahead may change with the seed. "
            "The command keras-robust benchmark repeats it over seeds and tests the difference."
        )
    return sentences


def _wins(runs: Sequence[RunRecord], first: str, second: str) -> tuple[int, int] | None:
    per_image = {}
    for run in runs:
        if len(run.tested):
            per_image[label_of(run)] = run.tested.set_index("id")["dice"]
    if first not in per_image or second not in per_image:
        return None
    both = pd.concat([per_image[first], per_image[second]], axis=1, join="inner").dropna()
    return int((both.iloc[:, 0] > both.iloc[:, 1]).sum()), len(both)


def _curves(runs: Sequence[RunRecord]) -> list[str]:
    parts = []
    for columns, what in (
        ({"dice_train": "all training images"}, "over all training images"),
        (figures.KINDS, "by kind of noise in their masks"),
    ):
        figure = figures.memorisation(runs, columns)
        if figure is not None:
            caption = f"Dice of the predictions on the training images, {what}."
            content = html.png(figure)
            parts.append(html.picture(content, caption, caption, figure.get_figwidth()))
    if not parts:
        return []
    text = (
        "Where a curve falls again, the model learns the wrong masks by heart. It takes many "
        "passes over the images before that shows."
    )
    return [html.heading("Learning curves"), html.paragraph(text), *parts]


def _tolerance(runs: Sequence[RunRecord]) -> list[str]:
    parts = []
    for run in runs:
        figure = figures.tolerance([run], [])
        if figure is not None:
            caption = f"{label_of(run)}: ν̃ = ln ν, trained together with the weights."
            content = html.png(figure)
            parts.append(html.picture(content, caption, caption, figure.get_figwidth()))
    return [html.heading("The tolerance ν over time"), *parts] if parts else []


def _masks(runs: Sequence[RunRecord]) -> list[str]:
    finished = [run for run in runs if run.status == "finished"]
    if not finished:
        return []
    try:
        figure = mask_panels(finished, cell_inches=2.0)
    except (OSError, ValueError, LookupError) as error:
        return [
            html.paragraph(f"The images behind the predictions cannot be read. {error}", "note")
        ]
    if figure is None:
        return []
    caption = "Numbers are the Dice against the clean mask."
    picture = html.picture(
        html.png(figure), "Images, masks and predictions", caption, figure.get_figwidth()
    )
    return [html.heading("Masks and predictions"), picture]
