"""The devices of this machine that a run takes: the one file of training that knows them."""

from contextlib import AbstractContextManager, nullcontext

import tensorflow as tf

from keras_robust.common.errors import invalid

__all__ = ["device_scope", "jit_compiles", "limit_threads", "replicas", "require_shared"]


def device_scope() -> AbstractContextManager:
    """Scope of a `tf.distribute.MirroredStrategy` where there are several devices.

    >>> with device_scope():
    ...     pass
    """
    return tf.distribute.MirroredStrategy(_devices()).scope() if replicas() > 1 else nullcontext()


def replicas() -> int:
    """Number of devices that share a batch."""
    return len(_devices())


def require_shared(batch_size: int, argument: str) -> None:
    """See to it that the devices can share a batch.

    Raises:
        ValueError: Its size is no multiple of their number.
    """
    if batch_size % replicas():
        raise invalid(
            argument,
            f"a multiple of {replicas()}, the number of devices",
            said=f"{argument}={batch_size}",
        )


def jit_compiles() -> bool:
    """Whether XLA compiles the training step: it is slower than Eigen and oneDNN on a CPU, and
    fails with several replicas."""
    return bool(tf.config.list_logical_devices("GPU")) and replicas() == 1


def limit_threads(threads: int | None) -> None:
    """Limit the threads of TensorFlow in this process.

    Raises:
        RuntimeError: TensorFlow has begun to compute with another number of threads.
    """
    if threads is None:
        return
    for get, set_ in (
        (
            tf.config.threading.get_intra_op_parallelism_threads,
            tf.config.threading.set_intra_op_parallelism_threads,
        ),
        (
            tf.config.threading.get_inter_op_parallelism_threads,
            tf.config.threading.set_inter_op_parallelism_threads,
        ),
    ):
        if get() == threads:
            continue
        try:
            set_(threads)
        except RuntimeError:
            raise RuntimeError(
                f"The number of threads can no longer change: TensorFlow runs with {get()}, "
                f"expected threads={threads}. Train in a new process, or leave `threads` unset."
            ) from None


def _devices() -> list[str]:
    accelerators = [device.name for device in tf.config.list_logical_devices("GPU")]
    return accelerators or [device.name for device in tf.config.list_logical_devices("CPU")]
