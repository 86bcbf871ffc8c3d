"""A review: its queue, its decisions, what it writes, and what it refuses."""

import hashlib
import json
import time
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from keras_robust.annotators import match_annotators, reviewers
from keras_robust.annotators.agreement.measure import measure_agreement
from keras_robust.audit.folder import Audit, AuditCase
from keras_robust.common.hashes import sha256_if_there as sha256
from keras_robust.data import Dataset, read_mask
from keras_robust.review import (
    ChangedFileError,
    QueueFilter,
    ReviewSession,
    agreement,
    disagreement,
    read_log,
    write_reviewed,
)

from .conftest import IDS, disc


def originals(home) -> dict:
    """Every file that annotators gave, with its bytes."""
    files = [*home.glob("images/*"), *home.glob("masks/*.*"), home / "dataset.json"]
    return {path: path.read_bytes() for path in files}


def lines(home, reviewer="anna") -> list[dict]:
    text = (home / "reviews" / reviewer / "review.jsonl").read_text()
    return [json.loads(line) for line in text.splitlines()]


def test_the_queue_is_worst_first_with_an_audit_and_else_in_order(home, audit):
    with ReviewSession(home, "anna", audit) as session:
        assert [item.id for item in session.queue] == list(IDS[::-1])
        assert session.current == "case5"
        assert (session.queue[0].kind, session.queue[0].score) == ("too large", 1.0)
        assert session.load("case5").suggestion.sum() == disc(32, 10).sum()
    with ReviewSession(home, "anna") as session:
        assert [item.id for item in session.queue] == list(IDS)
        assert session.load("case0").suggestion is None


def test_what_an_audit_does_not_know_comes_last(home, audit):
    audit.cases = audit.cases[3:]
    with ReviewSession(home, "anna", audit) as session:
        assert [item.id for item in session.queue] == ["case5", "case4", "case3", *IDS[:3]]


def test_a_decision_is_logged_with_the_hashes_of_what_was_seen(home, audit):
    before = originals(home)
    with ReviewSession(home, "anna", audit) as session:
        session.load("case5")
        session.decide("case5", "accept", "fine, ünïcode")
        session.decide("case4", "reject")
        session.decide("case3", "ask an expert", "which?")
        session.decide("case2", "repair", "rim", mask=disc(32, 9))
        assert session.progress == (4, 6)
        assert [session.status(id) for id in IDS[1:4]] == ["undecided", "repair", "ask an expert"]
    assert originals(home) == before
    first, *_, last = lines(home)
    digest = lambda path: hashlib.sha256(path.read_bytes()).hexdigest()  # noqa: E731
    assert first["time"].endswith("+00:00")
    assert {key: first[key] for key in ("reviewer", "id", "annotator", "decision", "comment")} == {
        "reviewer": "anna",
        "id": "case5",
        "annotator": "clinic",
        "decision": "accept",
        "comment": "fine, ünïcode",
    }
    assert first["mask_sha256"] == digest(home / "masks/case5.png")
    assert first["image_sha256"] == digest(home / "images/case5.png")
    assert first["corrected"] is None
    assert last["corrected"] == "masks/anna/case2.png" and last["version"] == 1
    assert last["corrected_sha256"] == digest(home / last["corrected"])


def test_corrected_masks_become_an_annotator_and_earlier_ones_are_kept(home):
    with ReviewSession(home, "anna") as session:
        session.decide("case0", "repair", mask=disc(32, 9))
        session.decide("case0", "repair", mask=disc(32, 7))
    corrected = Dataset.open(home).select(annotator="anna")
    assert corrected.ids == ("case0",)
    assert np.array_equal(corrected.read_mask(corrected.cases[0]), disc(32, 7))
    versions = home / "reviews/anna/versions"
    assert np.array_equal(read_mask(versions / "case0.1.png"), disc(32, 9))
    assert np.array_equal(read_mask(versions / "case0.2.png"), disc(32, 7))
    with ReviewSession(home, "anna") as session:
        assert np.array_equal(session.load("case0").corrected, disc(32, 7))
        session.decide("case0", "accept")
    assert "anna" not in Dataset.open(home).annotators
    assert not (home / "masks/anna/case0.png").exists()
    assert (versions / "case0.2.png").exists()


