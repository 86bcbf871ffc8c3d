"""Time of instance normalisation and its gradient on a CPU, each form by shape and number type.

    python scripts/bench/instance_norm.py [--rounds 9] [--output docs/results]

The forms take turns with one thread; a figure is the median over the rounds of the processor's
time. `keras_robust.models.instance_norm` chooses by these figures.
"""

import argparse
import math
import os
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

SHAPES = [
    *[(8, 256, 256, 4), (8, 256, 256, 8), (8, 128, 128, 12), (8, 128, 128, 16), (8, 128, 128, 24)],
    *[(8, 64, 64, 32), (8, 64, 64, 40), (8, 64, 64, 48), (8, 32, 32, 64), (8, 16, 16, 128)],
    *[(2, 64, 64, 64, 4), (2, 64, 64, 64, 8), (2, 64, 64, 64, 16)],
    *[(2, 32, 32, 32, 32), (2, 16, 16, 16, 64), (2, 8, 8, 8, 128)],
]


def forms() -> dict[str, Callable[..., Any]]:
    """Of the number types that have them."""
    import tensorflow as tf

    from keras_robust.models import instance_norm

    def general(width: int) -> Callable[..., Any]:
        def normalize(x, *rest):
            before, instance_norm.FOLDED_WIDTH = instance_norm.FOLDED_WIDTH, width
            y = instance_norm._normalize(tf.cast(x, tf.float32), *rest)
            instance_norm.FOLDED_WIDTH = before
            return tf.cast(y, x.dtype)

        return normalize

    folded = general(instance_norm.FOLDED_WIDTH)
    return {"kernel": instance_norm._by_kernel, "general": general(0), "folded": folded}


def chosen(shape: tuple[int, ...], dtype: str) -> str:
    import numpy as np

    from keras_robust.models import instance_norm

    if dtype == "bfloat16" and instance_norm._fits_kernel(np.empty(shape, bool)):
        return "kernel"
    folds = instance_norm._folds(math.prod(shape[1:-1]), shape[-1])
    return "folded" if folds > 1 else "general"


def measure(shape: tuple[int, ...], dtype: str, rounds: int) -> dict[str, Any]:
    """Milliseconds of each form."""
    import tensorflow as tf

    x, upstream = (tf.cast(tf.random.normal(shape), dtype) for _ in range(2))
    gamma, beta = tf.ones(shape[-1]), tf.zeros(shape[-1])

    def step(form):
        @tf.function
        def gradient():
            with tf.GradientTape() as tape:
                tape.watch([x, gamma, beta])
                y = form(x, gamma, beta, 1e-5)
            return tape.gradient(y, [x, gamma, beta], upstream)

        gradient()
        return gradient

    steps = {name: step(form) for name, form in forms().items()}
    if dtype == "float32":
        del steps["kernel"]
    taken: dict[str, list[float]] = {name: [] for name in steps}
    for _ in range(rounds):
        for name, once in steps.items():
            start = time.process_time()
            once()[0].numpy()
            taken[name].append(1000 * (time.process_time() - start))
    medians = {name: statistics.median(values) for name, values in taken.items()}
    return {"shape": shape, "dtype": dtype, **medians, "chosen": chosen(shape, dtype)}


def page(report: dict[str, Any]) -> list[str]:
    def figure(row: dict[str, Any], name: str) -> str:
        return f"{row[name]:.1f}" if name in row else ""

    return [
        "# Instance normalisation on a CPU",
        "",
        "Milliseconds of the processor for the layer and its gradient, one thread. *General*: the "
        "formula in float32. *Folded*: the same over rows into which neighbours in space are "
        "folded. *Kernel*: TensorFlow's batch normalisation, sample by sample.",
        "",
        "| shape | numbers | general | folded | kernel | chosen |",
        "|---|---|---|---|---|---|",
        *(
            f"| {' × '.join(map(str, r['shape']))} | {r['dtype']} | "
            + " | ".join(figure(r, name) for name in ("general", "folded", "kernel"))
            + f" | {r['chosen']} |"
            for r in report["rows"]
        ),
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--output", type=Path, default=Path("docs/results"))
    arguments = parser.parse_args()
    import tensorflow as tf
    from result_page import environment, write_results

    tf.config.threading.set_intra_op_parallelism_threads(1)
    rows = [
        measure(shape, dtype, arguments.rounds)
        for dtype in ("bfloat16", "float32")
        for shape in SHAPES
    ]
    report = {**environment(["tensorflow", "keras", "numpy"]), "rows": rows}
    print(write_results(arguments.output, "instance_norm", report, page(report)))


if __name__ == "__main__":
    main()
