"""The report of the demonstration: what was found, and what it changes."""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from keras_robust.audit.panels import ERROR_COLOURS, MASK_COLOUR, PREDICTION_COLOUR, panel
from keras_robust.common.files import atomic_write_bytes, atomic_write_text
from keras_robust.data import Case
from keras_robust.noise import NOISES
from keras_robust.reports import page as html
from keras_robust.reports.look import style, to_rgb

if TYPE_CHECKING:
    from keras_robust.demo.run import Demo

__all__ = ["demo_picture", "write_demo_report"]

_CLEAN_COLOUR = "#009E73"  # of Okabe and Ito, beside those of mask and prediction
SHOWN = 5


def write_demo_report(demo: "Demo") -> Path:
    """Write `report.html`, which is self-contained, and `demo.png` beside it."""
    content = html.png(demo_picture(demo))
    atomic_write_bytes(demo.folder / "demo.png", content)
    parts = [*_found(demo, content), *_changed(demo), *_looked_at(demo), *_next(demo)]
    page = html.page("Wrong masks, found and repaired", parts)
    return atomic_write_text(demo.folder / "report.html", page)


def _found(demo: "Demo", picture: bytes) -> list[str]:
    first, chance = len(demo.looked_at), len(demo.wrong) / len(demo.found.cases)
    sentences = [
        f"Of {len(demo.found.cases)} training masks {len(demo.wrong)} were made wrong, in "
        f"{len(demo.done)} ways in which people make them wrong, each as often as chance has it. "
        f"An audit ranked all of them, without being told which. Of the {first} that it ranks "
        f"first, {demo.hits} are wrong; {chance * first:.0f} would be by chance.",
        "A reviewer who looks at these alone, "
        f"{first / len(demo.found.cases):.0%} of the masks, repairs "
        f"{demo.hits / max(1, len(demo.wrong)):.0%} of what is wrong.",
    ]
    rows = [
        {
            "mistake": NOISES[kind].title,
            "masks": count,
            f"among the first {first}": sum(
                demo.kinds[id] == kind for id in demo.wrong & set(demo.looked_at)
            ),
        }
        for kind, count in demo.done.items()
    ]
    caption = "Wrong masks ranked first, where the audit sees the error, and repaired."
    return [
        html.heading("What was found"),
        *map(html.paragraph, sentences),
        html.picture(picture, caption, caption, 10.0),
        html.table(pd.DataFrame(rows), text=["mistake"], index=False),
    ]


def _changed(demo: "Demo") -> list[str]:
    rows = []
    for name, run in demo.runs.items():
        rows.append(
            {
                "trained with": demo.title(name),
                "test Dice": f"{demo.dice(name):.3f}",
                "on training images": f"{run.mean_of_last('dice_train'):.3f}",
                "time": f"{run.history['seconds'].sum() / 60:.1f} min",
            }
        )
    tested = len(next(iter(demo.runs.values())).tested)
    text = (
        "The same network, trained on the masks as they are with the usual loss and with a robust "
        "one; on soft targets, which the audit puts between mask and prediction where it is sure "
        f"that a mask is wrong; and with the usual loss once the {len(demo.looked_at)} masks were "
        "looked at and the wrong ones among them repaired. Dice against clean masks, of "
        f"{tested} test images and of the training images; mean of the last epochs."
    )
    caution = (
        "One seed on few images shows how it works, not which is better: differences below about "
        "0.02 may change with the seed. keras-robust compare repeats it in folds and tests them."
    )
    return [
        html.heading("What it changes"),
        html.paragraph(text),
        html.table(pd.DataFrame(rows), text=["trained with"], index=False),
        html.paragraph(caution, "soft"),
    ]


