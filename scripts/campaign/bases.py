"""Small material that is whole, for `mutated_inputs.py` to damage, and the functions that read it.

Everything is drawn by a fixed seed, so that a number of the campaign always stands for one input.
"""

import json
from pathlib import Path

import numpy as np
import yaml

SIZE = 24
EPOCHS = 12


def make(home: Path, heavy: bool = True) -> None:
    """Write the folders that the readers name."""
    _pictures(home / "pictures")
    _volumes(home / "volumes")
    _nnunet(home / "nnunet")
    _runs(home / "runs")
    _configurations(home / "configurations")
    _audit(home / "audit")
    _pictures(home / "predicted/data")
    for number in range(4):
        _picture(home / "predicted/predictions", f"c{number}.png", _mask(number) * 255)
    if heavy:
        (home / "model").mkdir()


def _image(number: int) -> np.ndarray:
    noise = np.random.default_rng(number).integers(0, 60, (SIZE, SIZE, 3))
    return (noise + 150 * _mask(number)[..., np.newaxis]).astype(np.uint8)


def _mask(number: int, shift: int = 0) -> np.ndarray:
    rows, columns = np.mgrid[:SIZE, :SIZE]
    return ((rows - 10 - shift) ** 2 + (columns - 12) ** 2 <= (5 + number) ** 2).astype(np.uint8)


def _picture(folder: Path, name: str, array: np.ndarray, **options: object) -> None:
    from PIL import Image

    folder.mkdir(parents=True, exist_ok=True)
    image = Image.fromarray(array)
    if options.pop("palette", False):
        image = image.convert("P")
        image.putpalette([0, 0, 0, 255, 0, 0])
    image.save(folder / name, **options)


def _pictures(root: Path) -> None:
    import tifffile

    _picture(root / "images", "c0.png", _image(0))
    _picture(root / "images", "c1.jpg", _image(1))
    _picture(root / "images", "c2.bmp", _image(2))
    deep = _image(3).astype(np.uint16) * 200
    tifffile.imwrite(root / "images/c3.tif", deep, photometric="rgb", compression="zlib")
    names = ("c0.png", "c1.jpg", "c2.bmp", "c3.tif")
    rows = []
    for number, name in enumerate(names):
        for annotator, shift in (("anna", 0), ("ben", 2)):
            palette = number % 2 == 0
            mask = _mask(number, shift) * (1 if palette else 255)
            _picture(root / f"masks/{annotator}", f"c{number}.png", mask, palette=palette)
            row = f"c{number},images/{name},masks/{annotator}/c{number}.png,{annotator},train"
            rows.append(f"{row},p{number // 2},0.5x0.5,=note")
    _manifest(root, rows)


def _manifest(root: Path, rows: list[str]) -> None:
    columns = "id,image,mask,annotator,split,group,spacing,note"
    (root / "manifest.csv").write_text("\n".join([columns, *rows]) + "\n")
    labels = {"background": 0, "lesion": 1}
    (root / "dataset.json").write_text(json.dumps({"name": "mutated", "labels": labels}, indent=1))


def _nifti(path: Path, array: np.ndarray) -> None:
    import nibabel

    path.parent.mkdir(parents=True, exist_ok=True)
    image = nibabel.Nifti1Image(array, np.diag([1.0, 1.0, 2.0, 1.0]))
    image.header.set_xyzt_units("mm")
    image.to_filename(path)


def _volume(number: int) -> tuple[np.ndarray, np.ndarray]:
    mask = np.stack([_mask(number % 3)] * 8, axis=-1)
    noise = np.random.default_rng(number).normal(0, 20, mask.shape)
    return (100 * mask + noise).astype(np.int16), mask


def _volumes(root: Path) -> None:
    rows = []
    for number, ending in enumerate((".nii.gz", ".nii", ".nii.gz")):
        image, mask = _volume(number)
        _nifti(root / f"images/v{number}{ending}", image)
        _nifti(root / f"masks/anna/v{number}{ending}", mask)
        row = f"v{number},images/v{number}{ending},masks/anna/v{number}{ending},anna,train"
        rows.append(f"{row},p{number},1x1x2,")
    _manifest(root, rows)


def _nnunet(root: Path) -> None:
    for number in range(3):
        image, mask = _volume(number)
        _nifti(root / f"imagesTr/v{number}_0000.nii.gz", image)
        _nifti(root / f"labelsTr/v{number}.nii.gz", mask)
    meta = {
        "channel_names": {"0": "CT"},
        "labels": {"background": 0, "lesion": 1},
        "numTraining": 3,
        "file_ending": ".nii.gz",
    }
    (root / "dataset.json").write_text(json.dumps(meta, indent=1))


