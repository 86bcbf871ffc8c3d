"""Agreement of annotators over a dataset, and its report."""

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from typer.testing import CliRunner

from keras_robust.annotators.agreement.figures import disagreement_panels, distributions, heat_map
from keras_robust.annotators.agreement.measure import measure_agreement
from keras_robust.annotators.agreement.report import write_agreement_report
from keras_robust.cli import app
from keras_robust.data import Dataset
from keras_robust.metrics import (
    average_surface_distance,
    cohen_kappa,
    confusion_counts,
    dice,
    fleiss_kappa,
    rating_counts,
)

# Columns that each annotator drew of a mask of 20 x 30, by image; carl has one image, dora one
# that nobody else has.
DRAWN = {
    "a": {"anna": (5, 15), "ben": (5, 20), "carl": (5, 15)},
    "b": {"anna": (5, 25), "ben": (10, 25)},
    "c": {"dora": (5, 10)},
    "d": {"anna": (0, 0), "ben": (0, 10)},
}


def mask(columns):
    mask = np.zeros((20, 30), np.uint8)
    mask[5:15, columns[0] : columns[1]] = 1
    return mask


@pytest.fixture
def dataset(tmp_path):
    root = tmp_path / "data"
    root.mkdir()
    lines = ["id,image,mask,annotator,split,spacing"]
    for id, drawn in DRAWN.items():
        Image.new("RGB", (30, 20), (len(lines), 90, 0)).save(root / f"{id}.png")
        for annotator, columns in drawn.items():
            Image.fromarray(mask(columns) * 255).save(root / f"{id}-{annotator}.png")
            lines.append(f"{id},{id}.png,{id}-{annotator}.png,{annotator},,2.0x0.5")
    (root / "manifest.csv").write_text("\n".join(lines) + "\n")
    return root


def test_pairs_are_compared_on_the_images_they_share(dataset):
    found = measure_agreement(dataset)
    pairs = found.pairs.set_index(["annotator_a", "annotator_b"])
    assert dict(pairs["images"]) == {("anna", "ben"): 3, ("anna", "carl"): 1, ("ben", "carl"): 1}
    # Ten rows each: a: 2 * 10 / (10 + 15) = .8; b: 2 * 15 / (20 + 15) = 6 / 7; d: 0, nothing drawn.
    assert pairs.loc[("anna", "ben"), "dice"] == pytest.approx((0.8 + 6 / 7 + 0) / 3)
    assert pairs.loc[("anna", "carl"), "dice"] == 1
    # Areas: a: (10 - 15) / 12.5 = -.4; b: (20 - 15) / 17.5 = 2 / 7; d: -2.
    expected = (-0.4 + 2 / 7 - 2) / 3
    assert pairs.loc[("anna", "ben"), "volume_difference"] == pytest.approx(expected)
    absolute = pairs.loc[("anna", "ben"), "absolute_volume_difference"]
    assert absolute == pytest.approx((0.4 + 2 / 7 + 2) / 3)
    # No surface distance where one drew nothing.
    distances = [
        average_surface_distance(mask(DRAWN[id]["anna"]), mask(DRAWN[id]["ben"]), (2.0, 0.5))
        for id in "ab"
    ]
    assert found.unit == "mm"
    assert pairs.loc[("anna", "ben"), "surface"] == pytest.approx(np.mean(distances))
    assert pairs.loc[("anna", "ben"), "surface_images"] == 2
    tables = [confusion_counts(mask(DRAWN[i]["anna"]), mask(DRAWN[i]["ben"])) for i in "abd"]
    assert pairs.loc[("anna", "ben"), "cohen_kappa"] == pytest.approx(cohen_kappa(sum(tables)))
    row = pairs.loc[("anna", "ben")]
    assert row["dice_low"] <= row["dice"] <= row["dice_high"]
    assert np.isnan(pairs.loc[("anna", "carl"), "dice_low"])  # one image has no interval


def test_intervals_draw_the_images_of_a_patient_together(dataset):
    lines = (dataset / "manifest.csv").read_text().splitlines()
    apart = measure_agreement(dataset).pairs.iloc[0]
    patients = {"a": "p", "b": "p", "d": "a"}  # "a" the patient is not "a" the image
    lines = [lines[0] + ",group", *(f"{line},{patients.get(line[0], '')}" for line in lines[1:])]
    (dataset / "manifest.csv").write_text("\n".join(lines) + "\n")
    row = measure_agreement(dataset).pairs.iloc[0]
    assert row["dice"] == apart["dice"]
    # Dice .8 and 6 / 7 of one patient, 0 of the other: all of one, or all of the other.
    assert row["dice_low"] == 0 and row["dice_high"] == pytest.approx((0.8 + 6 / 7) / 2)
    assert apart["dice_high"] > row["dice_high"]
    assert np.isnan(row["surface_low"])  # of one patient alone


