"""A training plan for a data set by the rules of nnU-Net: spacing, patch, network, batch size."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from typing import Annotated, Any, Literal, get_args

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, model_validator

from keras_robust.common.errors import invalid
from keras_robust.data.regions import Regions
from keras_robust.models.topology import ISOTROPIC, Topology, plan_topology, residual_blocks
from keras_robust.planning.fingerprint import Fingerprint
from keras_robust.planning.resampling import ANISOTROPIC, resampled_shape

__all__ = ["CONFIGURATIONS", "PRESETS", "Plan", "feature_map_voxels", "make_plan", "make_plans"]

CONFIGURATIONS = ("2d", "3d_fullres", "3d_lowres", "3d_cascade_fullres")

SMALLEST_BATCH = 2
SMALLEST_VOLUME_AFTER_CROPPING = 0.75  # of the image, below which only what is not 0 is normalised


class Preset(BaseModel):
    """What one of nnU-Net's planners aims at.

    Args:
        encoder: Of `keras_robust.models.UNet`.
        memory_gib: Memory that the sizes below take.
        voxels: Of the feature maps of a reference batch, by number of axes.
        share: Of the voxels of the data set that a batch may cover at most.
        whole_batch: Whether a patch shrinks until a reference batch of it fits, not only the
            smallest batch.
    """

    encoder: Literal["plain", "residual"]
    memory_gib: float
    voxels: dict[int, float]
    share: float
    whole_batch: bool


_PLAIN: dict[str, Any] = {"encoder": "plain", "share": 0.05, "whole_batch": False}
_RESIDUAL: dict[str, Any] = {"encoder": "residual", "share": 1, "whole_batch": True}
PRESETS = {
    "plain": Preset(memory_gib=8, voxels={2: 85e6, 3: 560e6}, **_PLAIN),
    "M": Preset(memory_gib=8, voxels={2: 135e6, 3: 680e6}, **_RESIDUAL),
    "L": Preset(memory_gib=24, voxels={2: 380e6, 3: 2.1e9}, **_RESIDUAL),
}
REFERENCE_BATCH = {2: 12, 3: 2}
COVERED, COARSENING = 0.25, 1.03  # of nnU-Net's coarser stage
FEATURES = 32
MOST_FEATURES = {2: 512, 3: 320}


Count = Annotated[int, Field(ge=1)]
Length = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Normalization = Literal["zscore", "ct", "rescale_to_0_1", "rgb_to_0_1", "none"]
Configuration = Literal["2d", "3d_fullres", "3d_lowres", "3d_cascade_fullres"]


class Plan(BaseModel):
    """How a data set is resampled, cut into patches, normalised and learned; readable as JSON.

    Args:
        configuration: `"2d"`, of volumes slices across the first of `axes`, `"3d_fullres"`,
            `"3d_lowres"`, coarser, or `"3d_cascade_fullres"`, whose networks are given the labels
            that networks of `"3d_lowres"` predict.
        preset: One of `PRESETS`.
        memory_gib: What the batch size and the patch were fitted to.
        axes: Order in which the axes of the files are used: the thickest first.
        spacing_mm: Target spacing of each of these axes, or of those within slices.
        median_shape: Of the images after resampling, in voxels, along the same axes.
        patch_size: In voxels, along the same axes.
        batch_size: Patches per step.
        strides: Of each down-sampling.
        kernels: Of the convolutions of each stage.
        features: Of each stage.
        encoder: `"plain"` or `"residual"`.
        normalization: Of each channel: `"zscore"`, `"ct"`, `"rescale_to_0_1"`, `"rgb_to_0_1"` or
            `"none"`.
        only_nonzero: Whether z-scores are taken over the voxels that are not 0.
        batch_dice: Whether the Dice loss pools the patches of a batch: in 2-D, and where patches
            are so small a part of the images that nnU-Net would plan a coarser stage as well.
        regions: Of a run that learns regions in place of labels: the label that is painted where
            one is predicted, and the labels it holds.

    Raises:
        pydantic.ValidationError: What was edited fits no network.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    configuration: Configuration
    preset: str
    memory_gib: float
    axes: tuple[int, ...]
    spacing_mm: tuple[Length, ...]
    median_shape: tuple[Count, ...]
    patch_size: tuple[Count, ...]
    batch_size: Count
    strides: tuple[tuple[Count, ...], ...]
    kernels: tuple[tuple[Count, ...], ...]
    features: tuple[Count, ...] = Field(min_length=1)
    encoder: Literal["plain", "residual"]
    normalization: tuple[Normalization, ...] = Field(min_length=1)
    only_nonzero: bool
    batch_dice: bool
    regions: Regions = ()

    @model_validator(mode="before")
    @classmethod
    def _of_one_configuration(cls, values: Any) -> Any:
        # As plans were written when there was one for images and one for volumes.
        if isinstance(values, dict) and "configuration" not in values:
            flat = len(values.get("axes") or ()) == 2
            return {"configuration": "2d" if flat else "3d_fullres", **values}
        return values

    @model_validator(mode="after")
    def _fits_its_axes(self) -> "Plan":
        axes = len(self.axes)
        if axes not in (2, 3) or sorted(self.axes) != list(range(axes)):
            raise invalid(
                "axes",
                "0 and 1, or 0, 1 and 2, in the order of their use",
                said=f"axes={self.axes}",
            )
        if axes == 2 and self.configuration != "2d":
            raise invalid("configuration", "'2d' for images of two axes", self.configuration)
        rank = 2 if self.configuration == "2d" else 3
        for name in ("spacing_mm", "median_shape", "patch_size", "strides", "kernels"):
            values = getattr(self, name)
            each = values if name in ("strides", "kernels") else [values]
            if any(len(value) != rank for value in each):
                raise invalid(
                    name, f"one number for each of the {rank} axes", said=f"{name}={values}"
                )
        if len(self.kernels) != len(self.strides) + 1:
            raise invalid(
                "kernels",
                f"{len(self.strides) + 1}, one more than there are strides",
                said=f"kernels={self.kernels}",
            )
        return self

    @property
    def slices(self) -> bool:
        """Whether networks see slices of volumes."""
        return len(self.axes) > len(self.patch_size)

    @property
    def window(self) -> tuple[int, ...]:
        """What a patch is cut from, along `axes`: of slices, one at a time."""
        return (1, *self.patch_size) if self.slices else self.patch_size

    @property
    def previous(self) -> str | None:
        """The configuration whose predictions networks are given; `None` for none."""
        return "3d_lowres" if self.configuration == "3d_cascade_fullres" else None

    def channels(self, classes: int) -> int:
        """Of the input of networks, of a data set of so many classes, background included."""
        return len(self.normalization) + (classes - 1 if self.previous else 0)

    def resampled_to(self, spacing_mm: Sequence[float]) -> tuple[float, ...]:
        """The spacing that an image of another is resampled to, both along `axes`: distances
        between slices stay."""
        return (spacing_mm[0], *self.spacing_mm) if self.slices else self.spacing_mm

    def to_json(self) -> str:
        """The plan as JSON, one line per field."""
        fields = self.model_dump(mode="json").items()
        lines = [f"  {json.dumps(name)}: {json.dumps(value)}" for name, value in fields]
        return "{\n" + ",\n".join(lines) + "\n}\n"


