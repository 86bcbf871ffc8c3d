"""What goes wrong while batches are read, in words of the case that it happened to."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

__all__ = ["cannot_read", "note_failure", "reading_errors", "told"]

T = TypeVar("T")

# Errors of reading, by id: TensorFlow turns them into text of its own on their way.
_failures: list[tuple[str, Exception]] = []


def note_failure(id: str, error: Exception) -> None:
    """Keep an error of reading for `reading_errors`."""
    _failures.append((id, error))


def cannot_read(id: str, error: Exception) -> ValueError:
    """The error of a case that cannot be read."""
    return ValueError(f"Case {id!r} cannot be read. {error}")


def told(make: Callable[[int], T], id: Callable[[int], str]) -> Callable[[int], T]:
    """A function of an index whose errors of reading name the case.

    Raises:
        ValueError: Where `make` raises ValueError or OSError.
    """

    def call(index: int) -> T:
        try:
            return make(index)
        except (ValueError, OSError) as error:
            raise cannot_read(id(index), error) from error

    return call


@contextmanager
def reading_errors() -> Iterator[None]:
    """Raise what failed while a stream was read, instead of TensorFlow's account of it.

    Raises:
        ValueError: An image or mask cannot be read; its id is named.

    >>> with reading_errors():
    ...     pass
    """
    _failures.clear()
    try:
        yield
    except Exception as error:
        if not _failures or not _is_of_tensorflow(error):
            raise
        id, cause = _failures[0]
        raise cannot_read(id, cause) from cause


def _is_of_tensorflow(error: Exception) -> bool:
    import keras

    if keras.backend.backend() != "tensorflow":
        return False
    import tensorflow as tf

    return isinstance(error, tf.errors.OpError)
