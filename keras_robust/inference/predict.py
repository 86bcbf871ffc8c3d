"""Masks of a trained model, in the size of the original images."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray
from PIL import Image

from keras_robust.data import Case, Dataset, image_shape, read_image
from keras_robust.data.resizing import resize_volume
from keras_robust.data.volume_header import is_volume
from keras_robust.training.augment import normalize_batch, to_unit_range
from keras_robust.training.pictures import save_labels, save_probability
from keras_robust.training.run import Run

Progress = Callable[[int, int], None]
PIXELS_PER_BATCH = 2**20
NORMALIZE = ("range", "zscore", "none")


class Predictor:
    """A model with the preparation of images that it was trained with.

    Args:
        model: From `(batch, H, W, C)` to probabilities `(batch, H, W, 1)` or `(batch, H, W, K)`;
            for volumes with three axes.
        normalize: What the model expects: `"range"` or `"zscore"`, see
            `keras_robust.training.DataConfig`, or `"none"`, values as they are stored (8-bit:
            0..255), for a model that scales by itself.

    >>> from keras_robust.models import UNet
    >>> predictor = Predictor(UNet((32, 32, 3), features=2))
    >>> predictor.probabilities(np.zeros((50, 40, 3), np.uint8)).shape
    (50, 40, 1)
    """

    def __init__(self, model: keras.Model, normalize: str = "range"):
        if normalize not in NORMALIZE:
            raise ValueError(
                f"Invalid value for argument `normalize`. Expected one of {NORMALIZE}. "
                f"Received: normalize={normalize!r}"
            )
        self.model = model
        self.normalize = normalize
        _, *size, self.channels = model.input_shape
        self.size = tuple(size)
        self._forward = tf.function(
            lambda images: model(_prepared(images, normalize), training=False),
            reduce_retracing=True,
        )

    @classmethod
    def load(cls, path: str | Path, normalize: str | None = None) -> "Predictor":
        """A predictor from a run folder or from a model saved as `.keras`.

        From a run, numbers alone are read, into the architecture of its configuration. A `.keras`
        file is read in safe mode. Its model must return probabilities: one sigmoid channel, or one
        softmax channel per class.

        Args:
            path: Run folder or `.keras` file.
            normalize: What the model in a `.keras` file expects, see `Predictor`; `None` for
                `"range"`, images in [-1, 1]. A run knows what it was trained with.

        Raises:
            FileNotFoundError: There is neither, or the run has no checkpoint yet.
            ValueError: A file of another kind (these can hold code), or `normalize` is not what
                the run was trained with.
        """
        path = Path(path)
        if path.is_dir():
            run = Run(path)
            if run.status == "absent":
                raise FileNotFoundError(
                    "Invalid value for argument `path`. Expected a run folder (with run.json) or a "
                    f".keras file. Received: path={str(path)!r}"
                )
            trained = run.config.data.normalize
            if normalize not in (None, trained):
                raise ValueError(
                    f"Invalid value for argument `normalize`. Expected {trained!r}, with which the "
                    f"run was trained. Received: normalize={normalize!r}. Leave it out."
                )
            return cls(run.load_model(), trained)
        if path.suffix != ".keras":
            raise ValueError(
                "Invalid value for argument `path`. Expected a run folder or a .keras file (other "
                f"files of models can hold code). Received: path={str(path)!r}"
            )
        from keras_robust import losses, models  # noqa: F401  registers what the file may name

        return cls(
            keras.models.load_model(path, compile=False, safe_mode=True), normalize or "range"
        )

    def probabilities(self, image: NDArray) -> NDArray[np.float32]:
        """Probabilities `(H, W, 1)` or `(H, W, K)` of one image `(H, W, C)` of any size, or of one
        volume with three axes."""
        image = np.asarray(image)
        if image.ndim != len(self.size) + 1:
            raise ValueError(
                f"Invalid value for argument `image`. Expected {len(self.size)} axes and one of "
                f"channels, as the model was trained with. Received: shape={image.shape}"
            )
        if image.ndim == 4:
            image = image.astype(np.float32)  # as volumes are read
        small = _resize(image, self.size)
        return _resize(self._predict(small[np.newaxis])[0], image.shape[:-1])

    def cases(
        self, dataset: Dataset | Iterable[Case], progress: Progress | None = None
    ) -> Iterator[tuple[Case, NDArray[np.float32]]]:
        """Each image of a dataset once, with its probabilities in the image's own size."""
        cases = list({case.id: case for case in dataset}.values())
        batch_size = int(np.clip(PIXELS_PER_BATCH // np.prod(self.size), 1, 64))
        for start in range(0, len(cases), batch_size):
            batch = cases[start : start + batch_size]
            images, shapes = self._read(batch)
            for case, shape, probabilities in zip(
                batch, shapes, self._predict(np.stack(images)), strict=True
            ):
                yield case, _resize(probabilities, shape)
            if progress:
                progress(start + len(batch), len(cases))

    def _read(self, batch: Sequence[Case]) -> tuple[list[NDArray], list[tuple[int, ...]]]:
        images, shapes = [], []
        for case in batch:
            if is_volume(case.image) != (len(self.size) == 3):
                raise ValueError(
                    f"Invalid value for image {case.id!r}. Expected {len(self.size)} axes, as the "
                    f"model was trained with. Received: {case.image.name}"
                )
            image = read_image(case.channels, self.size)
            if image.shape[-1] != self.channels:
                raise ValueError(
                    f"Invalid value for image {case.id!r}. Expected {self.channels} channels, as "
                    f"the model was trained with. Received: {image.shape[-1]}"
                )
            if not np.isfinite(image).all():
                raise ValueError(
                    f"Invalid value for image {case.id!r}. Expected finite values. Received: NaN "
                    f"or infinity in {case.image.name}. `keras-robust verify` lists such files."
                )
            images.append(image)
            shapes.append(image_shape(case.image))
        return images, shapes

    def _predict(self, images: NDArray) -> NDArray[np.float32]:
        probabilities = np.asarray(self._forward(tf.constant(images)))
        # Half precision may overshoot a little; logits overshoot by far.
        if probabilities.min() < -0.01 or probabilities.max() > 1.01:
            raise ValueError(
                "Invalid value for argument `model`. Expected a model that returns probabilities, "
                f"0 to 1. Received: values from {probabilities.min():.3g} to "
                f"{probabilities.max():.3g}. End the model with a sigmoid or a softmax."
            )
        return probabilities


def _prepared(images: tf.Tensor, normalize: str) -> tf.Tensor:
    if normalize == "none":
        return tf.cast(images, tf.float32)
    return normalize_batch(to_unit_range(images), normalize)


def labels_of(probabilities: NDArray) -> NDArray[np.uint8]:
    """Labels `(*spatial)`: above 0.5 for one channel, else the largest."""
    if probabilities.shape[-1] == 1:
        return (probabilities[..., 0] > 0.5).astype(np.uint8)
    return probabilities.argmax(axis=-1).astype(np.uint8)


def predict(
    model: str | Path | Predictor,
    dataset: str | Path | Dataset,
    output: str | Path,
    *,
    split: str | None = None,
    probabilities: bool = False,
    normalize: str | None = None,
    progress: Progress | None = None,
) -> Path:
    """Write a mask for every image of a dataset, in the image's own size.

    Args:
        model: Run folder, `.keras` file or `Predictor`.
        dataset: Folder or `keras_robust.data.Dataset`; masks are not needed.
        output: Folder for `<id>.png`, labels as `keras_robust.data.read_mask` reads them; of
            volumes `<id>.nii.gz` with the affine and header of the image.
        split: Only this split.
        probabilities: Also write `probabilities/<id>.png` (`.nii.gz`), foreground probability as
            0..255; of several classes one file each, `<id>_0` (background), `<id>_1` and so on.
        normalize: What the model in a `.keras` file expects; see `Predictor.load`.
        progress: Called as `progress(done, total)`.

    Returns:
        `output`.

    Raises:
        FileNotFoundError, ValueError: See `Predictor.load` and `Dataset.open`.
    """
    predictor = model if isinstance(model, Predictor) else Predictor.load(model, normalize)
    dataset = dataset if isinstance(dataset, Dataset) else Dataset.open(dataset)
    chosen = dataset if split is None else dataset.select(split=split)
    output = Path(output)
    for case, probability in predictor.cases(chosen, progress):
        classes = max(2, probability.shape[-1])
        save_labels(output, case.id, labels_of(probability), case.image, classes)
        if probabilities:
            for number in range(probability.shape[-1]):
                name = case.id if probability.shape[-1] == 1 else f"{case.id}_{number}"
                folder = output / "probabilities"
                save_probability(folder, name, probability[..., number], case.image)
    return output


def _resize(array: NDArray, size: tuple[int, ...]) -> NDArray:
    """Linear, with antialiasing where it shrinks, as `keras_robust.data.read_image` does it."""
    if array.shape[:-1] == tuple(size):
        return array
    if len(size) == 3:
        return resize_volume(array, size)
    height, width = size
    channels = [
        np.asarray(
            Image.fromarray(np.ascontiguousarray(array[..., channel])).resize(
                (width, height), Image.Resampling.BILINEAR
            )
        )
        for channel in range(array.shape[-1])
    ]
    return np.stack(channels, axis=-1)
