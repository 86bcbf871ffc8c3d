"""Take the pictures of the plugin's windows for the how-tos, in both themes and two sizes.

    xvfb-run -a -s "-screen 0 1920x1080x24" python scripts/screenshots.py
        [--only review-queue train ...] [--output docs/images/windows]

Every scene is a real window on packaged images or on volumes made in code, brought where it is by
keys and drags. Of a scene NAME come NAME-dark.png and NAME-light.png, 1280 x 800 pixels, and
NAME-dark-large.png and NAME-light-large.png, 1920 x 1080. Look at them before they are committed.
"""

import argparse
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from PIL import Image

sys.path.insert(0, str(Path(__file__).parent / "campaign"))
from repairs import Driver, make_data, rows_over, wait

from napari_plugin.review import ReviewWidget
from napari_plugin.samples import practice

SIZES = {"": (1280, 800), "-large": (1920, 1080)}
THEMES = ("dark", "light")
COLOURS = 255  # of a file, which is half as large then


class Scene:
    """A window in which a scene is set.

    Args:
        folder: Takes the data.
    """

    def __init__(self, folder: Path):
        import napari

        self.folder = folder
        self.viewer: Any = napari.Viewer(show=True)
        self.viewer.window._qt_window.resize(*SIZES[""])
        self.widgets: list[Any] = []

    def dock(self, name: str) -> Any:
        """Open a widget of the plugin."""
        widget = self.viewer.window.add_plugin_dock_widget("keras-robust", name)[1]
        self.widgets.append(widget)
        return widget

    def review(self, home: Path, **options: Any) -> tuple[ReviewWidget, Driver]:
        """Open the review of a data set, and wait until a case can be decided on."""
        widget = self.dock("Review")
        widget.open(home, reviewer="ada", **options)
        driver = Driver(self.viewer, widget)
        wait(driver.ready)
        return widget, driver

    def lesions(self) -> Path:
        """Six lesions that a novice drew, with suggestions of a model."""
        return practice(self.folder / "lesions")

    def organs(self) -> Path:
        """Synthetic CT with liver, spleen and kidney."""
        home = self.folder / "organs"
        make_data("volumes", 3, home)
        return home

    def shoot(self, name: str, output: Path) -> None:
        """Save the window in every size and theme."""
        window = self.viewer.window
        for size, (width, height) in SIZES.items():
            window._qt_window.resize(width, height)
            for theme in THEMES:
                self.viewer.theme = theme
                wait(lambda: False, 1.5)
                pixels = window.screenshot(canvas_only=False, flash=False)
                picture = Image.fromarray(pixels[..., :3])
                picture = picture.quantize(COLOURS, kmeans=2, dither=Image.Dither.NONE)
                picture.save(output / f"{name}-{theme}{size}.png", optimize=True)

    def close(self) -> None:
        """Close the window."""
        for widget in self.widgets:
            if hasattr(widget, "close_down"):
                widget.close_down()
        self.viewer.close()
        wait(lambda: False, 0.5)


def review_open(scene: Scene) -> None:
    widget = scene.dock("Review")
    widget.opening.dataset.setText("/data/lesions")
    widget.opening.reviewer.setText("ada")


def review_queue(scene: Scene) -> None:
    _, driver = scene.review(scene.lesions())
    driver.press("accept")
    wait(driver.ready)


def review_brush(scene: Scene) -> None:
    widget, driver = scene.review(scene.lesions())
    case = widget.desk.case
    driver.press("take in brush")
    differs = case.labels != case.suggestion
    differs[:, case.labels.shape[1] // 2 :] = False
    driver.drag(rows_over(differs, 6))


def review_tools(scene: Scene) -> None:
    widget, driver = scene.review(scene.organs())
    widget.controls.tools.head.click()
    widget.controls.classes.choose(1)
    driver.press("lock")
    widget.controls.classes.choose(0)
    widget.controls.tools.reach.setValue(3)
    widget.act("threshold brush")
    widget._preview("grow")
    wait(lambda: widget.desk.tools._shown.layer is not None, 10)
    show(widget, widget.controls.tools)


def review_problem(scene: Scene) -> None:
    home = scene.lesions()
    mask = sorted((home / "masks" / "novice").glob("*.png"))[0]
    mask.write_bytes(mask.read_bytes()[:200])
    widget, _ = scene.review(home)
    while not widget.desk.case.problems:
        widget.act("next")
        wait(lambda: widget.desk.case is not None)


def review_volume(scene: Scene) -> None:
    scene.review(scene.organs())


def review_planes(scene: Scene) -> None:
    widget, driver = scene.review(scene.organs())
    driver.press("orthogonal views")
    driver.press("places")
    show(widget, widget.controls.places)


def show(widget: ReviewWidget, part: Any) -> None:
    """Scroll a part of the review into view, with what stands above it."""
    from qtpy.QtWidgets import QScrollArea

    wait(lambda: False, 0.5)
    area = widget.findChild(QScrollArea)
    area.ensureWidgetVisible(part, 0, 200)


def compare(scene: Scene) -> None:
    scene.viewer.open_sample("keras-robust", "lesions")
    widget = scene.dock("Compare")
    widget.difference.setChecked(True)
    wait(lambda: widget.found is not None, 20)


def noise_lab(scene: Scene) -> None:
    scene.viewer.open_sample("keras-robust", "lesions")
    for layer in list(scene.viewer.layers)[2:]:
        scene.viewer.layers.remove(layer)
    widget = scene.dock("Noise lab")
    widget.settings.alpha.setValue(0.7)
    wait(lambda: widget.shown is not None, 20)
    widget.dataset_box.start_histogram()
    wait(lambda: widget.dataset_box.histogram.isVisible(), 60)


def train(scene: Scene) -> None:
    scene.viewer.open_sample("keras-robust", "lesions")
    for layer in list(scene.viewer.layers)[1:]:
        scene.viewer.layers.remove(layer)
    widget = scene.dock("Train and predict")
    widget.form.run.setText(str(scene.folder / "lesions-run"))
    widget.form.epochs.setValue(12)
    widget.form.pixels.setValue(48)
    widget.show_run()
    widget.train()
    wait(lambda: widget.progress.child is None, 900)
    widget.predict()
    wait(lambda: widget.progress.child is None, 300)
    for line, shown in ((widget.form.dataset, "lesions"), (widget.form.run, "lesions-run")):
        line.setText(f"/data/{shown}")  # not the folders of this machine


def two_widgets(scene: Scene) -> None:
    scene.dock("Compare")
    widget, _ = scene.review(scene.lesions())
    scene.viewer.window.add_plugin_dock_widget("keras-robust", "Compare")
    wait(lambda: widget.desk.case is not None, 10)


SCENES: dict[str, Callable[[Scene], None]] = {
    "review-open": review_open,
    "review-queue": review_queue,
    "review-brush": review_brush,
    "review-tools": review_tools,
    "review-problem": review_problem,
    "review-volume": review_volume,
    "review-planes": review_planes,
    "compare": compare,
    "noise-lab": noise_lab,
    "two-widgets": two_widgets,
    "train": train,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="+", choices=SCENES, default=list(SCENES))
    parser.add_argument("--output", type=Path, default=Path("docs/images/windows"))
    given = parser.parse_args()
    given.output.mkdir(parents=True, exist_ok=True)
    for name in given.only:
        with tempfile.TemporaryDirectory(prefix="keras-robust-") as folder:
            scene = Scene(Path(folder))
            try:
                SCENES[name](scene)
                scene.shoot(name, given.output)
            finally:
                scene.close()
        print(name, flush=True)


if __name__ == "__main__":
    main()
