"""The packaged sample: 115 dermoscopy images of ISIC 2016 and 2017 with lesion masks (CC0)."""

from pathlib import Path

from keras_robust.data.dataset import Dataset

__all__ = ["sample", "sample_path"]


def sample_path() -> Path:
    """Folder of the packaged sample, a manifest folder with splits `train` and `test`.

    >>> (sample_path() / "manifest.csv").is_file()
    True
    """
    return Path(__file__).parent / "sample"


def sample() -> Dataset:
    """The packaged sample: 256 x 256 pixels, 80 images for training and 35 for testing.

    >>> sample().select(split="test")
    Dataset('sample', 35 cases, splits: test, annotators: isic_gt)
    """
    return Dataset.open(sample_path())
