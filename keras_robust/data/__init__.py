"""Datasets on disk: reading, verifying, splitting, simulating annotators, and a sample.

>>> from keras_robust import data
>>> train = data.sample().select(split="train")
>>> data.read_mask(train.cases[0].mask, size=(64, 64)).shape
(64, 64)
"""

from keras_robust.data.dataset import Case, Dataset
from keras_robust.data.images import UnreadableImageError, read_image, read_mask
from keras_robust.data.problems import Problem, Report
from keras_robust.data.sample import sample, sample_path
from keras_robust.data.splits import split
from keras_robust.data.verify import verify

__all__ = [
    "Case",
    "Dataset",
    "Problem",
    "Report",
    "UnreadableImageError",
    "read_image",
    "read_mask",
    "sample",
    "sample_path",
    "split",
    "verify",
]
