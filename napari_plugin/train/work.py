"""What runs in the child process: training, prediction, audit. The only place with TensorFlow."""

import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from keras_robust.common.progress import StageProgress
from napari_plugin.work.child import Channel

__all__ = ["audit_run", "predict_dataset", "predict_image", "train_run"]


def train_run(
    channel: Channel, fields: Mapping[str, Any] | None, folder: Path, resume: bool
) -> dict[str, float]:
    """Train, sending ("epoch", row) and (stage, done, total) of masks, step and predict.

    Args:
        channel: To the window.
        fields: Of the configuration; None takes those of the run in `folder`.
        folder: Of the run.
        resume: Continue it.

    Returns:
        The results of the run.
    """
    _quiet()
    from keras_robust.training import Run, TrainConfig, train

    config = Run(folder).config if fields is None else TrainConfig(**fields)
    tell = _sparing(channel)

    def progress(stage: str, done: int, total: int, figures: Mapping[str, Any]) -> None:
        if stage == "epoch":
            row = {key: value for key, value in figures.items() if isinstance(value, (int, float))}
            channel.send(("epoch", {key: float(value) for key, value in row.items()}))
        else:
            tell("masks" if stage == "data" else stage, done, total)

    return dict(train(config, folder, resume=resume, progress=progress).results)


def predict_image(channel: Channel, run: Path, images: list[NDArray]) -> list[NDArray]:
    """Labels of images (*spatial, C), in their own size."""
    _quiet()
    from keras_robust.inference.masks import MaskRule
    from keras_robust.inference.predict import Predictor

    predictor = Predictor.load(run)
    rule = MaskRule.of(run, predictor.regions)
    tell = _sparing(channel)
    labels = []
    for done, image in enumerate(images, start=1):
        labels.append(rule(predictor.probabilities(image)))
        tell("images", done, len(images))
    return labels


def predict_dataset(channel: Channel, run: Path, dataset: Path, output: Path) -> Path:
    """Write labels and probabilities of every image of a dataset."""
    _quiet()
    from keras_robust.inference.predict import predict

    tell = _sparing(channel)
    return predict(
        run,
        dataset,
        output,
        probabilities=True,
        overwrite=True,
        progress=lambda done, total: tell("images", done, total),
    )


def audit_run(
    channel: Channel, dataset: Path, output: Path, annotator: str | None, predictions: Path
) -> Path:
    """Judge the masks of a dataset by predictions that are there already."""
    _quiet()
    from keras_robust.audit.run import audit

    audit(dataset, output, annotator=annotator, predictions=predictions, progress=_sparing(channel))
    return output


def _sparing(channel: Channel) -> StageProgress:
    """Sends (stage, done, total) ten times a second at most, and every last one."""
    last = 0.0

    def tell(stage: str, done: int, total: int) -> None:
        nonlocal last
        now = time.monotonic()
        if done >= total or now - last > 0.1:
            last = now
            channel.send((stage, done, total))
        else:
            channel.check()

    return tell


def _quiet() -> None:
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
