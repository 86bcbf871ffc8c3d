"""How pictures of the documentation look: on white paper, which both themes of the site show."""

from pathlib import Path

import matplotlib

matplotlib.use("agg")
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch
from PIL import Image

IMAGES = Path(__file__).resolve().parents[2] / "docs" / "images" / "how-to"
BLUE, ORANGE, GREEN, GREY, INK = "#dbe7f6", "#fbe3cf", "#d9efe3", "#eef0f3", "#1c1e22"
COLOURS = 256  # of the palette of a picture, which makes it a third as large


def save(figure: Figure, name: str) -> None:
    """Write a figure as a small PNG."""
    path = IMAGES / f"{name}.png"
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=130, facecolor="white")
    shrink(path)


def shrink(path: Path) -> None:
    """Write a picture again with fewer colours."""
    picture = Image.open(path).convert("RGB")
    picture.quantize(COLOURS, Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE).save(
        path, optimize=True
    )


def canvas(width: float = 9.0, height: float = 3.2) -> tuple[Figure, Axes]:
    """An empty sheet in which a unit is a tenth of an inch."""
    figure = Figure(figsize=(width, height))
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set(xlim=(0, 10 * width), ylim=(0, 10 * height))
    axes.axis("off")
    return figure, axes


def box(
    axes: Axes,
    at: tuple[float, float],
    size: tuple[float, float],
    text: str,
    colour: str = BLUE,
    code: str = "",
) -> None:
    """A box, its words in the middle, what is typed in a line below."""
    (x, y), (width, height) = at, size
    style = "round,pad=0,rounding_size=1.2"
    axes.add_patch(FancyBboxPatch(at, width, height, style, facecolor=colour, edgecolor="#9aa3af"))
    middle = x + width / 2, y + height / 2
    axes.text(
        middle[0],
        middle[1] + (0.18 * height if code else 0),
        text,
        ha="center",
        va="center",
        fontsize=10,
        color=INK,
    )
    if code:
        axes.text(middle[0], middle[1] - 0.24 * height, code, ha="center", va="center", fontsize=8,
                  family="monospace", color="#3b4252")  # fmt: skip


def group(axes: Axes, at: tuple[float, float], size: tuple[float, float]) -> None:
    """A frame around boxes of which one is taken."""
    style = "round,pad=0,rounding_size=1.2"
    axes.add_patch(
        FancyBboxPatch(at, *size, style, facecolor="none", edgecolor="#9aa3af", linestyle="--")
    )


def arrow(axes: Axes, start: tuple[float, float], end: tuple[float, float], text: str = "",
          both: bool = False, bend: float = 0.0) -> None:  # fmt: skip
    """From one point to another, with words above its middle."""
    axes.add_patch(
        FancyArrowPatch(start, end, arrowstyle="<|-|>" if both else "-|>", mutation_scale=11,
                        color="#5b6573", connectionstyle=f"arc3,rad={bend}", linewidth=1.2)
    )  # fmt: skip
    if text:
        middle = (start[0] + end[0]) / 2, (start[1] + end[1]) / 2 + 1.0
        axes.text(*middle, text, ha="center", va="bottom", fontsize=8.5, color="#3b4252")