def make_plan(
    fingerprint: Fingerprint, memory_gib: float | None = None, preset: str = "plain"
) -> Plan:
    """The plan for a data set: of volumes `"3d_fullres"`, where these are more than one slice.

    The target spacing is the median, except along a thick axis of volumes that has few voxels (3
    times the others' spacing, a third of their voxels), where it is the tenth percentile. The patch
    begins with the shape of the median image, at most 256³ (2048²) voxels of its proportions, and
    shrinks along the axis that covers most of the image until two patches fit the memory (residual
    encoders in 2-D: twelve). What is left becomes batch size, as long as a batch covers no more
    than 5 % of the data set (residual encoders: all of it).

    Args:
        fingerprint: Of the data set.
        memory_gib: Memory of the accelerator in GiB; `None` for the preset's own, 8 or 24.
        preset: `"plain"`, or the residual encoders `"M"` and `"L"`.

    Returns:
        The plan.

    Raises:
        ValueError: An unknown preset, memory that is not positive or too little for any patch.

    References:
        [Isensee et al., 2021](https://doi.org/10.1038/s41592-020-01008-z), supplementary note 2;
        [Isensee et al., 2024](https://arxiv.org/abs/2404.09556) (presets M and L)
    """
    plans = make_plans(fingerprint, memory_gib, preset)
    return plans.get("3d_fullres") or plans["2d"]


