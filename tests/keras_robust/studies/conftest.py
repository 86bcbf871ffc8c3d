"""A study as a training program leaves it, made up from formulas."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

from keras_robust.noise import LabelNoise, write_log

SIZE = 48
EPOCHS = 30
STEPS = 20


def disk(row, column, radius):
    rows, columns = np.mgrid[:SIZE, :SIZE]
    return ((rows - row) ** 2 + (columns - column) ** 2 <= radius**2).astype(np.uint8)


def write_dataset(root: Path) -> Path:
    """Eight dark disks on skin, two of them for testing."""
    lines = ["id,image,mask,annotator,split"]
    for folder in ("images", "masks"):
        (root / folder).mkdir(parents=True)
    for i in range(8):
        mask = disk(20 + i, 24, 8 + i)
        image = np.where(mask[..., None], [90, 50, 40], [225, 180, 160]).astype(np.uint8)
        Image.fromarray(image).save(root / f"images/case{i}.png")
        Image.fromarray(mask * 255).save(root / f"masks/case{i}.png")
        split = "test" if i >= 6 else "train"
        lines.append(f"case{i},images/case{i}.png,masks/case{i}.png,clean,{split}")
    (root / "manifest.csv").write_text("\n".join(lines) + "\n")
    return root


def write_run(
    folder: Path,
    data: Path,
    *,
    loss="t",
    options=None,
    noise=(0.7, 0.7),
    seed=0,
    level=0.8,
    status="finished",
    epochs=EPOCHS,
    label=None,
    kinds=("clean", "dilate", "erode", "affine"),
) -> Path:
    """A run whose test Dice is `level` in every evaluated epoch."""
    generator = np.random.default_rng([seed, sum(map(ord, folder.name))])
    folder.mkdir(parents=True)
    alpha, beta = noise
    config = {
        "data": {"path": str(data), "size": [SIZE, SIZE]},
        "noise": {"alpha": alpha, "beta": beta, "seed": seed} if alpha else None,
        "loss": loss,
        "loss_options": options or {},
        "epochs": EPOCHS,
        "seed": seed,
    }
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    (folder / "entry.json").write_text(json.dumps({"label": label}))
    if status == "waiting":
        return folder
    info = {"status": status, "seed": seed, "results": {"dice_test": level}}
    if status == "failed":
        info["error"] = "ValueError: the loss is not finite"
    (folder / "run.json").write_text(json.dumps(info))
    start = float((options or {}).get("nu_tilde", 0.0))
    columns = ["epoch", "step", "seconds", "loss", "learning_rate", "nu", "nu_tilde", "dice_train"]
    columns += [f"dice_train_{kind}" for kind in ("clean", "dilate", "erode", "affine")]
    columns += ["dice_test", "dice_test_pooled"]
    lines = [",".join(columns)]
    for epoch in range(1, epochs + 1):
        progress = 1 - math.exp(-epoch / 4)
        drop = (0.88 - level) * max(0.0, epoch / EPOCHS - 0.3)
        noisy = (0.9 - drop) * progress + 0.004 * generator.standard_normal()
        target = -4.0 + alpha
        nu_tilde = target + (start - target) * math.exp(-epoch / 5)
        row = [epoch, epoch * STEPS, 2.0, 1 / epoch, 1e-3]
        row += [f"{math.exp(nu_tilde):.6f}", f"{nu_tilde:.6f}"] if loss == "t" else ["", ""]
        row.append(f"{noisy:.5f}")
        for i, kind in enumerate(("clean", "dilate", "erode", "affine")):
            shown = alpha > 0 and kind in kinds or kind == "clean"
            row.append(f"{noisy - 0.03 * i * (1 - level) * 4:.5f}" if shown else "")
        late = epoch > EPOCHS - 10
        row += [level, level + 0.01] if late else ["", ""]
        lines.append(",".join(map(str, row)))
    (folder / "history.csv").write_text("\n".join(lines) + "\n")
    if alpha:
        simulated = LabelNoise(alpha=1.0, beta=beta, seed=seed)
        masks = [disk(20 + i, 24, 8 + i) for i in range(6)]
        write_log(folder / "noise.jsonl", simulated.apply(masks, [f"case{i}" for i in range(6)])[1])
    (folder / "predictions").mkdir()
    (folder / "test.csv").write_text(f"id,dice\ncase6,{level}\ncase7,{level}\n")
    for i in (0, 1, 2, 3, 6, 7):
        bad = disk(22 + i, 22, 6 + i * level)
        Image.fromarray(bad * 230).save(folder / f"predictions/case{i}.png")
    return folder


LEVELS = {"gce": 0.69, "mae": 0.70, "ngce+rce": 0.695, "ce+dice": 0.74, "t": 0.78}


@pytest.fixture(scope="session")
def study_data(tmp_path_factory):
    return write_dataset(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="session")
def study(tmp_path_factory, study_data):
    """Five losses, two settings, three seeds; five starts of nu; one failed and one waiting."""
    root = tmp_path_factory.mktemp("study")
    for seed in range(3):
        for loss, level in LEVELS.items():
            value = level + 0.006 * (seed - 1)
            write_run(
                root / f"{loss}_a0.7_b0.7_s{seed}", study_data, loss=loss, seed=seed, level=value
            )
            clean = 0.825 + 0.004 * (seed - 1)
            write_run(
                root / f"{loss}_a0_b0_s{seed}", study_data,
                loss=loss, seed=seed, level=clean, noise=(0, 0),
            )  # fmt: skip
        for start in (-4.0, -2.0, 2.0, 4.0):
            write_run(
                root / f"t-nu_tilde={start:g}_a0.7_b0.7_s{seed}", study_data,
                options={"nu_tilde": start}, seed=seed, level=0.78 + 0.004 * (seed - 1),
                label="T-Loss",
            )  # fmt: skip
    write_run(root / "sce_a0.7_b0.7_s0", study_data, loss="sce", status="failed", epochs=4)
    write_run(root / "sce_a0.7_b0.7_s1", study_data, loss="sce", seed=1, status="waiting")
    return root
