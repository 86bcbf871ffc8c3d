"""Colours, legends and preferences that the widgets share.

The colours are those of Okabe and Ito (2008), which people with any common colour blindness tell
apart: https://jfly.uni-koeln.de/color/.
"""

from collections.abc import Iterable, Mapping
from colorsys import hls_to_rgb
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
    "CASING",
    "CASING_COLOUR",
    "CLASS_COLOURS",
    "IGNORED_COLOUR",
    "ROLE_COLOURS",
    "class_colours",
    "contour_colour",
    "fill_legend",
    "label_colormap",
    "legend",
    "luminance",
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
IGNORED_COLOUR = "#888888"
LEAST_HEIGHT = 220  # pixels of a dock's content
CASING = 251  # what the casing of a contour has for a label, in what is drawn
CASING_COLOUR = "#000000"
# As (0.40 + 0.05) / (0.10 + 0.05) = 3 and (0.10 + 0.05) / (0 + 0.05) = 3, every background differs
# by 3:1 from the line or from its black casing (relative luminance as in WCAG 2).
_LINE_LUMINANCE = 0.40


def class_colours(count: int) -> tuple[str, ...]:
    """Colours of classes, of which no two are alike: those above, then hues far from each other.

    Args:
        count: Number of classes, background not among them.

    >>> class_colours(2), len(set(class_colours(60)))
    (('#0072B2', '#E69F00'), 60)
    """
    more = []
    for number in range(count - len(CLASS_COLOURS)):
        hue, light = (0.1 + number * 0.618034) % 1, (0.42, 0.68, 0.55)[number % 3]
        more.append(_hex(hls_to_rgb(hue, light, 0.75)))
    return (*CLASS_COLOURS, *more)[:count]


def luminance(colour: str) -> float:
    """Relative luminance of a colour, as WCAG 2 defines it: 0 of black, 1 of white.

    >>> luminance("#000000"), round(luminance("#808080"), 2)
    (0.0, 0.22)
    """
    red, green, blue = (
        value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4
        for value in _rgb(colour)
    )
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contour_colour(colour: str) -> str:
    """A lighter variant, for a line with a dark casing that is seen on skin, white and black.

    >>> contour_colour("#0072B2")
    '#80B9D8'
    """
    for white in range(15, 101, 5):
        mixed = _hex(tuple(v + (1 - v) * white / 100 for v in _rgb(colour)))
        if luminance(mixed) >= _LINE_LUMINANCE:
            break
    return mixed


def _rgb(colour: str) -> tuple[float, ...]:
    return tuple(int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5))


def _hex(values: Iterable[float]) -> str:
    return "#" + "".join(f"{round(255 * value):02X}" for value in values)


def label_colormap(*colours: str) -> "DirectLabelColormap":
    """A colour map of labels: 0 is clear, 1 has the first colour, and so on around.

    Args:
        colours: One colour for every label, or several in the order of the labels.

    >>> label_colormap("#0072B2").map(1).astype(float).round(2).tolist()
    [0.0, 0.45, 0.7, 1.0]
    """
    from napari.utils import DirectLabelColormap

    named: dict[int | None, str] = {None: colours[-1], 0: "transparent", CASING: CASING_COLOUR}
    if len(colours) > 1:
        named |= {
            label: colours[(label - 1) % len(colours)] for label in range(1, 256) if label != CASING
        }
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
            """As wide as the content at its narrowest: none of it is cut off. Three are seen below
            each other on a small screen."""
            bar = self.verticalScrollBar().sizeHint().width()
            high = min(content.sizeHint().height(), LEAST_HEIGHT)
            return QSize(content.minimumSizeHint().width() + bar, high)

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
