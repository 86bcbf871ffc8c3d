"""The consensus of annotators as an annotator of its own."""

import json

import nibabel
import numpy as np
import pytest
from PIL import Image

from keras_robust.annotators import (
    majority,
    match_annotators,
    soft_consensus,
    staple,
    write_consensus,
)
from keras_robust.data import Dataset, verify

DRAWN = {"a": ["anna", "ben", "carl", "dora"], "b": ["anna", "ben", "carl"], "c": ["dora"]}


class Killed(BaseException):
    pass


def masks_of(root):
    """Masks of each image by annotator, as drawn."""
    return {
        id: {name: np.asarray(Image.open(root / "masks" / f"{id}-{name}.png")) > 0 for name in who}
        for id, who in DRAWN.items()
    }


@pytest.fixture
def make(tmp_path):
    """Makes a dataset of three images, which not everyone drew."""

    def dataset(name="data", labels=None):
        root, generator = tmp_path / name, np.random.default_rng(0)
        (root / "masks").mkdir(parents=True)
        lines = ["id,image,mask,annotator,split"]
        for id, who in DRAWN.items():
            Image.new("RGB", (24, 16), (len(lines), 90, 0)).save(root / f"{id}.png")
            for annotator in who:
                mask = np.zeros((16, 24), np.uint8)
                top, left = generator.integers(2, 6, 2)
                mask[top : top + 8, left : left + 12] = 1 if labels else 255
                Image.fromarray(mask).save(root / "masks" / f"{id}-{annotator}.png")
                lines.append(f"{id},{id}.png,masks/{id}-{annotator}.png,{annotator},")
        (root / "manifest.csv").write_text("\n".join(lines) + "\n")
        if labels:
            (root / "dataset.json").write_text(json.dumps({"labels": labels}))
        return root

    return dataset


def contents(root):
    return {
        path.relative_to(root).as_posix(): path.read_bytes()
        for path in sorted(root.rglob("*"))
        if path.is_file() and not path.name.endswith(".lock")
    }


@pytest.mark.parametrize(
    ("method", "expected"), [("majority", majority), ("staple", lambda masks: staple(masks).labels)]
)
def test_every_image_gets_the_consensus_of_those_who_drew_it(make, method, expected):
    root = make()
    before = contents(root)
    folder = write_consensus(root, method)
    dataset = Dataset.open(root)
    written = dataset.select(annotator=f"consensus-{method}")
    assert folder == root / "masks" / f"consensus-{method}" and written.ids == ("a", "b", "c")
    for case in written:
        drawn = list(masks_of(root)[case.id].values())
        np.testing.assert_array_equal(dataset.read_mask(case), expected(drawn))
    after = contents(root)
    assert after.pop("manifest.csv").startswith(before.pop("manifest.csv"))
    assert {name: after[name] for name in before} == before
    # A consensus is nobody who drew, whatever comes next.
    assert match_annotators(dataset) == {"all": ("anna", "ben", "carl", "dora")}


def test_soft_consensus_is_read_as_the_share_of_annotators(make):
    root = make()
    write_consensus(root, "soft")
    dataset = Dataset.open(root)
    assert dataset.soft_annotators == ("consensus-soft",)
    assert verify(root).ok, verify(root).text()
    for case in dataset.select(annotator="consensus-soft"):
        drawn = list(masks_of(root)[case.id].values())
        target = dataset.read_target(case)
        np.testing.assert_allclose(target, soft_consensus(drawn), atol=0.5 / 255 + 1e-6)
        np.testing.assert_array_equal(dataset.read_mask(case), majority(drawn))


def test_annotators_are_chosen_by_name_and_pattern(make):
    root = make()
    write_consensus(root, "majority", ["[ab]*", "dora"], "some")
    dataset = Dataset.open(root)
    for case in dataset.select(annotator="some"):
        drawn = [mask for name, mask in masks_of(root)[case.id].items() if name != "carl"]
        np.testing.assert_array_equal(dataset.read_mask(case), majority(drawn))
    groups = match_annotators(dataset, ["anna", "*"])
    assert groups == {"anna": ("anna",), "*": ("ben", "carl", "dora", "some")}


