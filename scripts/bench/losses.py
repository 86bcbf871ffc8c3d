"""Time and memory of the losses, forward and backward, against Keras's BinaryCrossentropy.

    python scripts/bench/losses.py [--rounds 30] [--output docs/results]

Each loss runs as one TensorFlow graph (no XLA) on float32 probabilities and 8-bit masks, as they
come from files, and returns its value and its gradients by the predictions and by ν. Losses take
turns, so that what else the machine does meets all alike; a figure is the median over the rounds of
processor time. Peak memory is measured in a process per loss: the most that a step holds beyond
inputs and libraries.
"""

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

SHAPES = {"16×256²": (16, 256, 256), "1×128³": (1, 128, 128, 128)}
# The most that each loss may take, as a multiple of BinaryCrossentropy.
HALF = dict.fromkeys(["t", "mae", "rce", "dice"], 0.5)
LIMITS = {**HALF, "nce": 1.0, **dict.fromkeys(["gce", "ngce", "sce"], 2.5)}
MEMORY_LIMIT = 1.25


def step(name: str):
    """A compiled function of (masks, predictions): the loss and its gradients."""
    import keras
    import tensorflow as tf

    from keras_robust import losses

    loss = keras.losses.BinaryCrossentropy() if name == "bce" else losses.get(name)
    variables = [v.value for v in getattr(loss, "trainable_variables", [])]

    @tf.function
    def run(y, p):
        with tf.GradientTape() as tape:
            tape.watch(p)
            value = loss(y, p)
        return value, tape.gradient(value, [p, *variables])

    return run


def problem(shape):
    import numpy as np
    import tensorflow as tf

    rng = np.random.default_rng(0)
    y = rng.integers(0, 2, (*shape, 1)).astype("uint8")
    return tf.constant(y), tf.constant(rng.uniform(0, 1, (*shape, 1)).astype("float32"))


def times(shape, rounds: int) -> dict[str, float]:
    """Median processor seconds per step of every loss."""
    y, p = problem(shape)
    steps = {name: step(name) for name in ["bce", *LIMITS]}
    seconds: dict[str, list[float]] = {name: [] for name in steps}
    for _ in range(rounds + 3):
        for name, run in steps.items():
            start = time.process_time()
            _, gradients = run(y, p)
            gradients[0].numpy()
            seconds[name].append(time.process_time() - start)
    return {name: statistics.median(values[3:]) for name, values in seconds.items()}


def peak_bytes(name: str, shape_name: str) -> int:
    """Most memory, beyond what was held before, of a step in a process of its own."""
    command = [sys.executable, __file__, "--peak", name, shape_name]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return int(done.stdout.split()[-1])


def _print_peak(name: str, shape_name: str) -> None:
    def status(field: str) -> int:
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith(field):
                return int(line.split()[1]) * 1024
        raise OSError(f"/proc/self/status has no field {field}")

    run, (y, p) = step(name), problem(SHAPES[shape_name])
    small = problem(tuple(1 if i == 0 else 8 for i in range(len(SHAPES[shape_name]))))
    run(*small)
    before = status("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")
    for _ in range(3):
        run(y, p)
    print(status("VmHWM") - before)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--output", type=Path, default=Path("docs/results"))
    parser.add_argument("--peak", nargs=2, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.peak:
        _print_peak(*arguments.peak)
        return
    import keras
    import tensorflow as tf

    from keras_robust.common.files import atomic_write_json, atomic_write_text

    rows = []
    for shape_name, shape in SHAPES.items():
        seconds = times(shape, arguments.rounds)
        peaks = {name: peak_bytes(name, shape_name) for name in ["bce", *LIMITS]}
        for name, limit in LIMITS.items():
            rows.append(
                {
                    "shape": shape_name,
                    "loss": name,
                    "milliseconds": 1000 * seconds[name],
                    "bce_milliseconds": 1000 * seconds["bce"],
                    "time_ratio": seconds[name] / seconds["bce"],
                    "time_limit": limit,
                    "peak_mib": peaks[name] / 2**20,
                    "bce_peak_mib": peaks["bce"] / 2**20,
                    "memory_ratio": peaks[name] / peaks["bce"],
                    "memory_limit": MEMORY_LIMIT,
                }
            )
    lines = [
        "# Speed and memory of the losses",
        "",
        "Forward and backward in float32, as multiples of `keras.losses.BinaryCrossentropy` in the "
        "same run (median processor time of a step, peak memory of a step). A limit is the most "
        "that the ratio may be.",
        "",
        "| input | loss | time | ratio | limit | peak memory | ratio | limit |",
        "|---|---|---|---|---|---|---|---|",
        *(
            f"| {r['shape']} | {r['loss']} | {r['milliseconds']:.1f} ms | {r['time_ratio']:.2f} | "
            f"{r['time_limit']} | {r['peak_mib']:.0f} MiB | {r['memory_ratio']:.2f} | "
            f"{MEMORY_LIMIT} |"
            for r in rows
        ),
        "",
        f"Measured with TensorFlow {tf.__version__}, Keras {keras.__version__}, Python "
        f"{platform.python_version()}, {os.cpu_count()} cores, by "
        "`python scripts/bench/losses.py`.",
    ]
    atomic_write_json(arguments.output / "bench_losses.json", rows)
    atomic_write_text(arguments.output / "bench_losses.md", "\n".join(lines) + "\n")
    print("\n".join(lines))
    missed = [
        r for r in rows if r["time_ratio"] > r["time_limit"] or r["memory_ratio"] > MEMORY_LIMIT
    ]
    print(json.dumps(missed, indent=1) if missed else "every limit is held")


if __name__ == "__main__":
    main()
