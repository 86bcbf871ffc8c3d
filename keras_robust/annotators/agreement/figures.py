"""Pictures of agreement: who agrees with whom, and where annotators differ most."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from numpy.typing import NDArray

from keras_robust.annotators.agreement.measure import Agreement
from keras_robust.data import Case
from keras_robust.reports.look import style, to_rgb

__all__ = ["disagreement_panels", "distributions", "heat_map"]

# Okabe and Ito's, which colour-blind readers tell apart, without those lost on dark images.
COLOURS = ("#E69F00", "#56B4E9", "#009E73", "#CC79A7", "#F0E442", "#D55E00", "#0072B2", "#FFFFFF")
LINES = ("solid", "dashed", "dotted")
# Beyond so many annotators numbers in the cells of the heat map are too small to read.
READABLE = 20


def heat_map(found: Agreement) -> Figure:
    """Mean Dice of every pair; grey where they have no image in common."""
    names = found.annotators
    place = {name: number for number, name in enumerate(names)}
    values = np.full((len(names),) * 2, np.nan)
    counts = np.zeros_like(values, dtype=int)
    for pair in found.pairs.to_dict("records"):
        a, b = place[pair["annotator_a"]], place[pair["annotator_b"]]
        values[a, b] = values[b, a] = pair["dice"]
        counts[a, b] = counts[b, a] = pair["images"]
    with style():
        side = min(2.6 + (0.52 if len(names) <= READABLE else 0.24) * len(names), 15)
        figure = Figure(figsize=(side + 1, side), layout="constrained")
        axes = figure.subplots()
        axes.set_facecolor("#DDDDDD")
        axes.grid(False)
        low = min(float(np.nanmin(values)), 0.9)
        image = axes.imshow(values, cmap="cividis", vmin=low, vmax=1)
        size = 9 if len(names) <= READABLE else 6
        axes.set_xticks(range(len(names)), names, rotation=90, fontsize=size)
        axes.set_yticks(range(len(names)), names, fontsize=size)
        if len(names) <= READABLE:
            for a, b in zip(*np.nonzero(counts), strict=True):
                bright = values[a, b] > low + 0.55 * (1 - low)
                text = f"{values[a, b]:.2f}\n{counts[a, b]}"
                colour = "black" if bright else "white"
                axes.text(b, a, text, ha="center", va="center", fontsize=7, color=colour)
        figure.colorbar(image, ax=axes, label="mean Dice", shrink=0.8)
    return figure


def distributions(found: Agreement) -> Figure:
    """Per annotator, the spread over images of the mean Dice with the others."""
    table = found.with_others
    names = [name for name in found.annotators if (table["annotator"] == name).any()]
    data = [table.loc[table["annotator"] == name, "dice"].to_numpy() for name in names]
    groups = list(found.groups)
    with style():
        figure = Figure(figsize=(9, 1.2 + 0.27 * len(names)), layout="constrained")
        axes = figure.subplots()
        labels = [f"{name}  ({len(values)})" for name, values in zip(names, data, strict=True)]
        boxes = axes.boxplot(
            data,
            orientation="horizontal",
            tick_labels=labels,
            patch_artist=True,
            widths=0.7,
            flierprops={"markersize": 2.5, "markeredgecolor": "#777777"},
            medianprops={"color": "black"},
        )
        for name, box in zip(names, boxes["boxes"], strict=True):
            group = next(i for i, g in enumerate(groups) if name in found.groups[g])
            box.set_facecolor(COLOURS[group % len(COLOURS)])
            box.set_alpha(0.75)
        axes.invert_yaxis()
        axes.set_xlabel("mean Dice with the others, per image (number of images in brackets)")
        if len(groups) > 1:
            handles = [
                Line2D([], [], marker="s", linestyle="", markersize=8, color=colour, label=group)
                for group, colour in zip(groups, COLOURS, strict=False)
            ]
            figure.legend(handles=handles, loc="outside upper center", ncols=4, fontsize=9)
    return figure


def disagreement_panels(found: Agreement, count: int = 12, columns: int = 4) -> Figure:
    """The images of least agreement with the contours of all masks.

    Of a volume the slice in which the annotators differ most is shown.

    Args:
        found: The agreement.
        count: At most so many images.
        columns: Images per row.
    """
    worst = found.images.head(count).to_dict("records")
    cases: dict[str, list[Case]] = {}
    for case in found.dataset:
        if case.annotator in found.annotators:
            cases.setdefault(case.id, []).append(case)
    looks = _looks(found.groups)
    rows = -(-len(worst) // columns)
    with style():
        size = (2.9 * columns, 3.2 * rows + 0.3 + 0.22 * -(-len(looks) // 4))
        figure = Figure(figsize=size, layout="constrained")
        axes = figure.subplots(rows, columns, squeeze=False).ravel()
        for axis in axes:
            axis.set_axis_off()
        for axis, row in zip(axes, worst, strict=False):
            drawn = cases[row["id"]]
            image, masks = _view(found, drawn)
            axis.imshow(to_rgb(image), interpolation="nearest")
            for case, mask in zip(drawn, masks, strict=True):
                colour, line = looks[_look_of(case.annotator, found.groups)]
                for label in np.unique(mask[mask > 0]):
                    inside = (mask == label).astype(float)
                    axis.contour(inside, [0.5], colors=colour, linestyles=line, linewidths=1.1)
            title = f"{row['id']}\nDice {row['dice']:.2f}, {row['annotators']} masks"
            axis.set_title(title, fontsize=8)
        handles = [
            Line2D([], [], color=colour if colour != "#FFFFFF" else "#999999", linestyle=line,
                   label=name)
            for name, (colour, line) in looks.items()
        ]  # fmt: skip
        figure.legend(handles=handles, loc="outside lower center", ncols=4, fontsize=8)
    return figure


def _looks(groups: Mapping[str, Sequence[str]]) -> dict[str, tuple[str, Any]]:
    """Colour and line by group, or by annotator where there is one group."""
    names = list(groups) if len(groups) > 1 else [name for g in groups.values() for name in g]
    return {
        name: (COLOURS[i % len(COLOURS)], LINES[i // len(COLOURS) % len(LINES)])
        for i, name in enumerate(names)
    }


def _look_of(annotator: str, groups: Mapping[str, Sequence[str]]) -> str:
    return annotator if len(groups) == 1 else next(g for g in groups if annotator in groups[g])


def _view(found: Agreement, cases: Sequence[Case]) -> tuple[NDArray, list[NDArray]]:
    """Image (H, W, C) and masks (H, W), cut to the masks' box with a margin."""
    image = found.dataset.read_image(cases[0])
    masks = [found.dataset.read_mask(case) for case in cases]
    if found.dataset.ignore_label is not None:
        masks = [np.where(mask == found.dataset.ignore_label, 0, mask) for mask in masks]
    if masks[0].ndim == 3:
        differing = np.any([mask != masks[0] for mask in masks[1:]], axis=0)
        axis = int(np.argmin(masks[0].shape))
        others = tuple(i for i in range(3) if i != axis)
        at = int(differing.sum(axis=others).argmax())
        image = np.take(image, at, axis=axis)
        masks = [np.take(mask, at, axis=axis) for mask in masks]
    drawn = np.argwhere(np.any(masks, axis=0))
    if not len(drawn):
        return image, masks
    margin = max(8, int(0.15 * np.ptp(drawn, axis=0).max()))
    start = np.maximum(drawn.min(axis=0) - margin, 0)
    stop = drawn.max(axis=0) + margin + 1
    box = tuple(slice(low, high) for low, high in zip(start, stop, strict=True))
    return image[box], [mask[box] for mask in masks]
