"""Small data sets, and files, under the names that the pages use."""

import csv
import json
import subprocess
from collections.abc import Sequence
from pathlib import Path

import nibabel
import numpy as np
import yaml
from PIL import Image

from tests.documentation import pages, tables

# Who drew the masks of DATASET: on a page, or where the words are in a block.
ANNOTATORS = {
    "docs/how-to/agreement.md": ("gold", "expert_1", "expert_2", "expert_3", "crowd_1", "crowd_2"),
    "docs/how-to/compare-robust-methods.md": ("gold", "crowd_1", "crowd_2"),
    "docs/how-to/find-wrong-masks.md": ("ANNOTATOR",),
    "docs/how-to/review-in-napari.md": ("NAME-reviewed",),
    "docs/tutorial.md": ("ann",),
    "--annotator anna --annotator ben": ("anna", "ben"),
}
VOLUMES = ("data.size=[32, 48, 32]",)  # words of blocks whose DATASET holds volumes
SIZE = 24
# A network of the project, saved by another process than the one that reads it.
_SAVE = (
    "from keras_robust.models import UNet; "
    f"UNet(({SIZE}, {SIZE}, 1), features=2, depth=1).save('model.keras')"
)


def prepare(folder: Path, page: str, block: pages.Block, python: Path) -> None:
    """Make what a block reads, but for what a block before it has made."""
    named = {key: who for key, who in ANNOTATORS.items() if key == page or key in block.text}
    annotators = list(named.values())[-1] if named else ("ann",)
    for name in ("DATASET", "lesions"):
        write_dataset(folder / name, annotators, any(words in block.text for words in VOLUMES))
    if "ISIC2017" in block.text:
        write_isic(folder / "ISIC2017")
    if "Dataset004_Hippocampus" in block.text and not (folder / "Dataset004_Hippocampus").exists():
        write_nnunet(folder / "Dataset004_Hippocampus", page)
    if "--predictions FOLDER" in block.text:
        write_probabilities(folder / "FOLDER")
    for name, content in files(page).items():
        (folder / name).write_text(yaml.safe_dump(content))
    if "my_losses" in block.text:
        written = pages.typed(pages.blocks(page, "python")[0])
        (folder / "my_losses.py").write_text(written)
    if "model.keras" in block.text:
        subprocess.run([python, "-c", _SAVE], cwd=folder, check=True, capture_output=True)
    for name, (text, _) in tables.STAND_INS.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(f"#!/usr/bin/env bash\n{text}\n")
        (folder / name).chmod(0o755)


def files(page: str) -> dict[str, dict]:
    """The YAML files of a page and those that it takes from elsewhere, cut down."""
    shown = pages.yaml_files(page)
    if page == "docs/tutorial.md":
        shown["study.yaml"] = pages.yaml_files("docs/how-to/read-the-report.md")["study.yaml"]
    small = {"data": {"path": "DATASET", "size": [16, 16]}, "loss": "gce", **tables.SMALL_BASE}
    shown.setdefault("base.yaml", small)
    return {name: _cut_down(content) for name, content in shown.items()}


def _cut_down(content: dict) -> dict:
    if "base" not in content:
        return content
    base = {**content["base"], **tables.SMALL_BASE}
    base["data"] = {**base["data"], "size": [16, 16]}
    study = {**content, "base": base}
    for field, count in tables.SMALL_STUDY.items():
        study[field] = study[field][:count] if count > 0 else study[field][count:]
    return {key: value for key, value in study.items() if key not in tables.DROPPED_OF_STUDY}


def write_dataset(root: Path, annotators: Sequence[str], volumes: bool = False) -> None:
    """A manifest folder of bright discs, or balls, whose annotators differ a little.

    What commands have added stays until other annotators are wanted.
    """
    wanted = root / "wanted.json"
    if wanted.is_file() and json.loads(wanted.read_text()) == [*annotators, volumes]:
        return
    suffix, shape = (".nii.gz", (SIZE,) * 3) if volumes else (".png", (SIZE,) * 2)
    rows = []
    for number in range(10):
        id, split = f"case{number}", "test" if number >= 8 else "train"
        disc = _disc(shape, number)
        image = _noisy(disc, number)
        _save(root / f"images/{id}{suffix}", image)
        for place, annotator in enumerate(annotators):
            mask = np.roll(disc, place % 3, axis=0)
            _save(root / f"masks/{annotator}/{id}{suffix}", mask)
            rows.append(
                {
                    "id": id,
                    "image": f"images/{id}{suffix}",
                    "mask": f"masks/{annotator}/{id}{suffix}",
                    "annotator": annotator,
                    "split": split,
                    "dataset": "ab"[number % 2],
                }
            )
    with (root / "manifest.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    wanted.write_text(json.dumps([*annotators, volumes]))


def write_isic(root: Path) -> None:
    """Two images of each part, in the official layout."""
    for place, part in enumerate(("Training", "Validation", "Test_v2")):
        for number in range(2):
            disc = _disc((SIZE, SIZE), 2 * place + number)
            name = f"ISIC_00000{place}{number}"
            image = np.repeat(_noisy(disc, place)[..., np.newaxis], 3, axis=2)
            _save(root / f"ISIC-2017_{part}_Data" / f"{name}.jpg", image)
            truth = root / f"ISIC-2017_{part}_Part1_GroundTruth"
            _save(truth / f"{name}_segmentation.png", disc)


def write_nnunet(root: Path, page: str) -> None:
    """Six volumes to train on and two to test, with the dataset.json that the page shows."""
    described = json.loads(pages.blocks(page, "json")[0].text)
    for number in range(8):
        disc = _disc((SIZE,) * 3, number)
        labels = disc + (disc & (np.arange(SIZE) > SIZE // 2))
        part = "Tr" if number < 6 else "Ts"
        _save(root / f"images{part}/hippocampus_{number:03d}_0000.nii.gz", _noisy(disc, number))
        _save(root / f"labels{part}/hippocampus_{number:03d}.nii.gz", labels)
    (root / "dataset.json").write_text(json.dumps({**described, "numTraining": 6}))


def write_probabilities(root: Path) -> None:
    for number in range(10):
        _save(root / f"case{number}.png", _disc((SIZE, SIZE), number) * 200 + 20)


def _disc(shape: tuple[int, ...], seed: int) -> np.ndarray:
    centre = np.random.default_rng(seed).uniform(0.4, 0.6, len(shape)) * np.array(shape)
    axes = np.ogrid[tuple(slice(n) for n in shape)]
    squares = [np.square(axis - c) for axis, c in zip(axes, centre, strict=True)]
    return (sum(squares) < (SIZE / 4) ** 2).astype(np.uint8)


def _noisy(disc: np.ndarray, seed: int) -> np.ndarray:
    noise = np.random.default_rng(seed).normal(0, 20, disc.shape)
    return np.clip(80 + 90 * disc + noise, 0, 255).astype(np.uint8)


def _save(path: Path, array: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.exists():  # a block before has used it
        return
    if path.name.endswith(".nii.gz"):
        nibabel.Nifti1Image(array.astype(np.uint8), np.diag([-1.0, 1, 1, 1])).to_filename(path)
    else:
        Image.fromarray(array).save(path)