def test_the_next_session_goes_on_where_the_last_one_was(home, audit):
    with ReviewSession(home, "anna", audit) as session:
        for decision in ("accept", "reject"):
            session.decide(session.current, decision)
            session.next_undecided()
        session.save_draft("case1", disc(32, 3), "half way")
    with ReviewSession(home, "anna", audit) as session:
        assert session.current == "case1"  # where something is painted
        case = session.load("case1")
        assert case.draft and case.comment == "half way"
        assert np.array_equal(case.start, disc(32, 3))
        session.decide("case1", "repair", mask=case.start)
        assert not session.load("case1").draft
    with ReviewSession(home, "anna", audit) as session:
        assert session.progress == (3, 6)
        assert session.current == "case0"  # the next undecided after case1
        session.decide("case0", "ask an expert", mask=disc(32, 4))
    with ReviewSession(home, "anna", audit) as session:
        assert session.current == "case3"  # not where a draft was left with a decision
        time.sleep(0.02)
        session.save_draft("case0", disc(32, 5))
    with ReviewSession(home, "anna", audit) as session:
        assert session.current == "case0"  # painted on after the decision


def test_an_audit_of_other_masks_is_refused(home, tmp_path):
    masks = {id: home / "masks" / f"{id}.png" for id in IDS}
    judged = [
        AuditCase(1, id, "clinic", 1.0, "", {}, mask_sha256=sha256(mask) or "")
        for id, mask in masks.items()
    ]
    moved = Audit(tmp_path / "audit", {"dataset": str(tmp_path / "before")}, tuple(judged))
    for count, id in enumerate(IDS[:4], start=1):
        Image.fromarray(disc(32, 2) * 255).save(masks[id])
        if count <= 3:  # corrected since: half of the six are as they were
            ReviewSession(home, "anna", moved).close()
    with pytest.raises(ValueError, match="of 6 masks that were compared, 2 are"):
        ReviewSession(home, "anna", moved)
    ReviewSession(home, "anna", replace(moved, info={"dataset": str(home)})).close()
    elsewhere = [replace(case, annotator="lab") for case in judged]
    with pytest.raises(ValueError, match="of 0 masks"):
        ReviewSession(home, "anna", replace(moved, cases=tuple(elsewhere)), annotator="clinic")


def test_moving_stays_at_the_ends_and_skips_what_is_decided(home):
    with ReviewSession(home, "anna") as session:
        assert session.previous() is None and session.current == "case0"
        assert session.next() == "case1" and session.previous() == "case0"
        session.decide("case1", "accept")
        assert session.upcoming() == "case2" and session.current == "case0"
        assert session.next_undecided() == "case2"
        session.go("case5")
        assert session.next() is None and session.next_undecided() == "case0"
        with pytest.raises(ValueError, match="Expected an id of the queue"):
            session.go("case9")


def test_filters(home, audit):
    with ReviewSession(home, "anna", audit) as session:
        session.decide("case4", "reject", "Blurred")
        ids = lambda **keys: [item.id for item in session.filter(QueueFilter(**keys))]  # noqa: E731
        assert ids(kinds=["too large"]) == ["case5", "case4"]
        assert ids(lowest=0.35, highest=0.65) == ["case3", "case2"]
        assert ids(statuses=["decided"]) == ["case4"]
        assert ids(statuses=["undecided"], kinds=["too large"]) == ["case5"]
        assert ids(text="BLURR") == ["case4"] and ids(text="e2") == ["case2"]
        assert ids(annotators=["nobody"]) == []
        assert session.next() is None
        assert len(ids()) == 6


