"""U-Nets of nnU-Net's forms."""

from collections.abc import Sequence

import keras

from keras_robust.common.errors import invalid
from keras_robust.models.blocks import Blocks
from keras_robust.models.model import Model
from keras_robust.models.probabilities import Probabilities
from keras_robust.models.topology import residual_blocks

SMALLEST_POOLED_EDGE = 8


def pooling_strides(
    spatial_shape: tuple[int, ...], depth: int | None = None
) -> list[tuple[int, ...]]:
    """Strides of each down-sampling stage: an axis is halved while it is at least 8 long.

    As in nnU-Net, axes stop independently, so that no axis of the bottleneck is shorter than 4
    (unless the input is).

    Args:
        spatial_shape: Size of the input along each spatial axis, in pixels.
        depth: Number of stages; `None` for as many as the rule allows. More than that is an error.

    Returns:
        One tuple of 1s and 2s per stage.

    >>> len(pooling_strides((256, 256)))
    6
    >>> pooling_strides((32, 12))
    [(2, 2), (2, 1), (2, 1)]
    """
    sizes, strides = list(spatial_shape), []
    while any(size >= SMALLEST_POOLED_EDGE for size in sizes):
        stride = tuple(2 if size >= SMALLEST_POOLED_EDGE else 1 for size in sizes)
        sizes = [-(-size // step) for size, step in zip(sizes, stride, strict=True)]
        strides.append(stride)
    if depth is None:
        return strides
    if not 0 <= depth <= len(strides):
        raise invalid(
            "depth",
            (
                f"0 <= depth <= {len(strides)} for an input of "
                f"{tuple(spatial_shape)}, whose axes are halved while at least "
                f"{SMALLEST_POOLED_EDGE} long"
            ),
            said=f"depth={depth}",
        )
    return strides[:depth]


def UNet(
    input_shape: tuple[int | None, ...] = (256, 256, 3),
    classes: int = 1,
    features: int = 32,
    max_features: int = 512,
    depth: int | None = None,
    name: str = "unet",
    *,
    strides: Sequence[tuple[int, ...]] | None = None,
    kernels: Sequence[tuple[int, ...]] | None = None,
    encoder: str = "plain",
    deep_supervision: bool = False,
    regions: bool = False,
) -> keras.Model:
    """U-Net of nnU-Net's form, 2-D or 3-D by the length of `input_shape`.

    Blocks of convolution, instance norm and LeakyReLU(0.01); strided convolutions down, transposed
    convolutions up, skip connections between; He initialisation for a slope of 0.01. Stage i has
    `min(features * 2**i, max_features)` features. Inputs that the strides do not divide are padded
    with zeros, the output is cropped back: any size goes in and comes out.

    Args:
        input_shape: `(*spatial, channels)`, all known.
        classes: 1 for one sigmoid channel, K > 1 for K softmax channels (background included).
        features: Features of the first stage.
        max_features: Upper limit of the features of any stage.
        depth: Number of down-samplings; `None` halves each axis while it is at least 8 long
            (256 by 256 pixels: 6).
        name: Name of the model.
        strides: Of each down-sampling, in place of `depth`: one number per axis, as
            `keras_robust.models.plan_topology` plans them.
        kernels: Of the convolutions of each stage, one more than there are down-samplings; `None`
            for 3 along every axis.
        encoder: `"plain"`, two convolutions per stage down and up, or `"residual"`, nnU-Net's
            residual encoder of 1, 3, 4, 6, 6, ... residual blocks, and one convolution per stage
            up.
        deep_supervision: Return probabilities of every stage of the decoder but the lowest,
            finest first, instead of the finest alone; see `supervision_weights`.
        regions: Each class has a sigmoid of its own, as for regions that overlap.

    Returns:
        A functional `keras_robust.models.Model` from `(batch, *spatial, channels)` to probabilities
        `(batch, *spatial, classes)`, float32 under every dtype policy; a list of them with
        `deep_supervision`, each of the size of its stage.

    Raises:
        ValueError: A size is unknown or not positive, `depth` is too large, strides or kernels do
            not fit, or `deep_supervision` with a size that the strides do not divide.

    References:
        [Ronneberger et al., 2015](https://arxiv.org/abs/1505.04597);
        [Isensee et al., 2021](https://doi.org/10.1038/s41592-020-01008-z);
        [Isensee et al., 2024](https://arxiv.org/abs/2404.09556) (residual encoder)

    >>> UNet((40, 40, 3), features=4, depth=2).output_shape
    (None, 40, 40, 1)
    >>> model = UNet((32, 32, 3), features=4, deep_supervision=True, encoder="residual")
    >>> model.output_shape
    [(None, 32, 32, 1), (None, 16, 16, 1)]
    """
    *spatial, channels = input_shape
    if len(spatial) not in (2, 3) or not all(size and size > 0 for size in input_shape):
        raise invalid(
            "input_shape",
            "two or three positive spatial sizes and a number of channels",
            said=f"input_shape={tuple(input_shape)}",
        )
    for key, value in {"classes": classes, "features": features}.items():
        if value < 1:
            raise invalid(key, "a positive integer", said=f"{key}={value}")
    if encoder not in _ENCODERS:
        raise invalid("encoder", f"one of {tuple(_ENCODERS)}", encoder)
    steps, reach = _stages(tuple(size for size in spatial if size), depth, strides, kernels)
    widths = [min(features * 2**i, max_features) for i in range(len(steps) + 1)]
    padding = _padding(spatial, steps)
    padded = any(sum(pair) for pair in padding)
    if padded and deep_supervision:
        raise invalid(
            "input_shape",
            "sizes that the strides divide, since coarser outputs cannot be cropped",
            said=f"input_shape={tuple(input_shape)}",
            remedy="Use the `patch` of `keras_robust.models.plan_topology`.",
        )
    blocks, (encode, up_convolutions) = Blocks(len(spatial)), _ENCODERS[encoder]
    inputs = keras.Input((*spatial, channels), name="image")
    x = blocks.Pad(padding)(inputs) if padded else inputs
    skips = []
    for stage, (width, kernel, stride) in enumerate(zip(widths, reach, [1, *steps], strict=True)):
        x = encode(blocks, x, stage, width, kernel, stride)
        skips.append(x)
    skips.pop()
    decoded = []
    for width, kernel, stride in reversed(list(zip(widths[:-1], reach[:-1], steps, strict=True))):
        x = blocks.up(x, width, stride)
        x = keras.layers.Concatenate()([x, skips.pop()])
        for _ in range(up_convolutions):
            x = blocks.plain(x, width, kernel)
        decoded.append(x)
    finest_first = decoded[:0:-1] or [x]  # without the lowest
    activation = "sigmoid" if classes == 1 or regions else "softmax"
    outputs = []
    for level, decoded_stage in enumerate(finest_first if deep_supervision else [x]):
        suffix = f"_{level}" if level else ""
        logits = blocks.head(decoded_stage, classes, f"logits{suffix}")
        if padded:
            logits = blocks.Crop(padding)(logits)
        output = Probabilities(activation, name=f"probabilities{suffix}")
        outputs.append(output(logits))
    return Model(inputs, outputs if deep_supervision else outputs[0], name=name)


def _stages(
    sizes: tuple[int, ...],
    depth: int | None,
    strides: Sequence[tuple[int, ...]] | None,
    kernels: Sequence[tuple[int, ...]] | None,
) -> tuple[list[tuple[int, ...]], list[tuple[int, ...]]]:
    """Strides of the down-samplings and kernels of the stages, checked."""
    if strides is None:
        steps = pooling_strides(sizes, depth)
    else:
        steps = _checked("strides", strides, sizes)  # none where the plan halves nothing
    if kernels is None:
        kernels = [(3,) * len(sizes)] * (len(steps) + 1)
    reach = _checked("kernels", kernels, sizes)
    if len(reach) != len(steps) + 1:
        raise invalid(
            "kernels",
            f"{len(steps) + 1}, one more than there are down-samplings",
            said=f"{len(reach)}, kernels={kernels}",
        )
    return steps, reach


def supervision_weights(outputs: int) -> list[float]:
    """Weights of the losses of a deeply supervised U-Net's outputs: halved per stage, sum 1.

    nnU-Net gives the lowest stage of the decoder the weight 0; `UNet` leaves that output out.

    >>> supervision_weights(2)
    [0.6666666666666666, 0.3333333333333333]
    """
    weights = [0.5**level for level in range(outputs)]
    return [weight / sum(weights) for weight in weights]


def _plain_stage(blocks: Blocks, x, stage: int, width: int, kernel, stride):
    return blocks.plain(blocks.plain(x, width, kernel, stride), width, kernel)


def _residual_stage(blocks: Blocks, x, stage: int, width: int, kernel, stride):
    if stage == 0:
        x = blocks.plain(x, width, kernel)  # nnU-Net's stem
    for block in range(residual_blocks(stage)):
        x = blocks.residual(x, width, kernel, stride if block == 0 else 1)
    return x


# How a stage of the encoder is made, and how many convolutions a stage of the decoder has.
_ENCODERS = {"plain": (_plain_stage, 2), "residual": (_residual_stage, 1)}


def _checked(
    argument: str, values: Sequence[Sequence[int]], sizes: tuple[int, ...]
) -> list[tuple[int, ...]]:
    """Strides or kernels as tuples of positive integers, one per axis."""
    tuples = [tuple(int(number) for number in value) for value in values]
    if any(len(value) != len(sizes) or min(value) < 1 for value in tuples):
        raise invalid(
            argument, f"{len(sizes)} positive integers for each stage", said=f"{argument}={values}"
        )
    return tuples


def _padding(spatial, strides) -> list[tuple[int, int]]:
    """Zeros before and after each axis that make it a multiple of its total stride."""
    padding = []
    for axis, size in enumerate(spatial):
        total = 1
        for stride in strides:
            total *= stride[axis]
        missing = -size % total
        padding.append((missing // 2, missing - missing // 2))
    return padding