def _runs(root: Path) -> None:
    from keras_robust.noise import LabelNoise, write_log

    for name, loss, dice in (("t", "t", 0.8), ("ce", "ce+dice", 0.7)):
        folder = root / name
        folder.mkdir(parents=True)
        config = {
            "data": {"path": str(root / "data"), "size": [SIZE, SIZE]},
            "noise": {"alpha": 0.7, "beta": 0.7, "seed": 0},
            "loss": loss,
            "epochs": EPOCHS,
            "seed": 0,
        }
        (folder / "config.yaml").write_text(yaml.safe_dump(config))
        (folder / "entry.json").write_text(json.dumps({"label": loss}))
        info = {"status": "finished", "seed": 0, "classes": 2, "results": {"dice_test": dice}}
        (folder / "run.json").write_text(json.dumps(info))
        lines = ["epoch,step,seconds,loss,learning_rate,nu,nu_tilde,dice_train,dice_test"]
        lines += [
            f"{e},{e * 5},1.0,{1 / e:.3f},0.001,,,{dice},{dice}" for e in range(1, EPOCHS + 1)
        ]
        (folder / "history.csv").write_text("\n".join(lines) + "\n")
        (folder / "test.csv").write_text(f"id,dice\nc2,{dice}\nc3,{dice}\n")
        noise = LabelNoise(alpha=1.0, beta=0.7, seed=0)
        log = noise.apply([_mask(number) for number in range(3)], ["c0", "c1", "c2"])[1]
        write_log(folder / "noise.jsonl", log)


def _configurations(root: Path) -> None:
    root.mkdir(parents=True)
    train = {
        "data": {"path": "x", "annotator": "anna", "size": [64, 64]},
        "loss": "gce",
        "loss_options": {"q": 0.5},
        "noise": {"alpha": 0.5, "beta": 0.5},
        "model": {"features": 8, "depth": 3},
        "epochs": 20,
    }
    (root / "train.yaml").write_text(yaml.safe_dump(train))
    study = {
        "base": {"data": {"path": "x"}, "epochs": 20},
        "losses": ["t", "ce+dice", {"name": "gce", "options": {"q": 0.5}}],
        "noise": [[0.3, 0.5], [0.7, 0.5]],
        "seeds": [0, 1],
    }
    (root / "study.yaml").write_text(yaml.safe_dump(study))
    space = {"loss_options.q": {"low": 0.1, "high": 1.0}, "optimizer": ["adam", "sgd"]}
    (root / "space.yaml").write_text(yaml.safe_dump(space))


def _audit(root: Path) -> None:
    from keras_robust.audit.folder import AuditCase, error_map_folder, write_cases
    from keras_robust.data.files.maps import write_map
    from keras_robust.suspicion.class_differences import ClassDifferences

    root.mkdir(parents=True)
    info = {
        "status": "finished",
        "dataset": "/data/lesions",
        "annotators": ["anna"],
        "classes": 2,
        "ranked_by": "default",
        "scores": {"default": "ranks"},
    }
    (root / "audit.json").write_text(json.dumps(info, indent=1))
    figures = (ClassDifferences(1, 52.0, 40.0, 0.8, 1.5, 1.6, 3.0),)
    scores = {"default": 0.9}
    cases = [AuditCase(1, "a", "anna", 0.9, "too large", scores, figures, "mm", "ab12")]
    write_cases(root, cases, "default")
    write_map(root / "predictions", "a", np.full((6, 5, 1), 0.4))
    write_map(error_map_folder(root, "anna"), "a", np.full((6, 5, 1), 0.4))


def import_heavy() -> None:
    """Import what takes seconds, once for all inputs."""
    import napari_plugin.files.pictures
    import napari_plugin.files.volumes  # noqa: F401


def make_model(home: Path) -> None:
    """Write a small model; TensorFlow runs nothing in this process, which is forked later."""
    import subprocess
    import sys

    code = (
        "import sys, keras; keras.Sequential([keras.layers.Input((24, 24, 3)), "
        "keras.layers.Conv2D(1, 1, activation='sigmoid')]).save(sys.argv[1])"
    )
    subprocess.run([sys.executable, "-c", code, str(home / "model/own.keras")], check=True)


def load_model(folder: Path) -> None:
    from keras_robust.inference import load_predictor

    load_predictor(folder / "own.keras")


def read_train_config(folder: Path) -> None:
    from keras_robust.training.config import TrainConfig

    TrainConfig.load(folder / "train.yaml")


def read_study(folder: Path) -> None:
    from keras_robust.scheduling.grid import BenchmarkConfig

    BenchmarkConfig.load(folder / "study.yaml")


def read_space(folder: Path) -> None:
    from keras_robust.tuning.space import load_space

    load_space(folder / "space.yaml")


def read_noise(folder: Path) -> None:
    from keras_robust.noise import read_log

    read_log(folder / "t/noise.jsonl")


def read_audit(folder: Path) -> None:
    from keras_robust.audit.folder import read_audit

    audit = read_audit(folder)
    for case in audit.cases:
        audit.prediction(case.id)
        audit.error_map(case.id)


def open_pictures(folder: Path) -> None:
    from napari_plugin.files.pictures import read_picture

    for path in sorted([*folder.glob("images/*"), *folder.glob("masks/*/*")]):
        if path.suffix in (".png", ".tif"):
            _opened(read_picture, path)


def open_volumes(folder: Path) -> None:
    from napari_plugin.files.volumes import read_volume_layer

    for path in sorted(folder.glob("*/**/*.nii*")):
        _opened(read_volume_layer, path)


def _opened(read: object, path: Path) -> None:
    try:
        read(path)  # type: ignore[operator]
    except (ValueError, OSError):
        pass  # napari shows the message, and goes on with the next file
