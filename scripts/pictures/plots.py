"""Plots of what the project computes, and of the figures that are committed in docs/results."""

import csv
import json
from pathlib import Path

import numpy as np
from drawing import IMAGES, save, shrink
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from PIL import Image

RESULTS = Path(__file__).resolve().parents[2] / "docs" / "results"
LINE, MARK = "#2b59a0", "#d1600a"


def _axes(width: float, height: float, columns: int = 1) -> tuple[Figure, list[Axes]]:
    figure = Figure(figsize=(width, height), layout="constrained")
    found = np.atleast_1d(figure.subplots(1, columns))
    for axes in found:
        axes.spines[["top", "right"]].set_visible(False)
    return figure, list(found)


def _rows(name: str) -> list[dict[str, str]]:
    with (RESULTS / name).open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def agreement() -> None:
    """Mean Dice of every two who drew the same images, as `keras-robust agree` writes it."""
    rows = _rows("agreement/agreement.csv")
    names = list(
        dict.fromkeys(row[side] for row in rows for side in ("annotator_a", "annotator_b"))
    )
    order = ("gold", "expert", "crowd")
    names.sort(key=lambda name: next(n for n, start in enumerate(order) if name.startswith(start)))
    table = np.eye(len(names))
    table[table == 0] = np.nan
    for row in rows:
        first, second = names.index(row["annotator_a"]), names.index(row["annotator_b"])
        table[first, second] = table[second, first] = float(row["dice"] or "nan")
    figure, (axes,) = _axes(6.4, 4.6)
    shown = axes.imshow(table, cmap="viridis", vmin=0.5, vmax=1)
    sizes = [sum(name.startswith(start) for name in names) for start in order]
    ends = np.cumsum(sizes)
    ticks = [end - size / 2 - 0.5 for end, size in zip(ends, sizes, strict=True)]
    titles = ["gold", f"{sizes[1]} experts", f"{sizes[2]} of a crowd"]
    axes.set_xticks(ticks, titles)
    axes.set_yticks(ticks, titles)
    for end in ends[:-1]:
        axes.axhline(end - 0.5, color="white", linewidth=2)
        axes.axvline(end - 0.5, color="white", linewidth=2)
    axes.set_title("Mean Dice between annotators", loc="left", fontsize=11, weight="bold")
    figure.colorbar(shown, ax=axes, shrink=0.8)
    save(figure, "agreement")


def methods() -> None:
    """Dice of methods in a cross-validation, as `keras-robust crossval` tables it."""
    rows = [row for row in _rows("nnrobustloss/hippocampus_seeds/table1_noisy-d0.7-s0.csv")
            if "one peer" not in row["Method"]]  # fmt: skip
    values = [row["Dice"].split("(") for row in rows]
    dice = [float(value) for value, _ in values]
    spread = [float(part.rstrip(")")) / 1000 for _, part in values]
    figure, (axes,) = _axes(8, 3.8)
    places = np.arange(len(rows))[::-1]
    colours = [MARK if "Baseline" in row["Method"] else LINE for row in rows]
    axes.errorbar(dice, places, xerr=spread, fmt="none", ecolor="#9aa3af")
    axes.scatter(dice, places, c=colours, zorder=3)
    axes.set_yticks(places, [row["Method"] for row in rows])
    axes.axvline(dice[1], color=MARK, linewidth=0.8, linestyle=":")
    axes.set_xlabel("Dice on held-out volumes, mean and deviation between folds and seeds")
    axes.grid(axis="x", alpha=0.3)
    save(figure, "compare-robust-methods")


def equal_plans() -> None:
    """Patches and batches that nnU-Net plans for random fingerprints, and those planned otherwise
    here."""
    found = json.loads((RESULTS / "nnunet" / "plans.json").read_text(encoding="utf-8"))
    figure, (axes,) = _axes(8, 3.6)
    for name, colour in (("2d", "#8a93a0"), ("3d_fullres", LINE), ("3d_lowres", MARK)):
        plans = [one["nnunet"][name] for one in found["fingerprints"] if name in one["nnunet"]]
        patches, batches = zip(*((np.prod(p["patch"]), p["batch"]) for p in plans), strict=True)
        axes.scatter(patches, batches, s=18, alpha=0.6, color=colour,
                     label=f"{name}: {len(plans)} plans")  # fmt: skip
    axes.set(xscale="log", yscale="log", xlabel="pixels or voxels of the patch",
             ylabel="images in a batch")  # fmt: skip
    count = len(found["fingerprints"])
    axes.set_title(f"{count} random data sets as nnU-Net 2.8 plans them, {found['equal']} of them "
                   "equal here", loc="left", fontsize=10, weight="bold")  # fmt: skip
    axes.legend(frameon=False)
    axes.grid(alpha=0.3)
    save(figure, "differences-from-nnunet")


