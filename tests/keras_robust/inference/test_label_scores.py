import math
import subprocess
import sys

import nibabel
import numpy as np
import pandas as pd
import pytest
from PIL import Image
from typer.testing import CliRunner

from keras_robust import data, metrics
from keras_robust.cli import app
from keras_robust.common import large_arrays
from keras_robust.inference import evaluate, evaluate_run
from keras_robust.inference.label_scores import label_scores, reliabilities
from keras_robust.metrics import per_region, surface_metrics

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
RNG = np.random.default_rng(0)


def cubes(shape=(12, 12, 12)):
    true, predicted = np.zeros((2, *shape), np.uint8)
    true[2:8, 2:8, 2:8], true[4:6, 4:6, 4:6] = 1, 2
    predicted[3:8, 2:9, 2:8], predicted[4:7, 4:6, 4:6] = 1, 2
    return predicted, true


def test_classes_and_regions_are_those_of_the_metrics():
    predicted, true = cubes()
    spacing, regions = (2.0, 1.0, 1.0), {"whole": (1, 2)}
    rows = label_scores("a", predicted, true, spacing, classes=3, regions=regions)
    assert [row.label for row in rows] == ["1", "2", "whole"]
    np.testing.assert_allclose(
        [row.dice for row in rows[:2]], metrics.dice(predicted, true, classes=3)
    )
    found = surface_metrics(predicted, true, spacing, classes=3)
    np.testing.assert_allclose([row.asd for row in rows[:2]], found.average_mm)
    np.testing.assert_allclose([row.hd95 for row in rows[:2]], found.hausdorff95_mm)
    whole = per_region(surface_metrics, predicted, true, spacing, regions=regions)["whole"]
    assert rows[2].surface_dice == whole.surface_dice
    assert all(math.isnan(row.ece) for row in rows)


def test_all_classes_come_from_one_pass_over_the_surfaces(monkeypatch):
    passes = []
    monkeypatch.setattr(
        "keras_robust.inference.label_scores.surface_metrics",
        lambda *args, **kwargs: passes.append(1) or surface_metrics(*args, **kwargs),
    )
    masks = RNG.integers(0, 9, (2, 12, 12)).astype(np.uint8)
    rows = label_scores("a", *masks, None, classes=9, regions={"whole": range(1, 9)})
    assert len(rows) == 9 and len(passes) == 2


def test_ignored_voxels_do_not_count():
    predicted, true = cubes()
    ignored = true.copy()
    ignored[3:6] = 9
    # As if neither mask had anything there.
    expected = label_scores(
        "a", np.where(ignored == 9, 0, predicted), np.where(ignored == 9, 0, true), None, classes=3
    )
    found = label_scores("a", predicted, ignored, None, classes=3, ignore_label=9)
    assert [row.dice for row in found] == [row.dice for row in expected]
    assert [row.asd for row in found] == [row.asd for row in expected]
    probabilities = RNG.dirichlet([1, 1, 1], size=true.shape).astype("float32")
    bins = reliabilities(probabilities, ignored, ignore_label=9)
    assert bins["1"].count.sum() == bins["all"].count.sum() == (ignored != 9).sum()


def test_a_class_in_one_mask_only():
    predicted, true = cubes()
    predicted[predicted == 2], true[true == 1] = 1, 0
    one, two = label_scores("a", predicted, true, None, classes=3)
    assert (one.dice, one.asd, one.surface_dice, one.hd95) == (0, math.inf, 0, math.inf)
    assert two.asd == math.inf
    neither = label_scores("a", 0 * true, 0 * true, None, classes=2)[0]
    assert (neither.dice, neither.asd, neither.surface_dice) == (1, 0, 1)


def test_calibration_of_classes_regions_and_of_the_winner(monkeypatch):
    true = RNG.integers(0, 3, (6, 5, 4)).astype(np.uint8)
    probabilities = RNG.dirichlet([1, 1, 1], size=true.shape).astype("float32")
    monkeypatch.setattr(large_arrays, "SLAB_VALUES", 100)  # several slabs, which add up
    found = reliabilities(probabilities, true, regions={"both": (1, 2)})
    expected = {
        "1": (probabilities[..., 1], true == 1),
        "2": (probabilities[..., 2], true == 2),
        "both": (np.clip(probabilities[..., 1:].sum(axis=-1), 0, 1), true > 0),
        "all": (probabilities, true),
    }
    assert list(found) == list(expected)
    for label, (claimed, right) in expected.items():
        ece = metrics.expected_calibration_error(claimed, right)
        assert found[label].expected_error == pytest.approx(ece)
    one = reliabilities(probabilities[..., :1], (true == 0).astype(np.uint8))
    assert list(one) == ["1"]


def test_a_run_is_scored_on_what_it_held_out(trained_run):
    seen = []
    result = evaluate_run(trained_run.folder, progress=lambda *done: seen.append(done))
    assert seen[-1] == (5, 5)
    rows = pd.read_csv(trained_run.folder / "evaluation.csv")
    assert list(rows) == ["id", "label", "name", "dice", "asd_px", "surface_dice", "hd95_px", "ece"]
    assert dict(zip(rows.id, rows.dice, strict=True)) == pytest.approx(result.per_image)
    test_ids = data.sample().select(split="test").ids
    assert len(rows) == 5 and set(rows.id) <= set(test_ids)
    bins = pd.read_csv(trained_run.folder / "reliability.csv")
    assert list(bins) == ["label", "name", "bin", "count", "total_confidence", "correct"]
    # All voxels of five images of 256 by 256.
    assert bins["count"].sum() == 5 * 256**2 and (bins.correct <= bins["count"]).all()


