import errno
import os
import random
import shutil
import signal
import subprocess
import sys
import time

import pytest

from keras_robust.training.checkpoint import MANIFEST, Checkpoints

FILES = {"state": bytes(range(256)) * 40, "history": b"[]"}


def test_the_newest_generation_is_read_and_two_are_kept(tmp_path):
    checkpoints = Checkpoints(tmp_path)
    assert checkpoints.newest() is None
    for number in (1, 2, 3):
        checkpoints.save(number, {"state": b"%d" % number})
    assert checkpoints.numbers() == [2, 3]
    assert checkpoints.newest() == (3, {"state": b"3"})


@pytest.mark.parametrize("name", [*FILES, MANIFEST])
@pytest.mark.parametrize("damage", ["truncate", "empty", "flip", "remove"])
def test_a_damaged_generation_is_passed_over_with_a_warning(tmp_path, name, damage):
    checkpoints = Checkpoints(tmp_path)
    checkpoints.save(1, FILES)
    checkpoints.save(2, FILES)
    path = tmp_path / "000002" / name
    content = bytearray(path.read_bytes())
    if damage == "remove":
        path.unlink()
    else:
        if damage == "flip":
            # Within the digest of the manifest, and anywhere in the others.
            content[content.find(b"sha256") + 12 if name == MANIFEST else 1] ^= 1
        path.write_bytes(content[: {"truncate": -1, "empty": 0}.get(damage)])
    with pytest.warns(UserWarning, match="000002 is damaged"):
        assert checkpoints.newest() == (1, FILES)


def test_a_generation_can_be_written_again_after_damage(tmp_path):
    checkpoints = Checkpoints(tmp_path)
    checkpoints.save(1, FILES)
    (tmp_path / "000001" / "state").write_bytes(b"")
    checkpoints.save(1, FILES)
    assert checkpoints.newest() == (1, FILES)


def test_a_new_course_is_kept_beside_none_of_an_older_one(tmp_path):
    """All were damaged, and the run begins again: its checkpoints must not give way to those."""
    checkpoints = Checkpoints(tmp_path)
    for number in (7, 8):
        checkpoints.save(number, FILES)
        (tmp_path / f"{number:06d}" / "state").write_bytes(b"")
    for number in (1, 2, 3):
        checkpoints.save(number, FILES)
    assert checkpoints.numbers() == [2, 3]
    assert checkpoints.newest() == (3, FILES)


def test_a_manifest_cannot_name_files_elsewhere(tmp_path):
    (tmp_path / "secret").write_bytes(b"x")
    checkpoints = Checkpoints(tmp_path / "run")
    checkpoints.save(1, FILES)
    manifest = tmp_path / "run" / "000001" / MANIFEST
    manifest.write_text(manifest.read_text().replace('"state"', '"../../secret"'))
    with pytest.warns(UserWarning, match="outside the folder"):
        assert checkpoints.newest() is None


def test_a_kill_at_any_moment_leaves_a_valid_generation(tmp_path):
    code = """
import sys
from keras_robust.training.checkpoint import Checkpoints
checkpoints = Checkpoints(sys.argv[1])
start = int(sys.argv[2])
print("ready", flush=True)
for number in range(start, start + 10**6):
    checkpoints.save(number, {"state": b"%d" % number * 20000, "history": b"%d" % number})
"""
    rng = random.Random(0)
    checkpoints, last = Checkpoints(tmp_path), 0
    # Every kill costs the start of an interpreter: copies of the folder multiply the moments.
    for _ in range(6):
        process = subprocess.Popen(
            [sys.executable, "-c", code, str(tmp_path), str(last + 1)], stdout=subprocess.PIPE
        )
        process.stdout.readline()
        for _ in range(10):
            time.sleep(rng.uniform(0, 0.02))
            process.send_signal(signal.SIGSTOP)
            copy = tmp_path.with_name("copy")
            shutil.copytree(tmp_path, copy)
            process.send_signal(signal.SIGCONT)
            newest = Checkpoints(copy).newest()
            assert newest is not None or last == 0
            shutil.rmtree(copy)
        process.send_signal(signal.SIGKILL)
        process.wait()
        process.stdout.close()
        number, files = checkpoints.newest()
        assert files == {"state": b"%d" % number * 20000, "history": b"%d" % number}
        assert number >= last
        last = number


def test_a_full_disk_leaves_no_half_generation(tmp_path, monkeypatch):
    checkpoints = Checkpoints(tmp_path)
    checkpoints.save(1, {"state": b"1"})
    real, calls = os.fsync, []

    def full(descriptor):
        calls.append(descriptor)
        if len(calls) > 1:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        real(descriptor)

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        checkpoints.save(2, {"state": b"2"})
    assert os.listdir(tmp_path) == ["000001"]
    assert checkpoints.newest() == (1, {"state": b"1"})


def test_what_a_kill_left_is_tidied(tmp_path):
    checkpoints = Checkpoints(tmp_path, keep=2)
    for number in (2, 3):
        checkpoints.save(number, {"state": b"x"})
    (tmp_path / ".000004.tmp").mkdir()
    (tmp_path / ".000004.tmp/state").write_bytes(b"half")
    (tmp_path / "000001").mkdir()  # half removed
    checkpoints.tidy()
    assert sorted(os.listdir(tmp_path)) == ["000002", "000003"]
    Checkpoints(tmp_path / "none").tidy()
    assert not (tmp_path / "none").exists()
