"""What a person chooses for a training run, and what the library needs of it."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from keras_robust.data import Dataset
from keras_robust.data.files.unreadable import VOLUME_SUFFIXES
from keras_robust.methods import split_method

__all__ = ["MODEL_SIZES", "TrainInputs", "free_folder"]

MODEL_SIZES: Mapping[str, int] = MappingProxyType({"small": 8, "medium": 16, "large": 32})


@dataclass(frozen=True)
class TrainInputs:
    """The inputs of the widget.

    Args:
        dataset: Dataset folder.
        annotator: Whose masks to train on; "" for the only one, or the clean one.
        loss: A name that `keras_robust.losses.get` knows, or of a method with two peers.
        epochs: Passes over the images.
        size: Pixels along each axis that images are resized to.
        model: A key of `MODEL_SIZES`.
        run: Folder of the run.
    """

    dataset: Path
    annotator: str = ""
    loss: str = "t+dice"
    epochs: int = 50
    size: int = 128
    model: str = "medium"
    run: Path = Path("run")

    def as_core_arguments(self) -> dict[str, Any]:
        """The fields of a `keras_robust.training.TrainConfig`.

        Raises:
            ValueError: No dataset is in the folder.

        >>> from keras_robust.data import sample_path
        >>> fields = TrainInputs(sample_path(), loss="cot", size=32).as_core_arguments()
        >>> fields["data"]["size"], fields["data"]["test_split"], fields["model"]["features"]
        ((32, 32), 'test', 16)
        >>> fields["loss"], fields["selection"]
        ('ce+dice', {'name': 'cot', 'options': {}})
        """
        dataset = Dataset.open(self.dataset)
        image = str(dataset.cases[0].image) if len(dataset) else ""
        axes = 3 if image.lower().endswith(VOLUME_SUFFIXES) else 2
        images = len(dataset.ids)
        loss, _, selection = split_method(self.loss, {})
        return {
            "data": {
                "path": self.dataset,
                "annotator": self.annotator or None,
                "size": (self.size,) * axes,
                "train_split": "train" if "train" in dataset.splits else None,
                "test_split": "test" if "test" in dataset.splits else None,
            },
            "loss": loss,
            "selection": selection,
            "model": {"features": MODEL_SIZES[self.model]},
            "epochs": self.epochs,
            # Volumes are large, and no batch may be larger than a small dataset.
            "batch_size": max(1, min(2 if axes == 3 else 8, images // 4)),
            "evaluate_last": min(3, self.epochs),
            "save_predictions": 0,
            "tensorboard": False,
        }


def free_folder(base: Path, name: str) -> Path:
    """`base / name`, with a number where that is there already.

    >>> free_folder(Path("nowhere"), "t").as_posix()
    'nowhere/t'
    """
    folder, number = base / name, 1
    while folder.exists():
        number += 1
        folder = base / f"{name}-{number}"
    return folder
