"""What nnU-Net 2.8 plans, and what this project, for random fingerprints.

Runs where nnU-Net is installed, with the project on the path:

    PYTHONPATH=. python scripts/nnunet/plans.py --output docs/results/nnunet
"""

import argparse
import contextlib
import io
import json
import os
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from keras_robust.common.files import atomic_write_text
from keras_robust.planning.fingerprint import CaseFingerprint, Fingerprint
from keras_robust.planning.plan import make_plans

PLANNERS = {
    "plain": "ExperimentPlanner",
    "M": "nnUNetPlannerResEncM",
    "L": "nnUNetPlannerResEncL",
}


def draw(seed: int) -> tuple[str, Fingerprint]:
    """A preset, and the shapes and spacings of a data set."""
    generator = np.random.default_rng(seed)
    spacing = np.exp(generator.uniform(np.log(0.3), np.log(1.6), size=3))
    if generator.random() < 0.5:
        spacing[1] = spacing[2]
    if generator.random() < 0.4:
        spacing[0] *= generator.uniform(2, 6)
    extent = np.exp(generator.uniform(np.log(60), np.log(600), size=3))
    if generator.random() < 0.1:
        extent[0] = spacing[0]  # volumes of one slice
    order = generator.permutation(3)
    count = int(generator.integers(2, 200))
    cases = []
    for number in range(count):
        own = spacing * np.exp(generator.normal(0, generator.choice([0, 0.1]), size=3))
        shape = np.maximum(1, np.round(extent * np.exp(generator.normal(0, 0.1, 3)) / own))
        shape = tuple(int(n) for n in shape[order])
        cropped = tuple(max(1, int(n * generator.choice([1, 0.85]))) for n in shape)
        cases.append(
            CaseFingerprint(
                id=f"c{number}",
                shape=shape,
                cropped_shape=cropped,
                spacing_mm=tuple(float(s) for s in own[order]),
                class_voxels=(1,),
            )
        )
    found = Fingerprint(
        classes=int(generator.integers(2, 8)),
        channel_names=("MRI",) * int(generator.integers(1, 4)),
        intensities=None,
        cases=tuple(cases),
    )
    return str(generator.choice([*PLANNERS])), found


def by_nnunet(preset: str, found: Fingerprint, folder: Path) -> dict[str, dict[str, Any]]:
    """The configurations of the planner of nnU-Net."""
    import torch
    from nnunetv2.experiment_planning.experiment_planners import default_experiment_planner as base
    from nnunetv2.experiment_planning.experiment_planners.residual_unets import (
        residual_encoder_unet_planners as residual,
    )

    name = "Dataset999_Random"
    raw, ready = folder / "raw" / name, folder / "preprocessed" / name
    (raw / "imagesTr").mkdir(parents=True, exist_ok=True)
    ready.mkdir(parents=True, exist_ok=True)
    dataset = {
        "labels": {str(n) if n else "background": n for n in range(found.classes)},
        "channel_names": {str(n): c for n, c in enumerate(found.channel_names)},
        "numTraining": len(found.cases),
        "file_ending": ".nii.gz",
        "dataset": {},
    }
    (raw / "dataset.json").write_text(json.dumps(dataset))
    described = {
        "spacings": [case.spacing_mm for case in found.cases],
        "shapes_after_crop": [case.cropped_shape for case in found.cases],
        "median_relative_size_after_cropping": float(
            np.median([case.cropped_share for case in found.cases])
        ),
        "foreground_intensity_properties_per_channel": {},
    }
    (ready / "dataset_fingerprint.json").write_text(json.dumps(described))
    for module in (base, residual):
        for variable in ("nnUNet_raw", "nnUNet_preprocessed"):
            if hasattr(module, variable):
                setattr(module, variable, str(raw.parent if "raw" in variable else ready.parent))
    kind = getattr(residual, PLANNERS[preset], None) or base.ExperimentPlanner
    base.maybe_convert_to_dataset_name = lambda given: given

    class Planner(kind):  # type: ignore[misc,valid-type]
        def determine_reader_writer(self):
            return type("Reader", (), {})

        def static_estimate_VRAM_usage(self, *values):
            with torch.device("meta"):  # sizes, without the memory of the weights
                return kind.static_estimate_VRAM_usage(*values)

        def save_plans(self, plans):
            pass

    with contextlib.redirect_stdout(io.StringIO()):
        plans = Planner(name).plan_experiment()
    axes = [int(axis) for axis in plans["transpose_forward"]]
    configurations = plans["configurations"]
    if "3d_cascade_fullres" in configurations:
        configurations["3d_cascade_fullres"] = configurations["3d_fullres"]
    return {
        name: facts_of(
            axes,
            one["spacing"],
            one["patch_size"],
            one["batch_size"],
            one["architecture"]["arch_kwargs"]["strides"][1:],
            one["architecture"]["arch_kwargs"]["kernel_sizes"],
            one["architecture"]["arch_kwargs"]["features_per_stage"],
            one["batch_dice"],
            any(one["use_mask_for_norm"]),
        )
        for name, one in configurations.items()
    }


def facts_of(axes, spacing, patch, batch, strides, kernels, features, batch_dice, only_nonzero):
    """What is compared of a configuration."""
    return {
        "axes": list(axes),
        "spacing": [float(value) for value in spacing],
        "patch": [int(n) for n in patch],
        "batch": int(batch),
        "strides": [[int(n) for n in one] for one in strides],
        "kernels": [[int(n) for n in one] for one in kernels],
        "features": [int(n) for n in features],
        "batch_dice": bool(batch_dice),
        "only_nonzero": bool(only_nonzero),
    }


def by_project(preset: str, found: Fingerprint) -> dict[str, dict[str, Any]]:
    """The configurations of the planner of this project."""
    return {
        name: facts_of(
            plan.axes,
            plan.spacing_mm,
            plan.patch_size,
            plan.batch_size,
            plan.strides,
            plan.kernels,
            plan.features,
            plan.batch_dice,
            plan.only_nonzero,
        )
        for name, plan in make_plans(found, preset=preset).items()
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", type=int, default=100)
    parser.add_argument("--output", type=Path, default=Path("docs/results/nnunet"))
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp())
    for name in ("raw", "preprocessed", "results"):
        os.environ[f"nnUNet_{name}"] = str(folder / name)
    rows = []
    for seed in range(options.cases):
        preset, found = draw(seed)
        theirs, ours = by_nnunet(preset, found, folder), by_project(preset, found)
        different = {
            f"{name}.{key}": [theirs[name][key], ours[name][key]]
            for name in theirs.keys() & ours.keys()
            for key in theirs[name]
            if theirs[name][key] != ours[name][key]
        }
        if theirs.keys() != ours.keys():
            different["configurations"] = [sorted(theirs), sorted(ours)]
        rows.append({"seed": seed, "preset": preset, "nnunet": theirs, "different": different})
        print(seed, preset, sorted(theirs), different or "equal", flush=True)
    equal = sum(not row["different"] for row in rows)
    coarse = sum("3d_lowres" in row["nnunet"] for row in rows)
    flat = sum([*row["nnunet"]] == ["2d"] for row in rows)
    counts = {"equal": equal, "with_3d_lowres": coarse, "only_2d": flat}
    lines = ",\n".join(map(json.dumps, rows))
    text = f'{json.dumps(counts)[:-1]}, "fingerprints": [\n{lines}\n]}}\n'
    atomic_write_text(options.output / "plans.json", text)
    print(f"{equal} of {len(rows)} equal; {coarse} with 3d_lowres and a cascade, {flat} 2d alone")


if __name__ == "__main__":
    main()
