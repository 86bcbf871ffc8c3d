"""Loaded by every Python process of a campaign: count its writes under a folder, and disturb one.

The variable CAMPAIGN holds JSON: `folder`, `counts` (a folder that gets a file per process, a byte
per write), and, to disturb, `kind` of process ("main" or "worker"), `number` of the write, `what`
("kill", or "full": no new file or folder can be made from then on) and `marker`, a file that is
made once it has happened.
"""

import errno
import json
import os
import signal
import sys

plan = json.loads(os.environ.get("CAMPAIGN", "{}"))


def kind_of_process():
    words = getattr(sys, "orig_argv", sys.argv)
    started = any("scheduling.worker" in word or "multiprocessing" in word for word in words)
    return "worker" if started else "main"


def is_write(event, arguments):
    """Whether an event changes a file, and whether it makes a new one."""
    if event == "open":
        path, _, flags = arguments
        if not isinstance(path, str) or not flags & (os.O_WRONLY | os.O_RDWR):
            return None
        return path, bool(flags & os.O_TRUNC) or not os.path.exists(path)
    if event in ("os.rename", "os.remove", "os.mkdir", "os.rmdir"):
        return arguments[0], event == "os.mkdir"
    return None


if plan:
    kind = kind_of_process()
    folder = plan["folder"] + os.sep
    counter = os.open(
        f"{plan['counts']}/{kind}-{os.getpid()}", os.O_CREAT | os.O_WRONLY | os.O_APPEND
    )
    done = 0

    def disturb(event, arguments):
        global done
        if event[:2] not in ("op", "os"):
            return
        found = is_write(event, arguments)
        if found is None or not isinstance(found[0], str):
            return
        if not os.path.abspath(found[0]).startswith(folder):
            return
        done += 1
        os.write(counter, b".")
        if not plan.get("what"):
            return
        happened = os.path.exists(plan["marker"])
        due = not happened and kind == plan["kind"] and done >= plan["number"]
        if due:
            os.close(os.open(plan["marker"], os.O_CREAT | os.O_WRONLY))
        if due and plan["what"] == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        if (due or happened) and plan["what"] == "full" and found[1]:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), found[0])

    sys.addaudithook(disturb)
