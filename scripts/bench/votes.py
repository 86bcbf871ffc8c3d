"""Time majority votes against SimpleITK's.

    python scripts/bench/votes.py [--rounds 9] [--output docs/results]

Both take turns on the same masks with one thread; a figure is the median over the rounds of the
processor's time. Masks are made in code: of each, a fifth of the elements is drawn anew at random,
so that annotators part more often than people do. SimpleITK has no lowest label of several with as
many votes, and marks them undecided; the other elements are compared.
"""

import argparse
import os
import statistics
import time
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import SimpleITK as sitk
from result_page import environment, write_results

from keras_robust.annotators import majority

LIMIT = 1.2
UNDECIDED = 255
# Shape, annotators, classes.
MASKS: list[tuple[tuple[int, ...], int, int]] = [
    *[((512, 512), 3, 2), ((512, 512), 5, 2), ((96, 96, 96), 3, 2), ((96, 96, 96), 7, 3)],
    *[((96, 96, 96), 5, 4), ((96, 96, 96), 3, 10), ((96, 96, 96), 3, 60)],
]


def measure(shape: tuple[int, ...], count: int, classes: int, rounds: int) -> dict[str, Any]:
    generator = np.random.default_rng(0)
    true = generator.integers(0, classes, shape)
    masks = [
        np.where(generator.random(shape) < 0.2, generator.integers(0, classes, shape), true)
        for _ in range(count)
    ]
    arrays = [mask.astype(np.uint8) for mask in masks]
    images = [sitk.GetImageFromArray(array) for array in arrays]
    seconds: dict[str, list[float]] = {"keras-robust": [], "SimpleITK": []}
    for _ in range(rounds):
        start = time.process_time()
        ours = majority(arrays, classes=classes)
        middle = time.process_time()
        theirs = sitk.LabelVoting(images, UNDECIDED)
        seconds["keras-robust"].append(middle - start)
        seconds["SimpleITK"].append(time.process_time() - middle)
    voted = sitk.GetArrayFromImage(theirs)
    decided = voted != UNDECIDED
    if not np.array_equal(ours[decided], voted[decided]):
        raise RuntimeError(f"The votes differ: {shape}, {count} annotators, {classes} classes")
    taken = {name: 1000 * statistics.median(values) for name, values in seconds.items()}
    ratio = taken["keras-robust"] / taken["SimpleITK"]
    facts = {"shape": shape, "annotators": count, "classes": classes, "limit": LIMIT}
    return {**facts, "milliseconds": taken, "ratio": ratio}


def page(report: dict[str, Any]) -> list[str]:
    return [
        "# Time of majority votes",
        "",
        "Milliseconds of the processor, one thread, on the same masks, of which a fifth is random. "
        "Both choose the same labels where one has most votes.",
        "",
        "| mask | annotators | classes | keras-robust | SimpleITK | ratio | at most |",
        "|---|---|---|---|---|---|---|",
        *(
            f"| {' × '.join(map(str, r['shape']))} | {r['annotators']} | {r['classes']} | "
            + " | ".join(f"{value:.1f}" for value in r["milliseconds"].values())
            + f" | {r['ratio']:.2f} | {r['limit']} |"
            for r in report["rows"]
        ),
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--output", type=Path, default=Path("docs/results"))
    arguments = parser.parse_args()
    sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(1)
    rows = [measure(*settings, arguments.rounds) for settings in MASKS]
    report = {**environment(["SimpleITK", "numpy"]), "rows": rows}
    print(write_results(arguments.output, "votes", report, page(report)))


if __name__ == "__main__":
    main()
