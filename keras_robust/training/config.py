"""What a training run consists of, validated; read from YAML or the command line."""

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    field_validator,
    model_validator,
)

from keras_robust.common.errors import invalid
from keras_robust.common.yaml import read_yaml
from keras_robust.methods import SELECTIONS


def _numbers(options: Mapping[str, Any]) -> dict[str, Any]:
    # YAML 1.1, which PyYAML reads, takes 1e-3 for a text: numbers there need a point.
    written = re.compile(r"[-+]?\d+(\.\d+)?[eE][-+]?\d+")
    return {
        name: float(value) if isinstance(value, str) and written.fullmatch(value) else value
        for name, value in options.items()
    }


Options = Annotated[dict[str, Any], AfterValidator(_numbers)]
"""Options of a loss or a selection, by name."""


def _absolute(path: Path) -> Path:
    # What is stored is read by commands that are typed in other folders.
    return Path(os.path.abspath(path))


Folder = Annotated[Path, AfterValidator(_absolute)]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class DataConfig(_Section):
    """Which images and masks to train on and to evaluate against.

    Args:
        path: Dataset folder (any layout that `keras_robust.data.Dataset.open` reads); a relative
            one, which is made absolute, is taken from the working directory.
        size: (height, width) in pixels that images and masks are resized to; for volumes one
            number per stored axis.
        annotator: Whose masks to train on; `None` for the only one, or the clean one.
        clean_annotator: Whose masks to evaluate against, of the images of which there are any;
            `None` for `annotator` where that is not simulated (see
            `keras_robust.annotators.simulated_annotators`), else for the only annotator that is
            not.
        train_split: Split to train on; `None` for all images, whatever their split.
        test_split: Split to evaluate on; `None` for no test images.
        fold: (k, n) trains on the images of `train_split` that are not in fold k, from 0, of n, and
            evaluates on those that are, in place of `test_split`; see `keras_robust.data.folds`.
            Images of one group are in one fold.
        stratify: Column of manifest.csv of whose values every fold gets its share.
        train_limit: Train on at most so many images, drawn at random; `None` for all.
        test_limit: The same for the test images.
        limit_seed: Seed of these draws, apart from the seed of the run: runs of different seeds
            see the same images.
        normalize: `"range"` maps each image's value range to [-1, 1] (8-bit: 0..255);
            `"zscore"` gives each channel of each image mean 0 and standard deviation 1.
        cache: `"none"` streams from disk, so that memory does not grow with the data set;
            `"memory"` keeps the resized images (8 bits per value) in memory.
    """

    path: Folder
    size: tuple[int, ...] = (256, 256)
    annotator: str | None = None
    clean_annotator: str | None = None
    train_split: str | None = "train"
    test_split: str | None = "test"
    fold: tuple[int, int] | None = None
    stratify: str | None = None
    train_limit: int | None = Field(default=None, ge=1)
    test_limit: int | None = Field(default=None, ge=1)
    limit_seed: int = Field(default=0, ge=0)
    normalize: Literal["range", "zscore"] = "range"
    cache: Literal["none", "memory"] = "none"

    @field_validator("size")
    @classmethod
    def _positive(cls, value: tuple[int, ...]) -> tuple[int, ...]:
        if len(value) not in (2, 3) or min(value) < 1:
            raise invalid(
                "size",
                "a positive height and width, or the three sizes of volumes",
                said=f"size={value}",
            )
        return value

    @field_validator("fold")
    @classmethod
    def _is_a_fold(cls, value: tuple[int, int] | None) -> tuple[int, int] | None:
        if value is not None and not 0 <= value[0] < value[1] >= 2:
            raise invalid("fold", "(k, n) with 0 <= k < n and n >= 2", said=f"fold={value}")
        return value


class NoiseConfig(_Section):
    """Simulated label noise on the training masks, at the training resolution.

    Args: As `keras_robust.noise.LabelNoise`.
    """

    alpha: float = Field(ge=0, le=1)
    beta: float = Field(ge=0)
    seed: int = Field(default=0, ge=0)
    kinds: tuple[str, ...] = ("dilate", "erode", "affine")
    mode: Literal["unbiased", "reference"] = "unbiased"
    max_angle: float = 30.0

    @model_validator(mode="after")
    def _is_a_label_noise(self) -> "NoiseConfig":
        from keras_robust.noise import LabelNoise

        LabelNoise(**self.model_dump())  # raises what does not fit
        return self


