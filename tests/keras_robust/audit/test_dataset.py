"""What an audit says of a dataset as a whole: mixed-up files, slices, labels, habits, places."""

import json

import nibabel
import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from keras_robust.audit import read_audit
from keras_robust.audit.findings import findings_of_masks
from keras_robust.audit.folder import AuditCase
from keras_robust.audit.habits import habits, sentences
from keras_robust.audit.inputs import choose_inputs
from keras_robust.cli import app
from keras_robust.data import Case, Dataset
from keras_robust.review import ReviewSession
from keras_robust.suspicion.class_differences import ClassDifferences


def blob(number, shape=(48, 56)):
    """An ellipse with a bulge, elsewhere and of another form for each number."""
    generator = np.random.default_rng(number)
    rows, columns = np.indices(shape)
    centre = generator.uniform((14, 16), (34, 40))
    radii = generator.uniform(6, 11, 2)
    body = ((rows - centre[0]) / radii[0]) ** 2 + ((columns - centre[1]) / radii[1]) ** 2 < 1
    return (body | (np.hypot(rows - centre[0] + 7, columns - centre[1] - 6) < 4)).astype(np.uint8)


def write(root, masks, classes=2):
    """A dataset of masks by annotator and id, each image being noise of its own."""
    rows = ["id,image,mask,annotator,split,site"]
    for folder in ("images", "masks"):
        (root / folder).mkdir(parents=True)
    for annotator, ours in masks.items():
        (root / "masks" / annotator).mkdir()
        for id, mask in ours.items():
            end = "png" if mask.ndim == 2 else "nii.gz"
            image = root / "images" / f"{id}.{end}"
            path = f"masks/{annotator}/{id}.{end}"
            noise = np.random.default_rng(list(id.encode())).integers(0, 255, mask.shape, np.uint8)
            for target, array in (
                (image, noise),
                (root / path, mask * (255 if classes == 2 else 1)),
            ):
                if mask.ndim == 2:
                    Image.fromarray(array.astype(np.uint8)).save(target)
                else:
                    nibabel.Nifti1Image(
                        array.astype(np.uint8), np.diag([2.0, 1, 1, 1])
                    ).to_filename(target)
            site = "A" if int(id[1:]) % 2 else "B"
            rows.append(f"{id},images/{id}.{end},{path},{annotator},,{site}")
    (root / "manifest.csv").write_text("\n".join(rows) + "\n")
    labels = {str(n): n for n in range(classes)}
    (root / "dataset.json").write_text(json.dumps({"labels": labels}))
    return Dataset.open(root)


def found_in(dataset):
    return findings_of_masks(choose_inputs(dataset, dataset.annotators))


def test_one_mask_under_two_images(tmp_path):
    masks = {f"c{n}": blob(n) for n in range(5)}
    assert found_in(write(tmp_path / "clean", {"anna": masks})) == []
    masks["c3"] = masks["c1"]
    # A box may be drawn twice by chance, and nothing at all often is.
    masks |= {"c8": np.zeros((48, 56), np.uint8), "c9": np.zeros((48, 56), np.uint8)}
    masks["c6"] = masks["c7"] = np.pad(np.ones((9, 9), np.uint8), ((3, 36), (5, 42)))
    (one,) = found_in(write(tmp_path / "copied", {"anna": masks}))
    assert (one.kind, one.ids, one.annotator) == ("one mask, two images", ("c1", "c3"), "anna")
    assert "The masks of c1 and c3 by anna are one and the same" in one.message


def volume(wrong=""):
    """A ball of 20 slices that shrinks and wanders from slice to slice."""
    z, y, x = np.indices((20, 30, 30))
    mask = ((z - 10) / 9) ** 2 + ((y - 10 - z / 3) / 8) ** 2 + ((x - 15) / 8) ** 2 < 1
    mask = mask.astype(np.uint8)
    if wrong == "missing":
        mask[8:10] = 0
    if wrong == "order":
        mask[[7, 12]] = np.roll(mask[[7, 12]], 9, axis=2)
    return mask


def test_slices_that_are_missing_or_out_of_place(tmp_path):
    masks = {"c1": volume(), "c2": volume("missing"), "c3": volume("order")}
    found = found_in(write(tmp_path / "volumes", {"anna": masks}))
    assert [(one.kind, one.ids) for one in found] == [
        ("slices missing", ("c2",)), ("slices out of order", ("c3",)),
    ]  # fmt: skip
    assert "slices 9 and 10 along axis 1 hold nothing" in found[0].message
    assert "slices 8 and 13 along axis 1" in found[1].message


def test_labels_that_are_exchanged_between_annotators(tmp_path):
    truth = {f"c{n}": blob(n) + 2 * blob(n + 50) * (1 - blob(n)) for n in range(4)}
    swapped = {id: np.array([0, 2, 1], np.uint8)[mask] for id, mask in truth.items()}
    dataset = write(tmp_path / "labels", {"anna": truth, "ben": swapped}, classes=3)
    (one,) = [one for one in found_in(dataset) if one.kind == "labels permuted"]
    assert one.ids == ("c0", "c1", "c2", "c3") and "1 and 2" in one.message
    same = write(tmp_path / "same", {"anna": truth, "ben": truth}, classes=3)
    assert [one for one in found_in(same) if one.kind == "labels permuted"] == []


