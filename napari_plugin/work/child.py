"""The child's side of a child process: what it runs in, and how it speaks to the window.

Imports neither Qt nor napari, so that TensorFlow may be imported in the child.
"""

import os
import threading
import traceback
from collections.abc import Callable
from multiprocessing import parent_process
from multiprocessing.connection import Connection
from typing import Any

__all__ = ["Cancelled", "Channel", "run_child"]


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
    """An error as a sentence: the project's own messages as they are, others with their type.

    >>> in_words(ValueError("Expected a folder.")), in_words(KeyError("a"))
    ('Expected a folder.', "KeyError: 'a'")
    """
    text = str(error)
    spoken = isinstance(error, (ValueError, OSError, ArithmeticError, ImportError)) and text
    return text if spoken else f"{type(error).__name__}: {text}".removesuffix(": ")


def _die_with_parent() -> None:
    parent = parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