def make_plans(
    fingerprint: Fingerprint, memory_gib: float | None = None, preset: str = "plain"
) -> dict[str, Plan]:
    """All configurations that nnU-Net plans for a data set, by name; see `make_plan`.

    Of images in two axes `"2d"` alone. Of volumes `"2d"`, the slices across the thickest axis, and,
    where these are more than one, `"3d_fullres"`. Where a patch of this covers less than a quarter
    of the median volume, the spacing is made larger in steps of 3 %, of the finest axes first,
    until a patch covers a quarter: `"3d_lowres"`, if it has half as many voxels at most, and
    `"3d_cascade_fullres"`, `"3d_fullres"` on what networks of `"3d_lowres"` predict.

    Args, Raises and References: As of `make_plan`.
    """
    if preset not in PRESETS:
        raise invalid("preset", f"one of {tuple(PRESETS)}", preset)
    settings = PRESETS[preset]
    memory_gib = settings.memory_gib if memory_gib is None else memory_gib
    if not memory_gib > 0:
        raise invalid("memory_gib", "a positive number", said=f"memory_gib={memory_gib}")
    spacings = np.array([case.spacing_mm for case in fingerprint.cases], float)
    shapes = np.array([case.cropped_shape for case in fingerprint.cases], float)
    target = target_spacing(spacings, shapes)
    thickest = int(np.argmax(target)) if len(target) == 3 else 0
    axes = (thickest, *(axis for axis in range(len(target)) if axis != thickest))
    resampled = [
        resampled_shape(shape, old, tuple(target))
        for shape, old in zip(shapes, spacings, strict=True)
    ]
    median = np.median(resampled, axis=0)[list(axes)]
    spacing = tuple(float(target[axis]) for axis in axes)
    planner = _Planner(fingerprint, settings, preset, memory_gib, axes)
    voxels = float(np.prod(median))
    plans = {}
    if len(axes) == 3 and median[0] != 1:
        full, coarse = planner.plan("3d_fullres", spacing, median, voxels), None
        coarser, shape = planner.coarser(full, median)
        if coarser is not None and voxels >= 2 * np.prod(shape):
            coarse = planner.plan("3d_lowres", coarser, np.round(shape), float(np.prod(shape)))
        full = full.model_copy(update={"batch_dice": coarse is not None})
        plans["3d_fullres"] = full
        if coarse is not None:
            plans["3d_lowres"] = coarse
            cascade = {"configuration": "3d_cascade_fullres"}
            plans["3d_cascade_fullres"] = full.model_copy(update=cascade)
    flat = planner.plan("2d", spacing[-2:], median[-2:], voxels)
    return {"2d": flat.model_copy(update={"batch_dice": True}), **plans}


@dataclass(frozen=True)
class _Planner:
    """What the configurations of a data set have in common."""

    fingerprint: Fingerprint
    settings: Preset
    preset: str
    memory_gib: float
    axes: tuple[int, ...]

    def plan(
        self,
        configuration: Configuration,
        spacing: tuple[float, ...],
        median: np.ndarray,
        voxels: float,
    ) -> Plan:
        """A configuration of a spacing, the median shape in it, and the voxels of an image, whose
        Dice is that of each patch."""
        rank, settings, cases = len(spacing), self.settings, self.fingerprint.cases
        network, size = self._fitting(spacing, median)
        batch = round(self._budget(rank) / size * REFERENCE_BATCH[rank])
        covering = voxels * len(cases) * settings.share / prod(network.patch)
        cropped = np.median([case.cropped_share for case in cases])
        return Plan(
            configuration=configuration,
            preset=self.preset,
            memory_gib=self.memory_gib,
            axes=self.axes,
            spacing_mm=spacing,
            median_shape=tuple(int(n) for n in median),
            patch_size=network.patch,
            batch_size=max(min(batch, round(covering)), SMALLEST_BATCH),
            strides=network.strides,
            kernels=network.kernels,
            features=_widths(network),
            encoder=settings.encoder,
            normalization=tuple(map(_normalization, self.fingerprint.channel_names)),
            only_nonzero=bool(cropped < SMALLEST_VOLUME_AFTER_CROPPING),
            batch_dice=False,
        )

    def coarser(
        self, full: Plan, median: np.ndarray
    ) -> tuple[tuple[float, ...] | None, np.ndarray]:
        """The first coarser spacing in which a patch covers a quarter of the median image, and the
        shape of this, not rounded; `None` where the plan's own does."""
        spacing, shape, patch = np.array(full.spacing_mm), median, full.patch_size
        while prod(patch) / np.prod(shape) < COVERED:
            finest = spacing.max() / spacing > ISOTROPIC
            spacing[finest if finest.any() else ...] *= COARSENING
            shape = np.array(full.spacing_mm) / spacing * median
            patch = self._fitting(tuple(spacing), np.round(shape))[0].patch
        if patch is full.patch_size:
            return None, shape
        return tuple(map(float, spacing)), shape

    def _budget(self, rank: int) -> float:
        return self.settings.voxels[rank] * self.memory_gib / self.settings.memory_gib

    def _fitting(self, spacing: tuple[float, ...], median: np.ndarray) -> tuple[Topology, int]:
        rank = len(spacing)
        return _fitting(
            spacing,
            median,
            classes=self.fingerprint.classes,
            encoder=self.settings.encoder,
            budget=self._budget(rank),
            patches=REFERENCE_BATCH[rank] if self.settings.whole_batch else SMALLEST_BATCH,
        )


