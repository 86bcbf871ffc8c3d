"""Sample data in File > Open Sample; nothing is fetched from a network."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from keras_robust.data import Dataset, read_mask, sample
from keras_robust.noise import LabelNoise
from napari_plugin.viewer.anatomy import follow_current, towards
from napari_plugin.viewer.case_layers import LayerData, case_layers, image_layer, labels_layer

__all__ = ["CELLS", "annotators", "lesions", "practice", "volume"]

CELLS = Path(__file__).parent / "sample" / "cells"
PREDICTIONS = Path(__file__).parent / "sample" / "predictions"


def lesions() -> list[LayerData]:
    """Skin lesions with clean, noisy and predicted masks: a stack of six test images.

    The predictions are those of a model trained with the T-Loss on noisy masks of other images; see
    `scripts/make_sample_predictions.py`.

    >>> [layer[0].shape for layer in lesions()]
    [(6, 256, 256, 3), (6, 256, 256), (6, 256, 256), (6, 256, 256)]
    """
    ids = sorted(path.stem for path in PREDICTIONS.glob("*.png"))
    cases = sample().select(ids=ids).cases
    images = np.stack([sample().read_image(case) for case in cases])
    clean = np.stack([sample().read_mask(case) for case in cases])
    noisy, _ = LabelNoise(alpha=1.0, beta=0.5, seed=1).apply(list(clean), ids)
    predicted = np.stack([read_mask(PREDICTIONS / f"{id}.png") for id in ids])
    notes = {
        "dataset": str(sample().root),
        "id": "lesions",
        "ids": ids,
        "stack": True,  # the first axis counts images
        "spacing_mm": None,
    }
    return [
        image_layer(images, "skin lesions", notes),
        _mask(clean, "clean", notes, "reference"),
        _mask(np.stack(noisy), "noisy", notes, "noisy"),
        _mask(predicted, "prediction", notes, "prediction"),
    ]


def volume() -> list[LayerData]:
    """A volume made in code: an organ in noise, with a clean and a noisy mask; slices 2 mm apart.

    >>> [layer[0].shape for layer in volume()]
    [(40, 96, 112), (40, 96, 112), (40, 96, 112)]
    """
    generator = np.random.default_rng(0)
    z, y, x = np.meshgrid(*(np.linspace(-1, 1, n) for n in (40, 96, 112)), indexing="ij")
    bend = 0.25 * np.sin(3 * y + z)
    organ = (z / 0.7) ** 2 + (y / 0.6) ** 2 + ((x + bend) / 0.45) ** 2 < 1
    body = (y / 0.95) ** 2 + (x / 0.9) ** 2 < 1
    image = 300.0 * body + 250.0 * organ + generator.normal(0, 60, organ.shape)
    clean = organ.astype(np.uint8)
    noisy, _ = LabelNoise(alpha=1.0, beta=0.4, seed=2).apply([clean], ["volume"])
    spacing = [2.0, 0.8, 0.8]
    affine = np.zeros((4, 4))  # axial slices: index 0 goes up, 1 to the back, 2 to the left
    affine[2, 0], affine[1, 1], affine[0, 2], affine[3, 3] = 2.0, -0.8, -0.8, 1.0
    notes = {"dataset": "", "id": "volume", "spacing_mm": spacing, "affine": affine.tolist()}
    notes["towards"] = towards(affine)
    follow_current()
    return [
        image_layer(image.astype(np.int16)[..., np.newaxis], "volume", notes),
        _mask(clean, "clean", notes, "reference"),
        _mask(noisy[0], "noisy", notes, "noisy"),
    ]


def annotators() -> list[LayerData]:
    """A cell drawn by experts and by people of a crowd, with the gold standard of experts.

    >>> [layer[1]["name"] for layer in annotators()][1:4]
    ['gold', 'crowd_1', 'crowd_2']
    """
    dataset = Dataset.open(CELLS)
    layers = case_layers(dataset, "d3_m28")
    for _, options, kind in layers[2:]:
        if kind == "labels":
            options["visible"] = options["name"] == "crowd_1"
    return layers


def practice(folder: Path) -> Path:
    """Write a small data set to try the review on: lesions drawn by a novice, and what a model
    suggests.

    Args:
        folder: New, or there from the time before, which is then left as it is.

    Returns:
        The folder.

    >>> import tempfile
    >>> Dataset.open(practice(Path(tempfile.mkdtemp()) / "lesions")).annotators
    ('consensus-model', 'novice')
    """
    if (folder / "manifest.csv").is_file():
        return folder
    image, _, noisy, predicted = lesions()
    rows = ["id,image,mask,annotator,split"]
    for number, id in enumerate(image[1]["metadata"]["keras_robust"]["ids"]):
        _write(folder / "images" / f"{id}.png", image[0][number])
        for name, masks in (("novice", noisy), ("consensus-model", predicted)):
            _write(folder / "masks" / name / f"{id}.png", masks[0][number] * np.uint8(255))
            rows.append(f"{id},images/{id}.png,masks/{name}/{id}.png,{name},test")
    (folder / "manifest.csv").write_text("\n".join(rows) + "\n", encoding="utf-8")
    return folder


def _write(path: Path, picture: NDArray) -> None:
    from PIL import Image

    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(picture.astype(np.uint8)).save(path)


def _mask(labels: NDArray, name: str, notes: dict, role: str) -> LayerData:
    own = notes | {"annotator": name, "role": role}
    return labels_layer(labels, name, own, visible=role != "noisy")
