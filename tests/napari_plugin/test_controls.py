"""Every control of every widget says what it does, and is reached by keyboard."""

import pytest
from qtpy.QtCore import Qt
from qtpy.QtWidgets import (
    QAbstractButton,
    QAbstractSpinBox,
    QComboBox,
    QLineEdit,
    QScrollArea,
    QSlider,
)

KINDS = (QAbstractButton, QAbstractSpinBox, QComboBox, QLineEdit, QSlider)
WIDGETS = ("Compare", "Noise lab", "Review", "Train and predict")


@pytest.mark.parametrize("name", WIDGETS)
def test_every_control_has_a_tooltip_a_key_and_room(viewer, name):
    _, widget = viewer.window.add_plugin_dock_widget("keras-robust", name)
    own = [c for kind in KINDS for c in widget.findChildren(kind) if not _inside(c, widget)]
    assert len(own) > 8
    for control in own:
        assert control.toolTip(), f"{control} {control.objectName()} has no tooltip"
        assert control.focusPolicy() & Qt.FocusPolicy.TabFocus, control.toolTip()
    (area,) = [a for a in widget.findChildren(QScrollArea) if a.widget() is not None]
    assert area.widget().minimumSizeHint().width() <= 370  # of the 1280 of a small screen


def _inside(control, widget):
    """Whether it is a part of another control, whose tooltip Qt shows for it too."""
    if control.objectName().startswith("qt_"):
        return True
    above = control.parent()
    while above is not widget and not above.toolTip():
        above = above.parent()
    return above is not widget