class ModelConfig(_Section):
    """The network.

    Args:
        name: `"unet"`, or one registered by `keras_robust.models.register_network`.
        features: Of the first stage; this and the others as for `keras_robust.models.UNet`.
        max_features: Of any stage.
        depth: Number of down-samplings; `None` for as many as fit.
    """

    name: str = "unet"
    features: int = Field(default=32, ge=1)
    max_features: int = Field(default=512, ge=1)
    depth: int | None = Field(default=None, ge=0)


class SelectionConfig(_Section):
    """How two peers choose the voxels that they learn from.

    Args:
        name: `"cot"` (co-teaching), `"cot+"` (co-teaching+), `"stocot"` (stochastic co-teaching),
            or one registered by `keras_robust.models.register_selection`.
        options: Arguments of the selection; see `keras_robust.models.SmallLossSelection`,
            `DisagreementSelection` and `StochasticSelection`.
    """

    name: str
    options: Options = Field(default_factory=dict)

    @field_validator("name")
    @classmethod
    def _is_known(cls, value: str) -> str:
        if value not in SELECTIONS:
            raise SELECTIONS.unknown(value, "selection.name")
        return value


class PlanConfig(_Section):
    """Training on patches by a plan; the defaults are nnU-Net's.

    Args:
        folder: Holds `plan.json` and `fingerprint.json`, as `keras-robust plan` writes them, and
            `cases/`, as `keras-robust preprocess` fills it; `train` preprocesses what is missing.
        configuration: `"2d"`, `"3d_fullres"`, `"3d_lowres"` or `"3d_cascade_fullres"`, where it was
            planned; `None` for that of `plan.json`.
        previous: Of `"3d_cascade_fullres"`, run folders of `"3d_lowres"`, which together held every
            image out, one fold each (`data.fold`).
        patch_size: Along the plan's axes, in voxels; padded to what the network divides. `None`
            for the plan's.
        batch_size: Patches per step, over all devices; `None` for the plan's.
        features: Of the first stage, doubled at each further one up to the plan's most; `None` for
            the plan's.
        steps_per_epoch: Steps of an epoch, whatever the number of images.
        validation_steps: Batches of the held-out images that the pseudo-Dice of an epoch is taken
            over, where `data.fold` holds images out; 0 for none.
        foreground: Share of the patches of a batch, its last ones, that are drawn around a voxel
            of a class that is present.
        deep_supervision: Train the outputs of all stages but the lowest.
        regions: Learn the regions of dataset.json, a sigmoid each, in place of labels, a softmax
            over all; needs its `regions_class_order`, by which predictions become labels.
        mirror_axes: Axes of a patch along which patches are mirrored, in training and, averaged
            over all of their subsets, at prediction; `None` for all of them.
        optimizer: `"sgd"` with Nesterov momentum, or `"adam"`.
        learning_rate: Of the first epoch, times (1 - epoch / epochs)^0.9 in each further one.
        momentum: Of `"sgd"`.
        weight_decay: Of `"sgd"`, added to the gradient as a multiple of each weight; of `"adam"`,
            apart from it.
        clip_norm: Most that the norm of all gradients may be.

    References:
        [Isensee et al., 2021](https://doi.org/10.1038/s41592-020-01008-z), supplementary note 4.
    """

    folder: Folder
    configuration: Literal["2d", "3d_fullres", "3d_lowres", "3d_cascade_fullres"] | None = None
    previous: tuple[Folder, ...] = ()
    patch_size: tuple[int, ...] | None = None
    batch_size: int | None = Field(default=None, ge=1)
    features: int | None = Field(default=None, ge=1)
    steps_per_epoch: int = Field(default=250, ge=1)
    validation_steps: int = Field(default=50, ge=0)
    foreground: float = Field(default=0.33, ge=0, le=1)
    deep_supervision: bool = True
    regions: bool = False
    mirror_axes: tuple[int, ...] | None = None
    optimizer: Literal["sgd", "adam"] = "sgd"
    learning_rate: float = Field(default=1e-2, gt=0)
    momentum: float = Field(default=0.99, ge=0, lt=1)
    weight_decay: float = Field(default=3e-5, ge=0)
    clip_norm: float = Field(default=12.0, gt=0)


