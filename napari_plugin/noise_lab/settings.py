"""The controls for what is simulated."""

from collections.abc import Iterable

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import QCheckBox, QFormLayout, QGridLayout, QLabel, QSpinBox, QWidget
from superqt import QLabeledDoubleSlider

from keras_robust.noise import KINDS, LabelNoise, NoiseKind, all_kinds
from napari_plugin.viewer.dock import button, check, row

__all__ = ["NoiseSettings"]

GREATEST_BETA = 2.0


class NoiseSettings(QWidget):
    """Kinds, alpha, beta and seed.

    Attributes:
        changed: Any of them changed.
    """

    changed = Signal()

    def __init__(self) -> None:
        super().__init__()
        form = QFormLayout(self)
        form.setContentsMargins(0, 0, 0, 0)
        self.kinds: dict[str, QCheckBox] = {}
        known = {kind.name: kind for kind in all_kinds()}
        form.addRow(row(*(self._box(known.pop(name), True) for name in KINDS)))
        self.others = self._grouped(known.values())
        self.more = button("", "Mistakes in parts, outlines, slices, classes and files")
        self.more.setCheckable(True)
        self.more.toggled.connect(self._show_more)
        self._show_more(False)
        form.addRow(self.more)
        form.addRow(self.others)
        self.beta = _slider(GREATEST_BETA, 0.5, "By how much the area of a mask changes, relative")
        self.alpha = _slider(1.0, 0.3, "The fraction of the masks of a dataset that are wrong")
        self.seed = QSpinBox()
        self.seed.setRange(0, 2**31 - 1)
        self.seed.setToolTip("Another seed gives other errors; the same one gives them again")
        form.addRow("β: how much", self.beta)
        form.addRow("α: how many", self.alpha)
        form.addRow("Seed", self.seed)
        for control in (self.beta, self.alpha, self.seed):
            control.valueChanged.connect(self._tell)

    def _box(self, kind: NoiseKind, ticked: bool = False) -> QCheckBox:
        box = check(kind.title, f"{kind.tip} ({kind.name})", ticked)
        box.toggled.connect(self._tell)
        self.kinds[kind.name] = box
        return box

    def _grouped(self, kinds: Iterable[NoiseKind]) -> QWidget:
        """Boxes under the names of their groups, two beside each other."""
        groups: dict[str, list[NoiseKind]] = {}
        for kind in kinds:
            groups.setdefault(kind.group, []).append(kind)
        content = QWidget()
        grid = QGridLayout(content)
        grid.setContentsMargins(12, 0, 0, 0)
        grid.setVerticalSpacing(2)
        line = 0
        for group, members in groups.items():
            grid.addWidget(QLabel(f"<b>{group}</b>"), line, 0, 1, 2)
            for number, kind in enumerate(members):
                grid.addWidget(self._box(kind), line + 1 + number // 2, number % 2)
            line += 1 + (len(members) + 1) // 2
        return content

    def _show_more(self, shown: bool) -> None:
        self.others.setVisible(shown)
        ticked = sum(box.isChecked() for kind, box in self.kinds.items() if kind not in KINDS)
        arrow, count = "▾" if shown else "▸", f" ({ticked})" if ticked else ""
        self.more.setText(f"{arrow} More kinds of error{count}")

    def noise(self) -> LabelNoise:
        """What is set.

        Raises:
            ValueError: No kind of error is chosen.
        """
        kinds = tuple(kind for kind, box in self.kinds.items() if box.isChecked())
        if not kinds:
            raise ValueError("Choose at least one kind of error.")
        # Two decimals are what the sliders show, and what names of annotators are made of.
        alpha, beta = round(self.alpha.value(), 2), round(self.beta.value(), 2)
        return LabelNoise(alpha=alpha, beta=beta, seed=self.seed.value(), kinds=kinds)

    def _tell(self, *_) -> None:
        self._show_more(self.more.isChecked())
        self.changed.emit()


def _slider(greatest: float, value: float, tip: str) -> QLabeledDoubleSlider:
    slider = QLabeledDoubleSlider(Qt.Orientation.Horizontal)
    slider.setRange(0, greatest)
    slider.setSingleStep(0.01)  # type: ignore[arg-type]
    slider.setPageStep(0.1)  # type: ignore[arg-type]
    slider.setDecimals(2)
    slider.setValue(value)
    slider.setToolTip(tip)
    slider.setAccessibleName(tip)
    return slider
