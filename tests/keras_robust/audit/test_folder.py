import json
import math
import subprocess
import sys

import numpy as np
import pytest

from keras_robust.audit.folder import AuditCase, error_map_folder, read_audit, write_cases
from keras_robust.data.files.maps import write_map
from keras_robust.suspicion.class_differences import ClassDifferences

INFO = {
    "status": "finished",
    "dataset": "/data/lesions",
    "annotators": ["anna", "ben"],
    "classes": 2,
    "ranked_by": "default",
    "scores": {"default": "ranks", "surface": "another"},
}
ABSENT = math.nan
CASES = [
    AuditCase(
        1, "a", "ben", 0.9, "missing object", {"default": 0.9, "surface": 12.5},
        (ClassDifferences(1, 0.0, 40.0, 0.0, ABSENT, ABSENT, ABSENT),), "mm", "ab12",
    ),
    AuditCase(
        2, "a", "anna", 0.25, "too large", {"default": 0.25, "surface": math.inf},
        (ClassDifferences(1, 52.0, 40.0, 0.8, 1.5, 1.6, 3.0),), "px", "cd34",
    ),
]  # fmt: skip


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "audit.json").write_text(json.dumps(INFO))
    write_cases(tmp_path, CASES, "default")
    probability = np.array([[[0.1], [0.6]], [[0.9], [0.5]]])
    write_map(tmp_path / "predictions", "a", probability)
    for annotator, level in (("anna", 10), ("ben", 20)):
        write_map(error_map_folder(tmp_path, annotator), "a", np.full((2, 2, 1), level, np.uint8))
    return tmp_path


def test_an_audit_comes_back(folder):
    audit = read_audit(folder)
    assert repr(audit.cases) == repr(tuple(CASES))  # repr: NaN is not equal to itself
    assert audit.annotators == ("anna", "ben") and audit.score_names == ("default", "surface")
    assert audit.case("a").annotator == "ben" and audit.case("a", "anna").rank == 2
    np.testing.assert_array_equal(audit.prediction("a")[..., 0], [[25, 153], [229, 127]])
    np.testing.assert_array_equal(audit.labels("a"), [[0, 1], [1, 0]])  # one half is background
    assert (audit.error_map("a", "anna") == 10).all() and (audit.error_map("a") == 20).all()
    with pytest.raises(KeyError, match="no mask of 'a' by 'carl'"):
        audit.error_map("a", "carl")


def test_labels_of_several_classes(folder):
    (folder / "audit.json").write_text(json.dumps(INFO | {"classes": 3}))
    write_map(folder / "predictions", "b", np.array([[[0.2, 0.5, 0.3], [0.1, 0.1, 0.8]]]))
    assert read_audit(folder).labels("b").tolist() == [[1, 2]]


def test_what_cannot_be_read_says_what_to_do(folder):
    (folder / "audit.json").write_text(json.dumps(INFO | {"status": "running"}))
    with pytest.raises(FileNotFoundError, match="same command again continues"):
        read_audit(folder)
    (folder / "audit.json").write_text("{")
    with pytest.raises(ValueError, match=r"audit\.json.*damaged"):
        read_audit(folder)
    (folder / "audit.json").write_text(json.dumps(INFO))
    (folder / "audit.csv").write_text("rank,id\n1,a\n")
    with pytest.raises(ValueError, match=r"audit\.csv.*damaged"):
        read_audit(folder)
    (folder / "audit.csv").unlink()
    with pytest.raises(FileNotFoundError, match="keras-robust audit DATASET"):
        read_audit(folder)


def test_reading_an_audit_needs_neither_tensorflow_nor_keras():
    code = (
        "import sys; import keras_robust.audit.folder, keras_robust.metrics.ranking; "
        "sys.exit(any(name in sys.modules for name in ('tensorflow', 'keras', 'pandas')))"
    )
    assert subprocess.run([sys.executable, "-P", "-c", code]).returncode == 0