def test_two_reviewers_keep_separate_logs_and_are_compared(home):
    with ReviewSession(home, "anna") as anna, ReviewSession(home, "ben") as ben:
        anna.decide("case0", "accept")
        ben.decide("case0", "accept")
        anna.decide("case1", "repair", mask=disc(32, 6))
        ben.decide("case1", "repair", mask=disc(32, 6))
        anna.decide("case2", "reject")
        ben.decide("case2", "accept")
        anna.decide("case3", "accept")
        ben.decide("case3", "repair", mask=np.zeros((32, 32), np.uint8))
        anna.decide("case4", "reject")
        both = agreement(anna, ben)
    assert reviewers(home) == ("anna", "ben")
    assert len(lines(home)) == 5 and len(lines(home, "ben")) == 4
    # equal 2 of 4; by chance (2 * 2 + 1 * 2 + 1 * 0) / 16 = .375; (.5 - .375) / .625 = .2
    assert both.observed == 0.5 and both.kappa == pytest.approx(0.2)
    assert both.disputed == ("case2", "case3")
    assert both.dice == {"case0": 1.0, "case1": 1.0, "case3": 0.0}
    assert both.mean_dice == pytest.approx(2 / 3)
    dataset = Dataset.open(home)
    assert agreement(read_log(dataset, home, "ben"), read_log(dataset, home, "ben")).kappa == 1
    # Their masks are not taken for originals.
    with ReviewSession(home, "cleo") as session:
        assert {item.annotator for item in session.items} == {"clinic"}


def test_disagreement_is_a_queue_without_a_model(home):
    rows = (home / "manifest.csv").read_text()
    (home / "manifest.csv").write_text(
        rows + "case3,images/case3.png,masks/case0.png,second,train\n"
    )
    scores = disagreement(Dataset.open(home), "clinic")
    assert list(scores) == ["case3"] and 0 < scores["case3"] < 1
    with pytest.raises(ValueError, match="whose masks are to be reviewed: clinic, second"):
        ReviewSession(home, "anna")
    with ReviewSession(
        home, "anna", annotator="clinic", suggest="second", scores=scores
    ) as session:
        assert session.current == "case3"
        assert np.array_equal(session.load("case3").suggestion, disc(32, 5))
        assert session.load("case1").suggestion is None


def test_classes_that_nobody_drew_are_no_agreement(home):
    """The two share not one pixel, whatever the number of classes."""
    (home / "dataset.json").write_text(
        json.dumps({"labels": dict(zip("abcd", range(4), strict=True))})
    )
    first, second = np.zeros((2, 32, 32), np.uint8)
    first[2:6], second[12:16] = 1, 2
    rows = (home / "manifest.csv").read_text().splitlines()[:3]
    for path, mask in {"0": first, "1": 0 * first, "a": second, "b": 0 * first}.items():
        Image.fromarray(mask).save(home / f"masks/case{path}.png")
    rows += [rows[1].replace("masks/case0", "masks/casea").replace("clinic", "second")]
    rows += [rows[2].replace("masks/case1", "masks/caseb").replace("clinic", "second")]
    (home / "manifest.csv").write_text("\n".join(rows) + "\n")
    assert disagreement(Dataset.open(home), "clinic") == {"case0": 1.0, "case1": 0.0}
    with (
        ReviewSession(home, "anna", annotator="clinic") as anna,
        ReviewSession(home, "ben", annotator="second") as ben,
    ):
        for session in (anna, ben):
            session.decide("case0", "accept")
            session.decide("case1", "accept")
        assert agreement(anna, ben).dice == {"case0": 0.0, "case1": 1.0}


@pytest.mark.parametrize(
    ("decision", "mask", "match"),
    [
        ("maybe", None, "Expected one of 'accept'"),
        ("repair", None, "Paint it first"),
        ("accept", disc(32, 3), "Choose repair to keep"),
        ("repair", disc(31, 3), "shape"),
        ("repair", disc(32, 3) * 2, "label"),
        ("repair", disc(32, 3) * 0.5, "float64"),
    ],
)
def test_decisions_that_make_no_sense_are_refused(home, decision, mask, match):
    with ReviewSession(home, "anna") as session:
        with pytest.raises(ValueError, match=match):
            session.decide("case0", decision, mask=mask)
    assert not (home / "reviews/anna/review.jsonl").exists()


