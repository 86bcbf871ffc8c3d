"""Simulation of annotation errors, replayable to the byte."""

from .affine import affine
from .boundary_noise import BoundaryNoise, mean_dice_per_label, sizes_of
from .corruption import Corruption, read_log, write_log
from .label_noise import KINDS, MODES, Kind, LabelNoise
from .morphology import dilate, erode

__all__ = [
    "KINDS",
    "MODES",
    "BoundaryNoise",
    "Corruption",
    "Kind",
    "LabelNoise",
    "affine",
    "dilate",
    "erode",
    "mean_dice_per_label",
    "read_log",
    "sizes_of",
    "write_log",
]
