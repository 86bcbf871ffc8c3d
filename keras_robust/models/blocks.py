"""The layers that U-Nets are made of, in two and in three dimensions."""

from functools import partial

import keras

from keras_robust.models.instance_norm import InstanceNormalization

__all__ = ["Blocks"]

LEAKY_SLOPE = 0.01


class Blocks:
    """Makers of layers for one number of spatial axes, channels last, with nnU-Net's settings.

    Convolutions are initialised after He for LeakyReLU(0.01) and have a bias, except those of
    residual connections.

    Args:
        rank: 2 or 3.
    """

    def __init__(self, rank: int):
        layers = keras.layers

        def last(flat, deep):  # whatever the user's `image_data_format`
            return partial({2: flat, 3: deep}[rank], data_format="channels_last")

        self.Conv = last(layers.Conv2D, layers.Conv3D)
        self.ConvTranspose = last(layers.Conv2DTranspose, layers.Conv3DTranspose)
        self.Pad = last(layers.ZeroPadding2D, layers.ZeroPadding3D)
        self.Crop = last(layers.Cropping2D, layers.Cropping3D)
        self.Pool = last(layers.AveragePooling2D, layers.AveragePooling3D)

    def plain(self, x, width: int, kernel, stride=1):
        """Convolution, instance norm, LeakyReLU."""
        x = self._conv(x, width, kernel, stride)
        return self._activate(InstanceNormalization()(x))

    def residual(self, x, width: int, kernel, stride=1):
        """Two convolutions beside a shortcut, as in ResNet-D.

        The shortcut is average pooling where there is a stride, then a 1×1 convolution and norm
        where the number of features changes. The last norm begins at 0: the block as its shortcut.

        References:
            [He et al., 2019](https://arxiv.org/abs/1812.01187), figure 2c
        """
        shortcut = x
        if any(step != 1 for step in (stride if isinstance(stride, tuple) else (stride,))):
            shortcut = self.Pool(stride, stride)(shortcut)
        if x.shape[-1] != width:
            shortcut = self._conv(shortcut, width, 1, use_bias=False)
            shortcut = InstanceNormalization()(shortcut)
        x = self._conv(self.plain(x, width, kernel, stride), width, kernel)
        x = InstanceNormalization(gamma_initializer="zeros")(x)
        return self._activate(keras.layers.Add()([x, shortcut]))

    def up(self, x, width: int, stride):
        """Transposed convolution that undoes `stride`."""
        return self.ConvTranspose(width, stride, stride, kernel_initializer=_initializer())(x)

    def head(self, x, classes: int, name: str):
        """Logits by a 1×1 convolution."""
        return self._conv(x, classes, 1, name=name)

    def _conv(self, x, width: int, kernel, stride=1, **options):
        layer = self.Conv(
            width, kernel, stride, padding="same", kernel_initializer=_initializer(), **options
        )
        return layer(x)

    def _activate(self, x):
        return keras.layers.LeakyReLU(LEAKY_SLOPE)(x)


def _initializer():
    return keras.initializers.VarianceScaling(
        2 / (1 + LEAKY_SLOPE**2), mode="fan_in", distribution="untruncated_normal"
    )