def test_what_is_painted_when_an_expert_is_asked_stays_as_a_draft(home):
    with ReviewSession(home, "anna") as session:
        session.decide("case0", "ask an expert", mask=disc(32, 4))
        assert session.status("case0") == "ask an expert"
        assert np.array_equal(session.load("case0").corrected, disc(32, 4))


def test_a_file_changed_while_it_was_shown_blocks_the_decision(home):
    with ReviewSession(home, "anna") as session:
        session.load("case0")
        (home / "masks/case0.png").write_bytes((home / "masks/case5.png").read_bytes())
        with pytest.raises(ChangedFileError, match="Load the case again"):
            session.decide("case0", "repair", "mine", mask=disc(32, 4))
        assert session.progress == (0, 6)
        case = session.load("case0")
        assert np.array_equal(case.corrected, disc(32, 4)) and case.comment == "mine"
        assert any("since you painted" in problem for problem in case.problems)
        session.decide("case0", "repair", mask=case.start)


def test_a_draft_on_a_file_that_has_changed_says_so(home):
    with ReviewSession(home, "anna") as session:
        session.load("case0")
        session.save_draft("case0", disc(32, 4))
    (home / "masks/case0.png").write_bytes((home / "masks/case5.png").read_bytes())
    with ReviewSession(home, "anna") as session:
        assert any("since you painted" in problem for problem in session.load("case0").problems)


def test_a_decision_on_a_file_that_has_changed_is_flagged(home):
    with ReviewSession(home, "anna") as session:
        session.decide("case0", "accept")
        session.decide("case1", "accept")
        assert session.check() == ()
    (home / "masks/case0.png").write_bytes((home / "masks/case5.png").read_bytes())
    with ReviewSession(home, "anna") as session:
        assert session.check() == ("case0",)
        assert session.status("case0") == "changed" and session.progress == (1, 6)
        assert any("decide anew" in problem for problem in session.load("case0").problems)
        session.decide("case0", "accept")
        assert session.status("case0") == "accept"


def test_a_corrected_mask_edited_elsewhere_is_shown_and_never_lost(home):
    with ReviewSession(home, "anna") as session:
        session.decide("case0", "repair", mask=disc(32, 4))
    edited = (home / "masks/case5.png").read_bytes()
    (home / "masks/anna/case0.png").write_bytes(edited)
    with ReviewSession(home, "anna") as session:
        assert any("edited by other means" in warning for warning in session.warnings)
        assert np.array_equal(session.load("case0").corrected, disc(32, 10))
        session.decide("case0", "repair", mask=disc(32, 3))
    kept = list((home / "reviews/anna/versions").glob("case0.edited-*.png"))
    assert [path.read_bytes() for path in kept] == [edited]


def test_the_reviewed_masks_are_an_annotator_to_train_on(home):
    with ReviewSession(home, "anna") as session:
        session.decide("case0", "accept")
        session.decide("case1", "repair", mask=disc(32, 9))
        session.decide("case2", "reject")
        session.decide("case3", "ask an expert")
        assert write_reviewed(session) == ("anna-reviewed", 4)
        assert write_reviewed(session, undecided=False) == ("anna-reviewed", 2)
    reviewed = Dataset.open(home).select(annotator="anna-reviewed")
    masks = [reviewed.read_mask(case) for case in reviewed]
    assert reviewed.ids == ("case0", "case1")
    assert np.array_equal(masks[0], disc(32, 5)) and np.array_equal(masks[1], disc(32, 9))
    with ReviewSession(home, "anna") as session:
        assert {item.annotator for item in session.items} == {"clinic"}


