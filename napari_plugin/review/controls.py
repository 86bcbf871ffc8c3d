"""The parts of the review widget: filters, the list, and what can be done with a case."""

from collections.abc import Collection, Sequence

from qtpy.QtCore import QModelIndex, QSignalBlocker, QSize, Qt, Signal
from qtpy.QtWidgets import (
    QComboBox,
    QDoubleSpinBox,
    QGridLayout,
    QHBoxLayout,
    QLabel,
    QLineEdit,
    QListView,
    QMenu,
    QPushButton,
    QVBoxLayout,
    QWidget,
)

from keras_robust.review import DECISIONS, STATUSES, QueueFilter, QueueItem, ReviewCase
from napari_plugin.review.keys import KEYS
from napari_plugin.review.place_list import PlaceList
from napari_plugin.review.queue_model import MARKS
from napari_plugin.review.readers import OpinionPanel
from napari_plugin.review.thumbnails import SIDE
from napari_plugin.review.tools.classes import ClassList, PaintClass
from napari_plugin.review.tools.panel import ToolPanel
from napari_plugin.viewer.style import ROLE_COLOURS, contour_colour, fill_legend
from napari_plugin.work.child import plain

__all__ = ["CaseControls", "Filters", "QueueView"]

TIPS = {
    "accept": "The annotator's mask is right as it is",
    "repair": "Keep the mask as you painted it; the annotator's stays as it is",
    "reject": "Discard the case: neither mask nor image can be used",
    "ask an expert": "Leave the case to somebody else; what you painted is kept",
    "next undecided": "Go to the next case that you have not decided on",
    "next": "Go to the next case in the list",
    "previous": "Go to the case before in the list",
    "take back": "Make the case undecided again; the log keeps your decision",
    "window": "Show a CT for soft tissue, lung, bone, brain or liver, one after the other",
    "ghost": "Show the suggested mask as a contour",
    "take whole": "Make the mask the suggested one; undo with Ctrl+Z",
    "take in brush": "Paint with napari's brush: where it goes, the suggestion is copied",
    "use layer": "Take the mask that another plugin drew, in the layer selected, as the suggestion",
    "next place": "Go to the next place where mask and suggestion part, and on to the next case",
    "previous place": "Go to the place before",
    "places": "List the places of all cases, to go to one by a click",
    "orthogonal views": "Show three planes of a volume through one point, or hide them",
    "error map": "Show where the mask may be wrong: missing, too much, or of another class",
    "load again": "Read the files of the case anew; what you painted stays",
    "start over": "Make the mask the annotator's again; undo with Ctrl+Z",
}


