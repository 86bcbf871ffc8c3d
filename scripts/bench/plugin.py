"""Time what a person waits for in napari: the table while painting, previews, volumes.

    xvfb-run -a python scripts/bench/plugin.py [--repeats 20] [--only compare preview volume]
        [--output docs/results]

Drives a real viewer. A time runs from the call that paints, or moves a slider, to the new table or
preview, through napari's events and the widget's own timers; the processor time is that of the
whole process meanwhile, which other programs disturb less. `blocked` is the longest time in which
the window answered nothing.
"""

import argparse
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from result_page import environment, write_results

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import napari
    from qtpy.QtCore import QTimer
    from qtpy.QtWidgets import QApplication

from napari_plugin.compare import CompareWidget
from napari_plugin.noise_lab import NoiseLabWidget

TICK_MS = 2


def blob(size: int, radius: float, petals: int, shift: int = 0) -> np.ndarray:
    """A mask with a wavy outline."""
    y, x = np.ogrid[:size, :size]
    y, x = y - size / 2 - shift, x - size / 2 + shift
    wave = 1 + 0.1 * np.sin(petals * np.arctan2(y, x))
    return (np.hypot(y, x) < radius * wave).astype(np.uint8)


def ball(size: int, radius: float, shift: int = 0) -> np.ndarray:
    z, y, x = (np.arange(size, dtype=np.float32) - size / 2 - s for s in (shift, 0, -shift))
    square = z[:, None, None] ** 2 + y[:, None] ** 2 + x**2
    return (square < radius**2).astype(np.uint8)


@contextmanager
def window(*masks: np.ndarray) -> Iterator[napari.Viewer]:
    viewer = napari.Viewer(show=True)
    viewer.window._qt_window.resize(1280, 800)
    for name, mask in zip(("clean", "noisy"), masks, strict=False):
        viewer.add_labels(mask, name=name)
    wait(lambda: False, 1.0)
    try:
        yield viewer
    finally:
        viewer.close()


def wait(ready: Callable[[], bool], seconds: float = 120.0) -> bool:
    """Let the window work until something is ready."""
    end = time.perf_counter() + seconds
    while not ready() and time.perf_counter() < end:
        QApplication.processEvents()
    return ready()


def timed(act: Callable[[int], None], state: Callable[[], Any], repeats: int) -> dict[str, float]:
    """Times from an act to a new state, in ms: median, greatest, processor, longest block."""
    last, gaps = [time.perf_counter()], [0.0]

    def tick() -> None:
        now = time.perf_counter()
        gaps.append(now - last[0])
        last[0] = now

    ticker = QTimer()
    ticker.timeout.connect(tick)
    ticker.start(TICK_MS)
    wall: list[float] = []
    processor: list[float] = []
    longest = 0.0
    for number in range(repeats + 1):
        wait(lambda: False, 0.1)
        before = state()
        gaps.clear()
        last[0] = start = time.perf_counter()
        spent = time.process_time()
        act(number)
        if not wait(lambda before=before: state() is not before):
            sys.exit("Nothing happened within two minutes.")
        if number:  # the first one warms up
            wall.append(time.perf_counter() - start)
            processor.append(time.process_time() - spent)
            tick()
            longest = max(longest, *gaps)
    ticker.stop()
    return {
        "median_ms": round(1e3 * median(wall), 1),
        "max_ms": round(1e3 * max(wall), 1),
        "processor_ms": round(1e3 * median(processor), 1),
        "blocked_ms": round(1e3 * longest, 1),
    }


