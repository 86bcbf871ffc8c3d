import json
import runpy
from pathlib import Path

import numpy as np
import pytest
from pydantic import ValidationError
from typer.testing import CliRunner

from keras_robust.cli import app
from keras_robust.data import sample_path
from keras_robust.models.topology import plan_topology
from keras_robust.planning.fingerprint import CaseFingerprint, Fingerprint
from keras_robust.planning.plan import (
    PRESETS,
    Plan,
    feature_map_voxels,
    make_plan,
    make_plans,
    target_spacing,
)

# dynamic_network_architectures 0.4.4, compute_conv_feature_map_size: patch, spacing, classes,
# plain encoder, residual encoder.
PUBLISHED = [
    ((256, 256), (1, 1), 2, 20_627_456, 32_317_440),
    ((128, 128, 128), (1, 1, 1), 3, 452_796_416, 557_420_544),
    ((20, 320, 256), (5, 0.5, 0.5), 4, 503_897_600, 764_806_400),
    ((40, 56, 40), (1, 1, 1), 3, 19_174_400, 23_609_600),
]


# What nnU-Net v2 2.8.1 plans at the memory of each preset: shapes in turn, number of cases,
# spacing, classes, patch, batch size. The fourth has medians of 32.5 and 47.5 voxels.
PLANNED = [
    ("M", [(934, 1016)], 30, (1, 1), 2, (512, 512), 13),
    ("L", [(1035, 846)], 30, (1, 1), 2, (896, 768), 13),
    ("plain", [(934, 1016)], 30, (1, 1), 2, (1024, 1024), 2),
    ("plain", [(32, 40, 47), (33, 40, 48)], 40, (1, 1, 1), 2, (40, 40, 48), 2),
    ("M", [(60, 512, 480)], 30, (2.5, 0.8, 0.8), 3, (32, 256, 224), 2),
    ("L", [(30, 300, 311), (31, 300, 310)], 30, (3, 1, 1), 2, (32, 320, 320), 3),
]


def described(shapes, spacings, classes=2, channels=("0",)):
    cases = [
        CaseFingerprint(
            id=str(number),
            shape=tuple(shape),
            cropped_shape=tuple(shape),
            spacing_mm=tuple(spacing),
            class_voxels=(1,) * classes,
        )
        for number, (shape, spacing) in enumerate(zip(shapes, spacings, strict=True))
    ]
    return Fingerprint(
        classes=classes, channel_names=channels, intensities=None, cases=tuple(cases)
    )


@pytest.mark.parametrize("patch, spacing, classes, plain, residual", PUBLISHED)
def test_memory_is_estimated_as_nnunet_does(patch, spacing, classes, plain, residual):
    network = plan_topology(spacing, patch)
    assert feature_map_voxels(network, classes) == plain
    assert feature_map_voxels(network, classes, "residual") == residual


def test_a_small_volume_is_one_patch_and_the_batch_is_five_percent_of_the_data():
    found = make_plan(described([(35, 51, 35)] * 180, [(1, 1, 1)] * 180, classes=3))
    assert found.patch_size == (40, 56, 40)
    # Memory would allow 560e6 / 19.17e6 * 2 = 58; 5 % of 180 * 35 * 51 * 35 voxels are
    # 562,275 = 6.28 patches.
    assert found.batch_size == 6
    assert found.features == (32, 64, 128, 256)


def test_images_of_256_get_nnunets_batch():
    found = make_plan(described([(256, 256)] * 2000, [(1, 1)] * 2000, channels=("R", "G", "B")))
    assert found.patch_size == (256, 256)
    # 85e6 / 20,627,456 * 12 = 49.4
    assert found.batch_size == 49
    assert found.normalization == ("zscore",) * 3
    assert found.batch_dice