def _looked_at(demo: "Demo") -> list[str]:
    dataset, entries = demo.dataset, []
    cases = {case.id: case for case in dataset.select(annotator=demo.found.annotators[0])}
    for case in demo.found.cases[: len(demo.looked_at)]:
        drawn = cases[case.id]
        content, _ = panel(
            dataset.read_image(drawn),
            dataset.read_mask(drawn),
            demo.found.labels(case.id, drawn.image),
            demo.found.error_map(case.id, case.annotator),
        )
        verdict = f"wrong ({demo.kinds[case.id]})" if case.id in demo.wrong else "right"
        lines = [f"The audit says: {case.kind}; score {case.score:.3f}.", f"In truth {verdict}."]
        entries.append(html.card(f"{case.rank}. {case.id}", content, case.id, lines))
    legend = [(MASK_COLOUR, "mask"), (PREDICTION_COLOUR, "prediction")]
    return [
        html.heading(f"The {len(entries)} most suspicious masks"),
        html.key(legend),
        html.cards(entries),
    ]


def _next(demo: "Demo") -> list[str]:
    folder = demo.folder
    return [
        html.heading("Next"),
        html.bullets(
            [
                "Review exactly these in napari: "
                f"keras-robust view {folder / 'data'} --audit {folder / 'audit'}",
                "The same for masks of your own: keras-robust audit DATASET",
                "Which loss bears them: keras-robust compare DATASET --losses ce+dice t+dice",
            ]
        ),
    ]


def demo_picture(demo: "Demo", shown: int = SHOWN) -> Figure:
    """The first wrong masks of different kinds: as they were drawn, where the audit sees the
    error, and repaired.

    Args:
        demo: Finished.
        shown: Masks at most.
    """
    dataset = demo.dataset
    chosen = _of_different_kinds(demo, shown)
    by = {a: {c.id: c for c in dataset.select(annotator=a)} for a in dataset.annotators}
    judged = demo.found.annotators[0]
    rows = (("as annotated", MASK_COLOUR), ("error, as the audit sees it", ""),
            ("repaired", _CLEAN_COLOUR))  # fmt: skip
    with style():
        figure = Figure(figsize=(2.0 * len(chosen), 6.4), layout="constrained")
        axes = np.atleast_2d(figure.subplots(len(rows), len(chosen), squeeze=False))
        for column, id in enumerate(chosen):
            image = to_rgb(dataset.read_image(by[judged][id]))
            pictures = [image, demo.found.error_map(id, judged), image]
            drawn = [by[judged][id], None, by["repaired"][id]]
            for row, (axis, picture) in enumerate(zip(axes[:, column], pictures, strict=True)):
                axis.imshow(picture, cmap=ERROR_COLOURS, vmin=0, vmax=255)
                _outline(axis, dataset, drawn[row], rows[row][1])
                axis.set_xticks([])
                axis.set_yticks([])
                axis.grid(False)
            rank = demo.looked_at.index(id) + 1
            axes[0, column].set_title(f"rank {rank}: {demo.kinds[id].replace('_', ' ')}", size=9)
        for row, (text, _) in enumerate(rows):
            axes[row, 0].set_ylabel(text, size=9)
    return figure


def _of_different_kinds(demo: "Demo", most: int) -> list[str]:
    """Wrong masks by rank, the first of every kind before the second of any."""
    seen: dict[str, int] = {}
    ranked = []
    for rank, id in enumerate(demo.looked_at):
        if id in demo.wrong:
            kind = demo.kinds[id]
            ranked.append((seen.get(kind, 0), rank, id))
            seen[kind] = seen.get(kind, 0) + 1
    return [id for _, _, id in sorted(sorted(ranked)[:most], key=lambda one: one[1])]


def _outline(axis, dataset, case: Case | None, colour: str) -> None:
    if case is None:
        return
    mask = dataset.read_mask(case) > 0
    if mask.any() and not mask.all():
        axis.contour(np.pad(mask, 1)[1:-1, 1:-1], [0.5], colors=["black"], linewidths=3.0)
        axis.contour(mask, [0.5], colors=[colour], linewidths=1.8)
