"""The widget that reviews suspicious masks."""

from pathlib import Path
from typing import TYPE_CHECKING

from napari.layers import Labels
from qtpy.QtWidgets import QApplication, QProgressBar, QPushButton

from keras_robust.review import DECISIONS, ReviewCase, ReviewSession
from napari_plugin.review.controller import ReviewController
from napari_plugin.review.controls import TIPS, CaseControls, Filters, QueueView
from napari_plugin.review.dialogs import ask_unsaved, show_sheet
from napari_plugin.review.keys import KEYS, UNDO
from napari_plugin.review.opening import Opening
from napari_plugin.review.queue_model import QueueModel
from napari_plugin.review.readers import Head
from napari_plugin.review.tools.other_layers import installed, masks_of_others
from napari_plugin.review.tools.panel import TOOL_TIPS
from napari_plugin.review.tools.toolbox import TOOLS
from napari_plugin.viewer.dock import DockWidget, timer
from napari_plugin.viewer.keys import WindowKeys
from napari_plugin.viewer.orthogonal import OrthogonalWidget

if TYPE_CHECKING:
    import napari.viewer

__all__ = ["ReviewWidget"]

UNRANKED = (
    "There is no audit of this data set: the masks are in the order of its files, not the worst "
    "first. “Run an audit…” makes one while you review."
)
FILTER_MS = 200  # after the last letter that was typed
FIT_MS = 100  # after the window has its new size


