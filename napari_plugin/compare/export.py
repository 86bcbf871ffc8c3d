"""The button that writes the table of measures."""

from collections.abc import Callable
from pathlib import Path

from napari.layers import Labels
from qtpy.QtWidgets import QFileDialog, QPushButton

from keras_robust.common.files import atomic_write_text
from napari_plugin.compare.measures import to_csv
from napari_plugin.compare.pair import Found
from napari_plugin.viewer.layers import case_id
from napari_plugin.work.child import in_words

__all__ = ["ExportButton"]


class ExportButton(QPushButton):
    """Asks for a file and writes the table to it, as CSV.

    Args:
        say: Shows a message.
    """

    def __init__(self, say: Callable[[str], None]):
        super().__init__("Export table as CSV…")
        self.setToolTip("Write the table, with both names and units, to a CSV file")
        self.clicked.connect(self._ask_where)
        self._say = say
        self.offer(None)

    def offer(self, found: Found | None, a: Labels | None = None, b: Labels | None = None) -> None:
        """What a click writes: the table of masks A and B, or nothing."""
        self._found, self._a, self._b = found, a, b
        self.setEnabled(found is not None and bool(found.rows))

    def _ask_where(self) -> None:
        proposed = f"{case_id(self._a)}.csv" if self._a is not None else "measures.csv"
        path, _ = QFileDialog.getSaveFileName(
            self, "Export the table", proposed.replace("/", "_"), "CSV (*.csv)"
        )
        if path:
            self.write(path)

    def write(self, path: str | Path) -> None:
        """Write the table to a file; what goes wrong is said."""
        if self._found is None or self._a is None or self._b is None:
            return
        text = to_csv(
            self._found.rows,
            names={"image": case_id(self._a), "a": self._a.name, "b": self._b.name},
            unit=self._found.spacing.unit,
            ndim=self._found.ndim,
            tolerance=self._found.tolerance,
            class_names=self._found.class_names,
        )
        try:
            atomic_write_text(path, text)
            self._say(f"Written to {path}.")
        except OSError as error:
            self._say(f"The table is not written. {in_words(error)}")
