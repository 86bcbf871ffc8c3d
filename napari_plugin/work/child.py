"""The child's side of a child process: what it runs in, and how it speaks to the window.

Imports neither Qt nor napari, so that TensorFlow may be imported in the child.
"""

import logging
import os
import re
import threading
import traceback
from collections.abc import Callable
from multiprocessing import parent_process
from multiprocessing.connection import Connection
from typing import Any

from keras_robust.common.words import failure

__all__ = ["Cancelled", "Channel", "in_words", "plain", "run_child"]


class Cancelled(KeyboardInterrupt):
    """The user cancelled: a KeyboardInterrupt, so that a training run notes an interruption."""


class Channel:
    """How a function in the child speaks to the window.

    Args:
        connection: To the parent process.
    """

    def __init__(self, connection: Connection):
        self._connection = connection
        self._lock = threading.Lock()

    def send(self, message: Any) -> None:
        """Send anything that can be pickled, then wait while paused.

        Raises:
            Cancelled: The user cancelled.
        """
        self._put("message", message)
        self.check()

    def check(self) -> None:
        """Wait while paused.

        Raises:
            Cancelled: The user cancelled.
        """
        paused = False
        while paused or self._connection.poll():
            command = self._connection.recv()
            if command == "cancel":
                raise Cancelled
            paused = command == "pause"
            self._put("paused", paused)

    def _put(self, kind: str, content: Any) -> None:
        with self._lock:
            self._connection.send((kind, content))


def run_child(function: Callable[..., Any], connection: Connection, args: tuple[Any, ...]) -> None:
    """Run `function(channel, *args)` and send its result, or its error in words."""
    threading.Thread(target=_die_with_parent, daemon=True).start()
    channel = Channel(connection)
    try:
        result = function(channel, *args)
    except Cancelled:
        channel._put("cancelled", None)
    except KeyboardInterrupt:
        channel._put("cancelled", None)
    except BaseException as error:
        channel._put("failed", (in_words(error), traceback.format_exc()))
    else:
        channel._put("result", result)
    finally:
        connection.close()


def in_words(error: BaseException) -> str:
    """An error as clinicians read it: what is wrong and what to do, in no words of a programmer.

    The project's own messages lose the grammar in which libraries speak; those of the system are
    told by their cause. An error that the project did not foresee is logged with its trace.

    >>> in_words(ValueError("Expected a folder."))
    'Expected a folder.'
    >>> in_words(ValueError("Invalid value for argument `q`. Expected 0 < q. Received: q=-1. Mend"))
    'Expected 0 < q, not -1. Mend'
    >>> in_words(OSError(28, "No space left on device", "/data/a.png"))
    'The disk is full (/data/a.png). Free some space and try again.'
    >>> in_words(OSError(28, "No space left on device", "/data/.a.png.1f3a.tmp"))
    'The disk is full (/data). Free some space and try again.'
    """
    if isinstance(error, OSError) and error.errno is not None:
        return _of_system(error)
    text = str(error)
    if isinstance(error, _FORESEEN) and _OWN.match(text):
        return plain(text)
    logging.getLogger(__name__).error("An unforeseen error", exc_info=error)
    return UNFORESEEN


def plain(text: str) -> str:
    """A message of the library without the grammar in which libraries speak.

    >>> plain("Invalid value for argument `q`. Expected 0 < q. Received: q=(2, 3)")
    'Expected 0 < q, not 2 × 3'
    """
    told = _GRAMMAR.sub(r"Expected \1, not \2", text)
    return _SHAPE.sub(lambda shape: " × ".join(_NUMBER.findall(shape[0])), told)


UNFORESEEN = (
    "The program made a mistake that nobody foresaw. What was saved before is safe. Try again; if "
    "it happens again, tell the developers."
)
_FORESEEN = (ValueError, OSError, ArithmeticError, ImportError, RuntimeError)
# A sentence: what other libraries raise begins small, or ends without a stop.
_OWN = re.compile(r".*Received: |[^a-z\s]\S* .*[.…]\s*\Z", re.DOTALL)
_GRAMMAR = re.compile(
    r"Invalid value for argument `\w+`\. Expected (.+?)\. Received: (?:\w+=)?(.+)", re.DOTALL
)
_SHAPE = re.compile(r"\(\d+(?:, ?\d+)+\)")
_NUMBER = re.compile(r"\d+")


def _place(path: str) -> str:
    """A file, or the folder of one that has a name only while it is written."""
    folder, name = os.path.split(path)
    return folder if name.endswith(".tmp") else path


def _of_system(error: OSError) -> str:
    told = (error.strerror or "").strip()
    if " " in told and told.endswith("."):  # in the project's own words
        return told
    cause, remedy = failure(error)
    where = f" ({_place(str(error.filename))})" if error.filename else ""
    return f"{cause}{where}. {remedy}"


def _die_with_parent() -> None:
    parent = parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
