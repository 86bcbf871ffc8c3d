"""Kill the window of a review at random moments: no decision, stroke or original is lost.

    xvfb-run -a python scripts/campaign/desk_kills.py [--kills 200] [--minutes 60]
        [--only painting deciding ...] [--output docs/results/campaign]

A window works by real keys and drags on a data set made in code, and tells over a pipe what it has
acknowledged: a stroke that was drawn, a decision whose case is counted as decided. Then it is
killed outright: while it paints or saves, right after the key of a decision, or while it closes;
with a full or read-only disk since a random moment (every write under the data set fails, or, as
root, a disk of its own that is filled or mounted read-only), with a mask that somebody else changes
meanwhile, and with the same reviewer opened a second time.

The next session must then have every decision that was acknowledged, with its mask, and every
stroke that was older than two seconds when the window died; images and masks of the annotators
must be what they were, byte for byte, and nothing half written may be left.
"""

import argparse
import errno
import hashlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))
import numpy as np
from repairs import REVIEWER, Driver, make_data, wait

from keras_robust.common.files import atomic_write_json, atomic_write_text
from keras_robust.data import Dataset
from keras_robust.review import ReviewSession, read_log

KINDS = ("painting", "saving", "deciding", "closing", "full", "read-only", "changed", "twice")
MOUNTED = ("filled disk", "read-only mount")  # of a disk of its own, which takes root
OLD_S = 2.0  # a stroke of this age is on the disk
CASES = 6
DISK = "size=64m"
SPOT = 6  # pixels between the places of strokes


