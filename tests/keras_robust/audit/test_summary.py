"""What is said of an audit in a few lines."""

import pytest

from keras_robust.audit.folder import Audit, AuditCase
from keras_robust.audit.summary import dice_of_classes, summary
from keras_robust.suspicion.class_differences import ClassDifferences

ABSENT = float("nan")


def audit_of(folder, *rows, names=(), **settings):
    """Rows of a kind and the Dice of each class."""
    cases = []
    for rank, (kind, *dice) in enumerate(rows, start=1):
        of_classes = tuple(
            ClassDifferences(label, 4.0, 5.0, value, 0.1, 0.2, 0.3)
            for label, value in enumerate(dice, start=1)
        )
        cases.append(AuditCase(rank, str(rank), "ann", -rank, kind, {}, of_classes))
    info = {"ranked_by": "default", "class_names": names, "settings": settings}
    return Audit(folder, info, tuple(cases))


def test_the_judges_and_what_they_found(tmp_path):
    audit = audit_of(
        tmp_path, ("too large", 0.8, 0.2), ("too small", 0.9, ABSENT), ("none", 0.7, 0.4),
        ("too large", 0.6, 0.3), names=["background", "liver", ""],
    )  # fmt: skip
    assert dice_of_classes(audit) == {1: pytest.approx(0.75), 2: pytest.approx(0.3)}
    first, poor, found = summary(audit)
    assert first.endswith("by class: 1 liver 0.75, 2 0.30.")
    # Medians of 0.5, 0.9, 0.55 and 0.45.
    assert "below 0.53" in poor and "poor judge" in poor and "--budget" in poor
    assert found == "3 of 4 masks are probably wrong: too large 2, too small 1."


def test_good_judges_are_not_warned_of_and_others_not_told_to_train(tmp_path):
    assert summary(audit_of(tmp_path, ("none", 0.9)))[1:] == ["0 of 1 masks are probably wrong."]
    poor = summary(audit_of(tmp_path, ("none", 0.2), predictions="x"))[1]
    assert "poor judge" in poor and "--budget" not in poor and "better model" in poor


def test_how_well_wrong_masks_were_found(tmp_path):
    rows = "score,AUROC,average precision\ndefault,0.9371,0.81\nother,1,1\n"
    (tmp_path / "detection.csv").write_text(rows)
    assert (
        "AUROC of default 0.937, average precision 0.810"
        in summary(audit_of(tmp_path, ("none", 0.9)))[-1]
    )
    (tmp_path / "detection.csv").write_text("score,AUROC,average precision\ndefault,,\n")
    assert "no AUROC" in summary(audit_of(tmp_path, ("none", 0.9)))[-1]
