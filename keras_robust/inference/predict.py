"""Masks of a trained model, in the size of the original images."""

import itertools
import uuid
from collections.abc import Iterable, Iterator, Sequence
from copy import copy
from dataclasses import replace
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import keras
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from keras_robust.common.errors import invalid
from keras_robust.common.opening import open_plain, shortened
from keras_robust.common.progress import Progress
from keras_robust.data import Case, Dataset, image_shape
from keras_robust.data.cases import image_of
from keras_robust.data.files.finite import require_finite
from keras_robust.data.files.maps import save_labels, save_probability
from keras_robust.data.files.resizing import resize_volume
from keras_robust.data.files.volume_header import is_volume
from keras_robust.data.parts import WHOLE, Part
from keras_robust.data.regions import Regions
from keras_robust.inference.cases import each_image
from keras_robust.inference.chosen import chosen_runs, is_choice
from keras_robust.inference.ensemble import Ensemble, Predicts
from keras_robust.inference.forward import forward, input_shape_of, mean_logits
from keras_robust.inference.given import NORMALIZE, require_model, require_options
from keras_robust.inference.journal import Journal, model_hash
from keras_robust.inference.masks import MaskRule, paths_of
from keras_robust.inference.planned import PlannedPredictor
from keras_robust.models.decoding import probabilities_of
from keras_robust.planning.sliding_window import mirrored
from keras_robust.training.devices import require_chosen
from keras_robust.training.patches.previous import PreviousStage
from keras_robust.training.run import Run
from keras_robust.training.saving import load_model
from keras_robust.training.whole_images.intensities import normalize_batch, to_unit_range

PIXELS_PER_BATCH = 2**20
MOST_UNPACKED = 200  # bytes that one byte of a .keras file may stand for; weights do not shrink


