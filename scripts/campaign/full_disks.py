"""Let the disk fill up under long commands: they say so, leave nothing half, and go on with room.

    python scripts/campaign/full_disks.py --disks 50        # the full campaign, hours
    python scripts/campaign/full_disks.py --quick           # a minute, for continuous integration

From a random write of a command, or of a worker, on no new file or folder can be made under its
output (ENOSPC), in any of its processes. The command must end with a message, not with a traceback,
that tells of the disk; nothing half written may be left. With room again the same command must give
the files of an undisturbed one.
"""

import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
from kills import Campaign, conclude, options
from long_commands import leftovers, wait_for_orphans


class FullDisks(Campaign):
    """A campaign that also looks at what a command says and leaves when its disk is full."""

    def after_first(self, done: subprocess.CompletedProcess[str], out: Path) -> list[str]:
        wait_for_orphans(out)
        problems = []
        if "Traceback" in done.stderr:
            problems.append(f"traceback: {done.stderr[-200:]}")
        elif done.returncode and "No space left" not in done.stderr + done.stdout:
            problems.append(f"does not tell of the disk: {done.stderr[-200:]}")
        if left := leftovers(out):
            problems.append(f"left on the full disk: {left[:3]}")
        return problems


if __name__ == "__main__":
    given = options("disks", 20)
    with tempfile.TemporaryDirectory() as folder:
        campaign = FullDisks(Path(folder), given.chosen, "full", given.seed)
        campaign.run(given.times, 60 * given.minutes)
        conclude(campaign, given)
