"""Simulation of annotation errors, replayable to the byte."""

from .affine import affine
from .corruption import Corruption, read_log, write_log
from .label_noise import KINDS, MODES, Kind, LabelNoise
from .morphology import dilate, erode

__all__ = [
    "KINDS",
    "MODES",
    "Corruption",
    "Kind",
    "LabelNoise",
    "affine",
    "dilate",
    "erode",
    "read_log",
    "write_log",
]
