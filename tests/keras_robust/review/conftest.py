"""A small dataset to review."""

import json
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

IDS = tuple(f"case{number}" for number in range(6))


@dataclass
class FakeAudit:
    """What a review asks of an audit."""

    cases: list = field(default_factory=list)
    annotator: str = "clinic"

    def labels(self, id: str, like=None):
        return disc(32, 10)


@dataclass
class FakeCase:
    id: str
    annotator: str
    score: float
    kind: str


def disc(size: int, radius: float) -> np.ndarray:
    y, x = np.mgrid[:size, :size]
    return (np.hypot(y - size / 2, x - size / 2) < radius).astype(np.uint8)


@pytest.fixture(autouse=True)
def own_state(tmp_path, monkeypatch):
    """Nothing is written to the developer's own folder."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))


@pytest.fixture
def home(tmp_path) -> Path:
    """A manifest folder of six images of 32 x 32 with masks by `clinic`."""
    folder = tmp_path / "data"
    rows = ["id,image,mask,annotator,split"]
    for sub in ("images", "masks"):
        (folder / sub).mkdir(parents=True)
    for number, id in enumerate(IDS):
        mask = disc(32, 5 + number)
        Image.fromarray(mask * 200).save(folder / "images" / f"{id}.png")
        Image.fromarray(mask * 255).save(folder / "masks" / f"{id}.png")
        rows.append(f"{id},images/{id}.png,masks/{id}.png,clinic,train")
    (folder / "manifest.csv").write_text("\n".join(rows) + "\n")
    (folder / "dataset.json").write_text(json.dumps({"name": "discs"}))
    return folder


@pytest.fixture
def audit() -> FakeAudit:
    """Case 5 is the worst, case 0 the best."""
    kinds = ("none", "none", "too small", "too small", "too large", "too large")
    return FakeAudit(
        [
            FakeCase(id, "clinic", n / 5, kind)
            for n, (id, kind) in enumerate(zip(IDS, kinds, strict=True))
        ]
    )
