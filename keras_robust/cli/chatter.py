"""Standard error without what TensorFlow says of itself while it starts.

Its libraries write such lines to the file descriptor, before and beside any level of logging.
"""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import IO, cast

__all__ = ["without_chatter"]

# Lines of level "information", the one by which the library says that it will write some, and those
# of any level by which it says that there is no GPU, or that its parts are registered twice.
_STAMP = rb"(?:[IWE]\d{4} \d\d:|\d{4}-\d\d-\d\d [\d:.]+: [IWE] )"
_CHATTER = (
    rb"I\d{4} \d\d:|\d{4}-\d\d-\d\d [\d:.]+: I |WARNING: All log messages before absl::|"
    rb"%s.*(?:failed call to cuInit|Unable to register cu\w+ |already registered)"
) % _STAMP
# In a process of its own: what a crash says last is still read.
_READER = f"""
import re, signal, sys
signal.signal(signal.SIGINT, signal.SIG_IGN)
for line in sys.stdin.buffer:
    if not re.match({_CHATTER!r}, line):
        sys.stderr.buffer.write(line)
        sys.stderr.flush()
"""


@contextmanager
def without_chatter() -> Iterator[None]:
    """Leave what TensorFlow's libraries say while they start out of standard error, meanwhile.

    What Python writes goes to the terminal as before, progress bars included. Nothing changes where
    standard error is not the process's own, as under a test, and for TF_CPP_MIN_LOG_LEVEL=0.
    """
    own = sys.stderr is sys.__stderr__ and sys.stderr is not None
    if not own or os.environ.get("TF_CPP_MIN_LOG_LEVEL") == "0":
        yield
        return
    sys.stderr.flush()
    reader = subprocess.Popen([sys.executable, "-I", "-S", "-c", _READER], stdin=subprocess.PIPE)
    terminal = os.dup(2)
    screen = os.fdopen(terminal, "w", buffering=1, encoding=sys.stderr.encoding, errors="replace")
    try:
        with cast(IO[bytes], reader.stdin) as pipe:
            os.dup2(pipe.fileno(), 2)
        sys.stderr = screen
        yield
    finally:
        screen.flush()
        os.dup2(terminal, 2)
        sys.stderr = sys.__stderr__
        screen.close()
        # A child that outlives the command may hold the pipe.
        with suppress(subprocess.TimeoutExpired):
            reader.wait(timeout=1)