def test_regions_of_the_dataset_are_scored(tmp_path):
    true = np.zeros((16, 16), np.uint8)
    true[2:9, 2:9], true[4:6, 4:6] = 1, 2
    for folder in ("images", "masks", "found"):
        (tmp_path / folder).mkdir()
        data.write_mask(
            tmp_path / folder / "a.png", true.clip(0, 1 + (folder != "found")), classes=3
        )
    (tmp_path / "manifest.csv").write_text(
        "id,image,mask,annotator,split,group\na,images/a.png,masks/a.png,ann,test,NA\n"
    )
    (tmp_path / "dataset.json").write_text(
        '{"labels": {"background": 0, "whole": [1, 2], "core": 2}}'
    )
    result = evaluate(tmp_path / "found", tmp_path, detailed=True)
    # The core of 4 pixels is missed: class 1 has 49 pixels in place of 45.
    assert [(row.label, row.dice) for row in result.rows] == [
        ("1", 2 * 45 / (45 + 49)),
        ("2", 0),
        ("whole", 1),
    ]
    # The mean of no finite distance is none, and said to be so; nor is there a calibration.
    assert result.missed == {"1": 0, "2": 1, "whole": 0}
    assert result.means["2"] == {"dice": 0, "surface_dice": 0}
    assert list(result.means["1"]) == ["dice", "asd_px", "surface_dice", "hd95_px"]
    assert not result.reliabilities
    table = result.write_rows(tmp_path / "rows.csv").read_text().splitlines()
    assert table[0].startswith("id,group,label,name,dice,")
    assert table[2].startswith("a,NA,2,core,0.0,") and table[3].startswith("a,NA,whole,,1.0,")
    assert not evaluate(tmp_path / "found", tmp_path).rows


@pytest.mark.parametrize(
    ("spacings", "unit", "distance"),
    [
        (("0.5x0.5", "0.5x0.5"), "mm", 0.75),
        (("", ""), "px", 1.5),
        (("0.5x0.5", ""), "px", 1.5),  # one column holds one unit
    ],
)
def test_distances_have_the_unit_that_was_read(tmp_path, spacings, unit, distance):
    """A stripe of one pixel, two pixels from where it is drawn.

    Its surfaces are 2 px and 1 px from the nearest of the other: 1.5 px in the mean, and half of
    them within a tolerance of 1.5 px; of half a millimetre each, all within 1.5 mm.
    """
    (tmp_path / "found").mkdir()
    lines = ["id,image,mask,annotator,split,spacing"]
    for id, spacing in zip("ab", spacings, strict=True):
        for path, row in ((f"{id}.png", 5), (f"found/{id}.png", 7)):
            mask = np.zeros((16, 16), np.uint8)
            mask[row] = 1
            data.write_mask(tmp_path / path, mask)
        lines.append(f"{id},{id}.png,{id}.png,ann,test,{spacing}")
    (tmp_path / "manifest.csv").write_text("\n".join(lines) + "\n")
    result = evaluate(tmp_path / "found", tmp_path, detailed=True, tolerance=1.5)
    assert result.unit == unit
    assert [row.asd for row in result.rows] == [distance] * 2
    assert [row.surface_dice for row in result.rows] == [1 if unit == "mm" else 0.5] * 2
    table = result.write_rows(tmp_path / "rows.csv").read_text()
    assert table.startswith(f"id,label,name,dice,asd_{unit},surface_dice,hd95_{unit},ece\n")
    done = CliRunner().invoke(
        app,
        ["evaluate", *map(str, (tmp_path / "found", tmp_path, "--details", tmp_path / "o.csv"))],
    )
    assert f"asd_{unit} {distance:.4f}" in done.output
    assert ("mm" in done.output) is (unit == "mm") is not ("pixels" in done.output)


@pytest.mark.parametrize("ending", [".nii", ".nii.gz", ".png", ".tif"])
def test_masks_of_other_programs_are_found_by_the_bare_id(tmp_path, ending):
    true = np.zeros((8, 9) if ending in (".png", ".tif") else (8, 9, 5), np.uint8)
    true[2:5, 3:6] = 1
    others = tmp_path / "others"
    others.mkdir()

    def save(path, array):
        if array.ndim == 3:
            nibabel.Nifti1Image(array, np.eye(4)).to_filename(path)
        else:
            Image.fromarray(array).save(path)

    for path in ("image", "mask", "others/case 1"):
        save(tmp_path / f"{path}{ending}", true)
    (tmp_path / "manifest.csv").write_text(
        f"id,image,mask,annotator,split\ncase 1,image{ending},mask{ending},ann,test\n"
    )
    assert evaluate(others, tmp_path).mean == 1
    save(others / f"case 1{ending}", true[1:])
    with pytest.raises(ValueError, match=r"8 x 9.* for 'case 1'.*case 1\..* of 7 x 9.*original"):
        evaluate(others, tmp_path)


def test_scoring_masks_on_disk_costs_no_import_of_tensorflow():
    code = (
        "import sys; from keras_robust.inference import evaluate; "
        "sys.exit(any(name in sys.modules for name in ('tensorflow', 'keras')))"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
