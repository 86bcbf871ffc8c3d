"""Arrays of Python within `tf.data`."""

import atexit
import gc
import sys
from collections.abc import Callable, Sequence

import numpy as np
import tensorflow as tf
from numpy.typing import DTypeLike

from keras_robust.training.feeding.reading import note_failure

__all__ = ["from_python", "stream_options"]


@atexit.register
def _end_streams() -> None:
    """End streams while Python's threads still run.

    A stream that is freed later, by the end of the interpreter, may wait for them for ever; an
    error, or an interrupt, that ended the program holds the stream that it came from.
    """
    for name in ("last_exc", "last_value", "last_traceback"):
        vars(sys).pop(name, None)
    gc.collect()


def from_python(
    make: Callable[[int], tuple[np.ndarray, ...]],
    index: tf.Tensor,
    like: Sequence[tuple[tuple[int, ...], DTypeLike]],
    id: Callable[[int], str],
) -> list[tf.Tensor]:
    """Arrays that a function makes of an index, within a graph.

    What goes wrong is kept for `reading_errors`. TensorFlow learns no more than that something
    did, since it prints a traceback of every exception it sees.

    Args:
        make: Returns the arrays of an index.
        index: A scalar.
        like: Shape and type of each array.
        id: Of the case that an index belongs to.
    """

    def call(index):
        try:
            return (*make(index), np.True_)
        except (ValueError, OSError) as error:
            note_failure(id(index), error)
            return (*(np.zeros(shape, dtype) for shape, dtype in like), np.False_)

    dtypes = [tf.as_dtype(dtype) for _, dtype in like]
    *arrays, done = tf.numpy_function(call, [index], (*dtypes, tf.bool), stateful=False)
    done.set_shape(())
    with tf.control_dependencies([tf.debugging.Assert(done, ["a case cannot be read"])]):
        return [
            tf.ensure_shape(array, shape) for array, (shape, _) in zip(arrays, like, strict=True)
        ]


def stream_options(threads: int | None) -> tf.data.Options:
    """In order, and by so many threads."""
    options = tf.data.Options()
    options.deterministic = True
    if threads is not None:
        options.threading.private_threadpool_size = threads
        options.threading.max_intra_op_parallelism = 1
    return options
