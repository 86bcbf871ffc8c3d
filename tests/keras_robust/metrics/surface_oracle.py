"""What the surface-distance package measures on small masks, kept in surface_oracle.json.

    python -m tests.keras_robust.metrics.surface_oracle

writes the file anew where the package is installed (it does not work with empty masks).
"""

import json
import warnings
from dataclasses import astuple, dataclass
from pathlib import Path

import numpy as np
from scipy.ndimage import gaussian_filter

PATH = Path(__file__).with_suffix(".json")


@dataclass(frozen=True)
class Case:
    a: np.ndarray
    b: np.ndarray
    spacing_mm: tuple[float, ...]
    tolerance_mm: float


def package_values(case: Case) -> dict[str, float]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        import surface_distance as package

        found = package.compute_surface_distances(case.a, case.b, case.spacing_mm)
    a_to_b, b_to_a = package.compute_average_surface_distance(found)
    areas = [found["surfel_areas_gt"].sum(), found["surfel_areas_pred"].sum()]
    return {
        "average_mm": float(np.average([a_to_b, b_to_a], weights=areas)),
        "average_a_to_b_mm": float(a_to_b),
        "average_b_to_a_mm": float(b_to_a),
        "hausdorff_mm": float(package.compute_robust_hausdorff(found, 100)),
        "hausdorff95_mm": float(package.compute_robust_hausdorff(found, 95)),
        "surface_dice": float(package.compute_surface_dice_at_tolerance(found, case.tolerance_mm)),
    }


def random_cases(count: int, seed: int) -> list[Case]:
    """Smooth and rough random masks in 2-D and 3-D, alike and unlike, touching the borders."""
    generator = np.random.default_rng(seed)
    cases = []
    for number in range(count):
        ndim = 2 + number % 2
        shape = generator.integers(6, 32 if ndim == 2 else 14, ndim)
        shift = generator.uniform(0, 2)
        base, *noise = (
            gaussian_filter(generator.standard_normal(shape), generator.uniform(0.3, 2))
            for _ in range(3)
        )
        masks = [base / base.std() + shift * n / n.std() > generator.uniform(0, 1) for n in noise]
        for mask in masks:
            mask[tuple(generator.integers(0, shape))] = True
        spacing = tuple(generator.uniform(0.3, 3, ndim).round(2).tolist())
        cases.append(Case(*masks, spacing, round(float(generator.uniform(0, 4)), 3)))
    return cases


def kept() -> list[tuple[Case, dict[str, float]]]:
    return [
        (
            Case(
                *(
                    np.unpackbits(np.frombuffer(bytes.fromhex(row[name]), np.uint8))[
                        : np.prod(row["shape"])
                    ]
                    .reshape(row["shape"])
                    .astype(bool)
                    for name in ("a", "b")
                ),
                tuple(row["spacing_mm"]),
                row["tolerance_mm"],
            ),
            row["expected"],
        )
        for row in json.loads(PATH.read_text())["cases"]
    ]


def drawn_cases() -> list[Case]:
    one, two = np.zeros((2, 5, 6), bool)
    one[2, 1] = two[2, 3] = True
    disc = np.hypot(*(np.indices((21, 25)) - 10.0)[..., :]) < 7
    ball = np.sqrt(((np.indices((13, 13, 13)) - 6.0) ** 2).sum(0))
    cube, shifted = np.zeros((2, 8, 8, 8), bool)
    cube[1:5, 1:5, 1:5] = shifted[2:6, 1:5, 3:8] = True
    return [
        Case(one, two, (1.0, 2.0), 1.0),
        Case(disc, np.roll(disc, 3, axis=1), (0.7, 1.3), 2.0),
        Case(ball < 5, ball < 3, (1.0, 1.0, 1.0), 2.0),
        Case(ball < 5, np.roll(ball, 1, axis=0) < 4.5, (2.5, 0.8, 0.8), 1.0),
        Case(cube, shifted, (3.0, 1.0, 0.5), 1.0),
        Case(cube, cube, (3.0, 1.0, 0.5), 0.0),
    ]


def write() -> None:
    rows = []
    for case in [*drawn_cases(), *random_cases(14, seed=0)]:
        a, b, spacing, tolerance = astuple(case)
        rows.append(
            {
                "shape": a.shape,
                "spacing_mm": spacing,
                "tolerance_mm": tolerance,
                "a": np.packbits(a).tobytes().hex(),
                "b": np.packbits(b).tobytes().hex(),
                "expected": package_values(case),
            }
        )
    report = {"package": "surface-distance 0.1", "cases": rows}
    PATH.write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    write()
