"""Questions to the reviewer that wait for an answer."""

from collections.abc import Sequence

from qtpy.QtWidgets import QAbstractButton, QMessageBox, QWidget

__all__ = ["ask_unsaved"]


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