def painted(layer, label: int = 1) -> Callable[[int], None]:
    """Paints a dot with napari's brush, each time somewhere else."""

    def act(number: int) -> None:
        middle = [size // 2 for size in layer.data.shape]
        middle[-1] = layer.data.shape[-1] // 8 + 7 * number
        layer.brush_size = 10
        layer.paint(middle, label)

    return act


def compare(repeats: int) -> list[dict[str, Any]]:
    rows = []
    a, b = blob(1024, 300, 7), blob(1024, 310, 9, 12)
    stripes = (np.arange(1024, dtype=np.uint8)[:, None] >> 5) % 8
    for classes, masks in ((1, (a, b)), (8, (a * (stripes + 1), b * (stripes + 1)))):
        with window(*masks) as viewer:
            widget = CompareWidget(viewer)
            viewer.window.add_dock_widget(widget)
            wait(lambda w=widget: w.found is not None)
            for difference in (False, True):
                widget.difference.setChecked(difference)
                wait(lambda: False, 0.5)
                layer = viewer.layers["clean"]
                rows.append(
                    {
                        "what": f"table while painting, 1024², {classes} class(es)"
                        + (", with the difference" if difference else ""),
                        "at_most_ms": 200,
                        **timed(painted(layer), lambda w=widget: w.found, repeats),
                    }
                )
            widget.close_down()
    return rows


def preview(repeats: int) -> list[dict[str, Any]]:
    rows = []
    with window(blob(512, 150, 7)) as viewer:
        widget = NoiseLabWidget(viewer)
        viewer.window.add_dock_widget(widget)
        wait(lambda: widget.shown is not None)
        for kind in widget.settings.kinds:
            for box in widget.settings.kinds.values():
                box.setChecked(True)
            for other, box in widget.settings.kinds.items():
                box.setChecked(other == kind)
            wait(lambda: False, 0.5)
            rows.append(
                {
                    "what": f"preview while the slider moves, 512², {kind}",
                    "at_most_ms": 100,
                    **timed(
                        lambda n: widget.settings.beta.setValue(0.2 + 0.05 * (n % 25)),
                        lambda: widget.shown,
                        repeats,
                    ),
                }
            )
        widget.close_down()
    return rows


def volume(repeats: int) -> list[dict[str, Any]]:
    rows = []
    few = max(2, repeats // 4)
    with window(ball(256, 80), ball(256, 82, 4)) as viewer:
        widget = CompareWidget(viewer)
        viewer.window.add_dock_widget(widget)
        wait(lambda: widget.found is not None)
        layer = viewer.layers["clean"]
        rows.append(
            {
                "what": "table after a stroke, 256³",
                **timed(painted(layer), lambda: widget.found, few),
            }
        )
        widget.close_down()
        lab = NoiseLabWidget(viewer)
        viewer.window.add_dock_widget(lab)
        wait(lambda: lab.shown is not None)
        rows.append(
            {
                "what": "preview, 256³",
                **timed(
                    lambda n: lab.settings.beta.setValue(0.2 + 0.05 * n), lambda: lab.shown, few
                ),
            }
        )
        lab.close_down()
    return rows


PARTS: dict[str, Callable[[int], list[dict[str, Any]]]] = {
    "compare": compare,
    "preview": preview,
    "volume": volume,
}


def table(rows: list[dict[str, Any]]) -> list[str]:
    lines = [
        "# Waiting for the plugin",
        "",
        "From painting, or moving a slider, to the new table or preview, in a real window with a "
        "software renderer. *Processor* is the time of the whole process; *blocked* is the longest "
        "time without an answer to the mouse.",
        "",
        "| what | median | greatest | processor | blocked | at most |",
        "|---|---|---|---|---|---|",
    ]
    for row in rows:
        times = [f"{row[f'{k}_ms']:.0f} ms" for k in ("median", "max", "processor", "blocked")]
        limit = f"{row['at_most_ms']} ms" if "at_most_ms" in row else ""
        lines.append(f"| {' | '.join([row['what'], *times, limit])} |")
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=20)
    parser.add_argument("--only", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--output", type=Path, default=Path("docs/results"))
    arguments = parser.parse_args()
    rows = [row for part in arguments.only for row in PARTS[part](arguments.repeats)]
    report = environment(["napari", "numpy", "scipy"]) | {"results": rows}
    print(write_results(arguments.output, "plugin", report, table(rows)))
    missed = [row for row in rows if row["median_ms"] > row.get("at_most_ms", float("inf"))]
    sys.exit(1 if missed else 0)


if __name__ == "__main__":
    main()
