import os
import subprocess
import sys
import time

import pytest

from keras_robust.common.files import (
    atomic_write_bytes,
    atomic_write_json,
    atomic_write_text,
    locked,
)


def test_writes_and_replaces(tmp_path):
    path = tmp_path / "new" / "folder" / "a.txt"
    assert atomic_write_text(path, "one\r\nν\n") == path
    assert path.read_bytes() == "one\r\nν\n".encode()
    atomic_write_bytes(path, b"two")
    assert path.read_bytes() == b"two"
    assert os.listdir(path.parent) == ["a.txt"]


def test_permissions_follow_the_umask(tmp_path):
    plain = tmp_path / "plain"
    plain.write_bytes(b"")
    assert atomic_write_bytes(tmp_path / "a", b"").stat().st_mode == plain.stat().st_mode


@pytest.mark.parametrize("value", [float("nan"), {1, 2}])
def test_what_is_no_json_leaves_the_old_file(tmp_path, value):
    path = atomic_write_json(tmp_path / "a.json", {"old": True})
    with pytest.raises((TypeError, ValueError)):
        atomic_write_json(path, value)
    assert path.read_text() == '{\n  "old": true\n}\n'


def test_failure_leaves_the_old_file_and_no_other(tmp_path, monkeypatch):
    path = atomic_write_text(tmp_path / "a", "old")

    def fail(*_):
        raise OSError("disk full")

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(OSError, match="disk full"):
        atomic_write_text(path, "new")
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["a"]


def test_a_killed_writer_leaves_whole_files(tmp_path):
    path = tmp_path / "a"
    program = (
        "import itertools, sys; from keras_robust.common.files import atomic_write_bytes\n"
        "for n in itertools.count(): atomic_write_bytes(sys.argv[1], bytes([n % 256]) * 200_000)"
    )
    for wait in (0.02, 0.05, 0.09):
        writer = subprocess.Popen([sys.executable, "-c", program, str(path)])
        while not path.exists():
            time.sleep(0.01)
        time.sleep(wait)
        writer.kill()
        writer.wait()
        content = path.read_bytes()
        assert len(content) == 200_000 and len(set(content)) == 1
        path.unlink()


def test_lock_excludes_another_process_until_it_ends(tmp_path):
    path = tmp_path / ".lock"
    program = (
        "import sys, time; from keras_robust.common.files import locked\n"
        "with locked(sys.argv[1]): print('held', flush=True); time.sleep(60)"
    )
    holder = subprocess.Popen(
        [sys.executable, "-c", program, str(path)], stdout=subprocess.PIPE, text=True
    )
    assert holder.stdout.readline() == "held\n"
    with pytest.raises(BlockingIOError), locked(path, wait=False):
        pass
    holder.kill()
    holder.communicate()
    with locked(path, wait=False):
        pass
