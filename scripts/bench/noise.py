"""Time dilation and erosion against the published loop over scipy's iterations.

    python scripts/bench/noise.py [--beta 0.7] [--seconds 150] [--output docs/results]

The masks are those of the packaged dermoscopy images, upscaled by nearest neighbour. Each is
corrupted by both routes, the results are compared, and the times are summed; the loop counts the
area once per iteration and copies nothing, which is less work than the published code does.
Masks are taken in a seeded order until the time for their size is spent.
"""

import argparse
import random
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from result_page import environment, write_results
from scipy.ndimage import binary_dilation, binary_erosion

from keras_robust.data import read_mask, sample
from keras_robust.noise import dilate, erode

AT_LEAST = {512: 10, 2048: 30}
REPEATS = 3


def iterated_dilate(mask: np.ndarray, beta: float) -> np.ndarray:
    area = np.count_nonzero(mask)
    target = area + int(area * beta)
    before, size_before, now, size = mask, area, mask, area
    while size < target and size != mask.size:
        before, size_before = now, size
        now = binary_dilation(now)
        size = np.count_nonzero(now)
    return before if size == mask.size or target - size_before < abs(size - target) else now


def iterated_erode(mask: np.ndarray, beta: float) -> np.ndarray:
    area = np.count_nonzero(mask)
    target = area - int(area * beta)
    before, size_before, now, size = mask, area, mask, area
    while size > target and size:
        before, size_before = now, size
        now = binary_erosion(now)
        size = np.count_nonzero(now)
    return before if not size or size_before - target < abs(size - target) else now


def timed(function: Callable, mask: np.ndarray, beta: float, repeats: int):
    """Result and the mean of its processor seconds, which other programs disturb least."""
    start = time.process_time()
    for _ in range(repeats):
        result = function(mask, beta)
    return result, (time.process_time() - start) / repeats


def measure(size: int, beta: float, seconds: float) -> dict:
    paths = [case.mask for case in sample()]
    random.Random(0).shuffle(paths)
    deadline = time.perf_counter() + seconds
    spent: dict[str, list[tuple[float, float]]] = {"dilate": [], "erode": []}
    for path in paths:
        if time.perf_counter() > deadline:
            break
        mask = read_mask(path, size=(size, size)) > 0
        for name, fast, slow in (
            ("dilate", dilate, iterated_dilate),
            ("erode", erode, iterated_erode),
        ):
            got, ours = timed(fast, mask, beta, REPEATS)
            expected, theirs = timed(slow, mask, beta, 1)
            if not np.array_equal(got, expected):
                sys.exit(f"{path.name} at {size}: {name} differs from the iterated result")
            spent[name].append((ours, theirs))
    result: dict = {"size": size, "masks": len(spent["dilate"]), "at_least": AT_LEAST[size]}
    for name, pairs in (*spent.items(), ("together", spent["dilate"] + spent["erode"])):
        ours, theirs = np.array(pairs).T
        result[name] = {
            "milliseconds": round(1e3 * float(ours.mean()), 3),
            "milliseconds_iterated": round(1e3 * float(theirs.mean()), 3),
            "ratio": round(float(theirs.sum() / ours.sum()), 1),
            "ratio_least": round(float((theirs / ours).min()), 1),
        }
    return result


def table(report: dict) -> list[str]:
    lines = [
        "# Dilation and erosion against iterating scipy",
        "",
        "Masks of the packaged dermoscopy images, upscaled, "
        f"beta = {report['beta']}. Every result equals the iterated one. Times are mean processor "
        "times per mask; the ratio is of the summed times, the least ratio that of the worst mask; "
        "the last column is what the ratio shall be at least.",
        "",
        "| size | masks | operation | closed form | iterated | ratio | least ratio | at least |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for result in report["results"]:
        for name in ("dilate", "erode", "together"):
            row = result[name]
            lines.append(
                f"| {result['size']}² | {result['masks']} | {name} | {row['milliseconds']:.2f} ms "
                f"| {row['milliseconds_iterated']:.1f} ms | {row['ratio']:.0f}× "
                f"| {row['ratio_least']:.0f}× | {result['at_least']}× |"
            )
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--beta", type=float, default=0.7)
    parser.add_argument("--seconds", type=float, default=150, help="for all sizes together")
    parser.add_argument("--output", type=Path, default=Path("docs/results"))
    arguments = parser.parse_args()
    shares = {512: 0.2, 2048: 0.8}
    report = {
        "beta": arguments.beta,
        **environment(["numpy", "scipy"]),
        "results": [
            measure(size, arguments.beta, share * arguments.seconds)
            for size, share in shares.items()
        ],
    }
    print(write_results(arguments.output, "noise", report, table(report)))
    missed = any(
        result[name]["ratio"] < result["at_least"]
        for result in report["results"]
        for name in ("dilate", "erode", "together")
    )
    sys.exit(1 if missed else 0)


if __name__ == "__main__":
    main()
