"""Questions to the reviewer that wait for an answer."""

from collections.abc import Mapping, Sequence
from html import escape

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QAbstractButton, QDialog, QLabel, QMessageBox, QVBoxLayout, QWidget

from napari_plugin.review.keys import CLASS_KEYS, KEYS
from napari_plugin.viewer.style import scrolled

__all__ = ["ask_unsaved", "show_sheet"]

OF_NAPARI = {
    "Ctrl+Z": "Take back the last step of painting, else the last decision",
    "2, 1, 4, 5": "Paint, erase, fill, pick a class: keys of napari",
    "[, ]": "A smaller brush, a larger one",
    "Space": "Move the image while it is held",
    f"{CLASS_KEYS[0]} … {CLASS_KEYS[-1]}": "Paint this class of the list",
    "?": "This sheet",
}


def ask_unsaved(parent: QWidget, ids: Sequence[str], reason: str) -> str:
    """Ask what becomes of painting that could not be saved, as the window is about to close.

    Args:
        parent: The window to wait for.
        ids: Of the cases.
        reason: Why, and what to do.

    Returns:
        "again", "close" or "stay".
    """
    box = QMessageBox(parent)
    box.setIcon(QMessageBox.Icon.Warning)
    box.setWindowTitle("Not everything is saved")
    box.setText(f"What you painted on {', '.join(ids[:5])} could not be saved in the data set.")
    box.setInformativeText(
        f"{reason}\n\n“Close” keeps it on this computer, where the next review of the data set "
        "finds it. Nothing else is lost."
    )
    answers: dict[QAbstractButton | None, str] = {
        box.addButton("Try again", QMessageBox.ButtonRole.AcceptRole): "again",
        box.addButton("Close", QMessageBox.ButtonRole.DestructiveRole): "close",
        box.addButton("Stay", QMessageBox.ButtonRole.RejectRole): "stay",
    }
    box.exec()
    return answers.get(box.clickedButton(), "stay")


def show_sheet(parent: QWidget, tips: Mapping[str, str]) -> QDialog:
    """Show all keys and what they do, beside the window; the review goes on.

    Args:
        parent: Whose window.
        tips: What an action does, by the names of `KEYS`.
    """
    entries = [(KEYS[name], tip) for name, tip in tips.items() if name in KEYS]
    rows = "".join(
        f"<tr><td><b>{escape(key)}</b>&nbsp;&nbsp;</td><td>{escape(does)}</td></tr>"
        for key, does in (*entries, *OF_NAPARI.items())
    )
    sheet = QDialog(parent)
    sheet.setWindowTitle("Keys of the review")
    sheet.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
    text = QLabel(f"<table>{rows}</table>")
    text.setWordWrap(True)
    text.setAccessibleName("Keys of the review")
    column = QVBoxLayout(sheet)
    column.addWidget(scrolled(text))
    sheet.resize(560, 640)
    sheet.show()
    return sheet