def test_the_journal_says_who_was_asked_and_how_reliable_they_were(make):
    root = make()
    folder = write_consensus(root, "staple")
    first, *rest = map(json.loads, (folder / "consensus.jsonl").read_text().splitlines())
    assert first["method"] == "staple" and first["annotators"] == ["anna", "ben", "carl", "dora"]
    assert [list(line["source_sha256"]) for line in rest] == list(DRAWN.values())
    found = staple(list(masks_of(root)["a"].values()))
    sensitivities = [who["sensitivity"] for who in rest[0]["annotators"].values()]
    np.testing.assert_allclose(sensitivities, found.confusion[:, 1, 1])


@pytest.mark.parametrize("method", ["majority", "staple", "soft"])
def test_a_run_that_was_killed_continues_to_the_same_bytes(make, method):
    whole = make("whole")
    write_consensus(whole, method)
    expected = contents(whole)
    for stop in range(4):
        root = make(f"stopped{stop}")

        def progress(done, total, stop=stop):
            if done == stop:
                raise Killed

        with pytest.raises(Killed):
            write_consensus(root, method, progress=progress)
        assert Dataset.open(root).annotators == ("anna", "ben", "carl", "dora")
        calls = []
        write_consensus(root, method, progress=lambda *call, calls=calls: calls.append(call))
        assert calls[0] == (stop, 3) and contents(root) == expected


def test_a_mask_that_changed_is_asked_again(make):
    root = make()
    folder = write_consensus(root, "majority")
    changed = root / "masks" / "c-dora.png"
    Image.fromarray(np.full((16, 24), 255, np.uint8)).save(changed)
    write_consensus(root, "majority")
    assert np.asarray(Image.open(folder / "c.png")).all()


def test_a_read_only_dataset_gets_a_view(make, tmp_path):
    root = make()
    before = contents(root)
    for method in ("soft", "majority", "soft"):
        folder = write_consensus(root, method, output=tmp_path / "view")
        assert folder.parent.parent == tmp_path / "view"
    view = Dataset.open(tmp_path / "view")
    assert view.soft_annotators == ("consensus-soft",) and verify(view).ok
    assert {"anna", "consensus-majority", "consensus-soft"} < set(view.annotators)
    assert contents(root) == before


def test_refusals_say_what_to_do(make):
    root = make()
    with pytest.raises(ValueError, match=r"`method`.*majority, staple, soft.*'mean'"):
        write_consensus(root, "mean")
    with pytest.raises(ValueError, match=r"`annotators`.*anna, ben.*'expert_\*'"):
        write_consensus(root, "majority", ["expert_*"])
    with pytest.raises(ValueError, match=r"`name`.*other than those.*'anna'"):
        write_consensus(root, "majority", name="anna")
    with pytest.raises(FileExistsError, match="'anna'.*from elsewhere"):
        write_consensus(root, "majority", ["ben", "carl"], "anna")
    with pytest.raises(ValueError, match="name that can be a folder"):
        write_consensus(root, "majority", name="../up")
    write_consensus(root, "majority", ["anna", "ben"])
    with pytest.raises(FileExistsError, match=r"annotators.*'ben'.*there.*'dora'.*now"):
        write_consensus(root, "majority")
    write_consensus(root, "soft")
    with pytest.raises(ValueError, match="consensus-soft, whose masks are probabilities"):
        write_consensus(root, "majority", ["*"], "all-of-them")
    Image.new("L", (5, 5)).save(root / "masks" / "a-ben.png")
    with pytest.raises(ValueError, match="case 'a'.*a-ben.png.*16 x 24. Received: 5 x 5"):
        write_consensus(root, "majority", name="other")


