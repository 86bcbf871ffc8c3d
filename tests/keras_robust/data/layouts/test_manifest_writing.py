"""Rows added to a manifest and taken out again."""

from keras_robust.data import Dataset
from keras_robust.data.layouts.manifest_writing import append_rows, remove_rows


def test_removing_the_rows_that_were_added_restores_the_bytes(build):
    home = build.manifest(columns=["note"], change=lambda row: {**row, "note": 'two\n"lines"'})
    before = (home / "manifest.csv").read_bytes()
    cases = Dataset.open(home).cases
    for case in cases:
        target = home / "masks" / "anna" / f"{case.id}.png"
        target.parent.mkdir(exist_ok=True)
        target.write_bytes(case.mask.read_bytes())
    append_rows(home, cases, "anna")
    assert Dataset.open(home).annotators == ("anna", "isic_gt")
    remove_rows(home, [case.id for case in cases[1:]], "anna")
    assert len(Dataset.open(home).select(annotator="anna")) == 1
    remove_rows(home, Dataset.open(home).ids, "anna")
    assert (home / "manifest.csv").read_bytes() == before


def test_rows_may_name_masks_that_are_there_already(build):
    home = build.manifest()
    cases = Dataset.open(home).cases
    append_rows(home, cases, "anna", {case.id: case.mask for case in cases})
    both = Dataset.open(home)
    assert {case.mask for case in both.select(annotator="anna")} == {case.mask for case in cases}