def test_an_image_counts_once_whatever_the_number_of_its_annotators(dataset):
    found = measure_agreement(dataset)
    # a has three pairs (.8, 1, .8), b one, d one; c has one mask and nothing to compare.
    assert found.overall["images"] == 3 and found.overall["masks_compared"] == 5
    assert found.overall["dice"] == pytest.approx(((0.8 + 1 + 0.8) / 3 + 6 / 7 + 0) / 3)
    assert found.drawn == {"a": 3, "b": 2, "c": 1, "d": 2}
    assert list(found.images["id"]) == ["d", "b", "a"]
    ratings = []
    for id in "abd":
        masks = [mask(columns) for columns in DRAWN[id].values()]
        pairs = [(x, y) for i, x in enumerate(masks) for y in masks[i + 1 :]]
        ratings.append(rating_counts([confusion_counts(x, y) for x, y in pairs]))
    assert found.overall["fleiss_kappa"] == pytest.approx(fleiss_kappa(sum(ratings)))


def test_patterns_are_groups_that_are_compared(dataset):
    found = measure_agreement(dataset, ["carl", "[ab]*", "dora"])
    groups = found.between_groups.set_index(["group_a", "group_b"])
    assert list(groups.index) == [("carl", "[ab]*"), ("[ab]*", "[ab]*")]
    assert groups.loc[("carl", "[ab]*"), "dice"] == pytest.approx((1 + 0.8) / 2)
    # The first's area less the second's: carl's 10 columns against anna's 10 and ben's 15.
    volume = groups.loc[("carl", "[ab]*"), "volume_difference"]
    assert volume == pytest.approx((0 - 0.4) / 2)
    assert np.isnan(groups.loc[("carl", "[ab]*"), "fleiss_kappa"])
    assert groups.loc[("[ab]*", "[ab]*"), "images"] == 3


def test_processes_and_the_order_of_rows_change_nothing(dataset):
    one, two = (measure_agreement(dataset, workers=workers) for workers in (1, 2))
    pd.testing.assert_frame_equal(one.pairs, two.pairs)
    pd.testing.assert_frame_equal(one.rows, two.rows)


def test_without_spacing_distances_are_in_pixels(dataset):
    manifest = dataset / "manifest.csv"
    manifest.write_text(manifest.read_text().replace("b-ben.png,ben,,2.0x0.5", "b-ben.png,ben,,"))
    manifest.write_text(
        manifest.read_text().replace("b-anna.png,anna,,2.0x0.5", "b-anna.png,anna,,")
    )
    found = measure_agreement(dataset)
    assert found.unit == "pixels"
    expected = average_surface_distance(mask((5, 15)), mask((5, 20)), (1, 1))
    rows = found.rows.set_index(["id", "annotator_a", "annotator_b"])
    assert rows.loc[("a", "anna", "ben"), "surface"] == pytest.approx(expected)


def test_errors_name_images_and_annotators(dataset):
    with pytest.raises(ValueError, match="`annotators`.*image in common.*dora"):
        measure_agreement(dataset, ["dora", "carl"])
    with pytest.raises(ValueError, match="'expert_.*which is none"):
        measure_agreement(dataset, ["expert_*"])
    Image.new("L", (5, 5)).save(dataset / "b-ben.png")
    with pytest.raises(ValueError, match="case 'b'.*b-ben.png.*20 x 30. Received: 5 x 5"):
        measure_agreement(dataset)
    (dataset / "b.png").unlink()
    with pytest.raises(ValueError, match=r"image 'b'.*\(20, 30\) by 'anna', \(5, 5\) by 'ben'"):
        measure_agreement(dataset)


def test_the_report_has_tables_counts_and_pictures(dataset, tmp_path):
    found = measure_agreement(dataset, ["anna", "*"])
    page = write_agreement_report(found, tmp_path / "report")
    text = page.read_text()
    assert text.count("<img") == 3
    assert "1 further images have one mask" in text and "anna – *" in text
    pairs = pd.read_csv(tmp_path / "report" / "agreement.csv")
    assert len(pairs) == 3 and "surface_mm" in pairs and "cohen_kappa_low" in pairs
    rows = pd.read_csv(tmp_path / "report" / "masks.csv")
    # 10 rows of 2 mm by 10 columns of 0.5 mm.
    assert rows.loc[rows["id"] == "a", "volume_a_mm2"].iloc[0] == 100
    assert list(pd.read_csv(tmp_path / "report" / "images.csv")["id"]) == ["d", "b", "a"]
    assert len(pd.read_csv(tmp_path / "report" / "groups.csv")) == 2