class Filters(QWidget):
    """Which cases are listed.

    Attributes:
        changed: Something else is wanted.
    """

    changed = Signal()

    def __init__(self) -> None:
        super().__init__()
        self._only: tuple[str, ...] | None = None
        self.status, self.kind, self.annotator = QComboBox(), QComboBox(), QComboBox()
        self.status.addItem("all decisions", None)
        self.status.addItem("not decided", ("undecided", "changed"))
        self.status.addItem("decided", ("decided",))
        for status in STATUSES[1:]:
            self.status.addItem(f"{MARKS[status]} {status}", (status,))
        self.lowest, self.highest = QDoubleSpinBox(), QDoubleSpinBox()
        self.text = QLineEdit()
        self.text.setPlaceholderText("Find in names and comments")
        self.text.setClearButtonEnabled(True)
        self.everything = QPushButton("Show all again")
        self.everything.setToolTip("List every case, not the disputed ones alone")
        tips = (
            (self.status, "Status", "List cases by what you decided"),
            (self.kind, "Kind of error", "List cases by the kind of error that is suspected"),
            (self.annotator, "Annotator", "List cases by who drew the mask"),
            (self.lowest, "Least score", "List cases of at least this score; more is worse"),
            (self.highest, "Greatest score", "List cases of at most this score; more is worse"),
            (self.text, "Text", "List cases with this in their id, group, split or comment"),
        )
        for widget, name, tip in tips:
            widget.setToolTip(tip)
            widget.setAccessibleName(name)
        grid = QGridLayout(self)
        grid.setContentsMargins(0, 0, 0, 0)
        grid.setColumnStretch(0, 1)
        grid.setColumnStretch(1, 1)
        for place, box in enumerate((self.status, self.kind, self.annotator)):
            box.setSizeAdjustPolicy(
                QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon
            )
            box.setMinimumContentsLength(6)
            box.currentIndexChanged.connect(self._tell)
            grid.addWidget(box, place // 2, place % 2)
        self._scores = QWidget()
        scores = QHBoxLayout(self._scores)
        scores.setContentsMargins(0, 0, 0, 0)
        scores.addWidget(QLabel("Score"))
        for spin in (self.lowest, self.highest):
            spin.setDecimals(2)
            spin.setSingleStep(0.05)
            spin.valueChanged.connect(self._tell)
            scores.addWidget(spin, 1)
        self.text.textChanged.connect(self._tell)
        self.everything.clicked.connect(lambda: self.only(None))
        grid.addWidget(self._scores, 2, 0, 1, 2)
        grid.addWidget(self.text, 3, 0, 1, 2)
        grid.addWidget(self.everything, 4, 0, 1, 2)
        self.everything.setVisible(False)

    def offer(self, items: Sequence[QueueItem]) -> None:
        """Offer the kinds, annotators and scores of a queue; all cases are listed."""
        with QSignalBlocker(self):
            self._fill(self.kind, "all kinds", {item.kind for item in items})
            self._fill(self.annotator, "all annotators", {item.annotator for item in items})
            found = [item.score for item in items if item.score is not None]
            self._scores.setVisible(bool(found))
            low, high = (min(found), max(found)) if found else (0.0, 0.0)
            for spin in (self.lowest, self.highest):
                spin.setRange(low - 0.01, high + 0.01)
            self._only = None
            self._clear()

    def only(self, ids: Collection[str] | None) -> None:
        """List these cases alone, whatever was filtered before; `None` for all."""
        self._only = None if ids is None else tuple(ids)
        if ids is not None:
            with QSignalBlocker(self):
                self._clear()
        self.everything.setVisible(ids is not None)
        self._tell()

    def condition(self) -> QueueFilter:
        """What is listed."""
        kind, annotator = self.kind.currentData(), self.annotator.currentData()
        low, high = self.lowest, self.highest
        return QueueFilter(
            kinds=None if kind is None else (kind,),
            statuses=self.status.currentData(),
            annotators=None if annotator is None else (annotator,),
            lowest=low.value() if low.value() > low.minimum() else None,
            highest=high.value() if high.value() < high.maximum() else None,
            ids=self._only,
            text=self.text.text().strip(),
        )

    def _clear(self) -> None:
        for box in (self.status, self.kind, self.annotator):
            box.setCurrentIndex(0)
        self.lowest.setValue(self.lowest.minimum())
        self.highest.setValue(self.highest.maximum())
        self.text.clear()

    def _fill(self, box: QComboBox, every: str, names: set[str]) -> None:
        with QSignalBlocker(box):
            box.clear()
            box.addItem(every, None)
            for name in sorted(names):
                box.addItem(name or "(not known)", name)
        box.setVisible(len(names) > 1)

    def _tell(self, *_: object) -> None:
        self.changed.emit()


class QueueView(QListView):
    """The list of cases.

    Attributes:
        chosen: The row that the user went to.
    """

    chosen = Signal(int)

    def __init__(self) -> None:
        super().__init__()
        self._own = False
        self.setUniformItemSizes(True)
        self.setIconSize(QSize(SIDE, SIDE))
        self.setMinimumHeight(2 * (SIDE + 8))  # so that no decision is out of view at 800 pixels
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setVerticalScrollMode(QListView.ScrollMode.ScrollPerPixel)
        self.setAccessibleName("Queue")
        self.setToolTip("The masks to review, the most suspicious first")

    def sizeHint(self) -> QSize:
        """No more than it needs: what has room beside it gives it more."""
        return QSize(super().sizeHint().width(), self.minimumHeight())

    def select(self, row: int) -> None:
        """Mark a row and bring it into view; -1 for none."""
        model = self.model()
        if model is None:
            return
        self._own = True
        try:
            index = model.index(row, 0) if row >= 0 else QModelIndex()
            self.setCurrentIndex(index)
            if row >= 0:
                self.scrollTo(index)
        finally:
            self._own = False

    def currentChanged(self, current: QModelIndex, previous: QModelIndex) -> None:
        super().currentChanged(current, previous)
        if current.isValid() and not self._own:
            self.chosen.emit(current.row())


class CaseControls(QWidget):
    """What can be done with the case in view.

    Attributes:
        asked: The name of what is to be done, of `KEYS` and a few more.
        commented: The comment as it is now.
        decisions: The buttons that decide and go on, to be placed where nothing scrolls.
    """

    asked = Signal(str)
    commented = Signal(str)
    names = tuple(KEYS)

    def __init__(self) -> None:
        super().__init__()
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        self.title = QLabel()
        self.title.setWordWrap(True)
        self.problems = QLabel()
        self.problems.setWordWrap(True)
        self.problems.setAccessibleName("Problems of the files")
        self.problems.setStyleSheet(
            "background: #E69F00; color: black; padding: 4px; border-radius: 3px"
        )
        self.legend = QLabel()
        self.legend.setWordWrap(True)
        self.classes = ClassList()
        column.addWidget(self.title)
        column.addWidget(self.problems)
        self.again = _button("load again", "Load again")
        self.again.clicked.connect(lambda: self.asked.emit("load again"))
        column.addWidget(self.again)
        column.addWidget(self.legend)
        column.addWidget(self.classes)

        self.where = QWidget()
        row = QHBoxLayout(self.where)
        row.setContentsMargins(0, 0, 0, 0)
        self.place = QLabel()
        self.place.setWordWrap(True)
        self.place.setAccessibleName("Place in view")
        row.addWidget(self.place, 1)
        for name, text in (("previous place", "◂"), ("next place", "▸"), ("error map", "Map")):
            button = _button(name, text)
            button.clicked.connect(lambda _, name=name: self.asked.emit(name))
            row.addWidget(button)
        self.where.setVisible(False)
        column.addWidget(self.where)
        self.planes = _button("orthogonal views", "Three planes")
        self.planes.clicked.connect(lambda: self.asked.emit("orthogonal views"))
        self.places = PlaceList(self.planes)
        column.addWidget(self.places)
        self.opinions = OpinionPanel()
        self.opinions.asked.connect(self.asked)
        column.addWidget(self.opinions)

        self.ghost = _button("ghost", "Suggestion", checkable=True, checked=True)
        self.whole = _button("take whole", "Take whole")
        self.brush = _button("take in brush", "Take in brush", checkable=True)
        self.restart = _button("start over", "Start over")
        self.ghost.toggled.connect(lambda on: self.asked.emit("ghost toggled"))
        self.brush.toggled.connect(lambda on: self.asked.emit("brush toggled"))
        self.suggested = QWidget()
        row = QHBoxLayout(self.suggested)
        row.setContentsMargins(0, 0, 0, 0)
        for button in (self.ghost, self.whole, self.brush):
            row.addWidget(button)
        column.addWidget(self.suggested)
        self.whole.clicked.connect(lambda: self.asked.emit("take whole"))
        self.restart.clicked.connect(lambda: self.asked.emit("start over"))

        self.other = QPushButton("Other suggestion")
        self.other.setToolTip(f"{TIPS['use layer']}. Key: {KEYS['use layer']}")
        self.other.setMinimumWidth(10)
        self.other.setMenu(QMenu(self))
        self.tools = ToolPanel(self.other)
        self.tools.asked.connect(self.asked)
        column.addWidget(self.tools)

        self.comment = QLineEdit()
        self.comment.setPlaceholderText("Comment")
        self.comment.setToolTip("Why; kept with the decision. Return goes back to the queue")
        self.comment.setAccessibleName("Comment")
        self.comment.textEdited.connect(self.commented.emit)
        self.comment.returnPressed.connect(self.setFocus)
        row = QHBoxLayout()
        row.addWidget(self.comment, 1)
        row.addWidget(self.restart)
        column.addLayout(row)

        self.windows = _button("window", "Next window")
        self.windows.clicked.connect(lambda: self.asked.emit("window"))
        column.addWidget(self.windows)

        self.decisions = QWidget()
        decisions = QVBoxLayout(self.decisions)
        decisions.setContentsMargins(6, 0, 6, 0)
        grid = QGridLayout()
        self.buttons: dict[str, QPushButton] = {}
        captions = {**{name: name.capitalize() for name in DECISIONS}, "previous": "Previous"}
        captions |= {"next": "Next", "next undecided": "Next undecided"}
        self.back = _button("take back", "Undecided again")
        self.back.clicked.connect(lambda: self.asked.emit("take back"))
        decisions.addWidget(self.back)
        for place, (name, text) in enumerate(captions.items()):
            button = _button(name, text)
            button.clicked.connect(lambda _, name=name: self.asked.emit(name))
            self.buttons[name] = button
            if place < 4:
                grid.addWidget(button, place // 2, 3 * (place % 2), 1, 3)
            else:
                grid.addWidget(button, 2, 2 * (place - 4), 1, 2)
        decisions.addLayout(grid)

    def offer(self, classes: Sequence[PaintClass]) -> None:
        """List the classes of a data set; a single one needs no list."""
        self.classes.offer(classes)
        self.classes.setVisible(len(classes) > 1)
        if len(classes) > 1:
            self.legend.setText("area: yours · line: annotator's · dashed: suggested")
            return
        lines = {"annotator's": "reference", "suggested (dashed)": "prediction"}
        colours = {name: contour_colour(ROLE_COLOURS[role]) for name, role in lines.items()}
        unnamed = classes[0].name == f"class {classes[0].label}"
        own = "yours" if unnamed else f"{classes[0].name}, yours"
        fill_legend(self.legend, {own: classes[0].colour} | colours)

    def show_place(self, words: str) -> None:
        """Say which place is in view; nothing where there is none."""
        self.place.setText(words)
        self.where.setVisible(bool(words))

    def show_case(
        self, case: ReviewCase | None, item: QueueItem | None, comment: str, decided: bool = False
    ) -> None:
        """Describe a case; `None` while it is being read."""
        self.back.setVisible(decided)
        if item is None:
            self.title.setText("No case")
        else:
            suspected = f"suspected: {item.kind}" if item.kind not in ("", "none") else ""
            parts = [f"<b>{item.id}</b>", suspected]
            parts += [] if item.score is None else [f"score {item.score:.2f}"]
            parts += ["reading…"] if case is None else []
            parts += ["draft"] if case is not None and case.draft else []
            self.title.setText(" · ".join(filter(None, parts)))
        problems = () if case is None else case.problems
        self.problems.setText("\n".join(map(plain, problems)))
        self.problems.setVisible(bool(problems))
        self.again.setVisible(bool(problems))
        has_suggestion = case is not None and case.suggestion is not None
        self.suggested.setVisible(has_suggestion)
        if not has_suggestion and case is not None:
            self.brush.setChecked(False)
        if case is not None and self.comment.text() != comment:
            self.comment.setText(comment)
        for name in DECISIONS:
            self.buttons[name].setEnabled(case is not None)


def _button(name: str, text: str, checkable: bool = False, checked: bool = False) -> QPushButton:
    key = KEYS.get(name)
    short = {"PageDown": "PgDn", "PageUp": "PgUp"}.get(key or "", key)
    button = QPushButton(f"{text} ({short})" if key else text)
    button.setToolTip(TIPS[name] + (f". Key: {key}" if key else ""))
    button.setCheckable(checkable)
    button.setChecked(checked)
    button.setMinimumWidth(10)
    return button
