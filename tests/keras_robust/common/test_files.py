import errno
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


def test_leftovers_of_the_killed_go_and_those_of_the_living_stay(tmp_path):
    """A writer that waits for its disk is not taken for one that was killed."""
    program = (
        "import os, signal, sys, time; from keras_robust.common import files\n"
        "def wait(descriptor): print('writing', flush=True); time.sleep(60)\n"
        "os.fsync = wait; files.atomic_write_bytes(sys.argv[1], b'new')"
    )
    writers = [
        subprocess.Popen(
            [sys.executable, "-c", program, str(tmp_path / name)], stdout=subprocess.PIPE, text=True
        )
        for name in ("dead", "alive")
    ]
    for writer in writers:
        assert writer.stdout.readline() == "writing\n"
    writers[0].kill()
    writers[0].communicate()
    assert len(os.listdir(tmp_path)) == 2
    # The first file that a process writes into a folder tidies it.
    program = (
        "import sys; from keras_robust.common.files import *; atomic_write_text(sys.argv[1], '')"
    )
    subprocess.run([sys.executable, "-c", program, str(tmp_path / "b")], check=True)
    names = sorted(os.listdir(tmp_path))
    assert names[1:] == ["b"] and names[0].startswith(".alive.")
    writers[1].kill()
    writers[1].communicate()


def test_a_full_disk_is_told_with_the_file(tmp_path, monkeypatch):
    def full(descriptor):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match=r"No space.*table\.csv") as caught:
        atomic_write_text(tmp_path / "table.csv", "a")
    assert caught.value.errno == errno.ENOSPC
    assert os.listdir(tmp_path) == []
