"""Lists of cases in JSON: the Medical Segmentation Decathlon and MONAI."""

from pathlib import Path
from typing import Any

from keras_robust.common.files import atomic_write_json
from keras_robust.data.dataset import Dataset
from keras_robust.data.exchange.export import Export
from keras_robust.data.exchange.files import suffix_of
from keras_robust.data.exchange.found import Found
from keras_robust.data.exchange.json_kinds import fits_json
from keras_robust.data.exchange.listed.layouts import found_listing, write_labels
from keras_robust.data.exchange.registry import Format, Given
from keras_robust.data.exchange.volumes import write_channels
from keras_robust.data.files.images import mask_suffix
from keras_robust.data.layouts.datalist import is_datalist, read_datalist
from keras_robust.data.layouts.manifest_writing import description_of

__all__ = ["DECATHLON", "MONAI", "read_list", "write_decathlon", "write_monai"]


def _fits(source: Path) -> bool:
    return is_datalist(source) if source.is_dir() else fits_json("datalist")(source)


def read_list(source: Path, given: Given) -> Found:
    """Paths begin at the list, or at the folder of the images that was given."""
    root, file = (source, None) if source.is_dir() else (source.parent, source)
    return found_listing(DECATHLON.title, root, read_datalist(root, file, given.images), given)


def write_decathlon(dataset: Dataset, export: Export) -> None:
    """imagesTr, labelsTr, imagesTs and dataset.json; channels are the fourth axis of an image."""
    export.require_copy()
    training: list[Any] = []
    test: list[Any] = []
    most = 1
    for case in export.cases(volumes=True):
        part = "Ts" if case.split == "test" else "Tr"
        image = Path(f"images{part}", f"{case.id}.nii.gz")
        label = Path(f"labels{part}", f"{case.id}.nii.gz")
        most = max(most, len(case.channels))
        write_channels(export.folder / image, case.channels)
        write_labels(export, case, label)
        entry = {"image": f"./{image.as_posix()}", "label": f"./{label.as_posix()}"}
        (test if part == "Ts" else training).append(entry)
    names = {"0": "background", **{str(number): name for number, name in export.names.items()}}
    atomic_write_json(
        export.folder / "dataset.json",
        {
            "name": dataset.name,
            "tensorImageSize": "4D" if most > 1 else "3D",
            "modality": _modality(dataset, most),
            "labels": names,
            "numTraining": len(training),
            "numTest": len(test),
            "training": training,
            "test": test,
        },
    )


def _modality(dataset: Dataset, channels: int) -> dict[str, str]:
    told = description_of(dataset)
    named = told.get("channel_names") or told.get("modality")
    return named or {str(number): f"channel {number}" for number in range(channels)}


def write_monai(dataset: Dataset, export: Export) -> None:
    """datalist.json, with images/ and labels/."""
    lists: dict[str, list[Any]] = {"training": [], "validation": [], "testing": []}
    keys = {"val": "validation", "test": "testing"}
    for case in export.cases(volumes=None):
        images = []
        for number, channel in enumerate(case.channels):
            part = f"_{number:04d}" if len(case.channels) > 1 else ""
            target = Path("images", f"{case.id}{part}{suffix_of(channel)}")
            export.picture(channel, target)
            images.append(target.as_posix())
        label = Path("labels", f"{case.id}{mask_suffix(case.image)}")
        write_labels(export, case, label)
        image = images[0] if len(images) == 1 else images
        entry = {"image": image, "label": label.as_posix()}
        lists[keys.get(case.split, "training")].append(entry)
    names = {"0": "background", **{str(number): name for number, name in export.names.items()}}
    value = {"name": dataset.name, "labels": names, **{k: v for k, v in lists.items() if v}}
    atomic_write_json(export.folder / "datalist.json", value)


DECATHLON = Format(
    "list of cases (Medical Segmentation Decathlon, MONAI)",
    "dataset.json or datalist.json with training, validation or testing",
    _fits,
    read_list,
    write_decathlon,
)
MONAI = Format(
    "MONAI datalist",
    "datalist.json with training, validation or testing",
    lambda source: False,  # read as the Decathlon's
    read_list,
    write_monai,
)
