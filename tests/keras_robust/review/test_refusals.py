"""Bad files in the queue, bad names, folders that cannot be written, and reviewers of one name."""

import os

import numpy as np
import pytest
from PIL import Image

from keras_robust.data import Dataset
from keras_robust.review import ReviewSession

from .conftest import disc


def damage(home, kind: str) -> None:
    """Spoil the mask (or image) of case 1."""
    mask, image = home / "masks/case1.png", home / "images/case1.png"
    if kind == "missing":
        mask.unlink()
    elif kind == "truncated":
        os.truncate(mask, mask.stat().st_size // 2)
    elif kind == "empty file":
        mask.write_bytes(b"")
    elif kind == "other size":
        Image.fromarray(disc(20, 5)).save(mask)
    elif kind == "turned":
        Image.fromarray(np.zeros((32, 40), np.uint8)).save(image)
        Image.fromarray(np.zeros((40, 32), np.uint8)).save(mask)
    elif kind == "grey":
        Image.fromarray(disc(32, 5) * 120 + 100).save(mask)
    elif kind == "no image":
        image.unlink()
    elif kind == "no mask":
        table = (home / "manifest.csv").read_text()
        table = table.replace("masks/case1.png,clinic", ",")
        (home / "manifest.csv").write_text(table)


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("missing", "'case1.png' is missing. Restore"),
        ("truncated", "is damaged"),
        ("empty file", "is damaged"),
        ("other size", "has 20 x 20 pixels, the image 32 x 32"),
        ("turned", "turned on its side"),
        ("grey", "values that are no labels"),
        ("no image", "image cannot be read"),
        ("no mask", "There is no mask"),
    ],
)
def test_a_bad_file_is_shown_with_its_problem_and_can_be_repaired(home, kind, words):
    damage(home, kind)
    with ReviewSession(home, "anna") as session:
        assert len(session.queue) == 6
        case = session.load("case1")
        assert len(case.problems) == 1 and words in case.problems[0], case.problems
        if kind == "no image":
            assert case.start is not None  # the mask is there to be looked at
            session.decide("case1", "reject", "no image")
            return
        painted = np.ones(case.image.shape[:-1], np.uint8)
        assert case.start.shape == painted.shape
        if kind == "grey":
            assert np.array_equal(case.labels, disc(32, 5))
        session.decide("case1", "repair", mask=painted)
        assert np.array_equal(session.load("case1").corrected, painted)
        session.go("case1")
        assert session.next() in ("case2", None)  # without a mask it is the last
    repaired = Dataset.open(home).select(annotator="anna")
    assert repaired.ids == ("case1",) and repaired.read_mask(repaired.cases[0]).all()


@pytest.mark.parametrize("name", ["", ".", "..", "../anna", "a/b", "a\\b", " anna", "nul\0", ".x"])
def test_names_never_become_paths(home, name):
    with pytest.raises(ValueError, match="Expected a name that can be a folder"):
        ReviewSession(home, name)


@pytest.mark.parametrize("name", ["clinic", "Clinic"])
def test_an_annotators_name_is_refused(home, name):
    with pytest.raises(FileExistsError, match="no annotator has"):
        ReviewSession(home, name)


def test_masks_that_no_review_wrote_are_never_written_among(home):
    (home / "masks/anna").mkdir()
    (home / "masks/anna/case0.png").write_bytes((home / "masks/case0.png").read_bytes())
    with pytest.raises(FileExistsError, match="no annotator has"):
        ReviewSession(home, "anna")


def test_names_alike_but_for_their_case_are_refused(home):
    with ReviewSession(home, "anna") as session:
        session.decide("case0", "accept")
    with pytest.raises(FileExistsError, match="'anna' is there"):
        ReviewSession(home, "Anna")


def test_a_link_out_of_the_dataset_is_refused(home, tmp_path):
    (tmp_path / "elsewhere").mkdir()
    (home / "masks/anna").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(FileExistsError, match="Remove the link"):
        ReviewSession(home, "anna")


def test_one_reviewer_in_two_windows_is_told(home):
    with ReviewSession(home, "anna") as first:
        with pytest.raises(BlockingIOError, match="another window"):
            ReviewSession(home, "anna")
        first.decide("case0", "accept")
        first.close()
        with ReviewSession(home, "anna") as second:
            assert second.progress == (1, 6)


def test_a_read_only_folder_asks_for_another(home, tmp_path, monkeypatch):
    monkeypatch.setattr(os, "access", lambda *a, **k: False)
    with pytest.raises(PermissionError, match="read-only. Name another folder"):
        ReviewSession(home, "anna")
    with ReviewSession(home, "anna", output=tmp_path / "reviewed") as session:
        session.decide("case0", "repair", mask=disc(32, 4))
    assert not (home / "reviews").exists() and not (home / "masks/anna").exists()
    view = Dataset.open(tmp_path / "reviewed")
    assert view.annotators == ("anna", "clinic") and len(view) == 7
    # Opened itself, the view is reviewed on.
    monkeypatch.undo()
    with ReviewSession(tmp_path / "reviewed", "anna") as session:
        assert session.progress == (1, 6)
    with ReviewSession(home, "ben", output=tmp_path / "reviewed") as session:
        session.decide("case0", "accept")


def test_another_layout_asks_for_a_folder_of_its_own(tmp_path):
    root = tmp_path / "Dataset001"
    for folder in ("imagesTr", "labelsTr"):
        (root / folder).mkdir(parents=True)
    Image.fromarray(disc(16, 5)).save(root / "imagesTr/a_0000.png")
    Image.fromarray(disc(16, 5)).save(root / "labelsTr/a.png")
    (root / "dataset.json").write_text(
        '{"channel_names": {"0": "grey"}, "labels": {"background": 0, "disc": 1}, '
        '"numTraining": 1, "file_ending": ".png"}'
    )
    with pytest.raises(ValueError, match="--output DIR"):
        ReviewSession(root, "anna")
    with ReviewSession(root, "anna", output=tmp_path / "reviewed") as session:
        session.decide("a", "repair", mask=disc(16, 3))
    assert len(Dataset.open(tmp_path / "reviewed").select(annotator="anna")) == 1
