"""The legend of the difference layer, with what each colour counts."""

from html import escape

from qtpy.QtWidgets import QLabel

from napari_plugin.compare.difference import AGREED, ONLY_A, ONLY_B, OTHER_CLASS, Tally
from napari_plugin.compare.table import amount
from napari_plugin.viewer.style import BOTH

__all__ = ["TallyLegend", "colours"]

MEANING = {
    AGREED: "agreed",
    ONLY_A: "only in A",
    ONLY_B: "only in B",
    OTHER_CLASS: "different class",
}


def colours(a: str, b: str) -> dict[int, str]:
    """Colour by code: what is in one mask only has the colour of that mask's contour.

    >>> colours("#0072B2", "#E69F00")[ONLY_B]
    '#E69F00'
    """
    return {AGREED: BOTH, ONLY_A: a, ONLY_B: b, OTHER_CLASS: "#D55E00"}


class TallyLegend(QLabel):
    """A line per colour: its meaning, its number of elements, and their area or volume."""

    def __init__(self) -> None:
        super().__init__()
        self.setToolTip("What the colours of the difference mean, and how much there is of each")
        self.setAccessibleName("Difference")

    def show_tallies(
        self, tallies: list[Tally], by_code: dict[int, str], unit: str = "px", ndim: int = 2
    ) -> None:
        """Show counts; classes that differ only where there are any.

        Args:
            tallies: From `tally`; empty for none.
            by_code: Their colours.
            unit: Of the spacing, see `napari_plugin.viewer.layers.Spacing`.
            ndim: 2 for areas, 3 for volumes.
        """
        element, power = ("px", "²") if ndim == 2 else ("voxels", "³")
        rows = []
        for found in tallies:
            if found.code != OTHER_CLASS or found.elements:
                size = f"{amount(found.size)} {unit}{power}" if unit != "px" else ""
                cells = (
                    f'<span style="color:{by_code[found.code]}; font-size:large">■</span>',
                    escape(MEANING[found.code]),
                    f"{found.elements} {element}",
                    size,
                )
                rows.append("".join(f'<td style="padding-right:12px">{x}</td>' for x in cells))
        self.setText("<table>" + "".join(f"<tr>{row}</tr>" for row in rows) + "</table>")
        self.setVisible(bool(rows))
