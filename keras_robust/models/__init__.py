"""Segmentation models."""

from keras_robust.models.normalization import InstanceNormalization
from keras_robust.models.unet import UNet

__all__ = ["InstanceNormalization", "UNet"]
