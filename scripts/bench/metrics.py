"""Time the surface measures against surface-distance and MONAI, where they are installed.

    python scripts/bench/metrics.py [--repeats 3] [--output docs/results]

64 pairs of 256² are masks of the packaged dermoscopy images and the same with a simulated error;
8 pairs of 128³ are made in code. Every program measures the average surface distance, HD, HD95 and
surface Dice of the same pairs, one thread each, in turns; a pair counts with its quickest repeat,
in processor time, which other programs disturb least. Values are compared with those of
surface-distance. A package that is absent is named, and its rows are left out.
"""

import argparse
import os
import sys
import time
import warnings
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
from result_page import environment, write_results
from scipy.ndimage import gaussian_filter

from keras_robust.data import read_mask, sample
from keras_robust.metrics import surface_metrics
from keras_robust.noise import LabelNoise

BARS = {"surface-distance": 3, "MONAI": 2}
MODULES = {"surface-distance": "surface_distance", "MONAI": "monai"}
TOLERANCE_MM = 1.0

Pair = tuple[np.ndarray, np.ndarray]
Measure = Callable[[np.ndarray, np.ndarray, tuple[float, ...]], tuple[float, ...]]


def corrupted(masks: list[np.ndarray]) -> list[Pair]:
    ids = [str(number) for number in range(len(masks))]
    noisy, _ = LabelNoise(alpha=1.0, beta=0.3, seed=0).apply(masks, ids)
    return [
        (mask.astype(bool), np.asarray(wrong, bool))
        for mask, wrong in zip(masks, noisy, strict=True)
    ]


def lesions(count: int) -> list[Pair]:
    masks = [read_mask(case.mask, size=(256, 256)) for case in list(sample())[:count]]
    return corrupted(masks)


def volumes(count: int) -> list[Pair]:
    """Ellipsoids with bumps, some 75 elements across."""
    generator = np.random.default_rng(0)
    grid = np.indices((128,) * 3) - 63.5
    masks = []
    for _ in range(count):
        radii = generator.uniform(25, 45, 3)[:, None, None, None]
        bumps = gaussian_filter(generator.standard_normal((128,) * 3), 6)
        inside = (grid / radii) ** 2
        masks.append((inside.sum(axis=0) + 0.1 * bumps / bumps.std() < 1).astype(np.uint8))
    return corrupted(masks)


def ours(a: np.ndarray, b: np.ndarray, spacing_mm: tuple[float, ...]) -> tuple[float, ...]:
    found = surface_metrics(a, b, spacing_mm, TOLERANCE_MM)
    return (
        found.average_a_to_b_mm,
        found.average_b_to_a_mm,
        found.hausdorff_mm,
        found.hausdorff95_mm,
        found.surface_dice,
    )


def surface_distance() -> Measure:
    import surface_distance as package

    def measure(a, b, spacing_mm):
        found = package.compute_surface_distances(a, b, spacing_mm)
        return (
            *package.compute_average_surface_distance(found),
            package.compute_robust_hausdorff(found, 100),
            package.compute_robust_hausdorff(found, 95),
            package.compute_surface_dice_at_tolerance(found, TOLERANCE_MM),
        )

    return measure


def monai() -> Measure:
    import torch
    from monai.metrics import (
        compute_average_surface_distance,
        compute_hausdorff_distance,
        compute_surface_dice,
    )

    torch.set_num_threads(1)

    def measure(a, b, spacing_mm):
        one, other = (torch.from_numpy(mask)[None, None] for mask in (a, b))
        options = {"include_background": True, "spacing": spacing_mm}
        return (
            float(compute_average_surface_distance(one, other, symmetric=True, **options)),
            float(compute_hausdorff_distance(one, other, **options)),
            float(compute_hausdorff_distance(one, other, percentile=95, **options)),
            float(compute_surface_dice(one, other, [TOLERANCE_MM], use_subvoxels=True, **options)),
        )

    return measure


def measure(name: str, pairs: list[Pair], spacing_mm: tuple[float, ...], repeats: int, programs):
    seconds = {program: np.full(len(pairs), np.inf) for program in programs}
    difference = 0.0
    for number, pair in enumerate(pairs):
        values = {}
        for _ in range(repeats):
            for program, function in programs.items():
                start = time.process_time()
                values[program] = function(*pair, spacing_mm)
                spent = time.process_time() - start
                seconds[program][number] = min(seconds[program][number], spent)
        if "surface-distance" in values:
            gaps = np.subtract(values["keras-robust"], values["surface-distance"])
            difference = max(difference, float(np.abs(gaps).max()))
    if difference > 1e-6:
        sys.exit(f"{name}: values differ from those of surface-distance by {difference}")
    base = seconds["keras-robust"]
    return {
        "masks": name,
        "programs": {
            program: {
                "milliseconds": round(1e3 * float(times.mean()), 2),
                "ratio": round(float(times.sum() / base.sum()), 2),
                "ratio_least": round(float((times / base).min()), 2),
            }
            for program, times in seconds.items()
        },
        "greatest_difference": difference if "surface-distance" in programs else None,
    }


def table(report: dict) -> list[str]:
    lines = [
        "# Surface measures against surface-distance and MONAI",
        "",
        "Average surface distance, HD, HD95 and surface Dice of each pair of masks. Times are "
        "processor times per pair, one thread; the ratio is of the summed times, the least ratio "
        "that of the worst pair.",
        "",
        "| masks | program | per pair | ratio | least ratio | at least |",
        "|---|---|---|---|---|---|",
    ]
    for result in report["results"]:
        for program, row in result["programs"].items():
            bar = f"{BARS[program]}×" if program in BARS else ""
            ratios = f"{row['ratio']:.1f}× | {row['ratio_least']:.1f}×" if bar else "|"
            milliseconds = f"{row['milliseconds']:.2f} ms"
            lines.append(f"| {result['masks']} | {program} | {milliseconds} | {ratios} | {bar} |")
    lines += [f"\nSkipped, as it is not installed: {name}." for name in report["skipped"]]
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--output", type=Path, default=Path("docs/results"))
    arguments = parser.parse_args()
    # Both packages call functions that scipy and torch will drop.
    warnings.simplefilter("ignore")
    programs: dict[str, Measure] = {"keras-robust": ours}
    skipped = [name for name, module in MODULES.items() if find_spec(module) is None]
    for name, make in (("surface-distance", surface_distance), ("MONAI", monai)):
        if name not in skipped:
            programs[name] = make()
    for ndim in (2, 3):
        ours(*np.ones((2, *[2] * ndim), bool), (1.0,) * ndim)
    report = {
        **environment(["numpy", "scipy", *list(programs)[1:]]),
        "skipped": skipped,
        "results": [
            measure("64 of 256²", lesions(64), (0.7, 0.7), arguments.repeats, programs),
            measure("8 of 128³", volumes(8), (1.5, 0.8, 0.8), arguments.repeats, programs),
        ],
    }
    print(write_results(arguments.output, "metrics", report, table(report)))
    missed = any(
        result["programs"][name]["ratio"] < bar
        for result in report["results"]
        for name, bar in BARS.items()
        if name in programs
    )
    sys.exit(1 if missed else 0)


if __name__ == "__main__":
    main()
