"""Files of strangers: what is no file is not waited for, and what is too much is not read."""

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keras_robust.common.opening import (
    UnreadableFileError,
    read_bytes,
    read_json,
    real_path,
    shortened,
    shown,
)
from keras_robust.common.yaml import parse_yaml, read_yaml

BOMB = "a: &a [x]\n" + "".join(
    f"{b}: &{b} [{', '.join(9 * [f'*{a}'])}]\n" for a, b in zip("abcdefgh", "bcdefghi", strict=True)
)


@pytest.mark.parametrize("read", [read_bytes, read_json, lambda path: read_yaml(path, "a")])
def test_what_is_no_file_is_refused_at_once(tmp_path, read):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "zero").symlink_to("/dev/zero")
    for name, kind in (("pipe", "a pipe"), ("zero", "a device")):
        with pytest.raises(UnreadableFileError, match=rf"{name}'.*{kind}, not a file.*Restore"):
            read(tmp_path / name)
    (tmp_path / "circle").symlink_to("circle")
    with pytest.raises(OSError):
        read(tmp_path / "circle")
    assert real_path(tmp_path / "circle").name == "circle"


def test_more_than_is_asked_for_is_not_read(tmp_path):
    (tmp_path / "a").write_bytes(b"12345")
    assert read_bytes(tmp_path / "a", most=5) == b"12345"
    with pytest.raises(UnreadableFileError, match="larger than"):
        read_bytes(tmp_path / "a", most=4)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("[" * 100_000, "nested too deeply"),
        ('{"a":' * 50_000, "nested too deeply"),
        ("{", "not valid JSON"),
        ("[]", "holds a list, not an object"),
        ("null", "holds nothing"),
        ("1" * 5000, "not valid JSON"),
    ],
)
def test_what_is_no_object_is_named(tmp_path, text, reason):
    (tmp_path / "a.json").write_text(text)
    with pytest.raises(UnreadableFileError, match=rf"a\.json.*{reason}") as raised:
        read_json(tmp_path / "a.json", dict)
    assert len(str(raised.value)) < 1500


@pytest.mark.parametrize(
    ("text", "reason"),
    [(BOMB, "aliases"), ("&a [*a]", "itself"), ("[" * 5000, "too deeply"), ("a: [", "cannot")],
)
def test_yaml_that_writes_out_to_too_much_is_refused(text, reason):
    assert len(BOMB) < 500
    with pytest.raises(ValueError, match=reason) as raised:
        parse_yaml(text, "the file")
    assert len(str(raised.value)) < 1500


def test_aliases_of_a_usual_size_are_read():
    assert parse_yaml("a: &a [1]\nb: [*a, *a]", "the file") == {"a": [1], "b": [[1], [1]]}


@given(st.text(max_size=60), st.integers(8, 40))
def test_shortened_texts_keep_both_ends(text, longest):
    short = shortened(text, longest)
    assert len(short) <= longest and short[:1] == text[:1] and short[-1:] == text[-1:]
    assert short == text or len(text) > longest


@given(st.recursive(st.integers(), lambda inner: st.lists(inner, max_size=30), max_leaves=200))
def test_what_is_shown_is_short(value):
    assert len(shown(value)) <= 200
    assert len(shown([value] * 10**6)) <= 200
