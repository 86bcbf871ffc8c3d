"""Segmentation models, and the rules that size them."""

from keras_robust.models.normalization import InstanceNormalization
from keras_robust.models.topology import Topology, topology
from keras_robust.models.unet import UNet, supervision_weights

__all__ = ["InstanceNormalization", "Topology", "UNet", "supervision_weights", "topology"]
