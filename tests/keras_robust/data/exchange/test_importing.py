"""Importing and exporting: what is written where, and what is left alone."""

from pathlib import Path

import pytest
from PIL import Image

from keras_robust.data import Dataset, export_dataset, import_dataset, understand, verify
from keras_robust.data.exchange import FORMATS, export_formats

from .conftest import blobs, masks_of, same_masks


def files(root):
    return {path: path.read_bytes() for path in root.rglob("*") if path.is_file()}


def test_by_reference_images_stay_and_a_copy_stands_alone(folder, tmp_path):
    source = export_dataset(folder, tmp_path / "coco", "coco", annotator="anna")
    before = files(source)
    import_dataset(source, tmp_path / "referring")
    import_dataset(source, tmp_path / "alone/copy", copy=True)
    assert files(source) == before
    assert all(case.image.is_relative_to(source) for case in Dataset.open(tmp_path / "referring"))
    source.rename(tmp_path / "gone")
    assert verify(tmp_path / "alone/copy").ok and not verify(tmp_path / "referring").ok


def test_a_dry_run_and_a_failure_write_nothing(folder, tmp_path):
    source = export_dataset(folder, tmp_path / "coco", "coco", annotator="anna")
    before = sorted(tmp_path.rglob("*"))
    found = import_dataset(source, tmp_path / "data", dry_run=True)
    assert "Images: 3" in found.text() and "2 nucleus" in found.text()
    (source / "images/p1.png").write_bytes(b"no image")
    with pytest.raises(ValueError, match="p1.png"):
        import_dataset(source, tmp_path / "data")
    assert sorted(tmp_path.rglob("*")) == before


def test_nothing_that_is_there_is_written_over(folder, tmp_path):
    source = export_dataset(folder, tmp_path / "coco", "coco", annotator="anna")
    before = files(folder)
    for call in (
        lambda: import_dataset(source, folder),
        lambda: export_dataset(folder, folder, "coco", annotator="anna"),
    ):
        with pytest.raises(FileExistsError, match="Name another"):
            call()
    assert files(folder) == before


def test_a_dataset_inside_its_source_must_be_a_copy(folder, tmp_path):
    source = export_dataset(folder, tmp_path / "coco", "coco", annotator="anna")
    import_dataset(source, source / "data")  # beside images/, which it refers to
    with pytest.raises(ValueError, match="--copy"):
        import_dataset(source, source / "images/data")
    import_dataset(source, source / "images/data", copy=True)
    assert masks_of(source / "data").keys() == masks_of(source / "images/data").keys()


def test_one_name_in_two_splits_is_said_once(tmp_path):
    for split in ("train", "test"):
        for folder in ("images", "masks"):
            (tmp_path / "odd" / split / folder).mkdir(parents=True)
            Image.new("L", (4, 4)).save(tmp_path / "odd" / split / folder / "0.png")
    with pytest.raises(ValueError, match="with 1 error.*\n- leak-id: 0: is the name of an image"):
        understand(tmp_path / "odd")


def test_the_first_annotator_who_drew_a_mask_is_exported(folder, tmp_path):
    with pytest.raises(ValueError, match="anna, bo"):
        export_dataset(folder, tmp_path / "none", "coco")
    export_dataset(folder, tmp_path / "coco", "coco", annotator=["bo", "anna"])
    import_dataset(tmp_path / "coco", tmp_path / "back")
    expected = {"p0": blobs(1), "p1": blobs(1), "p2": blobs(2)}
    assert same_masks(tmp_path / "back", expected)


@pytest.mark.parametrize("format", export_formats())
def test_an_export_may_refer_to_the_images(folder, tmp_path, format):
    try:
        export_dataset(folder, tmp_path / "out", format, annotator="anna", copy=False)
    except ValueError as error:
        assert any(word in str(error) for word in ("copy", "two dimensions"))
        return
    assert not any(path.suffix == ".png" for path in (tmp_path / "out").rglob("images/*"))
    images = folder / "images"
    import_dataset(tmp_path / "out", tmp_path / "back", format=format, images=images)
    assert same_masks(tmp_path / "back", {f"p{n}": blobs(n) for n in range(3)})
    assert {case.image.parent for case in Dataset.open(tmp_path / "back")} == {images}


def test_what_is_not_known_is_named(tmp_path):
    (tmp_path / "notes.txt").write_text("x")
    with pytest.raises(ValueError, match="COCO.*notes.txt"):
        understand(tmp_path)
    with pytest.raises(ValueError, match="one of.*coco"):
        understand(tmp_path, format="cocoa")
    with pytest.raises(FileNotFoundError, match="spelling"):
        understand(tmp_path / "gone")
    with pytest.raises(ValueError, match="annotator"):
        understand(tmp_path, annotator="../a")


def test_a_source_of_two_formats_needs_the_name_of_one(folder, tmp_path):
    source = export_dataset(folder, tmp_path / "coco", "coco", annotator="anna")
    other = export_dataset(folder, tmp_path / "cvat", "cvat", annotator="anna")
    (other / "annotations.xml").rename(source / "annotations.xml")
    with pytest.raises(ValueError, match="COCO and CVAT.*--format coco"):
        understand(source)
    assert understand(source, format="coco").format == "COCO"


def test_every_format_has_words():
    for _, known in FORMATS.each():
        assert known.title and known.looks_for and not known.fits(Path("/nonexistent"))
