"""Plans as they are edited by hand."""

import json

import pytest

from keras_robust.planning.plan_files import load_plan
from keras_robust.training.config import PlanConfig
from keras_robust.training.patches.recipe import planned


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"axes": [0, 0, 1]}, r"argument `axes`\. Expected 0 and 1, or 0, 1 and 2"),
        ({"patch_size": [8, 16]}, "argument `patch_size`. Expected one number for each of the 3"),
        ({"strides": [[2, 2]], "kernels": [[3] * 3] * 2}, "argument `strides`"),
        ({"kernels": [[3, 3, 3]]}, "argument `kernels`. Expected ., one more"),
        ({"spacing_mm": [-1, 1, 1]}, r"spacing_mm\.0: Input should be greater than 0"),
        ({"batch_size": 0}, "batch_size: Input should be greater"),
        ({"features": []}, "features: Tuple should have at least 1"),
        ({"normalization": ["CT"]}, r"normalization\.0: Input should be 'zscore', 'ct'"),
    ],
)
def test_what_fits_no_network_is_named(volumes, tmp_path, change, message):
    _, folder = volumes
    fields = json.loads((folder / "plan.json").read_text())
    (tmp_path / "plan.json").write_text(json.dumps(fields | change))
    (tmp_path / "fingerprint.json").write_bytes((folder / "fingerprint.json").read_bytes())
    with pytest.raises(ValueError, match=f"whose plan.json does not fit.*{message}"):
        load_plan(tmp_path)


def test_a_damaged_fingerprint_is_named(volumes, tmp_path):
    _, folder = volumes
    (tmp_path / "plan.json").write_bytes((folder / "plan.json").read_bytes())
    (tmp_path / "fingerprint.json").write_text("{")
    with pytest.raises(ValueError, match=r"whose fingerprint\.json does not fit.*Invalid JSON"):
        load_plan(tmp_path)


@pytest.mark.parametrize(
    "change", [{"patch_size": (10**6, 10**6, 10**6)}, {"batch_size": 10**12}], ids=str
)
def test_more_than_the_machine_holds_is_refused_before_it_is_taken(volumes, change):
    _, folder = volumes
    plan, _ = load_plan(folder)
    with pytest.raises(ValueError, match=r"whose first feature map takes .*e\+.. GiB"):
        planned(plan, PlanConfig(folder=str(folder), **change))