class Victim:
    """What works in the window until it is killed.

    Args:
        home: The data set.
        tell: Takes what has been acknowledged.
        kind: Of `KINDS`.
        rng: For what is done.
    """

    def __init__(
        self, home: Path, tell: Callable[..., None], kind: str, rng: random.Random
    ) -> None:
        import napari

        from napari_plugin.review import ReviewWidget

        self.home, self.tell, self.kind, self.rng = home, tell, kind, rng
        self.viewer = napari.Viewer(show=True)
        self.viewer.window._qt_window.resize(1000, 700)
        self.widget = ReviewWidget(self.viewer)
        self.viewer.window.add_dock_widget(self.widget, name="Review")
        self.driver = Driver(self.viewer, self.widget)
        self.widget.open(home, None, REVIEWER)
        wait(self.driver.ready)
        self.widget.desk.changed.connect(self.decided)
        self.strokes = 0

    def decided(self, id: str) -> None:
        """Acknowledged: the queue counts the case as decided."""
        desk = self.widget.desk
        if desk is not None and id in desk.session.decisions and id not in desk.unsaved:
            self.tell("decided", id=id, decision=desk.session.decisions[id].decision)

    def stroke(self) -> None:
        """Drag the brush over a place that no stroke was at."""
        desk = self.widget.desk
        if desk is None or desk.case is None:
            return
        desk.layers.corrected.brush_size = 3
        rows = desk.layers.corrected.data.shape[0] // SPOT - 2
        spot = self.strokes
        self.strokes += 1
        at = np.array([SPOT + SPOT * (spot // rows), SPOT + SPOT * (spot % rows)])
        id = desk.case.id
        self.driver.drag(np.stack([at, at + [0, 2]]))
        if desk.case is not None and desk.case.id == id and desk.layers.labels[tuple(at)] == 1:
            self.tell("stroke", id=id, at=at.tolist())

    def decide(self) -> None:
        """Press the key of a decision as soon as the case has been seen."""
        wait(self.driver.ready, 5.0)
        self.tell("key")
        self.driver.press(self.rng.choice(("repair", "repair", "reject", "ask an expert")))

    def work(self) -> None:
        """Paint and decide for ever, or until it is time to close."""
        closes = self.rng.uniform(0.5, 5.0) if self.kind == "closing" else 1e9
        begin, disturbed = time.monotonic(), self.rng.uniform(0.0, 3.0)
        happened = False
        while True:
            now = time.monotonic() - begin
            if not happened and now > disturbed and self.kind in DISTURB:
                happened = True
                DISTURB[self.kind](self)
            often = 0.6 if self.kind == "deciding" else 0.12
            self.decide() if self.rng.random() < often else self.stroke()
            end = time.monotonic() + self.rng.uniform(0.0, 0.5)
            wait(lambda end=end: time.monotonic() > end)
            if now > closes:
                self.tell("closing")
                self.widget.close_down()
                self.tell("closed")
                time.sleep(60)

    def fail_writes(self, number: int) -> None:
        """From now on every write under the data set fails."""
        folder = str(self.home) + os.sep

        def hook(event: str, arguments: Any) -> None:
            if event not in ("open", "os.rename", "os.mkdir"):
                return
            path = arguments[0]
            writes = event != "open" or bool(arguments[2] & (os.O_WRONLY | os.O_RDWR))
            if writes and isinstance(path, str) and os.path.abspath(path).startswith(folder):
                raise OSError(number, os.strerror(number), path)

        sys.addaudithook(hook)

    def fill_disk(self) -> None:
        """Write until the disk of the data set has no byte left."""
        self.tell("full")
        with suppress(OSError), filler(self.home).open("wb", buffering=0) as file:
            while True:
                file.write(bytes(1 << 12))

    def forbid_writing(self) -> None:
        """Mount the data set read-only where it is."""
        self.tell("read-only")
        subprocess.run(["mount", "--bind", self.home, self.home], check=True)
        subprocess.run(["mount", "-o", "remount,bind,ro", self.home], check=True)

    def change_mask(self) -> None:
        """Somebody else writes the mask of the case in view, or of another, anew."""
        path = self.rng.choice(sorted((self.home / "masks" / "reader").iterdir()))
        content = path.read_bytes()
        self.tell("changed", path=path.name)
        path.write_bytes(content + b"\0")

    def open_again(self) -> None:
        """The same reviewer opens the data set a second time, which is refused."""
        try:
            ReviewSession(self.home, REVIEWER).close()
        except BlockingIOError:
            self.tell("refused")
        else:
            self.tell("opened twice")


DISTURB: dict[str, Callable[[Victim], None]] = {
    "full": lambda victim: victim.fail_writes(errno.ENOSPC),
    "read-only": lambda victim: victim.fail_writes(errno.EROFS),
    "filled disk": Victim.fill_disk,
    "read-only mount": Victim.forbid_writing,
    "changed": Victim.change_mask,
    "twice": Victim.open_again,
}


def filler(home: Path) -> Path:
    """What fills the disk of a data set."""
    return home.with_name("filler")


@contextmanager
def disk(folder: Path, kind: str) -> Iterator[Path]:
    """Where a data set is to lie: on a small disk of its own where that is filled or locked."""
    root = folder / "disk"
    root.mkdir()
    mounts = kind in MOUNTED
    if mounts:
        subprocess.run(["mount", "-t", "tmpfs", "-o", DISK, "tmpfs", root], check=True)
    try:
        yield root / "small"
    finally:
        if mounts:
            subprocess.run(["umount", "--lazy", root], check=True)


def writable_again(home: Path) -> None:
    """Free the disk, and take away what was mounted over the data set."""
    filler(home).unlink(missing_ok=True)
    time.sleep(0.5)  # for a mount that was begun when the window died
    subprocess.run(["umount", home], stderr=subprocess.DEVNULL)


def start(home: Path, kind: str, seed: int) -> tuple[int, int]:
    """Begin to work in a process of its own; its id, and where its words can be read."""
    reading, writing = os.pipe()
    pid = os.fork()
    if pid:
        os.close(writing)
        return pid, reading
    beside = home.parents[1]
    os.environ["XDG_STATE_HOME"] = str(beside / "state")
    os.environ["XDG_CONFIG_HOME"] = str(beside / "config")
    log = os.open(beside / "window.log", os.O_CREAT | os.O_WRONLY)
    os.dup2(log, 1)
    os.dup2(log, 2)

    def tell(what: str, **more: Any) -> None:
        os.write(
            writing, json.dumps({"what": what, "t": time.monotonic(), **more}).encode() + b"\n"
        )

    try:
        victim = Victim(home, tell, kind, random.Random(seed))
        tell("ready")
        victim.work()
    except BaseException as error:
        tell("failed", error=repr(error))
    os._exit(1)


def told(reading: int, until: Callable[[list[dict[str, Any]]], bool], seconds: float) -> list[Any]:
    """All words of a window until something has been said, or time is over, or it ended."""
    os.set_blocking(reading, False)
    content, end = b"", time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            part = os.read(reading, 1 << 16)
        except BlockingIOError:
            time.sleep(0.002)
            part = None
        if part == b"":
            break
        content += part or b""
        words = [json.loads(line) for line in content.splitlines() if line.endswith(b"}")]
        if part and until(words):
            break
    return [json.loads(line) for line in content.splitlines() if line.endswith(b"}")]


def moment(kind: str, rng: random.Random) -> tuple[str, float]:
    """What is waited for, and how long after it the window is killed."""
    return {
        "painting": ("ready", rng.uniform(1.0, 7.0)),
        "saving": ("stroke", rng.uniform(0.9, 1.8)),
        "deciding": ("key", rng.uniform(0.0, 0.3)),
        "closing": ("closing", rng.uniform(0.0, 0.4)),
    }.get(kind, ("ready", rng.uniform(2.0, 8.0)))


def hashes(home: Path) -> dict[str, str]:
    """Of all that was there before anybody reviewed, but for the table, which gets new rows."""
    folders = (home / "images", home / "masks" / "reader", home / "masks" / "consensus-model")
    return {
        str(path.relative_to(home)): hashlib.sha256(path.read_bytes()).hexdigest()
        for folder in folders
        for path in sorted(folder.iterdir())
    }


def trial(template: Path, kind: str, seed: int) -> dict[str, Any]:
    """Kill one window, and look at what is left."""
    rng = random.Random(seed)
    with tempfile.TemporaryDirectory() as folder, disk(Path(folder), kind) as home:
        shutil.copytree(template, home)
        before = hashes(home)
        pid, reading = start(home, kind, seed)
        what, after = moment(kind, rng)
        count = rng.randint(1, 6) if what in ("stroke", "key") else 1
        words = told(reading, lambda w: sum(x["what"] == what for x in w) >= count, 300)
        more = told(reading, lambda w: False, after)
        killed = time.monotonic()
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        words += more + told(reading, lambda w: False, 5)
        os.close(reading)
        if kind in MOUNTED:
            writable_again(home)
        problems = judge(home, words, before, killed)
    named = [word["what"] for word in words]
    return {
        "kind": kind,
        "seed": seed,
        "strokes": named.count("stroke"),
        "decisions": named.count("decided"),
        "problems": problems,
    }


def judge(
    home: Path, words: list[dict[str, Any]], before: dict[str, str], killed: float
) -> list[str]:
    """What is wrong with what a killed window has left."""
    os.environ["XDG_STATE_HOME"] = str(home.parents[1] / "state")
    problems = [f"the window failed: {w['error']}" for w in words if w["what"] == "failed"]
    problems += ["opened twice" for w in words if w["what"] == "opened twice"]
    if not any(w["what"] == "ready" for w in words):
        problems.append("the window did not start")
    changed = {f"masks/reader/{w['path']}" for w in words if w["what"] == "changed"}
    now = hashes(home)
    problems += [f"{name} is changed" for name in before if now.get(name) != before[name]
                 and name not in changed]  # fmt: skip
    decided = {w["id"]: w["decision"] for w in words if w["what"] == "decided"}
    with ReviewSession(home, REVIEWER) as session:
        problems += [f"told at the start: {told}" for told in session.warnings if "damage" in told]
        log = read_log(session.dataset, session.home, REVIEWER) if decided else None
        for id, decision in decided.items():
            found = None if log is None else log.decision(id)
            when = max(w["t"] for w in words if w["what"] == "decided" and w["id"] == id)
            later = [w for w in words if w["what"] == "key" and w["t"] > when]
            if found is None or (found.decision != decision and not later):
                problems.append(f"{decision} on {id} is lost")
        for word in words:
            if word["what"] != "stroke" or killed - word["t"] < OLD_S:
                continue
            mask = session.load(word["id"]).start
            if mask is None or mask[tuple(word["at"])] != 1:
                age = killed - word["t"]
                problems.append(f"a stroke on {word['id']}, {age:.1f} s old, is lost")
    left = [str(path.relative_to(home)) for path in home.rglob("*.tmp*")]
    return problems + [f"left: {left[:3]}"] * bool(left)


def summary(found: list[dict[str, Any]]) -> dict[str, Any]:
    """Counts by kind, and every problem."""
    kinds: dict[str, dict[str, int]] = {}
    for result in found:
        own = kinds.setdefault(
            result["kind"], {"kills": 0, "strokes": 0, "decisions": 0, "wrong": 0}
        )
        own["kills"] += 1
        own["strokes"] += result["strokes"]
        own["decisions"] += result["decisions"]
        own["wrong"] += bool(result["problems"])
    total = {name: sum(own[name] for own in kinds.values()) for name in next(iter(kinds.values()))}
    return {**total, "kinds": kinds, "problems": [r for r in found if r["problems"]]}


def page(figures: dict[str, Any]) -> str:
    """The counts as Markdown."""
    lines = [
        "# Killing the window of a review",
        "",
        f"The window died {figures['kills']} times while it was worked in by real keys and drags; "
        f"{figures['kills'] - figures['wrong']} times nothing was lost: every decision that was "
        f"acknowledged ({figures['decisions']} in all), every stroke older than two seconds (of "
        f"{figures['strokes']} strokes), and every file of the annotators, byte for byte. See "
        "`scripts/campaign/desk_kills.py`.",
        "",
        "| while | kills | strokes | decisions | wrong |",
        "|---|---|---|---|---|",
    ]
    for kind, own in figures["kinds"].items():
        lines.append(f"| {kind} | " + " | ".join(str(number) for number in own.values()) + " |")
    lines += [
        "",
        "*full* and *read-only*: every write under the data set fails since a random moment; "
        "*filled disk* and *read-only mount*: the data set lies on a disk of its own, which is "
        "filled at a random moment, or is mounted read-only then; "
        "*changed*: somebody writes a mask anew meanwhile; *twice*: the same reviewer opens the "
        "data set again, which is refused.",
    ]
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--minutes", type=float, default=600)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", nargs="+", choices=KINDS + MOUNTED, default=list(KINDS))
    parser.add_argument("--output", type=Path, default=Path("docs/results/campaign"))
    given = parser.parse_args()
    end, found = time.monotonic() + 60 * given.minutes, []
    with tempfile.TemporaryDirectory() as folder:
        template = Path(folder) / "small"
        make_data("small", CASES, template)
        Dataset.open(template)
        for number in range(given.kills):
            if time.monotonic() > end:
                break
            kind = given.only[number % len(given.only)]
            result = trial(template, kind, 1000 * given.seed + number)
            found.append(result)
            print(f"{number + 1:4d} {kind}: {'; '.join(result['problems']) or 'ok'}", flush=True)
            figures = summary(found)
            atomic_write_json(given.output / "desk_kills.json", figures)
            atomic_write_text(given.output / "desk_kills.md", page(figures))
    sys.exit(1 if any(result["problems"] for result in found) else 0)


if __name__ == "__main__":
    main()
