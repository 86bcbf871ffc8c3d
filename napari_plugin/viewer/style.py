"""Colours, legends and preferences that the widgets share.

The colours are those of Okabe and Ito (2008), which people with any common colour blindness tell
apart: https://jfly.uni-koeln.de/color/.
"""

from collections.abc import Mapping
from html import escape
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from napari.utils import DirectLabelColormap
    from qtpy.QtWidgets import QLabel, QScrollArea, QWidget

__all__ = [
    "A_ONLY",
    "B_ONLY",
    "BOTH",
    "CLASS_COLOURS",
    "ROLE_COLOURS",
    "fill_legend",
    "label_colormap",
    "legend",
    "preference",
    "scrolled",
]

ROLE_COLOURS: Mapping[str, str] = MappingProxyType(
    {
        "reference": "#0072B2",
        "noisy": "#E69F00",
        "prediction": "#CC79A7",
        "corrected": "#009E73",
        "difference": "#F0E442",
    }
)
A_ONLY, B_ONLY, BOTH = "#E69F00", "#56B4E9", "#BBBBBB"
CLASS_COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#F0E442")


def label_colormap(*colours: str) -> "DirectLabelColormap":
    """A colour map of labels: 0 is clear, 1 has the first colour, and so on around.

    Args:
        colours: One colour for every label, or several in the order of the labels.

    >>> label_colormap("#0072B2").map(1).astype(float).round(2).tolist()
    [0.0, 0.45, 0.7, 1.0]
    """
    from napari.utils import DirectLabelColormap

    named: dict[int | None, str] = {None: colours[-1], 0: "transparent"}
    if len(colours) > 1:
        named |= {label: colours[(label - 1) % len(colours)] for label in range(1, 256)}
    return DirectLabelColormap(color_dict=named)


def legend(entries: Mapping[str, str]) -> "QLabel":
    """A line of coloured squares with their meaning.

    Args:
        entries: Colour by meaning.
    """
    from qtpy.QtWidgets import QLabel

    label = QLabel()
    label.setWordWrap(True)
    fill_legend(label, entries)
    return label


def fill_legend(label: "QLabel", entries: Mapping[str, str]) -> None:
    """Show other entries in a legend."""
    squares = (
        f'<span style="color:{colour}; font-size:large">■</span>&nbsp;{escape(meaning)}'
        for meaning, colour in entries.items()
    )
    label.setText("&nbsp;&nbsp; ".join(squares))
    label.setAccessibleName("Legend: " + ", ".join(entries))


def scrolled(content: "QWidget") -> "QScrollArea":
    """`content` in an area that scrolls down but never sideways, for docks on small screens."""
    from qtpy.QtCore import QSize, Qt
    from qtpy.QtWidgets import QFrame, QScrollArea

    class Downwards(QScrollArea):
        def minimumSizeHint(self) -> QSize:
            """As wide as the content at its narrowest: none of it is cut off."""
            bar = self.verticalScrollBar().sizeHint().width()
            return QSize(content.minimumSizeHint().width() + bar, 120)

    area = Downwards()
    area.setWidgetResizable(True)
    area.setFrameShape(QFrame.Shape.NoFrame)
    area.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
    area.setWidget(content)
    return area


def preference(group: str, name: str, default: Any) -> Any:
    """What the user chose in napari's preferences for this plugin.

    Args:
        group: Key under `configurations` in the manifest.
        name: The property.
        default: Where napari is older than 0.9, which has no preferences for plugins.
    """
    try:
        from napari.settings import get_plugin_settings
    except ImportError:
        return default
    return getattr(getattr(get_plugin_settings("keras-robust"), group, None), name, default)
