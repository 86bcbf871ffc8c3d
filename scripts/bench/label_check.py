"""What it costs in a training step that every loss looks at its labels.

    python scripts/bench/label_check.py [--rounds 30] [--cases CASE ...] [--output docs/results]

A step of a U-Net of the default width in TensorFlow, with the check and without it, which take
turns; a figure is the median of the processor time of a step, over the rounds.
"""

import argparse
import json
import os
import platform
import statistics
import time
from importlib.metadata import version
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

CASES = {
    "2-D, 2 classes": ((128, 128, 3), 1, 8, "ce+dice"),
    "2-D, 4 classes": ((128, 128, 3), 4, 8, "apl2"),
    "3-D, 3 classes": ((48, 48, 48, 1), 3, 2, "t+dice"),
}
LIMIT = 0.02
STORED = "bench_label_check.json"


def step(shape, channels: int, batch: int, loss: str, checked: bool):
    """A compiled training step whose loss does or does not look at its labels."""
    import keras

    from keras_robust import losses
    from keras_robust.losses import targets
    from keras_robust.models import UNet

    keras.utils.set_random_seed(0)
    kept = targets.require_classes, targets.require_probabilities
    if not checked:
        targets.require_classes = targets.require_probabilities = lambda *given: None
    model = UNet(shape, classes=channels, features=16)
    model.compile("adam", losses.get(loss))
    model.train_on_batch(*problem(shape, channels, batch))  # traced once, with or without it
    targets.require_classes, targets.require_probabilities = kept
    return model.train_on_batch


def problem(shape, channels: int, batch: int):
    import numpy as np

    rng = np.random.default_rng(0)
    x = rng.normal(size=(batch, *shape)).astype("float32")
    return x, rng.integers(0, max(2, channels), (batch, *shape[:-1])).astype("uint8")


def measure(shape, channels: int, batch: int, loss: str, rounds: int) -> dict[str, float]:
    """Median processor milliseconds of a step with and without the check."""
    names = ("with", "without")
    steps = {name: step(shape, channels, batch, loss, name == "with") for name in names}
    data = problem(shape, channels, batch)
    times: dict[str, list[float]] = {name: [] for name in steps}
    for number in range(rounds + 3):
        for name in sorted(steps, reverse=bool(number % 2)):
            start = time.process_time()
            steps[name](*data)
            times[name].append(1000 * (time.process_time() - start))
    return {name: statistics.median(values[3:]) for name, values in times.items()}


def write(rows: list[dict], output: Path) -> None:
    """`bench_label_check.json` and `.md` of the rows of cases."""
    from keras_robust.common.files import atomic_write_json, atomic_write_text

    lines = [
        "# What it costs to look at the labels",
        "",
        "Every loss looks in each step whether its labels are classes or ignored. A training step "
        "of a U-Net of 16 features with the check and without, median of the processor time.",
        "",
        "| case | batch | loss | with | without | more |",
        "|---|---|---|---|---|---|",
        *(
            f"| {r['case']} | {'×'.join(map(str, r['batch']))} | {r['loss']} "
            f"| {r['with']:.1f} ms | {r['without']:.1f} ms | {100 * r['share']:+.2f} % |"
            for r in rows
        ),
        "",
        f"At most {100 * LIMIT:.0f} % is the aim. Measured with Keras {version('keras')}, "
        f"Python {platform.python_version()}, {os.cpu_count()} cores, by "
        "`python scripts/bench/label_check.py`.",
    ]
    atomic_write_json(output / STORED, rows)
    atomic_write_text(output / "bench_label_check.md", "\n".join(lines) + "\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--cases", nargs="+", choices=list(CASES), default=list(CASES))
    parser.add_argument("--output", type=Path, default=Path("docs/results"))
    arguments = parser.parse_args()
    stored = arguments.output / STORED
    before = json.loads(stored.read_text()) if stored.is_file() else []
    rows = []
    for name in arguments.cases:
        shape, channels, batch, loss = CASES[name]
        found = measure(shape, channels, batch, loss, arguments.rounds)
        share = found["with"] / found["without"] - 1
        rows.append({"case": name, "batch": [batch, *shape], "loss": loss, **found, "share": share})
        print(rows[-1], flush=True)
    found = {row["case"]: row for row in [*before, *rows]}
    write([found[name] for name in CASES if name in found], arguments.output)
    missed = [row for row in rows if row["share"] > LIMIT]
    print(missed if missed else "the limit is held")


if __name__ == "__main__":
    main()