def test_a_review_is_no_further_annotator(home):
    """Its corrections and its result are of the masks of `clinic`, and count only where named."""
    manifest = home / "manifest.csv"
    rows = manifest.read_text()
    manifest.write_text(rows + "case3,images/case3.png,masks/case0.png,second,train\n")
    before = measure_agreement(home)
    alone = disagreement(before.dataset, "clinic")
    with ReviewSession(home, "anna", annotator="clinic") as session:
        session.decide("case0", "repair", mask=disc(32, 9))
        write_reviewed(session)
    after = measure_agreement(home)
    assert after.dataset.annotators == ("anna", "anna-reviewed", "clinic", "second")
    assert after.annotators == before.annotators == ("clinic", "second")
    assert disagreement(after.dataset, "clinic") == alone
    named = disagreement(after.dataset, "clinic", "anna-reviewed")
    assert named["case0"] > 0 and named["case3"] == 0
    assert match_annotators(after.dataset, ["anna*"]) == {"anna*": ("anna", "anna-reviewed")}


def test_corrected_volumes_keep_affine_spacing_and_header(tmp_path):
    import nibabel

    home = tmp_path / "volumes"
    home.mkdir()
    affine = np.array([[-2, 0, 0, 3], [0, 0, 1.5, 4], [0, -1, 0, 5], [0, 0, 0, 1.0]])
    rng = np.random.default_rng(0)
    image = nibabel.Nifti1Image(rng.normal(size=(7, 8, 9)).astype(np.float32), affine)
    image.to_filename(home / "a.nii.gz")
    mask = nibabel.Nifti1Image((rng.random((7, 8, 9)) > 0.5).astype(np.uint8), affine)
    mask.header.set_xyzt_units("mm")
    mask.to_filename(home / "a_mask.nii.gz")
    turned = nibabel.Nifti1Image(np.ones((7, 8, 9), np.uint8), np.diag([2, 1, 1.5, 1]))
    turned.to_filename(home / "b_mask.nii.gz")
    rows = "id,image,mask,annotator,split\n"
    rows += "a,a.nii.gz,a_mask.nii.gz,clinic,\nb,a.nii.gz,b_mask.nii.gz,clinic,\n"
    (home / "manifest.csv").write_text(rows)
    with ReviewSession(home, "anna") as session:
        case = session.load("a")
        assert case.image.shape == (7, 8, 9, 1) and case.problems == ()
        painted = 1 - case.labels
        session.decide("a", "repair", mask=painted)
        session.save_draft("b", painted)
        case = session.load("b")
        assert any("lies elsewhere" in problem for problem in case.problems), case.problems
        session.decide("b", "repair", mask=painted)
    for id in ("a", "b"):
        written = nibabel.load(home / f"masks/anna/{id}.nii.gz")
        assert np.array_equal(np.asarray(written.dataobj), painted)
        assert np.allclose(written.affine, affine)
        assert written.header.get_zooms() == image.header.get_zooms()
    assert len(Dataset.open(home).select(annotator="anna")) == 2


def test_a_withdrawn_decision_is_none_and_the_log_keeps_both(home):
    with ReviewSession(home, "anna") as session:
        mask = disc(32, 7)
        session.decide("case0", "repair", "rim", mask=mask)
        session.decide("case1", "accept")
        assert session.withdraw("case0").decision == "undecided"
        assert session.withdraw("case0") is None and session.withdraw("case2") is None
        assert session.status("case0") == "undecided" and session.progress[0] == 1
        case = session.load("case0")
        assert case.draft and case.comment == "rim" and np.array_equal(case.corrected, mask)
        assert write_reviewed(session)[1] == len(IDS), "as the annotator drew it"
    assert [(line["id"], line["decision"]) for line in lines(home)] == [
        ("case0", "repair"),
        ("case1", "accept"),
        ("case0", "undecided"),
    ]
    assert "anna" not in Dataset.open(home).annotators
    log = read_log(Dataset.open(home), home, "anna")
    assert set(log.decisions) == {"case1"} and log.final_mask("case0") is None
