"""What other plugins draw becomes the suggestion of a case."""

import numpy as np
from npe2 import DynamicPlugin
from qtpy.QtCore import Qt
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QWidget

from ..conftest import ready


def test_a_layer_of_another_plugin_is_the_suggestion(reviewing, qtbot):
    viewer, widget = reviewing()
    canvas, shift = viewer.window._qt_viewer.canvas.native, Qt.KeyboardModifier.ShiftModifier
    QTest.keyClick(canvas, Qt.Key.Key_U, shift)
    assert "no mask of another plugin" in widget.message.text()
    case = widget.desk.case
    drawn = np.zeros(case.labels.shape, np.int32)
    drawn[40:80, 50:90] = 5  # the fifth object that was clicked on
    viewer.add_labels(np.zeros((9, 9), int), name="of another image")
    viewer.add_labels(drawn, name="object")
    widget._offer_others()
    assert [action.text() for action in widget.controls.other.menu().actions()] == ["object"]
    QTest.keyClick(canvas, Qt.Key.Key_U, shift)
    qtbot.waitUntil(lambda: "“object” is the suggestion" in widget.message.text())
    assert widget.desk.places.found and not widget.controls.suggested.isHidden()
    QTest.keyClick(canvas, Qt.Key.Key_W)
    assert np.array_equal(widget.desk.layers.labels, drawn > 0)
    widget.desk.undo()
    assert np.array_equal(widget.desk.layers.labels, case.labels), "one step"
    widget.desk.reload()
    qtbot.waitUntil(lambda: ready(widget), timeout=20_000)
    assert np.array_equal(widget.desk.layers.suggestion, case.suggestion), "the audit's again"
    offers_installed_models(viewer, widget)


def offers_installed_models(viewer, widget) -> None:
    with DynamicPlugin("micro-sam") as plugin:

        @plugin.contribute.widget(display_name="Annotator 2d")
        def annotator() -> QWidget:
            return QWidget()

        widget._offer_others()
        action = widget.controls.other.menu().actions()[-1]
        assert action.text() == "Open micro-SAM: Annotator 2d"
        action.trigger()
        assert any("Annotator" in name for name in viewer.window._wrapped_dock_widgets)
