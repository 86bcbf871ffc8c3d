"""The controls for what is simulated."""

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import QCheckBox, QFormLayout, QHBoxLayout, QSpinBox, QWidget
from superqt import QLabeledDoubleSlider

from keras_robust.noise import LabelNoise

__all__ = ["KIND_NAMES", "NoiseSettings"]

KIND_NAMES = {
    "dilate": ("Too large", "Drawn around the object generously (dilate)"),
    "erode": ("Too small", "Only the core was drawn (erode): by far the harshest"),
    "affine": ("Misplaced", "Drawn in the wrong place and turned (affine)"),
}
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
        row = QHBoxLayout()
        for kind, (title, tip) in KIND_NAMES.items():
            box = QCheckBox(title)
            box.setToolTip(tip)
            box.setChecked(True)
            box.toggled.connect(self._tell)
            self.kinds[kind] = box
            row.addWidget(box)
        row.addStretch()
        form.addRow(row)
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
