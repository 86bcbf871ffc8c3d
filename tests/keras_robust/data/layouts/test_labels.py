import json

import pytest

from keras_robust.data import Dataset, sample
from keras_robust.data.layouts.labels import read_regions
from keras_robust.data.layouts.manifest import read_labels
from keras_robust.data.layouts.manifest_writing import write_view

LABELS = {"background": 0, "kidney": [1, 2, 3], "masses": [2, 3], "tumour": 2, "ignore": 4}


def test_the_order_says_what_is_painted_for_each():
    problems = []
    found = read_regions(LABELS, [1, 3, 2], problems)
    assert found == ((1, (1, 2, 3)), (3, (2, 3)), (2, (2,))) and not problems
    assert read_regions(LABELS, None, problems) == () and not problems


@pytest.mark.parametrize("order", [[1, 3], [1, 3, 3], [2, 3, 2], "132", [1, 3, 2, 0]])
def test_an_order_that_does_not_fit_is_a_problem(order):
    problems = []
    assert read_regions(LABELS, order, problems) == ()
    assert [problem.severity for problem in problems] == ["error"]


def test_regions_are_told_apart_from_what_tables_call_all_and_by_number():
    labels = {"background": 0, "all": [1, 2], "1": [1, 2], "core": 1, "rim": 2, "both": [1, 2]}
    problems = []
    found = read_labels(labels, problems)[2]
    assert found == dict.fromkeys(("region all", "region 1", "both"), (1, 2)) and not problems


def test_smaller_regions_first_would_be_painted_over():
    problems = []
    read_regions({"background": 0, "lesion": 2, "organ": [1, 2]}, [2, 1], problems)
    assert "larger regions first" in str(problems[0])


def test_a_view_of_a_dataset_has_its_regions(tmp_path):
    root = write_view(sample(), tmp_path / "first")
    content = json.loads((root / "dataset.json").read_bytes())
    content |= {"labels": {"background": 0, "all": [1, 2], "core": 2}}
    content |= {"regions_class_order": [1, 2]}
    (root / "dataset.json").write_text(json.dumps(content))
    dataset = Dataset.open(root)
    assert dataset.learned_regions == ((1, (1, 2)), (2, (2,)))
    view = Dataset.open(write_view(dataset, tmp_path / "second"))
    assert view.learned_regions == dataset.learned_regions
