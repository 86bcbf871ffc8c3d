"""Kill long commands, or their workers, at random writes: the same command again gives the same.

    python scripts/campaign/kills.py --kills 200            # the full campaign, hours
    python scripts/campaign/kills.py --quick                # a minute, for continuous integration

Every command runs once undisturbed. Then a command, a kind of process (itself or a worker) and one
of its writes (opening a file to write it, renaming, removing, making a folder) are drawn; the
process is killed there, outright. Workers that outlive it are waited for, and the same command is
given until it ends well. All its files must then be those of the undisturbed one, but for times
and names of machines, and nothing half written may be left.
"""

import argparse
import json
import random
import shutil
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))
from long_commands import (
    COMMANDS,
    LongCommand,
    counted,
    fill_data,
    leftovers,
    make_data,
    outcome,
    run,
    wait_for_orphans,
)

AGAIN = 6  # a command may say that work goes on elsewhere


class Campaign:
    """Disturbs commands and keeps what came of it.

    Args:
        work: Folder for everything.
        commands: To disturb.
        what: "kill" or "full", see `disturbed/sitecustomize.py`.
        seed: Of what is drawn.
    """

    def __init__(self, work: Path, commands: list[LongCommand], what: str, seed: int):
        self.work, self.commands, self.what = work, commands, what
        self.rng = random.Random(seed)
        self.data = make_data(work / "data")
        fill_data(self.data, commands)
        self.expected: dict[str, tuple[dict[str, str], dict[str, int]]] = {}
        self.found: list[dict[str, Any]] = []

    def undisturbed(self, command: LongCommand) -> tuple[dict[str, str], dict[str, int]]:
        """Files of a command that is left alone, and how often each kind of process writes."""
        if command.name not in self.expected:
            out, plan = self._begin(command)
            done = run(command.arguments(self.data, out), plan)
            if done.returncode:
                raise RuntimeError(f"{command.name}: {done.stderr[-2000:]}")
            self.expected[command.name] = outcome(out), counted(Path(plan["counts"]))
        return self.expected[command.name]

    def disturb(self, command: LongCommand) -> dict[str, Any]:
        """Disturb a command at a random write, and give it again until it ends well."""
        expected, writes = self.undisturbed(command)
        kind = self.rng.choice(sorted(writes))
        number = self.rng.randint(1, writes[kind])
        out, plan = self._begin(command)
        marker = self.work / "marker"
        marker.unlink(missing_ok=True)
        plan |= {"what": self.what, "kind": kind, "number": number, "marker": str(marker)}
        arguments = command.arguments(self.data, out)
        first = run(arguments, plan)
        problems = self.after_first(first, out) if marker.exists() else []
        for _ in range(AGAIN):
            wait_for_orphans(out)
            last = run(arguments, {})
            if last.returncode == 0:
                break
        else:
            problems.append(f"does not go on: {last.stderr[-300:]}")
        found = outcome(out)
        differing = [name for name in {*expected, *found} if expected.get(name) != found.get(name)]
        if differing:
            problems.append(f"{len(differing)} files differ, such as {sorted(differing)[:3]}")
        if left := leftovers(out):
            problems.append(f"left: {left[:3]}")
        return {
            "command": command.name,
            "process": kind,
            "write": number,
            "of": writes[kind],
            "happened": marker.exists(),
            "problems": problems,
        }

    def after_first(self, done: Any, out: Path) -> list[str]:
        """What is wrong right after the disturbance."""
        return []

    def run(self, times: int, seconds: float) -> None:
        """Disturb in turn, so often, or until the time is over."""
        end = time.monotonic() + seconds
        for number in range(times):
            if time.monotonic() > end:
                break
            result = self.disturb(self.commands[number % len(self.commands)])
            self.found.append(result)
            state = "; ".join(result["problems"]) or "ok"
            print(
                f"{number + 1:4d} {result['command']}: {self.what} of {result['process']} at write "
                f"{result['write']} of {result['of']}: {state}",
                flush=True,
            )

    def summary(self) -> dict[str, Any]:
        """Counts, by command, and every problem."""
        counts: dict[str, dict[str, int]] = {}
        for result in self.found:
            own = counts.setdefault(result["command"], {"times": 0, "workers": 0, "wrong": 0})
            own["times"] += result["happened"]
            own["workers"] += result["happened"] and result["process"] == "worker"
            own["wrong"] += bool(result["problems"])
        return {
            "what": self.what,
            "times": sum(own["times"] for own in counts.values()),
            "of workers": sum(own["workers"] for own in counts.values()),
            "wrong": sum(own["wrong"] for own in counts.values()),
            "commands": counts,
            "problems": [result for result in self.found if result["problems"]],
        }

    def _begin(self, command: LongCommand) -> tuple[Path, dict[str, Any]]:
        out, counts = self.work / "out", self.work / "counts"
        for folder in (out, counts):
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
        command.prepare(self.data, out)
        return out, {"folder": str(out), "counts": str(counts)}


def options(times: str, default: int) -> argparse.Namespace:
    """The command line of a campaign."""
    parser = argparse.ArgumentParser(description=f"Campaign of {times}; see the head of the file.")
    parser.add_argument(f"--{times}", dest="times", type=int, default=default)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--minutes", type=float, default=600, help="at most, without preparations")
    parser.add_argument("--quick", action="store_true", help="light commands, in a minute")
    parser.add_argument("--commands", nargs="*", help="only these")
    parser.add_argument("--output", type=Path, help="file for the figures, JSON")
    given = parser.parse_args()
    chosen = [
        command
        for command in COMMANDS
        if (command.light or not given.quick)
        and (not given.commands or command.name in given.commands)
    ]
    given.chosen = chosen
    if given.quick:
        given.times, given.minutes = min(given.times, 2 * len(chosen)), 0.4
    return given


def conclude(campaign: Campaign, given: argparse.Namespace) -> None:
    """Print and write the figures; the exit code tells whether all went well."""
    figures = {"seed": given.seed, **campaign.summary()}
    text = json.dumps(figures, indent=2) + "\n"
    if given.output:
        given.output.parent.mkdir(parents=True, exist_ok=True)
        given.output.write_text(text)
    print(text)
    sys.exit(1 if figures["wrong"] else 0)


if __name__ == "__main__":
    given = options("kills", 30)
    with tempfile.TemporaryDirectory() as folder:
        campaign = Campaign(Path(folder), given.chosen, "kill", given.seed)
        campaign.run(given.times, 60 * given.minutes)
        conclude(campaign, given)
