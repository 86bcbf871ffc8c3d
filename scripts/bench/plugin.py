"""Time what a person waits for in napari: the table while painting, previews, volumes.

    xvfb-run -a python scripts/bench/plugin.py [--repeats 20] [--only compare preview volume review]
        [--output docs/results]

Drives a real viewer. A time runs from the call that paints, or moves a slider, to the new table or
preview, through napari's events and the widget's own timers; the processor time is that of the
whole process meanwhile, which other programs disturb less. `blocked` is the longest time in which
the window answered nothing.
"""

import argparse
import gc
import io
import itertools
import json
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import psutil
from PIL import Image
from result_page import environment, write_results

from keras_robust.audit.folder import AuditCase, write_cases
from keras_robust.data import read_mask, sample

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import napari
    from qtpy.QtCore import QTimer
    from qtpy.QtWidgets import QApplication

from napari_plugin.compare import CompareWidget
from napari_plugin.noise_lab import NoiseLabWidget
from napari_plugin.review import ReviewWidget

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
    """Paints a dot with napari's brush, each time elsewhere beside the mask: what has the label
    already does not change."""
    dots = itertools.count()

    def act(number: int) -> None:
        middle = [size // 2 for size in layer.data.shape]
        middle[-2:] = layer.data.shape[-2] // 16, layer.data.shape[-1] // 8 + 7 * next(dots)
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
            paint = painted(viewer.layers["clean"])
            for difference in (False, True):
                widget.difference.setChecked(difference)
                wait(lambda: False, 0.5)
                rows.append(
                    {
                        "what": f"table while painting, 1024², {classes} class(es)"
                        + (", with the difference" if difference else ""),
                        "at_most_ms": 200,
                        **timed(paint, lambda w=widget: w.found, repeats),
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


def queue(folder: Path, cases: int) -> tuple[Path, Path]:
    """A dataset of 512² and its audit: the packaged lesions, again and again."""
    home, audited = folder / "lesions", folder / "lesions-audit"
    for part in (home / "images", home / "masks", audited / "predictions"):
        part.mkdir(parents=True)
    pictures = []
    for case in sample().cases[:20]:
        mask = read_mask(case.mask, size=(512, 512))
        image, drawn, predicted = io.BytesIO(), io.BytesIO(), io.BytesIO()
        Image.open(case.image).resize((512, 512)).save(image, "jpeg", quality=92)
        Image.fromarray(mask * 255).save(drawn, "png")
        Image.fromarray(np.roll(mask, 20, axis=0) * 255).save(predicted, "png")
        pictures.append([buffer.getvalue() for buffer in (image, drawn, predicted)])
    rows, found = ["id,image,mask,annotator,split"], []
    for number in range(cases):
        id, (image, drawn, predicted) = f"case{number:04d}", pictures[number % len(pictures)]
        (home / "images" / f"{id}.jpg").write_bytes(image)
        (home / "masks" / f"{id}.png").write_bytes(drawn)
        (audited / "predictions" / f"{id}.png").write_bytes(predicted)
        rows.append(f"{id},images/{id}.jpg,masks/{id}.png,clinic,train")
        score = 1 - number / cases
        found.append(AuditCase(number + 1, id, "clinic", score, "too large", {"default": score}))
    (home / "manifest.csv").write_text("\n".join(rows) + "\n")
    write_cases(audited, found, ranked_by="default")
    info = {"status": "finished", "classes": 2, "annotators": ["clinic"], "dataset": str(home)}
    info |= {"ranked_by": "default", "scores": ["default"]}
    (audited / "audit.json").write_text(json.dumps(info))
    return home, audited


def review(repeats: int, cases: int = 1000, decisions: int = 200) -> list[dict[str, Any]]:
    rows = []
    with tempfile.TemporaryDirectory() as folder, window() as viewer:
        home, audited = queue(Path(folder), cases)
        widget = ReviewWidget(viewer)
        viewer.window.add_dock_widget(widget)
        seen: list[Any] = [None]

        def note(case: Any) -> None:
            if case is not None:
                seen[0] = case

        def open_queue(number: int) -> None:
            widget.open(home, audited, f"reviewer{number}")
            wait(lambda: widget.desk is not None and widget.desk.case is not None)
            widget.desk.shown.connect(note)
            seen[0] = object()

        limits = {"at_most_ms": 3000}
        times = timed(open_queue, lambda: seen[0], 3)
        rows.append({"what": f"opening a queue of {cases} cases, 512²", **limits, **times})
        for what, act in (
            ("next case, read ahead, 512²", lambda number: widget.act("next")),
            ("another case of the list, 512²", lambda number: widget._choose(500 + 13 * number)),
            ("decision and next case, 512²", lambda number: widget.act("accept")),
        ):
            rows.append({"what": what, "at_most_ms": 300, **timed(act, lambda: seen[0], repeats)})
        memory = []
        for number in range(decisions + 20):
            if number in (20, decisions + 19):
                gc.collect()
                memory.append(psutil.Process().memory_info().rss / 2**20)
            before = seen[0]
            widget.act("accept")
            wait(lambda before=before: seen[0] is not before)
        rows[-1]["memory_mib"] = [round(value) for value in memory]
        rows[-1]["cases"] = decisions
        widget.close_down()
    return rows


PARTS: dict[str, Callable[[int], list[dict[str, Any]]]] = {
    "compare": compare,
    "preview": preview,
    "volume": volume,
    "review": review,
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
    for row in rows:
        if "memory_mib" in row:
            first, last = row["memory_mib"]
            lines += [
                "",
                f"Over {row['cases']} more cases of the review, the memory of the process went "
                f"from {first} to {last} MiB.",
            ]
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