class TrainConfig(_Section):
    """A training run; the defaults are the recipe of the T-Loss paper, with Dice beside its loss.

    Args:
        data: Images and masks.
        noise: Simulated label noise; `None` trains on the masks as they are.
        loss: A name that `keras_robust.losses.get` knows; by default what helped most of single
            networks in the studies of this project.
        loss_options: Options of that loss.
        selection: Train two peers by `keras_robust.models.CoTeaching`; `None` for one network.
        model: The network.
        plan: Train on patches by a plan; `None` for whole images of `data.size`. With a plan,
            `data.size`, `data.normalize`, `model` but its name, `batch_size`, `steps_per_epoch`,
            `learning_rate`, `evaluate_every` and `evaluate_last` (unless 0) have no effect: the
            plan says it, the Dice of the training patches is taken in every epoch, and the test
            images are predicted once, after the last.
        epochs: Of so many steps as `steps_per_epoch` says; with a plan, as its own says.
        steps_per_epoch: Steps of an epoch, whatever the number of images; `None` for one pass over
            them. `keras-robust train` chooses it with `batch_size` where neither is given, by
            `keras_robust.training.defaults.default_budget`.
        batch_size: Images per step, over all devices. The images that do not fill the last batch
            of a pass are left out of that pass (each pass has its own order).
        learning_rate: Of Adam.
        augment: Mirror along every axis and change gamma.
        seed: Of the initial weights, the order of images and the augmentation.
        evaluate_every: Dice of the predictions on the training images every so many epochs, and
            after the last.
        evaluate_last: Test Dice after each of the last so many epochs; the run's result is its
            mean. 0 leaves the test images, or the fold that is held out, alone, but for
            `plan.validation_steps`.
        stop: `"memorising"` trains on four fifths of the images, watches the others against their
            masks, wrong as these may be, and ends where the network begins to learn wrong masks by
            heart: the result is the mean of the networks of the epochs around that; see
            `keras_robust.training.MemorisationGuard`. Of whole images only. `None` trains on all
            images to the last epoch.
        correct: Do not end there, but go on from the network that is kept, to the last epoch, with
            masks in which its confident predictions take the place of what was drawn (ADELE, Liu et
            al., 2022, with this project's own sign for the moment): averaged over the networks
            of the passes around, and over mirrored views. They are left in `corrected_masks`. With
            `stop` only, and not with soft masks.
        save_predictions: Test images whose predicted probabilities are kept.
        precision: Keras dtype policy of the model. Weights, ν, loss and evaluation are float32.
        threads: Threads of this process; `None` for TensorFlow's choice.
        tensorboard: Write TensorBoard events; on TensorFlow alone.

    References:
        [Gonzalez-Jimenez et al., 2023](https://arxiv.org/abs/2306.00753), section 3.1.

    >>> TrainConfig(data={"path": "lesions"}, loss="ce+dice").batch_size
    16
    """

    data: DataConfig
    noise: NoiseConfig | None = None
    loss: str = "t+dice"
    loss_options: Options = Field(default_factory=dict)
    selection: SelectionConfig | None = None
    model: ModelConfig = ModelConfig()
    plan: PlanConfig | None = None
    epochs: int = Field(default=100, ge=1)
    steps_per_epoch: int | None = Field(default=None, ge=1)
    batch_size: int = Field(default=16, ge=1)
    learning_rate: float = Field(default=1e-3, gt=0)
    augment: bool = True
    seed: int = Field(default=0, ge=0, lt=2**32)
    evaluate_every: int = Field(default=1, ge=1)
    evaluate_last: int = Field(default=10, ge=0)
    stop: Literal["memorising"] | None = None
    correct: bool = False
    save_predictions: int = Field(default=8, ge=0)
    precision: Literal["float32", "mixed_bfloat16", "mixed_float16"] = "float32"
    threads: int | None = Field(default=None, ge=1)
    tensorboard: bool = True

    @model_validator(mode="after")
    def _stops_where_it_can(self) -> "TrainConfig":
        if self.stop is not None and self.plan is not None:
            raise invalid(
                "stop",
                "null with a plan, whose pseudo-Dice on held-out images "
                "(`plan.validation_steps`) keeps the best epoch",
                self.stop,
            )
        if self.correct and self.stop is None:
            raise invalid(
                "correct", "False, or stop: memorising beside it, which tells when", self.correct
            )
        return self

    @classmethod
    def load(cls, path: str | Path) -> "TrainConfig":
        """Read a configuration from a YAML file; a relative dataset path is taken from the
        working directory.

        Raises:
            FileNotFoundError, IsADirectoryError, ValueError: See `read_yaml`; or the values do not
                fit (`pydantic.ValidationError`, which is a ValueError).
        """
        return cls.model_validate(read_yaml(path, "the fields of TrainConfig"))

    def to_yaml(self) -> str:
        """The configuration as YAML, every field included."""
        return yaml.safe_dump(self.model_dump(mode="json"), sort_keys=False, allow_unicode=True)