def test_soft_masks_of_several_classes(make, tmp_path):
    root = make(labels={"background": 0, "x": 1, "y": 2})
    drawn = {name: np.asarray(Image.open(root / f"masks/a-{name}.png")) for name in DRAWN["a"]}
    Image.fromarray(2 * drawn["dora"]).save(root / "masks" / "a-dora.png")
    before = contents(root)
    folder = write_consensus(root, "soft")
    dataset = Dataset.open(root)
    assert dataset.soft_annotators == ("consensus-soft",) and verify(root).ok
    case = dataset.select(annotator="consensus-soft").cases[0]
    assert case.mask == folder / "a.tif"
    masks = [*list(drawn.values())[:3], 2 * drawn["dora"]]
    expected = soft_consensus(masks, classes=3)
    assert 0 < expected[..., 2].max() <= 0.25
    np.testing.assert_allclose(dataset.read_target(case), expected, atol=1 / 255)
    np.testing.assert_array_equal(dataset.read_mask(case), majority(masks, classes=3))
    assert before.items() - contents(root).items() == {
        ("manifest.csv", before["manifest.csv"]),
        ("dataset.json", before["dataset.json"]),
    }
    view = write_consensus(root, "soft", ["anna"], "soft-2", output=tmp_path / "view").parent.parent
    assert Dataset.open(view).soft_annotators == ("consensus-soft", "soft-2") and verify(view).ok
    Image.new("L", (24, 16)).save(folder / "a.tif")
    assert [
        (p.id, p.kind) for p in verify(root).problems if "soft mask of 3 pages" in p.message
    ] == [("a", "values")]


def test_soft_volumes_of_several_classes(tmp_path):
    affine = np.array([[0, 2.0, 0, 5], [-1.5, 0, 0, 7], [0, 0, 3, 1], [0, 0, 0, 1]])
    drawn = np.random.default_rng(0).integers(0, 3, (3, 4, 5, 6)).astype(np.uint8)
    files = {"image": np.arange(120).reshape(4, 5, 6)} | dict(zip("xyz", drawn, strict=True))
    for name, array in files.items():
        nibabel.Nifti1Image(array.astype(np.int16), affine).to_filename(tmp_path / f"{name}.nii.gz")
    rows = "".join(f"a,image.nii.gz,{name}.nii.gz,{name},\n" for name in "xyz")
    (tmp_path / "manifest.csv").write_text("id,image,mask,annotator,split\n" + rows)
    folder = write_consensus(tmp_path, "soft", ["*"])
    dataset = Dataset.open(tmp_path)
    case = dataset.select(annotator="consensus-soft").cases[0]
    expected = soft_consensus(drawn, classes=3)
    np.testing.assert_allclose(dataset.read_target(case), expected, atol=1e-6)
    np.testing.assert_array_equal(dataset.read_mask(case), majority(drawn, classes=3))
    np.testing.assert_array_equal(nibabel.load(folder / "a.nii.gz").affine, affine)
    report = verify(tmp_path)
    assert report.ok and dataset.classes == 3, report.text()
    moved = nibabel.load(folder / "a.nii.gz")
    elsewhere = nibabel.Nifti1Image(np.asarray(moved.dataobj), np.diag([-1, 1, 1, 1]) @ affine)
    elsewhere.to_filename(folder / "a.nii.gz")
    assert [problem.kind for problem in verify(tmp_path).problems] == ["orientation"]


def test_shares_of_what_everyone_ignores_are_refused(make):
    root = make(labels={"background": 0, "x": 1, "y": 2, "ignore": 9})
    Image.fromarray(np.full((16, 24), 9, np.uint8)).save(root / "masks" / "c-dora.png")
    with pytest.raises(ValueError, match="Image 'c'.*384 elements that all of them ignore"):
        write_consensus(root, "soft")


def test_several_classes_and_an_ignored_label(make):
    root = make(labels={"background": 0, "x": 1, "y": 2, "ignore": 9})
    mask = np.full((16, 24), 9, np.uint8)
    mask[:8] = 2
    Image.fromarray(mask).save(root / "masks" / "c-dora.png")
    for method in ("majority", "staple"):
        folder = write_consensus(root, method)
        np.testing.assert_array_equal(np.asarray(Image.open(folder / "c.png")), mask)