class ReviewWidget(DockWidget):
    """Review suspicious masks: a queue, suggestions, decisions, corrected masks.

    Args:
        viewer: The viewer that it works in.
    """

    def __init__(self, viewer: "napari.viewer.Viewer"):
        super().__init__()
        self.viewer = viewer
        self.desk: ReviewController | None = None
        self.model: QueueModel | None = None
        self._keys: WindowKeys | None = None
        self._planes: OrthogonalWidget | None = None
        self._build()
        self._filter_soon = timer(self, FILTER_MS, self._filter)
        self._fit_soon = timer(self, FIT_MS, self._fit)
        application = QApplication.instance()
        if application is not None:
            application.aboutToQuit.connect(self.close_down)

    # What the user sees

    def _build(self) -> None:
        column = self.column
        self.opening = Opening()
        self.opening.opened.connect(self.start)
        self.opening.said.connect(self.say)
        column.addWidget(self.opening)

        self.head = Head()
        self.head.said.connect(self.say)
        self.head.disputed.connect(self._list_alone)
        self.head.closing.connect(self.finish)
        self.head.asked.connect(self.act)
        column.addWidget(self.head)
        self.audit_button = QPushButton("Run an audit…")
        self.audit_button.setToolTip(self.opening.audit_button.toolTip())
        self.audit_button.clicked.connect(self._run_audit)
        self.opening.auditing.connect(self.audit_button.setText)
        column.addWidget(self.audit_button)

        self.progress = QProgressBar()
        self.progress.setToolTip("How many masks you have decided on")
        column.addWidget(self.progress)
        self.filters = Filters()
        self.filters.changed.connect(lambda: self._filter_soon.start())
        column.addWidget(self.filters)
        self.list = QueueView()
        self.list.chosen.connect(self._choose)
        column.addWidget(self.list, 1)
        self.controls = CaseControls()
        self.controls.asked.connect(self.ask)
        self.controls.commented.connect(self._comment)
        self.controls.other.menu().aboutToShow.connect(self._offer_others)
        self.controls.places.opened.connect(self._list_places)
        self.controls.places.chosen.connect(self._to_place)
        column.addWidget(self.controls)
        self.keep_in_view(self.controls.decisions)
        column.addStretch()
        self.say("")
        self._show_queue(False)

    def _show_queue(self, shown: bool) -> None:
        self.opening.setVisible(not shown)
        self.audit_button.setVisible(False)
        queue = (self.head, self.progress, self.filters, self.list)
        for part in (*queue, self.controls, self.controls.decisions):
            part.setVisible(shown)

    # Opening and closing

    def open(
        self,
        dataset: str | Path,
        audit: str | Path | None = None,
        reviewer: str | None = None,
        output: str | Path | None = None,
    ) -> None:
        """Open a data set, in the background.

        Args:
            dataset: Its folder.
            audit: Folder of its audit; by default the one beside it, if there is one.
            reviewer: Name of the reviewer; by default that of the preferences or of the user.
            output: Folder that takes decisions and masks; by default the data set.
        """
        self.finish()
        self.opening.dataset.setText(str(dataset))
        self.opening.audit.setText("" if audit is None else str(audit))
        if reviewer is not None:
            self.opening.reviewer.setText(reviewer)
        self.opening.dataset.editingFinished.emit()
        if output is not None:
            self.opening.write_to(str(output))
        self.opening.open()

    def start(self, session: ReviewSession) -> None:
        """Show the queue of a session, which is closed with the widget."""
        if self._closed:
            session.close()
            return
        self.finish()
        self.desk = desk = ReviewController(self.viewer, session)
        self.model = QueueModel(session)
        self.list.setModel(self.model)
        self.filters.offer(session.items)
        self.controls.offer(desk.layers.classes)
        self.controls.classes.chosen.connect(desk.layers.choose)
        self.controls.classes.locked.connect(desk.layers.guard.lock)
        desk.layers.chosen.connect(self.controls.classes.select)
        panel = self.controls.tools
        panel.previewed.connect(self._preview)
        panel.reached.connect(lambda mm: setattr(desk.tools, "mm", mm))
        panel.ranged.connect(desk.tools.set_range)
        desk.third.told.connect(self.controls.opinions.show_opinions)
        desk.places.told.connect(self._placed)
        desk.tools.mm = panel.reach.value()
        desk.shown.connect(self._shown)
        desk.said.connect(self.say)
        desk.changed.connect(self._changed)
        keys = {KEYS[name]: self._asking(name) for name in self.controls.names}
        self._keys = WindowKeys(self.viewer, self, {**keys, UNDO: self._asking("undo")})
        self.head.begin(session, desk.results)
        self._show_queue(True)
        self.make_room()
        ranked = any(item.score is not None for item in session.items)
        self.audit_button.setVisible(not ranked)
        told = session.warnings if ranked else [*session.warnings, UNRANKED]
        self.say("\n".join(told))
        self._count()
        desk.start()

    def finish(self) -> None:
        """Close the data set; all that was painted and decided is kept, or said not to be."""
        if self.desk is None or self.model is None:
            return
        desk, self.desk = self.desk, None
        if self._keys is not None:
            self._keys.release()
        self._filter_soon.stop()
        self._fit_soon.stop()
        told: list[str] = []
        desk.said.connect(told.append)
        desk.close()
        if told:
            self.say("\n".join(told))
        self.head.end()
        self.list.setModel(None)
        self.model.stop()
        self.model = None
        self._show_queue(False)

    # What the user does

    def act(self, name: str) -> None:
        """Do what a key or button of the name stands for: see `napari_plugin.review.keys.KEYS`."""
        desk = self.desk
        if desk is None:
            return
        self.say("")
        if name in DECISIONS:
            self.controls.brush.setChecked(False)
            desk.decide(name)
        elif name == "next undecided":
            desk.next_undecided()
        elif name == "next":
            desk.next()
        elif name == "previous":
            desk.previous()
        elif name in ("next place", "previous place"):
            desk.go_place(1 if name == "next place" else -1)
        elif name in ("take first", "take second"):
            desk.third.take(int(name == "take second"))
        elif name == "merge":
            desk.third.merge()
        elif name == "error map":
            if not desk.places.toggle_map() and desk.layers.suggestion is None:
                self.say("There is no suggestion to compare the mask with.")
        elif name == "places":
            self.controls.places.head.toggle()
        elif name == "orthogonal views":
            self._toggle_planes()
        elif name == "shortcuts":
            show_sheet(self, TIPS | TOOL_TIPS)
        elif name in TOOLS:
            desk.tools.run(name)
        elif name == "smart brush":
            panel = self.controls.tools.buttons[name]
            desk.layers.brush(desk.layers.brushing != "smart", smart=True)
            panel.setChecked(desk.layers.brushing == "smart")
        elif name == "threshold brush":
            self.controls.tools.show_range(desk.tools.threshold(desk.tools.range is None))
        elif name == "lock":
            self.controls.classes.toggle_lock()
        elif name.startswith("class "):
            self.controls.classes.choose(int(name.split()[1]) - 1)
        elif name == "window":
            shown = desk.layers.next_window()
            self.say(f"Window: {shown}" if shown else "Windows are for CT alone.")
        elif name == "undo":
            desk.undo()
        elif name == "take back":
            desk.withdraw()
        elif name == "ghost":
            self.controls.ghost.toggle()
        elif name == "take in brush":
            self.controls.brush.toggle()
        elif name == "take whole" and not desk.layers.take_suggestion():
            self.say("There is no other suggestion to take.")
        elif name == "use layer":
            self._use_layer()
        elif name == "load again":
            desk.reload()
        elif name == "start over":
            desk.start_over()
        elif name == "ghost toggled":
            desk.layers.ghost(self.controls.ghost.isChecked())
        elif name == "brush toggled":
            wanted = self.controls.brush.isChecked()
            if not desk.layers.brush(wanted) and wanted:
                self.controls.brush.setChecked(False)
                self.say("There is no suggestion to copy from.")

    def ask(self, name: str) -> None:
        """Do what was pressed; a decision counts only where its case has been seen."""
        if name in DECISIONS and self.desk is not None and not self.desk.seen:
            self.say("Nothing was decided: this case has only just come up. Look, then decide.")
            return
        self.act(name)

    def _asking(self, name: str):
        return lambda: self.ask(name)

    def _choose(self, row: int) -> None:
        if self.desk is not None and 0 <= row < len(self.desk.session.queue):
            id = self.desk.session.queue[row].id
            if id != self.desk.session.current:
                self.say("")
                self.desk.go(id)

    def _preview(self, name: str) -> None:
        if self.desk is not None:
            self.desk.tools.preview(name) if name else self.desk.tools.drop()

    def _list_places(self) -> None:
        if self.desk is not None and self.controls.places.is_open:
            desk = self.desk
            names, unit = desk.session.dataset.class_names, desk.tools.unit
            self.controls.places.fill(desk.known_places(), names, unit)
            self.controls.places.select(desk.session.current, desk.places.at)

    def _to_place(self, id: str, number: int) -> None:
        if self.desk is not None:
            self.say("")
            self.desk.go_to(id, number)

    def _placed(self, words: str) -> None:
        self.controls.show_place(words)
        if self.desk is not None and self.controls.places.is_open:
            self.controls.places.select(self.desk.session.current, self.desk.places.at)

    def _toggle_planes(self) -> None:
        """Show or hide the three planes of a volume."""
        if self._planes is not None and not self._planes.closed:
            self.viewer.window.remove_dock_widget(self._planes)
            self._planes = None
        elif self.desk is not None and self.desk.layers.is_volume:
            self._planes = OrthogonalWidget(self.viewer)
            self.viewer.window.add_dock_widget(self._planes, name="Orthogonal views", area="bottom")
        else:
            self.say("Three planes are for volumes: a picture has one.")

    def _others(self) -> list[Labels]:
        layer = None if self.desk is None else self.desk.layers.corrected
        return [] if layer is None else masks_of_others(self.viewer, layer.data.shape)

    def _use_layer(self) -> None:
        others = self._others()
        if self.desk is not None and others:
            self.desk.suggest(others[0])
        else:
            self.say("There is no mask of another plugin on this image: draw one with it first.")

    def _offer_others(self) -> None:
        """List masks of other plugins, and models that are installed."""
        menu, desk = self.controls.other.menu(), self.desk
        menu.clear()
        if desk is None:
            return
        for layer in self._others():
            menu.addAction(layer.name).triggered.connect(lambda _, layer=layer: desk.suggest(layer))
        for title, plugin, widget in installed():
            menu.addAction(f"Open {title}").triggered.connect(
                lambda _, names=(plugin, widget): self.viewer.window.add_plugin_dock_widget(*names)
            )
        if menu.isEmpty():
            menu.addAction("No other plugin has drawn a mask on this image").setEnabled(False)

    def _comment(self, text: str) -> None:
        if self.desk is not None:
            self.desk.write_comment(text)

    def _filter(self) -> None:
        if self.model is not None:
            self.model.filter(self.filters.condition())
            self._select()
            self._list_places()

    # What the desk tells

    def _shown(self, case: ReviewCase | None) -> None:
        if self.desk is None:
            return
        self._select()
        current = self.desk.session.current
        item = None if current is None else self.desk.session.item(current)
        decided = current is not None and self.desk.session.status(current) != "undecided"
        self.controls.show_case(case, item, self.desk.comment, decided)
        if case is not None:
            self.controls.tools.unit.setText(self.desk.tools.unit)
            self.controls.planes.setVisible(self.desk.layers.is_volume)
            if self.controls.places.is_open and not self.desk.session.places(case.id):
                self._list_places()  # found only now that it is shown
            self.controls.windows.setVisible(self.desk.layers.has_windows)
            self.desk.layers.ghost(self.controls.ghost.isChecked())

    def _select(self) -> None:
        if self.model is not None and self.desk is not None:
            self.list.select(self.model.row(self.desk.session.current))

    def _changed(self, id: str) -> None:
        if self.model is not None and self.desk is not None:
            mark = self.model.unsaved.add if id in self.desk.unsaved else self.model.unsaved.discard
            mark(id)
            self.model.update_row(id)
            self._count()

    def _count(self) -> None:
        if self.desk is not None:
            decided, total = self.desk.session.progress
            self.progress.setMaximum(max(total, 1))
            self.progress.setValue(decided)
            self.progress.setFormat(f"{decided} of {total} decided")

    def _run_audit(self) -> None:
        if self.desk is not None:
            self.opening.dataset.setText(str(self.desk.session.dataset.root))
            self.opening.run_audit()

    def _list_alone(self, ids: tuple[str, ...], show: bool) -> None:
        """List what is in dispute; `show` goes there where none of it is in view."""
        self.filters.only(ids)
        if show and self.desk is not None and self.desk.session.current not in ids:
            self.desk.go(ids[0])

    # The end

    def about_to_close(self) -> bool:
        """Write what is painted to drafts; where that fails, the reviewer says what to do."""
        while self.desk is not None:
            unsaved = self.desk.settle()
            if not unsaved or not self.isVisible():
                break
            answer = ask_unsaved(self, unsaved, self.message.text())
            if answer != "again":
                return answer == "close"
        return True

    def window_resized(self) -> None:
        """Fit the image once the canvas has its new size too."""
        self._fit_soon.start()

    def _fit(self) -> None:
        if self.desk is not None:
            self.desk.layers.refit()

    def give_back(self) -> None:
        """Keep what is painted and give viewer, keys and lock back."""
        self.opening.stop()
        self.finish()
