"""Augmented patches: those of any epoch can be had again."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from keras_robust.data.regions import Regions
from keras_robust.planning.plan import Plan
from keras_robust.training.patches.augmentation import augment, sample
from keras_robust.training.patches.cases import PatchSource
from keras_robust.training.patches.drawing import cut, cut_target, draw_start, is_foreground
from keras_robust.training.patches.previous import changed, one_hot

__all__ = ["Patches", "of_outputs"]


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
        classes: Of the data set, background included.
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
        classes: int = 2,
    ):
        self.cases, self.plan, self.per_epoch, self.seed = cases, plan, per_epoch, seed
        self.foreground, self.augmented, self.mirror_axes = foreground, augmented, mirror_axes
        self.classes = classes

    def case_of(self, epoch: int, number: int) -> PatchSource:
        """The case that a patch is drawn from."""
        return self._draw_case(self._generator(epoch, number))

    @property
    def target_shape(self) -> tuple[int, ...]:
        """`(*patch_size)` for labels; with a channel, or K, for the probabilities of soft masks."""
        size = self.plan.patch_size
        foreground = self.cases[0].labels.shape[len(self.plan.axes) :]
        return (*size, *(count + 1 if count > 1 else 1 for count in foreground))

    @property
    def like(self) -> list[tuple[tuple[int, ...], str]]:
        """Shape and type of an image and its target in a batch."""
        size, target = self.plan.patch_size, self.target_shape
        image = ((*size, self.plan.channels(self.classes)), "float32")
        return [image, ((*size, 1), "uint8") if target == size else (target, "float32")]

    def numbered(self, index: int) -> tuple[NDArray[np.float32], NDArray]:
        """A patch by its number since the first epoch, as `like` says."""
        image, target = self(*divmod(int(index), self.per_epoch))
        shape = self.like[1][0]
        return np.ascontiguousarray(image), np.ascontiguousarray(target).reshape(shape)

    def id_of(self, index: int) -> str:
        """The case of the same patch."""
        return self.case_of(*divmod(int(index), self.per_epoch)).id

    def __call__(self, epoch: int, number: int) -> tuple[NDArray[np.float32], NDArray]:
        """Image `(*patch_size, channels)`, and labels `(*patch_size)`, uint8, or probabilities: of
        the foreground `(*patch_size, 1)`, or of three or more classes `(*patch_size, K)`."""
        generator = self._generator(epoch, number)
        case, size, batch_size = (
            self._draw_case(generator),
            self.plan.patch_size,
            self.plan.batch_size,
        )
        image, labels, previous = case.image, case.labels, case.previous
        forced = is_foreground(number % batch_size, batch_size, self.foreground)
        around: Mapping[int, NDArray[np.int32]] = case.locations if forced else {}
        if around and self.plan.regions:
            around = _of_regions(around, case.sizes, self.plan.regions, generator)
        if not around and (annotated := case.annotated) is not None:
            around = {0: annotated}  # where most is ignored, most patches would teach nothing
        start = draw_start(generator, image.shape[:-1], self.plan.window, around)
        if self.plan.slices:
            image, labels, start = image[start[0]], labels[start[0]], start[1:]
        further: list[NDArray]
        if self.augmented:
            patch, target, *further = sample(image, labels, start, size, generator, previous)
            options = self.mirror_axes, self.plan.only_nonzero
            patch, target, *further = augment(patch, target, generator, *options, *further)
        else:
            patch, target = cut(image, start, size), cut_target(labels, start, size)
            further = [] if previous is None else [cut(previous, start, size)]
        for found in further:
            shares = one_hot(found, self.classes)
            shares = changed(shares, generator) if self.augmented else shares
            patch = np.concatenate([patch, shares], axis=-1)
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


def of_outputs(labels: Any, strides: Sequence[Sequence[int]] | None) -> Any:
    """The labels of each output of a network; `None` for one output."""
    return labels if strides is None else tuple(_nearest(labels, s) for s in strides)


def _nearest(labels: Any, strides: Sequence[int]) -> Any:
    """The labels nearest to the centres of coarser voxels, of two the one further along."""
    window = (slice(None), *(slice(step // 2, None, step) for step in strides))
    return labels[window]