def parity() -> None:
    """How far tensorflow-addons and what takes its place differ."""
    found = json.loads((RESULTS / "addons_parity.json").read_text(encoding="utf-8"))["rows"]
    rows = [row for row in found if row.get("max_relative") is not None]
    figure, (axes,) = _axes(8, 4.4)
    places = np.arange(len(rows))[::-1]
    least = 1e-9
    axes.scatter([max(row["max_relative"], least) for row in rows], places, color=LINE,
                 label="measured", zorder=3)  # fmt: skip
    axes.scatter([row["accepted_relative"] for row in rows], places, color=MARK, marker="|", s=120,
                 label="accepted")  # fmt: skip
    axes.set_yticks(places, [row["row"].replace("_", " ") for row in rows])
    axes.set(xscale="log", xlabel="largest relative difference (0 at the left edge)")
    axes.grid(axis="x", alpha=0.3)
    axes.legend(frameon=False)
    save(figure, "migrating")


def hippocampus() -> None:
    """The training of docs/how-to/from-nifti-to-report.md, and its test volumes."""
    rows = _rows("hippocampus/history.csv")
    tested = _rows("hippocampus/test.csv")
    figure, (left, right) = _axes(8, 3.2, 2)
    for column, title, colour in (("pseudo_dice_train_1", "anterior", LINE),
                                  ("pseudo_dice_train_2", "posterior", MARK)):  # fmt: skip
        epochs = [int(row["epoch"]) for row in rows if row[column]]
        left.plot(epochs, [float(row[column]) for row in rows if row[column]], color=colour,
                  label=title)  # fmt: skip
    left.set(xlabel="epoch", ylabel="Dice on training patches")
    left.legend(frameon=False)
    for column, colour in (("dice_1", LINE), ("dice_2", MARK)):
        values = sorted(float(row[column]) for row in tested)
        right.plot(np.arange(1, len(values) + 1), values, ".", color=colour)
    right.set(xlabel=f"{len(tested)} test volumes, worst first", ylabel="Dice")
    for axes in (left, right):
        axes.grid(alpha=0.3)
    save(figure, "from-nifti-to-report")


def network() -> None:
    """The network that a plan asks for, of the packaged images."""
    from keras_robust import data, planning
    from keras_robust.planning.fingerprint import fingerprint

    dataset = data.sample().select(split="train")
    plan = planning.make_plan(fingerprint(dataset), memory_gib=8)
    figure = Figure(figsize=(9, 3.6))
    axes = figure.add_axes((0, 0, 1, 1))
    shape = np.array(plan.patch_size)
    levels, left = [], 4.0
    for features, stride in zip(plan.features, [[1] * len(shape), *plan.strides], strict=True):
        shape = shape // np.array(stride)
        levels.append((features, shape))
    count = 2 * len(levels) - 1
    width = 84 / count - 0.9
    for number in range(count):
        features, size = levels[min(number, count - 1 - number)]
        height = 22 * np.sqrt(size[0] / plan.patch_size[0])
        x, y = left + number * (width + 0.9), 19 - height / 2
        colour = "#dbe7f6" if number < len(levels) else "#d9efe3"
        axes.add_patch(Rectangle((x, y), width, height, facecolor=colour, edgecolor="#9aa3af"))
        axes.text(x + width / 2, 19, str(features), ha="center", va="center", fontsize=9)
        axes.text(x + width / 2, y - 1.8, "×".join(map(str, size)), ha="center", fontsize=7.5)
    axes.set(xlim=(0, 92), ylim=(0, 36))
    axes.axis("off")
    axes.text(4, 33, f"Planned for {len(dataset.ids)} packaged images: patches of "
              f"{' × '.join(map(str, plan.patch_size))}, batches of {plan.batch_size}; in each "
              "level its features, below its size", fontsize=9)  # fmt: skip
    save(figure, "plan")


def mistakes() -> None:
    """One lesion with the errors that `keras-robust simulate --kinds` can draw."""
    kinds = ("dilate", "erode", "affine", "rotate", "hole", "leak", "polygon", "mirror")
    folder = IMAGES.parent / "noise"
    pictures = [Image.open(folder / f"{kind}.png").convert("RGB") for kind in kinds]
    figure = Figure(figsize=(8, 4.4), layout="constrained")
    for axes, kind, picture in zip(figure.subplots(2, 4).ravel(), kinds, pictures, strict=True):
        axes.imshow(picture)
        axes.set_title(kind, fontsize=10)
        axes.axis("off")
    save(figure, "simulate-noise")


def curves() -> None:
    """The figure of a study that shows losses learning wrong masks by heart."""
    picture = Image.open(RESULTS / "tloss" / "isic" / "figure1.png").convert("RGB")
    path = IMAGES / "memorised.png"
    picture.resize((1400, round(1400 * picture.height / picture.width))).save(path)
    shrink(path)


ALL = (agreement, methods, equal_plans, parity, hippocampus, mistakes, curves, network)