def test_pictures_show_every_annotator_and_image(dataset):
    found = measure_agreement(dataset)
    axes = heat_map(found).axes[0]
    assert [label.get_text() for label in axes.get_xticklabels()] == list(found.annotators)
    assert {text.get_text() for text in axes.texts} >= {"0.55\n3", "1.00\n1"}
    rows = [label.get_text() for label in distributions(found).axes[0].get_yticklabels()]
    assert rows == ["anna  (3)", "ben  (3)", "carl  (1)"]
    panels = disagreement_panels(found, count=2)
    titles = [axis.get_title(loc="left") for axis in panels.axes]
    assert titles[0].startswith("d\nDice 0.00, 2 masks") and titles[1].startswith("b\n")


def test_volumes_are_compared_and_shown_slice_by_slice(tmp_path):
    nibabel = pytest.importorskip("nibabel")
    root = tmp_path / "volumes"
    root.mkdir()
    lines = ["id,image,mask,annotator,split"]
    affine = np.diag([2.0, 1.0, 3.0, 1.0])
    for name, stop in (("image", 0), ("anna", 8), ("ben", 9)):
        array = np.zeros((12, 10, 6), np.uint8)
        array[2:stop, 2:8, 2:5] = 1
        nibabel.Nifti1Image(array, affine).to_filename(root / f"{name}.nii.gz")
        lines += [f"v,image.nii.gz,{name}.nii.gz,{name},"] if stop else []
    (root / "manifest.csv").write_text("\n".join(lines) + "\n")
    (root / "dataset.json").write_text('{"labels": {"background": 0, "heart": 1}}')
    found = measure_agreement(root)
    assert found.unit == "mm"
    row = found.rows.iloc[0]
    assert (row["label"], row["name"]) == (1, "heart")
    # 6 or 7 x 6 x 3 voxels of 2 x 1 x 3 mm.
    assert (row["volume_a"], row["volume_b"]) == (6 * 18 * 6, 7 * 18 * 6)
    assert row["dice"] == pytest.approx(2 * 6 / 13)
    write_agreement_report(found, tmp_path / "report")
    assert "volume_a_mm3" in (tmp_path / "report" / "masks.csv").read_text()


def test_the_command_reports_and_writes_a_consensus(dataset, tmp_path):
    def run(*arguments):
        return CliRunner().invoke(app, ["agree", *map(str, arguments)])

    result = run(dataset, "--output", tmp_path / "report")
    assert result.exit_code == 0, result.output
    assert "3 images: 0.5746" in result.output and (tmp_path / "report/report.html").is_file()
    for method in ("majority", "staple", "soft"):
        view = ["--output", tmp_path / "view"]
        result = run(dataset, "--consensus", method, "--annotator", "[ab]*", *view)
        assert result.exit_code == 0, result.output
    names = Dataset.open(tmp_path / "view").annotators
    assert {"consensus-majority", "consensus-staple", "consensus-soft"} < set(names)
    result = run(dataset, "--annotator", "nobody")
    assert result.exit_code == 2 and "nobody" in result.output and "Traceback" not in result.output


def test_overall_dice_of_simulated_noise_is_that_of_its_log(tmp_path):
    from keras_robust.annotators import simulate_dataset
    from keras_robust.data import sample
    from keras_robust.noise import LabelNoise, read_log

    view = tmp_path / "view"
    noise = LabelNoise(alpha=0.5, beta=0.7)
    folder = simulate_dataset(sample().root, noise, "other", output=view)
    found = measure_agreement(view, ["isic_gt", "other"])
    log = {line.id: line for line in read_log(folder / "noise.jsonl")}
    dataset = Dataset.open(view)
    scores = [
        dice(dataset.read_mask(case), log[case.id].apply(dataset.read_mask(case)))
        for case in dataset.select(annotator="isic_gt", split="train")
    ]
    assert found.overall["dice"] == pytest.approx(np.mean(scores))


def test_real_annotators_agree_with_gold_as_their_description_says(data_pack):
    dataset = Dataset.open(data_pack("bubil_multi_256"))
    dataset = dataset.select(ids=dataset.ids[::45])
    found = measure_agreement(dataset, ["gold", "expert_*", "crowd_*"])
    stated = {(case.id, case.annotator): float(case.extra["dice_vs_gold"]) for case in dataset}
    with_gold = found.scores[found.scores["annotator_a"] == "gold"]
    assert len(with_gold) == len(dataset) - len(dataset.ids)  # every mask but gold itself
    for row in with_gold.to_dict("records"):
        assert row["dice"] == pytest.approx(stated[row["id"], row["annotator_b"]], abs=5.1e-5)
    # Slots of the crowd are filled in every image; experts differ from set to set.
    crowd = found.pairs.set_index(["annotator_a", "annotator_b"]).loc[("crowd_1", "crowd_7")]
    assert crowd["images"] == len(dataset.ids) == 6
    assert found.pairs["images"].min() < 6