@pytest.mark.parametrize("preset, shapes, cases, spacing, classes, patch, batch_size", PLANNED)
def test_patch_and_batch_are_nnunets(preset, shapes, cases, spacing, classes, patch, batch_size):
    print_ = described(shapes * (cases // len(shapes)), [spacing] * cases, classes)
    found = make_plan(print_, preset=preset)
    assert (found.patch_size, found.batch_size) == (patch, batch_size)
    # Of these only the large volumes get a coarser stage from nnU-Net, and batch Dice with it.
    assert found.batch_dice == (len(patch) == 2 or shapes == [(60, 512, 480)])


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("memory", [2, 8, 40])
def test_two_patches_fit_the_memory(preset, memory):
    shapes = [(60, 512, 480)] * 30
    found = make_plan(described(shapes, [(2.5, 0.8, 0.8)] * 30), memory, preset)
    network = plan_topology(found.spacing_mm, found.patch_size)
    assert network.strides == found.strides and network.kernels == found.kernels
    settings = PRESETS[preset]
    budget = settings.voxels[3] * memory / settings.memory_gib
    # The planner of nnU-Net holds the estimate of one patch against a budget of two.
    assert feature_map_voxels(network, 2, found.encoder) <= budget
    assert found.batch_size >= 2


def test_more_memory_never_means_a_smaller_patch():
    print_ = described([(60, 512, 480)] * 30, [(2.5, 0.8, 0.8)] * 30)
    sizes = [np.prod(make_plan(print_, memory).patch_size) for memory in (2, 4, 8, 16, 32)]
    assert sizes == sorted(sizes)


def test_the_thick_axis_comes_first():
    found = make_plan(described([(512, 480, 60)] * 30, [(0.8, 0.8, 5)] * 30))
    assert found.axes == (2, 0, 1)
    assert found.spacing_mm == (5, 0.8, 0.8)
    assert found.median_shape == (60, 512, 480)
    assert found.kernels[0] == (1, 3, 3)


def test_a_thick_axis_takes_the_tenth_percentile():
    spacings = np.array([[10, 1, 1]] * 8 + [[5, 1, 1]] * 2, float)
    # Sorted: 5, 5, 10, ...; the tenth percentile of ten lies at position 0.9.
    target = target_spacing(spacings, np.array([[10, 200, 200]] * 10))
    np.testing.assert_allclose(target, [5, 1, 1])
    # Many slices: the median stays.
    target = target_spacing(spacings, np.array([[190, 200, 200]] * 10))
    np.testing.assert_allclose(target, [10, 1, 1])
    # Flat images, which nnU-Net takes for one slice that is thicker still.
    target = target_spacing(spacings[:, :2], np.array([[10, 200]] * 10))
    np.testing.assert_allclose(target, [10, 1])


def test_normalisation_follows_the_names_of_the_channels():
    names = ("CT", "noNorm", "rgb_to_0_1", "T2")
    found = make_plan(described([(64, 64)] * 9, [(1, 1)] * 9, channels=names))
    assert found.normalization == ("ct", "none", "rgb_to_0_1", "zscore")


def test_a_plan_reads_back():
    found = make_plan(described([(35, 51, 35)] * 9, [(1, 1, 1)] * 9))
    assert Plan.model_validate_json(found.to_json()) == found


def test_the_command_leaves_fingerprint_and_plan(tmp_path):
    result = CliRunner().invoke(
        app, ["plan", str(sample_path()), "--output", str(tmp_path), "--memory-gib", "1"]
    )
    assert result.exit_code == 0, result.output
    found = Plan.model_validate_json((tmp_path / "plan.json").read_text())
    assert found.memory_gib == 1
    printed = Fingerprint.model_validate_json((tmp_path / "fingerprint.json").read_text())
    assert len(printed.cases) == 80  # the training images
    assert make_plan(printed, 1) == found


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"preset": "XXL"}, "`preset`"),
        ({"memory_gib": 0}, "`memory_gib`. Expected a positive"),
        ({"memory_gib": 1e-9}, "`memory_gib`. Expected enough"),
    ],
)
def test_errors_name_the_argument(options, message):
    with pytest.raises(ValueError, match=message):
        make_plan(described([(35, 51, 35)] * 9, [(1, 1, 1)] * 9), **options)


def test_configurations_equal_those_recorded_of_nnunet():
    """Of 100 random data sets, drawn anew by their seeds; see `scripts/nnunet/plans.py`."""
    root = Path(__file__).parents[3]
    recorded = json.loads((root / "docs/results/nnunet/plans.json").read_text())
    assert recorded["equal"] == len(recorded["fingerprints"]) == 100
    names = runpy.run_path(str(root / "scripts/nnunet/plans.py"))
    with_coarse = [one for one in recorded["fingerprints"] if "3d_lowres" in one["nnunet"]]
    assert len(with_coarse) == recorded["with_3d_lowres"] >= 10
    for one in [*with_coarse[:5], *recorded["fingerprints"][:10]]:
        assert names["by_project"](*names["draw"](one["seed"])) == one["nnunet"]


def test_a_volume_of_one_slice_has_slices_alone():
    plans = make_plans(described([(1, 60, 50)] * 4, [(5, 1, 1)] * 4))
    assert [*plans] == ["2d"] and plans["2d"].slices and plans["2d"].window[0] == 1
    assert make_plan(described([(1, 60, 50)] * 4, [(5, 1, 1)] * 4)) == plans["2d"]


def test_a_plan_of_before_there_were_configurations_is_read():
    plan = make_plan(described([(60, 50)] * 4, [(1, 1)] * 4))
    stored = plan.model_dump(mode="json")
    assert stored.pop("configuration") == "2d" and Plan.model_validate(stored) == plan
    with pytest.raises(ValidationError, match="'2d' for images of two axes"):
        Plan.model_validate({**stored, "configuration": "3d_fullres"})
