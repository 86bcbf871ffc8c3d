"""The box of losses: a menu with a word on each, and a line for any other name."""

from napari.qt import get_current_stylesheet
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QComboBox, QCompleter

from keras_robust.methods import loss_menu, peer_menu

__all__ = ["LossBox"]

OTHER = "Not in the menu: the name of a sum, such as mae+dice, or of a loss of your own"


class LossBox(QComboBox):
    """Losses and methods with two networks, by name; names of the menu are completed.

    Other names are checked by the process that trains: losses of one's own need Keras.
    """

    def __init__(self) -> None:
        super().__init__()
        self._words = {**loss_menu(), **peer_menu()}
        self.setEditable(True)
        self.setInsertPolicy(QComboBox.InsertPolicy.NoInsert)
        self.setMaxVisibleItems(len(self._words))
        for number, (name, words) in enumerate(self._words.items()):
            self.addItem(name)
            self.setItemData(number, words, Qt.ItemDataRole.ToolTipRole)
        completer = self.completer()
        # Not in the line, where "t" would become "t+dice".
        completer.setCompletionMode(QCompleter.CompletionMode.PopupCompletion)
        completer.setFilterMode(Qt.MatchFlag.MatchContains)
        # The list is a window of its own, which the style of napari's does not reach.
        self.lineEdit().textEdited.connect(
            lambda *_: completer.popup().setStyleSheet(get_current_stylesheet())
        )
        self.setAccessibleName("Loss")
        self.setToolTip(
            "What training minimises; robust losses follow bad masks less. Type any other name: "
            "a sum such as mae+dice, svls- before another loss, or a loss of your own, registered "
            "by the module that the environment variable KERAS_ROBUST_IMPORT names"
        )

    @property
    def explanation(self) -> str:
        """A word on what is chosen or typed."""
        return self._words.get(self.currentText().strip().lower(), OTHER)
