"""Painting that its dataset cannot take is kept elsewhere, and found by the next session."""

import errno
import os
from pathlib import Path

import numpy as np
import pytest

from keras_robust.review import ReviewSession
from keras_robust.review import files as module
from keras_robust.review.refuge import refuges


@pytest.fixture
def full(monkeypatch, home):
    """A disk with the dataset on it that is full while this is called with True."""
    real = module.atomic_write_bytes

    def fill(on: bool) -> None:
        def write(path, content):
            if Path(path).is_relative_to(home):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
            return real(path, content)

        monkeypatch.setattr(module, "atomic_write_bytes", write if on else real)

    return fill


def painted(value: int = 1) -> np.ndarray:
    labels = np.zeros((32, 32), np.uint8)
    labels[3, 4:9] = value
    return labels


def test_rescued_painting_is_the_draft_of_the_next_session(home, full):
    with ReviewSession(home, "anna") as session:
        id = session.items[3].id
        session.load(id)
        full(True)
        with pytest.raises(OSError):
            session.save_draft(id, painted(), "rim")
        path = session.rescue_draft(id, painted(), "rim")
    assert not path.is_relative_to(home)
    full(False)
    with ReviewSession(home, "ben") as other:
        assert other.load(id).corrected is None and not other.warnings
    with ReviewSession(home, "anna") as session:
        assert session.current == id and id in session.warnings[-1]
        case = session.load(id)
        assert case.draft and case.comment == "rim" and np.array_equal(case.corrected, painted())
        session.save_draft(id, case.corrected, "rim")
        assert not path.exists() and session.log.files.rescued() == ()
        assert np.array_equal(session.load(id).corrected, painted())


def test_it_is_found_where_the_review_goes_on_in_another_folder(home, tmp_path):
    with ReviewSession(home, "anna") as session:
        id = session.items[3].id
        path = session.rescue_draft(id, painted(), "rim")
    with ReviewSession(home, "anna", output=tmp_path / "elsewhere") as session:
        assert session.current == id and id in session.warnings[-1]
        assert np.array_equal(session.load(id).corrected, painted())
        session.decide(id, "repair", mask=painted())
    assert not path.exists()


def test_a_decision_ends_it(home):
    with ReviewSession(home, "anna") as session:
        id = session.current
        session.load(id)
        path = session.rescue_draft(id, painted(), "")
        session.decide(id, "repair", mask=painted())
        assert not path.exists() and not session.load(id).draft


def test_the_newest_of_two_drafts_counts(home):
    with ReviewSession(home, "anna") as session:
        files, id = session.log.files, session.current
        path = files.rescue_draft(id, painted(), "older", None)
        os.utime(path, (1, 1))
        real = files.draft(id)
        real.parent.mkdir(parents=True)
        real.write_bytes(path.read_bytes())
        assert files.rescued() == () and files.drafts() == (id,)


def test_a_folder_of_somebody_else_is_no_refuge(home, monkeypatch):
    first = next(refuges(home, "anna"))
    first.mkdir(parents=True)
    monkeypatch.setattr(os, "getuid", lambda: 12345)
    assert first not in refuges(home, "anna")