def judged(ratios, annotator="anna", noise=0.05):
    """Masks of the given site and true ratio, with their cases."""
    generator = np.random.default_rng(0)
    cases, found = [], []
    for number, (site, ratio) in enumerate(ratios):
        id = f"c{number}"
        area = 100 * ratio * np.exp(noise * generator.normal())
        figures = ClassDifferences(1, area, 100.0, 0.9, 0.0, 0.0, 0.0)
        found.append(AuditCase(1, id, annotator, 0.5, "none", {}, (figures,)))
        cases.append(Case(id, "i.png", "m.png", annotator, "", extra={"site": site, "width": site}))
    return found, cases


def test_a_site_that_draws_larger_has_a_habit():
    sites = [("A", 1.2) if n % 2 else ("B", 1.0) for n in range(40)]
    found = habits(*judged(sites))
    assert [(one.by, one.group) for one in found] == [("site", "A"), ("site", "B")]
    first = found[0]
    assert first.masks == 20
    assert first.systematic and first.than_model == pytest.approx(0.2, abs=0.03)
    low, high = first.others_interval
    assert low < 0.2 < high and first.than_others == pytest.approx(0.2, abs=0.05)
    (sentence,) = sentences(found)
    assert sentence.startswith("The masks with site A are drawn 2")
    # A model that draws too small itself makes all larger: then nobody has a habit.
    assert not any(one.systematic for one in habits(*judged([(s, 1.3) for s, _ in sites])))
    # One mask that is four times as large is an error, and no habit.
    one_wrong = [("A", 4.0), *(("AB"[n % 2], 1.0) for n in range(39))]
    assert list(sentences(habits(*judged(one_wrong)))) == []


def test_annotators_are_compared_on_the_same_images():
    small, cases = judged([("", 1.0)] * 12, "anna", noise=0.1)
    large, others = judged([("", 1.25)] * 12, "ben", noise=0.1)
    anna, ben = habits([*small, *large], [*cases, *others])
    assert (anna.group, ben.group) == ("anna", "ben")
    # The same images: the ratio is the same for each, whatever the noise.
    assert ben.than_annotators == pytest.approx(0.25) and anna.than_annotators == pytest.approx(
        -0.2
    )
    assert ben.annotators_interval == pytest.approx((0.25, 0.25))


@pytest.fixture
def mixed_up(tmp_path):
    """Sixteen masks, of which two are swapped, one mirrored and one cut; and predictions."""
    truth = {f"c{n}": blob(n) for n in range(10, 26)}
    masks = dict(truth)
    masks["c10"], masks["c11"] = truth["c11"], truth["c10"]
    masks["c12"] = np.flip(truth["c12"], 1)
    masks["c13"] = truth["c13"].copy()
    rows = np.flatnonzero(truth["c13"].any(axis=1))
    masks["c13"][rows[len(rows) // 2] :] = 0
    write(tmp_path / "data", {"anna": masks})
    folder = tmp_path / "predictions"
    folder.mkdir()
    for id, mask in truth.items():
        Image.fromarray(np.where(mask, 235, 15).astype(np.uint8)).save(folder / f"{id}.png")
    return tmp_path


def test_an_audit_tells_of_swapped_files_and_opens_at_the_place(mixed_up):
    data, output = mixed_up / "data", mixed_up / "audit"
    options = ["--predictions", str(mixed_up / "predictions"), "--output", str(output), "--quiet"]
    said = CliRunner().invoke(app, ["audit", str(data), *options])
    assert said.exit_code == 0, said.output
    audit = read_audit(output)
    kinds = {one["kind"]: one["ids"] for one in audit.info["findings"]}
    assert kinds == {"swapped files": ["c10", "c11"], "mirrored": ["c12"]}
    assert "The masks of c10 and c11 by anna seem to be swapped" in said.output
    assert "seem to be swapped" in (output / "report.html").read_text()
    assert audit.case("c13").kind == "part missing"
    assert {one.id for one in audit.cases if one.places} == {"c10", "c11", "c12", "c13"}
    (place,) = audit.case("c13").places
    with ReviewSession(data, "zoe", audit) as session:
        assert session.places("c13") == (place,) and session.places("c20") == ()
    table = (output / "places.csv").read_text().splitlines()
    assert len(table) == 1 + sum(len(one.places) for one in audit.cases)
    assert table[0].startswith("id,annotator,place,class,kind,P,centroid_0,")
    lost = blob(13) & ~np.asarray(Dataset.open(data).read_mask(_case(data, "c13")))
    assert lost[place.point] == 1 and place.volume <= lost.sum()


def _case(data, id):
    return Dataset.open(data).select(ids=[id]).cases[0]
