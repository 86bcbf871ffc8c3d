"""Two small data sets with their plans, in two and in three dimensions, and a run by a plan."""

import csv
import json

import nibabel
import numpy as np
import pytest

from keras_robust.data import Dataset
from keras_robust.planning.fingerprint import fingerprint
from keras_robust.planning.plan import make_plan


def write_plan(dataset, folder, **changes):
    chosen = dataset.select(annotator=dataset.annotators[0])
    found = fingerprint(chosen)
    folder.mkdir()
    (folder / "fingerprint.json").write_text(found.model_dump_json())
    plan = make_plan(found, memory_gib=1).model_copy(update=changes)
    (folder / "plan.json").write_text(plan.to_json())
    return folder


def write_dataset(folder, shapes, spacing, classes=3):
    """Bright boxes, one class in the other, drawn by "expert" and, shifted, by "student"."""
    folder.mkdir()
    generator = np.random.default_rng(0)
    rows = []
    for number, shape in enumerate(shapes):
        labels = np.zeros(shape, np.uint8)
        labels[tuple(slice(n // 4, 3 * n // 4) for n in shape)] = 1
        labels[tuple(slice(n // 3, n // 2) for n in shape)] = classes - 1
        image = generator.normal(100 + 50 * labels, 20).astype(np.float32)
        arrays = {"image": image, "expert": labels, "student": np.roll(labels, 1, 1)}
        for name, array in arrays.items():
            file = nibabel.Nifti1Image(array, np.diag([*spacing, 1]))
            file.to_filename(folder / f"c{number}-{name}.nii.gz")
        split = "test" if number >= len(shapes) - 2 else "train"
        for name in ("expert", "student"):
            files = f"c{number}-image.nii.gz", f"c{number}-{name}.nii.gz"
            rows.append([f"c{number}", *files, name, split])
    with open(folder / "manifest.csv", "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["id", "image", "mask", "annotator", "split"])
        writer.writerows(rows)
    names = {name: label for label, name in enumerate(("back", "organ", "core")[:classes])}
    (folder / "dataset.json").write_text(json.dumps({"labels": names}))
    return Dataset.open(folder)


@pytest.fixture(scope="session")
def volumes(tmp_path_factory):
    """Six volumes with thick slices, and the folder of their plan."""
    folder = tmp_path_factory.mktemp("volumes")
    shapes = [(16, 18, 8), (17, 16, 9), (16, 16, 8), (18, 20, 8), (16, 17, 9), (20, 16, 8)]
    dataset = write_dataset(folder / "data", shapes, (1, 1, 1.5))
    # Batch Dice shows whether devices share a batch.
    return dataset, write_plan(dataset, folder / "plan", batch_dice=True)


@pytest.fixture(scope="session")
def planned_config(volumes):
    from keras_robust.training import TrainConfig

    dataset, folder = volumes
    return TrainConfig(
        data={"path": dataset.root, "annotator": "student", "clean_annotator": "expert"},
        loss="ce+dice",
        plan={
            "folder": folder,
            "features": 2,
            "patch_size": (8, 16, 16),
            "batch_size": 2,
            "steps_per_epoch": 3,
            "mirror_axes": (1,),
        },
        epochs=2,
        save_predictions=1,
        tensorboard=False,
    )


@pytest.fixture(scope="session")
def planned_run(planned_config, tmp_path_factory):
    import warnings

    from keras_robust.training import train

    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "__array__ implementation", DeprecationWarning)
        return train(planned_config, tmp_path_factory.mktemp("run"))