class Predictor:
    """A model with the preparation of images that it was trained with.

    Args:
        model: From `(batch, H, W, C)` to probabilities `(batch, H, W, 1)` or `(batch, H, W, K)`;
            for volumes with three axes. Of several outputs in a list the first is taken. Of several
            models, all of one form, the mean of their logits is taken, see
            `keras_robust.models.Logits`.
        normalize: What the model expects: `"range"` or `"zscore"`, see
            `keras_robust.training.DataConfig`, or `"none"`, values as they are stored (8-bit:
            0..255), for a model that scales by itself.
        size: Spatial size to which images are resized, as for training; needed where the model
            takes any.

    Raises:
        ValueError: A model without a known input, or another size than it takes.

    >>> from keras_robust.models import UNet
    >>> predictor = Predictor(UNet((32, 32, 3), features=2))
    >>> predictor.probabilities(np.zeros((50, 40, 3), np.uint8)).shape
    (50, 40, 1)
    """

    def __init__(
        self,
        model: keras.Model | Sequence[keras.Model],
        normalize: str = "range",
        size: tuple[int, ...] | None = None,
    ):
        if normalize not in NORMALIZE:
            raise invalid("normalize", f"one of {NORMALIZE}", normalize)
        self.models = tuple(model) if isinstance(model, Sequence) else (model,)
        self.model = self.models[0]
        self.normalize = normalize
        self.regions: Regions = ()
        self.size, self.channels = _taken(self.model, size)

        def prepare(images: Any) -> Any:
            return _prepared(images, normalize)

        if len(self.models) == 1:
            self._predict = forward(self.model, prepare)
        else:
            logits = mean_logits(self.models, prepare=prepare)
            self._predict = lambda images: probabilities_of(logits(images))

    def joined(self, other: Any) -> "Predictor | None":
        """One predictor with the networks of both, the mean of whose logits it takes; `None` where
        the other one does not predict the same images."""
        if not isinstance(other, Predictor) or self._looks_at != other._looks_at:
            return None
        return Predictor((*self.models, *other.models), self.normalize, self.size)

    def mirrored(self) -> "Predictor":
        """One whose probabilities are the means over an image mirrored along each of its axes and
        all of them: 4 views, of a volume 8."""
        made = copy(self)
        made._predict = lambda images: mirrored(self._predict, images, range(len(self.size)))
        return made

    @property
    def _looks_at(self) -> tuple[Any, ...]:
        """What decides what its networks see, and what their channels mean."""
        outputs = [tensor.shape for tensor in self.model.outputs]
        return self.size, self.channels, self.normalize, outputs

    @classmethod
    def load(
        cls,
        path: str | Path | Sequence[str | Path],
        normalize: str | None = None,
        *,
        peers: str = "mean",
        mirror: bool = True,
    ) -> Predicts:
        """A predictor from run folders or models saved as `.keras`; see `load_predictor`."""
        return load_predictor(path, normalize, peers=peers, mirror=mirror)

    def probabilities(
        self, image: NDArray, spacing_mm: tuple[float, ...] | None = None
    ) -> NDArray[np.float32]:
        """Probabilities `(H, W, 1)` or `(H, W, K)` of one image `(H, W, C)` of any size, or of one
        volume with three axes; whatever its spacing."""
        image = np.asarray(image)
        if image.ndim != len(self.size) + 1 or image.shape[-1] != self.channels:
            raise invalid(
                "image",
                (
                    f"{len(self.size)} axes and one of channels, {self.channels}, as "
                    "the model was trained with"
                ),
                said=f"shape={image.shape}",
            )
        if image.ndim == 4 or image.dtype != np.uint8:
            image = image.astype(np.float32)  # as volumes and deeper images are read
        small = _resize(image, self.size)
        return _resize(self._predict(small[np.newaxis])[0], image.shape[:-1])

    def cases(
        self, dataset: Dataset | Iterable[Case], progress: Progress | None = None
    ) -> Iterator[tuple[Case, NDArray[np.float32]]]:
        """Each image of a dataset once, with its probabilities in the image's own size."""
        for case, shape, probabilities in self._predicted(dataset, progress):
            yield case, _resize(probabilities, shape)

    def resized_cases(
        self, dataset: Dataset | Iterable[Case], progress: Progress | None = None
    ) -> Iterator[tuple[Case, NDArray[np.float32]]]:
        """Each image of a dataset once, with its probabilities in `size`, as the model makes
        them."""
        for case, _, probabilities in self._predicted(dataset, progress):
            yield case, probabilities

    def _predicted(
        self, dataset: Dataset | Iterable[Case], progress: Progress | None
    ) -> Iterator[tuple[Case, tuple[int, ...], NDArray[np.float32]]]:
        cases = each_image(dataset)
        batch_size = int(np.clip(PIXELS_PER_BATCH // np.prod(self.size), 1, 64))
        for start in range(0, len(cases), batch_size):
            batch = cases[start : start + batch_size]
            images, shapes = self._read(batch)
            # One by one where some are deeper, since 8-bit images are scaled otherwise.
            alike = len({image.dtype for image in images}) == 1
            stacked = [np.stack(images)] if alike else [image[np.newaxis] for image in images]
            predicted = itertools.chain.from_iterable(map(self._predict, stacked))
            yield from zip(batch, shapes, predicted, strict=True)
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
            image = image_of(case, self.size)
            if image.shape[-1] != self.channels:
                raise ValueError(
                    f"Invalid value for image {case.id!r}. Expected {self.channels} channels, as "
                    f"the model was trained with. Received: {image.shape[-1]}"
                )
            require_finite(image, case)
            images.append(image)
            shapes.append(image_shape(case.image))
        return images, shapes


def _taken(model: keras.Model, size: tuple[int, ...] | None) -> tuple[tuple[int, ...], int]:
    """The spatial size and the channels that a model is given."""
    *spatial, channels = input_shape_of(model)
    known = tuple(n for n in (spatial if size is None else size) if n)
    fits = len(known) == len(spatial) and all(
        own in (None, given) for given, own in zip(known, spatial, strict=True)
    )
    if not fits:
        raise invalid(
            "size",
            (
                "the size of the images that the model was trained with, as it takes "
                f"{tuple(spatial)}"
            ),
            said=f"size={size}",
            remedy=(
                "Say `Predictor(model, size=(256, 256))`, or build the model with a fixed size."
            ),
        )
    return known, channels


def _prepared(images: Any, normalize: str) -> Any:
    if normalize == "none":
        return keras.ops.cast(images, "float32")
    return normalize_batch(to_unit_range(images), normalize)


def load_predictor(
    path: str | Path | Sequence[str | Path],
    normalize: str | None = None,
    *,
    peers: str = "mean",
    mirror: bool = True,
) -> Predicts:
    """A predictor from run folders or models saved as `.keras`; of several an `Ensemble`.

    From a run, numbers alone are read, into the architecture of its configuration. A `.keras` file
    is read in safe mode. Its model must return probabilities: one sigmoid channel, or one softmax
    channel per class.

    Args:
        path: Run folder or `.keras` file, or several, such as the folds of a cross-validation; or
            a folder in which `choose_best` left its choice.
        normalize: What the model in a `.keras` file expects, see `Predictor`; `None` for
            `"range"`, images in [-1, 1]. A run knows what it was trained with.
        peers: Of a run with two peers the `"mean"` of both, or what the first, `"a"`, predicts.
        mirror: Of a run with a plan: average over the axes that it was mirrored along, or none.

    Raises:
        FileNotFoundError: There is neither, or the run has no checkpoint yet.
        ValueError: A file of another kind (these can hold code), or `normalize` is not what the
            run was trained with.
    """
    require_options(normalize, peers)
    require_chosen()
    if isinstance(path, str | Path) and is_choice(Path(path)):
        path = chosen_runs(Path(path))
    if not isinstance(path, str | Path):
        members = [load_predictor(one, normalize, peers=peers, mirror=mirror) for one in path]
        return members[0] if len(members) == 1 else Ensemble(members)
    path = Path(path)
    require_model(path)
    if path.is_dir():
        return _of_run(Run(path), normalize, peers, mirror)
    return Predictor(_load_keras_file(path), normalize or "range")


def _load_keras_file(path: Path) -> keras.Model:
    """The model of a .keras file; every way of failing names the file."""
    try:
        with open_plain(path) as file, ZipFile(file) as parts:
            for part in parts.infolist():
                if part.file_size > MOST_UNPACKED * max(part.compress_size, 2**20):
                    raise ValueError(f"{part.filename} would unpack to {part.file_size:,} bytes")
        return load_model(path, compile=False)
    except FileNotFoundError:
        raise invalid(
            "path",
            "a run folder or a .keras file",
            said=f"path={str(path)!r}, which does not exist",
            remedy="Check its spelling.",
            kind=FileNotFoundError,
        ) from None
    except Exception as error:  # of any kind: Keras, h5py and zipfile each have their own
        reason = shortened(f"{type(error).__name__}: {error}".strip(), 500)
        raise invalid(
            "path",
            "a .keras file whose layers are known",
            said=f"path={str(path)!r}, which cannot be read ({reason})",
            remedy=(
                "Name the modules that register layers of your own in the variable "
                "KERAS_ROBUST_IMPORT; restore a damaged file from its source."
            ),
        ) from error


def as_predictor(
    model: str | Path | Sequence[str | Path] | Predicts,
    normalize: str | None = None,
    *,
    peers: str = "mean",
    mirror: bool = True,
) -> Predicts:
    """A predictor as it is, and what `load_predictor` reads otherwise."""
    if isinstance(model, str | Path | Sequence):
        return load_predictor(model, normalize, peers=peers, mirror=mirror)
    return model


def _of_run(run: Run, normalize: str | None, peers: str, mirror: bool) -> Predicts:
    planned, config = run.plan, run.config
    if planned is not None:
        if normalize is not None:
            raise invalid(
                "normalize", "none for a run with a plan, which says it", normalize, "Leave it out."
            )
        axes = config.plan.mirror_axes if config.plan and config.augment and mirror else ()
        previous = PreviousStage.read(run.folder, mirror) if planned[0].previous else None
        model = run.load_model(peers=peers)
        return PlannedPredictor(model, *planned, mirror_axes=axes, previous=previous)
    trained = config.data.normalize
    if normalize not in (None, trained):
        raise invalid(
            "normalize", f"{trained!r}, with which the run was trained", normalize, "Leave it out."
        )
    return Predictor(run.load_model(peers=peers), trained)


def predict(
    model: str | Path | Sequence[str | Path] | Predicts,
    dataset: str | Path | Dataset,
    output: str | Path,
    *,
    split: str | None = None,
    probabilities: bool = False,
    normalize: str | None = None,
    peers: str = "mean",
    mirror: bool = True,
    part: Part = WHOLE,
    overwrite: bool = False,
    postprocess: bool = True,
    progress: Progress | None = None,
) -> Path:
    """Write a mask for every image of a dataset, in the image's own size.

    The same again passes over masks that are there; so several machines, each with a part of the
    images, may write into one folder, and what was stopped is continued. What made the masks is
    noted beside them (`predicted-1-of-1.jsonl`).

    Args:
        model: Run folder, `.keras` file, several of these, see `Ensemble`, a folder in which
            `choose_best` left its choice, or a predictor.
        dataset: Folder or `keras_robust.data.Dataset`; masks are not needed.
        output: Folder for `<id>.png`, labels as `keras_robust.data.read_mask` reads them; of
            volumes `<id>.nii.gz` with the affine and header of the image.
        split: Only this split.
        probabilities: Also write `probabilities/<id>.png` (`.nii.gz`), foreground probability as
            0..255; of several classes one file each, `<id>_0` (background), `<id>_1` and so on.
        normalize, peers, mirror: See `load_predictor`.
        part: Which of the images are predicted here.
        overwrite: Also write masks that are there, whatever made them; always so with a predictor,
            of which nothing is known on disk.
        postprocess: Keep only the largest part of the labels of which `postprocessing.json` beside
            the runs says so; see `choose_best`.
        progress: Called as `progress(done, total)`.

    Returns:
        `output`.

    Raises:
        FileNotFoundError, ValueError: See `load_predictor` and `Dataset.open`.
        FileExistsError: `output` has masks of other models, options or origin.
    """
    dataset = dataset if isinstance(dataset, Dataset) else Dataset.open(dataset)
    chosen = dataset if split is None else dataset.select(split=split)
    output = Path(output)
    options = {"normalize": normalize, "peers": peers, "mirror": mirror}
    made_by = {"models": _known_by(model), **options, "probabilities": probabilities}
    in_memory = not isinstance(model, str | Path | Sequence)
    rule = MaskRule.of(model, postprocess=postprocess)
    if rule.largest:
        made_by["keep_largest"] = [list(group) for group in rule.largest]
    journal = Journal(output, made_by, part, overwrite or in_memory)
    left = journal.left(part.of(each_image(chosen)))
    if not left:
        return output
    predictor = as_predictor(model, normalize, peers=peers, mirror=mirror)
    rule = replace(rule, regions=predictor.regions)
    journal.begin()
    for case, probability in predictor.cases(left, progress):
        classes = max(2, probability.shape[-1])
        save_labels(output, case.id, rule(probability), case.image, classes)
        if probabilities:
            for number in range(probability.shape[-1]):
                name = case.id if probability.shape[-1] == 1 else f"{case.id}_{number}"
                folder = output / "probabilities"
                save_probability(folder, name, probability[..., number], case.image)
        journal.add(case)
    return output


def _known_by(model: str | Path | Sequence[str | Path] | Predicts) -> Any:
    """What the models are known by; of one in memory nothing else has the same."""
    paths = paths_of(model)
    for path in paths:
        require_model(path)
    runs = [run for path in paths for run in chosen_runs(path)]
    return [model_hash(run) for run in runs] or uuid.uuid4().hex


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
