"""Small dataset folders in every layout, made of packaged images."""

import csv
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from keras_robust.data import sample


class Builder:
    """Writes datasets below a folder; `cases` are the packaged cases it takes images from."""

    def __init__(self, root: Path):
        self.root = root
        cases = sample()
        self.cases = [*cases.select(split="train").cases[:6], *cases.select(split="test").cases[:2]]

    def manifest(self, name: str = "manifest", columns=(), change=lambda row: row) -> Path:
        """A manifest folder of 6 training and 2 test cases; `change` edits or drops (None) rows."""
        folder = self.root / name
        rows = []
        for case in self.cases:
            row = {
                "id": case.id,
                "image": f"images/{case.id}.jpg",
                "mask": f"masks/{case.id}.png",
                "annotator": case.annotator,
                "split": case.split,
                **{column: "" for column in columns},
            }
            copy(case.image, folder / row["image"])
            copy(case.mask, folder / row["mask"])
            rows.append(change(row))
        write_rows(folder / "manifest.csv", [row for row in rows if row])
        return folder

    def isic2017(self, splits=("Training", "Validation", "Test_v2")) -> Path:
        folder = self.root / "isic"
        for number, split in enumerate(splits):
            for case in self.cases[2 * number : 2 * number + 2]:
                data = folder / f"ISIC-2017_{split}_Data"
                truth = folder / f"ISIC-2017_{split}_Part1_GroundTruth"
                copy(case.image, data / f"{case.id}.jpg")
                copy(case.mask, truth / f"{case.id}_segmentation.png")
                Image.new("RGB", (256, 256)).save(data / f"{case.id}_superpixels.png")
                (data / f"ISIC-2017_{split}_Data_metadata.csv").write_text("image_id,age\n")
        return folder

    def shenzhen(self, count: int = 10, without: int = 2) -> Path:
        """`count` images with masks, half of them tuberculosis, and `without` without masks."""
        folder = self.root / "shenzhen"
        for number in range(1, count + without + 1):
            case = self.cases[number % len(self.cases)]
            name = f"CHNCXR_{number:04d}_{number % 2}"
            image = np.array(Image.open(case.image).convert("L"))
            image[0, :number] = 0  # no two alike
            save(Image.fromarray(image), folder / "CXR_png" / f"{name}.png")
            if number <= count:
                mask = np.array(Image.open(case.mask).convert("L"))
                mask[100, 100 : 100 + number] ^= 255
                save(Image.fromarray(mask), folder / "mask" / f"{name}_mask.png")
        (folder / "CXR_png" / "Thumbs.db").write_bytes(b"x")
        return folder

    def nnunet(self, channels: int = 3, classes: int = 3) -> Path:
        folder = self.root / "Dataset001_Lesion"
        for number, case in enumerate(self.cases):
            split = "Tr" if number < 5 else "Ts"
            image = np.array(Image.open(case.image))
            for channel in range(channels):
                target = folder / f"images{split}" / f"{case.id}_{channel:04d}.png"
                save(Image.fromarray(image[..., channel]), target)
            mask = np.array(Image.open(case.mask).convert("L")) // 255
            if classes > 2:
                mask[:, 128:] *= 2
            save(Image.fromarray(mask), folder / f"labels{split}" / f"{case.id}.png")
        names = {str(number): f"channel {number}" for number in range(channels)}
        labels = {"background": 0, **{f"part {k}": k for k in range(1, classes)}}
        self.write_json(folder, channel_names=names, labels=labels, numTraining=5)
        return folder

    @staticmethod
    def write_json(folder: Path, **keys) -> None:
        text = json.dumps({"file_ending": ".png", **keys})
        (folder / "dataset.json").write_text(text)


def copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, target)


def save(image: Image.Image, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    image.save(target)


def write_rows(path: Path, rows: list[dict]) -> None:
    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


@pytest.fixture
def build(tmp_path):
    return Builder(tmp_path)


@pytest.fixture
def contents():
    """Every file below a folder with its bytes, locks apart."""

    def read(folder: Path) -> dict[str, bytes]:
        return {
            path.relative_to(folder).as_posix(): path.read_bytes()
            for path in sorted(folder.rglob("*"))
            if path.is_file() and not path.name.endswith(".lock")
        }

    return read
