"""What other tools wrote: the first image of it with its masks, as if it had been imported."""

import tempfile
from dataclasses import replace
from pathlib import Path

from keras_robust.data import Dataset, import_dataset, understand
from keras_robust.data.exchange.volumes import image_as_read
from keras_robust.data.exchange.volumes.itk import is_itk
from napari_plugin.files.volumes import read_volume_layer
from napari_plugin.viewer.case_layers import LayerData, case_layers

__all__ = ["read_foreign"]


def read_foreign(path: Path) -> list[LayerData]:
    """The layers of a file or folder of another tool; nothing is written beside it.

    Args:
        path: A volume that is not NIfTI, or a data set in one of the formats of
            `keras-robust import`, of which the first image is shown.

    Raises:
        ValueError: Damaged, or of no known format.
        ImportError: A library is needed, and not installed.
    """
    with tempfile.TemporaryDirectory(prefix="keras-robust-") as place:
        if path.is_file() and is_itk(path):
            return _volumes(path, Path(place))
        found = understand(path)
        first = found.entries[0].id
        kept = tuple(entry for entry in found.entries if entry.id == first)
        import_dataset(path, Path(place, path.stem), copy=True, found=replace(found, entries=kept))
        return case_layers(Dataset.open(Path(place, path.stem)), first)


def _volumes(path: Path, place: Path) -> list[LayerData]:
    """Each channel of a volume as a layer."""
    layers = []
    for number, channel in enumerate(image_as_read(path)):
        target = place / f"{path.name.partition('.')[0]}{f'_{number}' if number else ''}.nii.gz"
        if not isinstance(channel, Path):
            channel.write(target)
            layers.append(read_volume_layer(target))
    return layers
