"""Datasets on disk: reading, verifying, splitting, simulating annotators, and a sample.

>>> from keras_robust import data
>>> train = data.sample().select(split="train")
>>> data.read_mask(train.cases[0].mask, size=(64, 64)).shape
(64, 64)
"""

from typing import TYPE_CHECKING

import lazy_loader as _lazy

from keras_robust.data.annotators import (
    clean_annotator,
    match_annotators,
    simulated_annotators,
)
from keras_robust.data.dataset import Case, Dataset
from keras_robust.data.images import (
    UnreadableImageError,
    image_shape,
    mask_suffix,
    read_image,
    read_mask,
    write_mask,
)
from keras_robust.data.packaged_sample import sample, sample_path
from keras_robust.data.problems import Problem, Report
from keras_robust.data.soft_masks import read_soft_mask, soft_mask_suffix, write_soft_mask
from keras_robust.data.splits import folds, split
from keras_robust.data.verify import verify
from keras_robust.data.volume_header import VolumeHeader, read_header
from keras_robust.data.volumes import read_volume, write_mask_like

if TYPE_CHECKING:
    from keras_robust.data.mixture import mix_annotators
    from keras_robust.data.simulate import annotator_name, simulate_dataset

# Simulation brings scipy, which reading does not need.
__getattr__, __dir__, _ = _lazy.attach(
    __name__,
    submod_attrs={
        "mixture": ["mix_annotators"],
        "simulate": ["annotator_name", "simulate_dataset"],
    },
)

__all__ = [
    "Case",
    "Dataset",
    "Problem",
    "Report",
    "UnreadableImageError",
    "VolumeHeader",
    "annotator_name",
    "clean_annotator",
    "folds",
    "image_shape",
    "mask_suffix",
    "match_annotators",
    "mix_annotators",
    "read_header",
    "read_image",
    "read_mask",
    "read_soft_mask",
    "read_volume",
    "sample",
    "sample_path",
    "simulate_dataset",
    "simulated_annotators",
    "soft_mask_suffix",
    "split",
    "verify",
    "write_mask",
    "write_mask_like",
    "write_soft_mask",
]
