"""U-Net of nnU-Net's plain form."""

import keras

from keras_robust.models.normalization import InstanceNormalization

SMALLEST_POOLED_EDGE = 8
LEAKY_SLOPE = 0.01

_LAYERS = {
    2: (
        keras.layers.Conv2D,
        keras.layers.Conv2DTranspose,
        keras.layers.ZeroPadding2D,
        keras.layers.Cropping2D,
    ),
    3: (
        keras.layers.Conv3D,
        keras.layers.Conv3DTranspose,
        keras.layers.ZeroPadding3D,
        keras.layers.Cropping3D,
    ),
}


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
        raise ValueError(
            f"Invalid value for argument `depth`. Expected 0 <= depth <= {len(strides)} for an "
            f"input of {tuple(spatial_shape)}, whose axes are halved while at least "
            f"{SMALLEST_POOLED_EDGE} long. Received: depth={depth}"
        )
    return strides[:depth]


def UNet(
    input_shape: tuple[int | None, ...] = (256, 256, 3),
    classes: int = 1,
    features: int = 32,
    max_features: int = 512,
    depth: int | None = None,
    name: str = "unet",
) -> keras.Model:
    """U-Net of nnU-Net's plain form, 2-D or 3-D by the length of `input_shape`.

    Two blocks of convolution, instance norm and LeakyReLU(0.01) per stage; strided convolutions
    down, transposed convolutions up, skip connections between; He initialisation for a slope of
    0.01. Stage i has `min(features * 2**i, max_features)` features. Inputs that the strides do
    not divide are padded with zeros, the output is cropped back: any size goes in and comes out.

    Args:
        input_shape: `(*spatial, channels)`, all known.
        classes: 1 for one sigmoid channel, K > 1 for K softmax channels (background included).
        features: Features of the first stage.
        max_features: Upper limit of the features of any stage.
        depth: Number of down-samplings; `None` halves each axis while it is at least 8 long
            (256 by 256 pixels: 6).
        name: Name of the model.

    Returns:
        A functional `keras.Model` from `(batch, *spatial, channels)` to probabilities
        `(batch, *spatial, classes)`, float32 under every dtype policy.

    Raises:
        ValueError: A size is unknown or not positive, or `depth` is too large.

    References:
        [Ronneberger et al., 2015](https://arxiv.org/abs/1505.04597);
        [Isensee et al., 2021](https://doi.org/10.1038/s41592-020-01008-z)

    >>> UNet((40, 40, 3), features=4, depth=2).output_shape
    (None, 40, 40, 1)
    """
    *spatial, channels = input_shape
    if len(spatial) not in _LAYERS or not all(size and size > 0 for size in input_shape):
        raise ValueError(
            "Invalid value for argument `input_shape`. Expected two or three positive spatial "
            f"sizes and a number of channels. Received: input_shape={tuple(input_shape)}"
        )
    for key, value in {"classes": classes, "features": features}.items():
        if value < 1:
            raise ValueError(
                f"Invalid value for argument `{key}`. Expected a positive integer. "
                f"Received: {key}={value}"
            )
    Conv, ConvTranspose, Pad, Crop = _LAYERS[len(spatial)]
    strides = pooling_strides(tuple(size for size in spatial if size), depth)
    widths = [min(features * 2**i, max_features) for i in range(len(strides) + 1)]
    padding = _padding(spatial, strides)

    def initializer():
        return keras.initializers.VarianceScaling(
            2 / (1 + LEAKY_SLOPE**2), mode="fan_in", distribution="untruncated_normal"
        )

    def block(x, width, stride=1):
        x = Conv(width, 3, stride, padding="same", kernel_initializer=initializer())(x)
        x = InstanceNormalization()(x)
        return keras.layers.LeakyReLU(LEAKY_SLOPE)(x)

    inputs = keras.Input((*spatial, channels), name="image")
    padded = any(sum(pair) for pair in padding)
    x = Pad(padding)(inputs) if padded else inputs
    skips = []
    for width, stride in zip(widths, [1, *strides], strict=True):
        x = block(block(x, width, stride), width)
        skips.append(x)
    skips.pop()
    for width, stride in zip(reversed(widths[:-1]), reversed(strides), strict=True):
        x = ConvTranspose(width, stride, stride, kernel_initializer=initializer())(x)
        x = keras.layers.Concatenate()([x, skips.pop()])
        x = block(block(x, width), width)
    x = Conv(classes, 1, kernel_initializer=initializer(), name="logits")(x)
    if padded:
        x = Crop(padding)(x)
    activation = "sigmoid" if classes == 1 else "softmax"
    outputs = keras.layers.Activation(activation, dtype="float32", name="probabilities")(x)
    return keras.Model(inputs, outputs, name=name)


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
