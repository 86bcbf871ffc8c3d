"""How often each axis of a patch is halved, and how far each convolution reaches along it."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil, prod

from keras_robust.common.errors import invalid

__all__ = ["Topology", "plan_topology", "residual_blocks"]

SMALLEST_EDGE = 4  # of the feature maps of the bottleneck
ISOTROPIC = 2  # spacings within this factor of the smallest count as equal


@dataclass(frozen=True)
class Topology:
    """The shape of a U-Net.

    Args:
        patch: Size of the input along each axis, in voxels; the strides divide it.
        strides: Of each down-sampling, one number per axis.
        kernels: Of the convolutions of each stage, one more than there are strides.
    """

    patch: tuple[int, ...]
    strides: tuple[tuple[int, ...], ...]
    kernels: tuple[tuple[int, ...], ...]

    @property
    def pools(self) -> tuple[int, ...]:
        """How often each axis is halved."""
        return tuple(
            sum(stride[axis] == 2 for stride in self.strides) for axis in range(len(self.patch))
        )

    @property
    def sizes(self) -> list[tuple[int, ...]]:
        """Size of the feature maps of each stage, in voxels."""
        sizes = [self.patch]
        for stride in self.strides:
            sizes.append(tuple(n // s for n, s in zip(sizes[-1], stride, strict=True)))
        return sizes


def plan_topology(spacing: Sequence[float], patch: Sequence[float]) -> Topology:
    """Strides, kernels and padded patch by the rules of nnU-Net.

    An axis is halved while it has at least 8 voxels and its spacing is less than twice the
    smallest of such axes; a last single axis is halved only while it has at least 12. A
    convolution reaches along an axis (3 rather than 1) from the first stage at which its spacing
    is less than twice the smallest, and along every axis at the bottleneck.

    Args:
        spacing: Of the voxels along each axis, in mm.
        patch: Wished size along each axis, in voxels; padded to what the strides divide.

    Returns:
        The topology.

    Raises:
        ValueError: The two differ in length, or hold what is not positive.

    References:
        [Isensee et al., 2021](https://doi.org/10.1038/s41592-020-01008-z), supplementary note 2.

    >>> shape = plan_topology((3, 0.78, 0.78), (40, 224, 192))
    >>> shape.pools, shape.strides[0], shape.kernels[0]
    ((3, 5, 5), (1, 2, 2), (1, 3, 3))
    >>> plan_topology((1, 1, 1), (35, 51, 35)).patch
    (40, 56, 40)
    """
    if len(spacing) != len(patch) or not all(value > 0 for value in (*spacing, *patch)):
        raise invalid(
            "patch",
            "positive sizes, as many as spacings",
            said=f"patch={tuple(patch)}, spacing={tuple(spacing)}",
        )
    sizes, spacings = list(patch), [float(value) for value in spacing]
    axes = range(len(sizes))
    strides: list[tuple[int, ...]] = []
    kernels: list[tuple[int, ...]] = []
    kernel = [1] * len(sizes)
    while True:
        long = [axis for axis in axes if sizes[axis] >= 2 * SMALLEST_EDGE]
        limit = ISOTROPIC * min((spacings[axis] for axis in long), default=0.0)
        halved = [axis for axis in long if spacings[axis] < limit]
        if not halved or (len(halved) == 1 and sizes[halved[0]] < 3 * SMALLEST_EDGE):
            break
        # Once along an axis, always, even where the others have become coarser than it.
        limit = ISOTROPIC * min(spacings)
        kernel = [3 if spacings[axis] < limit else kernel[axis] for axis in axes]
        kernels.append(tuple(kernel))
        strides.append(tuple(2 if axis in halved else 1 for axis in axes))
        for axis in halved:
            sizes[axis] = ceil(sizes[axis] / 2)
            spacings[axis] *= 2
    kernels.append((3,) * len(sizes))
    total = [prod(stride[axis] for stride in strides) for axis in axes]
    padded = tuple(ceil(size / step) * step for size, step in zip(patch, total, strict=True))
    return Topology(padded, tuple(strides), tuple(kernels))


def residual_blocks(stage: int) -> int:
    """Residual blocks of a stage of nnU-Net's residual encoder: 1, 3, 4, then 6.

    >>> [residual_blocks(stage) for stage in range(5)]
    [1, 3, 4, 6, 6]
    """
    return (1, 3, 4, 6)[min(stage, 3)]
