"""Time what a person waits for in napari: the table while painting, previews, volumes.

    xvfb-run -a python scripts/bench/plugin.py [--repeats 20] [--output docs/results]
        [--only compare preview volume planes review large volumes]

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
from napari_plugin.viewer import OrthogonalWidget

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


def timed(
    act: Callable[[int], None],
    state: Callable[[], Any],
    repeats: int,
    ready: Callable[[], bool] = lambda: True,
) -> dict[str, float]:
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
        wait(ready)
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


def planes(repeats: int) -> list[dict[str, Any]]:
    """The three planes of a volume follow the brush."""
    with window(ball(256, 80), ball(256, 82, 4)) as viewer:
        widget = OrthogonalWidget(viewer)
        viewer.window.add_dock_widget(widget, area="bottom")
        wait(lambda: len(widget.panes) == 3 and widget.panes[2].image is not None)
        times = timed(painted(viewer.layers["clean"]), lambda: widget.panes[2].image, repeats)
        widget.close_down()
    return [{"what": "three planes after a stroke, 256³", "at_most_ms": 200, **times}]


def wide(folder: Path, shape: tuple[int, ...], classes: int, cases: int) -> Path:
    """Photographs, or CT where `shape` has three axes, with masks of balls and a consensus."""
    import nibabel

    home, rng = folder / "large", np.random.default_rng(0)
    names = {f"organ {number}": number for number in range(1, classes)}
    rows, suffix = ["id,image,mask,annotator,split"], "jpg" if len(shape) == 2 else "nii.gz"
    for who in ("images", "reader", "consensus-model"):
        (home / who).mkdir(parents=True)
    for number in range(cases):
        labels = np.zeros(shape, np.uint8)
        for label in range(1, classes):
            radius = rng.integers(min(shape) // 24, min(shape) // (5 if classes == 2 else 12))
            at = [rng.integers(radius, n - radius) for n in shape]
            box = tuple(slice(n - radius, n + radius) for n in at)
            axes = np.ogrid[tuple(slice(-radius, radius) for _ in shape)]
            labels[box][sum(axis**2 for axis in axes) < radius**2] = label
        masks = {"reader": labels, "consensus-model": np.roll(labels, min(shape) // 100, axis=0)}
        id = f"case{number}"
        if len(shape) == 2:
            image = np.repeat(200 - 90 * labels[..., None], 3, axis=-1)
            Image.fromarray(image).save(home / "images" / f"{id}.jpg", quality=92)
        else:
            image = np.where(labels > 0, 40 + labels.astype(np.int16), -1000).astype(np.int16)
            nibabel.Nifti1Image(image, np.diag([0.8, 0.8, 1.5, 1])).to_filename(
                home / "images" / f"{id}.nii.gz"
            )
        for who, mask in masks.items():
            path = home / who / f"{id}.{'png' if len(shape) == 2 else suffix}"
            if len(shape) == 2:
                Image.fromarray(mask * np.uint8(255)).save(path, compress_level=1)
            else:
                nibabel.Nifti1Image(mask, np.diag([0.8, 0.8, 1.5, 1])).to_filename(path)
            rows.append(f"{id},images/{id}.{suffix},{who}/{path.name},{who},train")
    (home / "manifest.csv").write_text("\n".join(rows) + "\n")
    about = {"labels": {"background": 0, **names}} if classes > 2 else {}
    (home / "dataset.json").write_text(json.dumps({"name": "large", **about}))
    return home


@contextmanager
def reviewing(home: Path) -> Iterator[ReviewWidget]:
    """A review whose next case has been read ahead."""
    with window() as viewer:
        widget = ReviewWidget(viewer)
        viewer.window.add_dock_widget(widget)
        widget.open(home, None, "anna")
        wait(lambda: read_ahead(widget))
        yield widget
        widget.close_down()


def read_ahead(widget: ReviewWidget) -> bool:
    desk = widget.desk
    if desk is None or desk.case is None or not desk.seen:
        return False
    return not desk._reader.waiting and not desk._writer.waiting


def large(repeats: int) -> list[dict[str, Any]]:
    """Photographs and CT as they are: the next case, when it has been read ahead."""
    rows = []
    for what, shape, classes, most in (
        ("3000 × 2000", (2000, 3000), 2, 500),
        ("6000 × 4000", (4000, 6000), 2, 500),
        ("512² × 400, 30 classes", (512, 512, 400), 30, 1000),
    ):
        cases = 4 if len(shape) == 3 else 6
        with tempfile.TemporaryDirectory() as folder:
            home = wide(Path(folder), shape, classes, cases)
            with reviewing(home) as widget:
                seen: list[Any] = [None]
                widget.desk.shown.connect(lambda case, s=seen: s.__setitem__(0, case or s[0]))

                def following(number: int, widget: ReviewWidget = widget) -> None:
                    widget.act("next")

                def ready(widget: ReviewWidget = widget) -> bool:
                    return read_ahead(widget)

                times = timed(following, lambda s=seen: s[0], cases - 2, ready)
        rows.append({"what": f"next case, read ahead, {what}", "at_most_ms": most, **times})
    return rows


def volumes(repeats: int, visits: int = 200) -> list[dict[str, Any]]:
    """Memory over many volumes."""
    memory: list[float] = []
    with tempfile.TemporaryDirectory() as folder:
        with reviewing(wide(Path(folder), (128, 128, 64), 5, 8)) as widget:
            ids = [item.id for item in widget.desk.session.items]
            for number in range(visits + 20):
                if number in (20, visits + 19):
                    gc.collect()
                    memory.append(psutil.Process().memory_info().rss / 2**20)
                widget.desk.go(ids[number % len(ids)])
                wait(lambda: widget.desk.case is not None)
    figures = {"what": f"{visits} volumes of 128² × 64", "memory_mib": [round(m) for m in memory]}
    return [figures | {"cases": visits}]


PARTS: dict[str, Callable[[int], list[dict[str, Any]]]] = {
    "compare": compare,
    "preview": preview,
    "volume": volume,
    "planes": planes,
    "review": review,
    "large": large,
    "volumes": volumes,
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
        if "median_ms" not in row:
            continue
        times = [f"{row[f'{k}_ms']:.0f} ms" for k in ("median", "max", "processor", "blocked")]
        limit = f"{row['at_most_ms']} ms" if "at_most_ms" in row else ""
        lines.append(f"| {' | '.join([row['what'], *times, limit])} |")
    others = sorted({str(row["on"]) for row in rows if "on" in row})
    for processor in others:
        first = [row["what"] for row in rows if row.get("on") == processor]
        lines += ["", f"From “{first[0]}” to “{first[-1]}”: measured on {processor}."]
    for row in rows:
        if "memory_mib" in row:
            first, last = row["memory_mib"]
            lines += [
                "",
                f"Over {row['cases']} more cases of the review ({row['what']}), the memory of the "
                f"process went from {first} to {last} MiB.",
            ]
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=20)
    parser.add_argument("--only", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--output", type=Path, default=Path("docs/results"))
    arguments = parser.parse_args()
    rows = [row for part in arguments.only for row in PARTS[part](arguments.repeats)]
    known = arguments.output / "bench_plugin.json"
    if arguments.only != list(PARTS) and known.is_file():  # what was not measured now stays
        names = {row["what"] for row in rows}
        before = json.loads(known.read_text(encoding="utf-8"))
        on = before["machine"]["processor"]
        kept = [{"on": on, **row} for row in before["results"] if row["what"] not in names]
        rows = kept + rows
    report = environment(["napari", "numpy", "scipy"]) | {"results": rows}
    print(write_results(arguments.output, "plugin", report, table(rows)))
    missed = [row for row in rows if row.get("median_ms", 0) > row.get("at_most_ms", float("inf"))]
    sys.exit(1 if missed else 0)


if __name__ == "__main__":
    main()