def target_spacing(spacings: np.ndarray, shapes: np.ndarray) -> np.ndarray:
    """Spacing to resample to, per axis in mm, from those and the shapes of all cases.

    >>> target_spacing(np.array([[5, 1, 1]] * 9 + [[3, 1, 1]]), np.array([[20, 99, 99]] * 10))
    array([4.8, 1. , 1. ])
    """
    target = np.median(spacings, axis=0).astype(float)
    shape = np.median(shapes, axis=0)
    worst = int(np.argmax(target))
    others = [axis for axis in range(len(target)) if axis != worst]
    coarsest = max(target[axis] for axis in others)
    # Of flat images none, as in nnU-Net, where they are volumes of one slice, the thickest of all.
    thick = len(target) == 3 and target[worst] > ANISOTROPIC * coarsest
    few = shape[worst] * ANISOTROPIC < min(shape[axis] for axis in others)
    if thick and few:
        # As in nnU-Net, a hair above the others where the percentile lies below them.
        percentile = float(np.percentile(spacings[:, worst], 10))
        target[worst] = percentile if percentile >= coarsest else coarsest + 1e-5
    return target


def feature_map_voxels(network: Topology, classes: int, encoder: str = "plain") -> int:
    """Voxels of all feature maps of one patch: nnU-Net's measure of the memory that it takes.

    Args:
        network: Strides and patch.
        classes: Channels of the output.
        encoder: `"plain"` or `"residual"`.

    >>> feature_map_voxels(plan_topology((1, 1, 1), (128, 128, 128)), classes=3)
    452796416
    """
    widths, sizes = _widths(network), [prod(size) for size in network.sizes]
    total = 0
    for stage, (width, size) in enumerate(zip(widths, sizes, strict=True)):
        # One more in a residual stage: the stem of the first, the first shortcut of the others.
        maps = 2 if encoder == "plain" else 2 * residual_blocks(stage) + 1
        total += maps * width * size
    convolutions = 2 if encoder == "plain" else 1
    for width, size in zip(widths[:-1], sizes[:-1], strict=True):
        total += (convolutions + 1) * width * size
    return total + classes * sizes[0]


def _fitting(
    spacing: tuple[float, ...],
    median: np.ndarray,
    classes: int,
    encoder: str,
    budget: float,
    patches: int,
) -> tuple[Topology, int]:
    """The largest patch of which so many fit the budget, and the voxels of its feature maps."""
    rank = len(spacing)
    edge = {2: 2048, 3: 256}[rank]
    inverse = 1 / np.array(spacing)
    initial = np.round(inverse * (edge**rank / inverse.prod()) ** (1 / rank))
    # A median of 32.5 voxels is more than 32, and padded to the next size.
    network = plan_topology(spacing, [max(1, float(n)) for n in np.minimum(initial, median)])
    size = feature_map_voxels(network, classes, encoder)
    while size / REFERENCE_BATCH[rank] * patches > budget:
        axis = int(np.argsort(np.array(network.patch) / median)[-1])
        patch = list(network.patch)
        # Two looks, so that no valid size is skipped: 256 goes to 224, not to 192.
        step = 2 ** network.pools[axis]
        if patch[axis] <= step:
            raise invalid(
                "memory_gib",
                f"enough for some patch {patches} times",
                said=(
                    f"a budget of {budget:.3g} voxels of feature maps, but even a patch of "
                    f"{network.patch} takes {size:.3g}"
                ),
            )
        smaller = [*patch]
        smaller[axis] -= step
        patch[axis] -= 2 ** plan_topology(spacing, smaller).pools[axis]
        network = plan_topology(spacing, patch)
        size = feature_map_voxels(network, classes, encoder)
    return network, size


def _widths(network: Topology) -> tuple[int, ...]:
    most = MOST_FEATURES[len(network.patch)]
    return tuple(min(FEATURES * 2**stage, most) for stage in range(len(network.kernels)))


def _normalization(channel: str) -> Normalization:
    """nnU-Net's choice by the name of the channel."""
    known: dict[str, Normalization] = {name: name for name in get_args(Normalization)}
    return (known | {"nonorm": "none"}).get(channel.casefold(), "zscore")
