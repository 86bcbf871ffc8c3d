"""Batches of augmented patches as `tf.data`: any epoch can be had again."""

from collections.abc import Mapping, Sequence

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from keras_robust.data.regions import Regions
from keras_robust.planning.plan import Plan
from keras_robust.training.patches.augmentation import augment, sample
from keras_robust.training.patches.cases import PatchSource
from keras_robust.training.patches.drawing import cut, cut_target, draw_start, is_foreground
from keras_robust.training.whole_images.stream import from_python, stream_options

__all__ = ["Patches", "patch_stream"]


class Patches:
    """The patches of every epoch, each a function of `(seed, epoch, number)` alone.

    Args:
        cases: To draw from, each as likely as the other.
        plan: Of the run: patch and batch size.
        per_epoch: Patches of an epoch, a multiple of the batch size.
        seed: Of all that is drawn.
        foreground: Share of a batch that is drawn around foreground; the rest lies anywhere, or
            around an annotated voxel where the data set has an ignored label.
        augmented: Whether patches are augmented.
        mirror_axes: Axes that may be mirrored.
    """

    def __init__(
        self,
        cases: Sequence[PatchSource],
        plan: Plan,
        per_epoch: int,
        seed: int,
        foreground: float = 0.33,
        augmented: bool = True,
        mirror_axes: Sequence[int] = (),
    ):
        self.cases, self.plan, self.per_epoch, self.seed = cases, plan, per_epoch, seed
        self.foreground, self.augmented, self.mirror_axes = foreground, augmented, mirror_axes

    def case_of(self, epoch: int, number: int) -> PatchSource:
        """The case that a patch is drawn from."""
        return self._draw_case(self._generator(epoch, number))

    @property
    def target_shape(self) -> tuple[int, ...]:
        """`(*patch_size)` for labels; with a channel, or K, for the probabilities of soft masks."""
        size = self.plan.patch_size
        foreground = self.cases[0].labels.shape[len(size) :]
        return (*size, *(count + 1 if count > 1 else 1 for count in foreground))

    def __call__(self, epoch: int, number: int) -> tuple[NDArray[np.float32], NDArray]:
        """Image `(*patch_size, channels)`, and labels `(*patch_size)`, uint8, or probabilities: of
        the foreground `(*patch_size, 1)`, or of three or more classes `(*patch_size, K)`."""
        generator = self._generator(epoch, number)
        case, size, batch_size = (
            self._draw_case(generator),
            self.plan.patch_size,
            self.plan.batch_size,
        )
        image, labels = case.image, case.labels
        forced = is_foreground(number % batch_size, batch_size, self.foreground)
        around: Mapping[int, NDArray[np.int32]] = case.locations if forced else {}
        if around and self.plan.regions:
            around = _of_regions(around, case.sizes, self.plan.regions, generator)
        if not around and (annotated := case.annotated) is not None:
            around = {0: annotated}  # where most is ignored, most patches would teach nothing
        start = draw_start(generator, image.shape[:-1], size, around)
        if self.augmented:
            patch, target = sample(image, labels, start, size, generator)
            options = self.mirror_axes, self.plan.only_nonzero
            patch, target = augment(patch, target, generator, *options)
        else:
            patch, target = cut(image, start, size), cut_target(labels, start, size)
        return patch, target if target.ndim == len(size) else _with_background(target)

    def _generator(self, epoch: int, number: int) -> np.random.Generator:
        return np.random.default_rng([self.seed, epoch, number, int(self.augmented)])

    def _draw_case(self, generator: np.random.Generator) -> PatchSource:
        return self.cases[int(generator.integers(len(self.cases)))]


def _with_background(shares: NDArray[np.float32]) -> NDArray[np.float32]:
    """The probabilities of all classes from those of the foreground, of which one alone stays."""
    if shares.shape[-1] == 1:
        return shares
    background = np.maximum(1 - shares.sum(axis=-1, keepdims=True), 0)
    return np.concatenate([background, shares], axis=-1)


def _of_regions(
    locations: Mapping[int, NDArray[np.int32]],
    sizes: Mapping[int, int],
    regions: Regions,
    generator: np.random.Generator,
) -> dict[int, NDArray[np.int32]]:
    """For each region that is present the voxels of one of its labels, drawn by their sizes, so
    that every voxel of the region is as likely; by the label that is painted for it."""
    found = {}
    for label, members in regions:
        present = [member for member in members if member in locations]
        if present:
            share = np.array([sizes[member] for member in present], float)
            found[label] = locations[int(generator.choice(present, p=share / share.sum()))]
    return found


def patch_stream(
    patches: Patches,
    first_epoch: int = 0,
    strides: Sequence[Sequence[int]] | None = None,
    threads: int | None = None,
) -> tf.data.Dataset:
    """Endless batches of patches, epoch after epoch.

    Args:
        patches: Which.
        first_epoch: Epoch to start with.
        strides: Of each output of a deeply supervised network against the patch; `None` for one
            output.
        threads: Threads that make patches; `None` for TensorFlow's choice.

    Returns:
        Batches `(B, *patch_size, channels)` float32 and `(B, *patch_size, 1)` uint8, or the
        probabilities of soft masks, float32; a tuple of these with `strides`: of each output those
        of the nearest voxels.
    """
    size, channels = patches.plan.patch_size, len(patches.plan.normalization)
    target_shape = patches.target_shape
    soft = target_shape != size

    def make(index):
        image, labels = patches(*divmod(int(index), patches.per_epoch))
        return np.ascontiguousarray(image), np.ascontiguousarray(labels)

    def id_of(index):
        return patches.case_of(*divmod(int(index), patches.per_epoch)).id

    def load(index):
        like = [((*size, channels), np.float32), (target_shape, np.float32 if soft else np.uint8)]
        return from_python(make, index, like, id_of)

    def targets(images, labels):
        labels = labels if soft else labels[..., tf.newaxis]
        return images, labels if strides is None else tuple(_nearest(labels, s) for s in strides)

    first = first_epoch * patches.per_epoch
    numbers = tf.data.Dataset.range(first, np.iinfo(np.int64).max)
    loaded = numbers.map(load, num_parallel_calls=threads or tf.data.AUTOTUNE, deterministic=True)
    batches = loaded.batch(patches.plan.batch_size, drop_remainder=True).map(targets)
    return batches.prefetch(2).with_options(stream_options(threads))


def _nearest(labels: tf.Tensor, strides: Sequence[int]) -> tf.Tensor:
    """The labels nearest to the centres of coarser voxels, of two the one further along."""
    window = (slice(None), *(slice(step // 2, None, step) for step in strides))
    return labels[window]
