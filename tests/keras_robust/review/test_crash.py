"""Nothing that was decided or saved is lost: killed at any moment, on a full disk."""

import errno
import os
import random
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from keras_robust.common import files
from keras_robust.data import Dataset
from keras_robust.review import ReviewSession

from .conftest import IDS, disc
from .test_session import lines, originals

# Paints ever other masks, and says what is safe as soon as it is.
PROGRAM = """
import sys
import numpy as np
from keras_robust.review import ReviewSession
with ReviewSession(sys.argv[1], "anna") as session:
    start = sum(d.version or 0 for d in session.log.history)
    for number in range(start, start + 10_000):
        id = session.items[number % 5].id
        mask = np.zeros((32, 32), np.uint8)
        mask.flat[: number % 1000] = 1
        session.save_draft("case5", mask, str(number))
        print("draft", number, flush=True)
        session.decide(id, "repair", str(number), mask=mask)
        print("decided", number, flush=True)
"""


def test_killed_at_any_moment_it_goes_on_with_all_that_was_decided(home):
    before, generator = originals(home), random.Random(0)
    decided, draft = [], -1
    for _ in range(8):
        child = subprocess.Popen(
            [sys.executable, "-c", PROGRAM, str(home)], stdout=subprocess.PIPE, text=True
        )
        told = [child.stdout.readline() for _ in range(generator.randint(1, 6))]
        time.sleep(generator.uniform(0, 0.05))
        child.send_signal(signal.SIGKILL)
        told += child.stdout.read().splitlines()
        child.wait()
        child.stdout.close()
        assert all(told), "the child ended by itself"
        for word, number in (line.split() for line in told if line.strip()):
            if word == "decided":
                decided.append(int(number))
            else:
                draft = int(number)
        with ReviewSession(home, "anna") as session:
            logged = [int(d.comment) for d in session.log.history]
            # The line may have reached the disk before the child could say so.
            assert set(decided) <= set(logged)
            assert logged == sorted(logged)
            assert draft <= int(session.load("case5").comment) <= draft + 1
            for id, decision in session.decisions.items():
                painted = session.load(id).corrected
                assert painted.sum() == int(decision.comment) % 1000
    assert len(decided) >= 8
    assert originals(home) == before
    published = Dataset.open(home).select(annotator="anna")
    assert set(published.ids) == set(session.decisions)


@pytest.mark.parametrize("function", ["write", "fsync", "replace"])
@pytest.mark.parametrize("calls", range(5))
def test_on_a_full_disk_nothing_is_lost(home, monkeypatch, function, calls):
    """The disk is full after a number of calls: whatever fails, the state before it holds."""
    before = originals(home)
    with ReviewSession(home, "anna") as session:
        session.decide("case0", "repair", "first", mask=disc(32, 4))
        session.load("case1")
        session.save_draft("case1", disc(32, 5), "draft")
        real, left = getattr(os, function), [calls]

        def full(*arguments):
            left[0] -= 1
            if left[0] < 0:
                raise OSError(errno.ENOSPC, "No space left on device")
            return real(*arguments)

        monkeypatch.setattr(files.os, function, full)
        failed = False
        try:
            session.decide("case0", "repair", "second", mask=disc(32, 6))
            session.save_draft("case1", disc(32, 7), "more")
        except OSError as reason:
            failed = True
            assert reason.errno == errno.ENOSPC
        monkeypatch.undo()
        logged = [line["comment"] for line in lines(home)]
        assert logged in (["first"], ["first", "second"])
        assert failed or len(logged) == 2
    with ReviewSession(home, "anna") as session:
        radius = {1: 4, 2: 6}[len(logged)]
        assert np.array_equal(session.load("case0").corrected, disc(32, radius))
        assert any(np.array_equal(session.load("case1").corrected, disc(32, r)) for r in (5, 7))
        assert not session.warnings
        session.decide("case0", "repair", "third", mask=disc(32, 8))
        published = Dataset.open(home).select(annotator="anna").cases[0]
        assert np.array_equal(session.dataset.read_mask(published), disc(32, 8))
    assert originals(home) == before


def test_a_full_disk_is_explained(home, monkeypatch):
    def full(*arguments):
        raise OSError(errno.ENOSPC, "No space left on device")

    with ReviewSession(home, "anna") as session:
        monkeypatch.setattr(files.os, "fsync", full)
        with pytest.raises(
            OSError, match="'case0' is not saved.*still in the window.*Free some space"
        ):
            session.decide("case0", "repair", mask=disc(32, 6))
        monkeypatch.undo()
        assert session.status("case0") == "undecided"


def test_a_torn_line_is_told_and_costs_itself_alone(home):
    with ReviewSession(home, "anna") as session:
        session.decide("case0", "accept")
        session.decide("case1", "accept")
    log = home / "reviews/anna/review.jsonl"
    os.truncate(log, log.stat().st_size - 20)
    with ReviewSession(home, "anna") as session:
        assert list(session.decisions) == ["case0"]
        assert "Line(s) 2" in session.warnings[0]
        session.decide("case2", "accept")
    with ReviewSession(home, "anna") as session:
        assert list(session.decisions) == ["case0", "case2"]


def test_a_damaged_draft_is_told_and_kept(home):
    with ReviewSession(home, "anna") as session:
        session.save_draft("case0", disc(32, 3))
        path = home / "reviews/anna/drafts/case0.npz"
        os.truncate(path, path.stat().st_size // 2)
        case = session.load("case0")
        assert any("damaged" in problem for problem in case.problems)
        assert case.corrected is None and np.array_equal(case.start, case.labels)
        assert path.exists()
        assert len(IDS) == session.progress[1]
