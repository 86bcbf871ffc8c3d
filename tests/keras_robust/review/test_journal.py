"""The log survives being cut anywhere, a full disk, and what others wrote into it."""

import errno
import json
import os

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from keras_robust.review.decision import Decision
from keras_robust.review.journal import append_record, read_journal

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
RECORD = st.fixed_dictionaries({"id": TEXT, "comment": TEXT, "version": st.none() | st.integers()})


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.lists(RECORD, min_size=1, max_size=5), st.data())
def test_cut_anywhere_it_keeps_every_complete_line_and_goes_on(tmp_path, records, data):
    path = tmp_path / "log.jsonl"
    path.unlink(missing_ok=True)
    ends = [0]
    for record in records:
        append_record(path, record)
        ends.append(path.stat().st_size)
    assert read_journal(path).records == tuple(records)
    cut = data.draw(st.integers(0, ends[-1]))
    os.truncate(path, cut)
    complete = sum(end <= cut for end in ends[1:])
    # Without its newline alone, a line is complete as well.
    complete += cut + 1 in ends[1:]
    found = read_journal(path)
    assert found.records == tuple(records[:complete])
    assert len(found.damaged) == (cut not in ends and cut + 1 not in ends)
    append_record(path, {"id": "next"})
    assert read_journal(path).records == (*records[:complete], {"id": "next"})
    assert len(read_journal(path).damaged) == len(found.damaged)


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.binary(max_size=60))
def test_any_bytes_can_be_read(tmp_path, content):
    path = tmp_path / "log.jsonl"
    path.write_bytes(content)
    journal = read_journal(path)
    assert all(isinstance(record, dict) for record in journal.records)
    for record in journal.records:
        Decision.from_record(record)


@pytest.mark.parametrize("failing", ["write", "fsync"])
def test_a_full_disk_leaves_the_log_as_it_was(tmp_path, monkeypatch, failing):
    path = tmp_path / "log.jsonl"
    append_record(path, {"id": "a"})
    before, write = path.read_bytes(), os.write

    def half_then_full(descriptor, content):
        if len(content) < 10:
            raise OSError(errno.ENOSPC, "No space left on device")
        return write(descriptor, bytes(content)[:-5])

    def full(descriptor):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, failing, half_then_full if failing == "write" else full)
    with pytest.raises(OSError, match="No space left"):
        append_record(path, {"id": "b", "comment": "longer than ten bytes"})
    monkeypatch.undo()
    assert path.read_bytes() == before
    append_record(path, {"id": "c"})
    assert [record["id"] for record in read_journal(path).records] == ["a", "c"]


@pytest.mark.parametrize(
    "change",
    [
        {"decision": "maybe"},
        {"id": 3},
        {"comment": None},
        {"decision": "repair", "version": None},
        {"decision": "repair", "version": 0},
    ],
)
def test_a_line_that_is_no_decision_is_passed_over(change):
    decision = Decision("2026-01-01T00:00:00+00:00", "anna", "a", "b", "accept", version=None)
    record = json.loads(json.dumps(decision.to_record()))
    assert Decision.from_record({**record, "from": "a later version"}) == decision
    assert Decision.from_record({**record, **change}) is None
