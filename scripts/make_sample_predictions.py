"""Make the predicted masks of the plugin's sample data: a real run on the packaged images.

    python scripts/make_sample_predictions.py

A U-Net is trained with the T-Loss on the 80 training images of the packaged sample, half of their
masks made wrong, and predicts test images that it has not seen. A few minutes on two cores.
"""

import tempfile
from pathlib import Path

from keras_robust.cli.training_view import training_view
from keras_robust.common.files import atomic_write_json
from keras_robust.data import sample, sample_path
from keras_robust.inference import predict
from keras_robust.training import TrainConfig, train

IDS = (
    "ISIC_0000174",
    "ISIC_0000482",
    "ISIC_0009882",
    "ISIC_0010377",
    "ISIC_0011333",
    "ISIC_0013828",
)
OUTPUT = Path(__file__).parents[1] / "napari_plugin" / "sample" / "predictions"


def main() -> None:
    """Train, predict, and keep the masks of a few test images."""
    config = TrainConfig(
        data={"path": sample_path(), "size": (96, 96), "cache": "memory"},
        noise={"alpha": 0.5, "beta": 0.5},
        loss="t",
        model={"features": 16, "max_features": 128},
        epochs=40,
        evaluate_every=20,
        evaluate_last=1,
        save_predictions=0,
        tensorboard=False,
    )
    with tempfile.TemporaryDirectory() as folder, training_view(config) as view:
        run = train(config, Path(folder) / "run", progress=view)
        predict(run.folder, sample_path(), Path(folder) / "masks", split="test")
        OUTPUT.mkdir(parents=True, exist_ok=True)
        for id in IDS:
            (OUTPUT / f"{id}.png").write_bytes((Path(folder) / "masks" / f"{id}.png").read_bytes())
        note = {
            "made by": "scripts/make_sample_predictions.py",
            "loss": config.loss,
            "epochs": config.epochs,
            "dice_test": round(run.results["dice_test"], 4),
            "versions": run.info["versions"],
        }
        atomic_write_json(OUTPUT / "run.json", note)


if __name__ == "__main__":
    unknown = set(IDS) - set(sample().select(split="test").ids)
    if unknown:
        raise SystemExit(f"Not among the test images: {sorted(unknown)}")
    main()
