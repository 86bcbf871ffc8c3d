"""The devices of this machine that a run takes: the one file of training that knows them.

Keras and its backend are imported when they are asked, so that devices are chosen before, and
models are read where another backend is installed.
"""

import json
import os
import shutil
import subprocess
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from keras_robust.common.errors import invalid

__all__ = [
    "choose_devices",
    "data_parallel",
    "device_scope",
    "join_machines",
    "joined",
    "jit_compiles",
    "limit_threads",
    "machines_together",
    "replicas",
    "require_chosen",
    "require_shared",
    "require_trainable",
]

BACKENDS = ("tensorflow", "jax", "torch")
OF_STEP = "SLURM_STEP_NUM_TASKS"
FIRST_PORT = 12288  # up to those that Linux gives to connections
VARIABLE = "KERAS_ROBUST_DEVICES"  # what was chosen, for this process and those that it starts

_together: Any = None  # the strategy of several machines, of which a process can join one


def choose_devices(chosen: str | None) -> None:
    """Let this process, before its backend starts, and those that it starts use some devices alone.

    Args:
        chosen: `"cpu"`, `"all"`, or numbers of GPUs as `nvidia-smi` lists them, such as `"0,1"`;
            `None` changes nothing.

    Raises:
        ValueError: It is none of these, or there are no such GPUs.

    >>> choose_devices("gpu")
    Traceback (most recent call last):
    ValueError: Invalid value for argument `devices`. Expected 'cpu', 'all' or numbers of GPUs, \
such as 0 or 0,1. Received: devices='gpu'
    """
    if chosen is None:
        return
    wanted = chosen.strip().lower()
    numbers = [part.strip() for part in wanted.split(",")]
    if wanted not in ("cpu", "all"):
        if not all(number.isdecimal() for number in numbers) or len(set(numbers)) < len(numbers):
            raise invalid("devices", "'cpu', 'all' or numbers of GPUs, such as 0 or 0,1", chosen)
        count = _gpus_of_machine()
        if max(map(int, numbers)) >= count:
            there = f"numbers from 0 to {count - 1}" if count else "'cpu'"
            raise invalid(
                "devices",
                f"{there}, since this machine has {count or 'no'} NVIDIA GPU(s)",
                chosen,
                "`nvidia-smi -L` lists them.",
            )
        os.environ["CUDA_VISIBLE_DEVICES"] = ",".join(numbers)
    elif wanted == "cpu":
        os.environ |= {"CUDA_VISIBLE_DEVICES": "", "JAX_PLATFORMS": "cpu"}
    os.environ[VARIABLE] = wanted


def require_chosen() -> None:
    """See to it that the backend has the GPUs that were chosen, instead of going on without.

    Raises:
        ValueError: It sees fewer.
    """
    chosen = os.environ.get(VARIABLE, "all")
    if chosen in ("all", "cpu"):
        return
    wanted, seen = chosen.count(",") + 1, _gpus_of_backend()
    if seen < wanted:
        backend = _backend()
        raise invalid(
            "devices",
            f"GPUs that {backend} can use; it sees {seen} of the chosen {wanted}",
            chosen,
            f"Install {backend} for NVIDIA GPUs, as by `{_WITH_GPU[backend]}`, or choose cpu.",
        )


_WITH_GPU = {
    "tensorflow": 'pip install "tensorflow[and-cuda]"',
    "jax": 'pip install "jax[cuda12]"',
    "torch": "pip install torch",
}


def _gpus_of_machine() -> int:
    """How many NVIDIA GPUs there are, whatever is visible to this process."""
    if shutil.which("nvidia-smi") is None:
        return 0
    listed = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True).stdout
    return sum(line.startswith("GPU ") for line in listed.splitlines())


def _gpus_of_backend() -> int:
    backend = _backend()
    if backend == "torch":
        import torch

        return torch.cuda.device_count()
    if backend == "jax":
        import jax

        return len([device for device in jax.devices() if device.platform != "cpu"])
    import tensorflow as tf

    return len(tf.config.list_physical_devices("GPU"))


def _backend() -> str:
    import keras

    return keras.backend.backend()


def require_trainable(across_machines: bool = False) -> None:
    """See to it that a run can be trained here.

    Args:
        across_machines: Whether the machines of TF_CONFIG are to train one run together.

    Raises:
        ValueError: Keras runs on a backend that does not train, or the environment describes
            several machines, which would each train the whole run; see also `require_chosen`.
    """
    backend = _backend()
    if backend not in BACKENDS:
        raise invalid(
            "KERAS_BACKEND",
            f"one of {BACKENDS}, which can train",
            said=f"KERAS_BACKEND={backend!r}",
            remedy="Set the environment variable KERAS_BACKEND=tensorflow before Keras is "
            "imported.",
        )
    require_chosen()
    machines = machines_together() if across_machines else _machines(_tf_config())
    if machines > 1 and not (across_machines and backend == "tensorflow"):
        by = "TF_CONFIG" if _machines(_tf_config()) else OF_STEP
        raise invalid(
            by,
            "one machine; several train one run by `keras-robust train`, on TensorFlow",
            said=f"a cluster of {machines}, each of which would train the whole run",
            remedy=f"Unset the environment variable {by}, and give each machine runs of its own.",
        )


def machines_together() -> int:
    """How many machines the environment says that one run is for; 0 or 1 for this alone.

    TF_CONFIG names them, or a step of SLURM (`srun`) has a task for each.
    """
    tasks = os.environ.get(OF_STEP, "")
    return _machines(_tf_config()) or (int(tasks) if tasks.isdecimal() else 0)


def joined() -> bool:
    """Whether this process trains together with other machines, see `join_machines`."""
    return _together is not None


def join_machines() -> bool:
    """Meet the other machines of `machines_together`, before TensorFlow computes anything.

    Returns:
        Whether this machine is the one that writes.

    Raises:
        RuntimeError: TensorFlow has begun to compute.
    """
    global _together
    import tensorflow as tf

    if _together is None:
        if not _machines(_tf_config()):
            os.environ["TF_CONFIG"] = json.dumps(_of_slurm())
        _together = tf.distribute.MultiWorkerMirroredStrategy()
    resolver = _together.cluster_resolver
    first = "chief" if "chief" in resolver.cluster_spec().jobs else "worker"
    return resolver.task_type == first and resolver.task_id == 0


def _of_slurm() -> dict[str, Any]:
    """TF_CONFIG of a task of a step of SLURM."""
    import tensorflow as tf

    # Steps that run on one node at the same time take ports of their own.
    job, step = (int(os.environ.get(f"SLURM_{name}", 0)) for name in ("JOB_ID", "STEP_ID"))
    port = FIRST_PORT + 64 * (job + step) % (32768 - FIRST_PORT)
    # It is SLURM that gives each task its GPUs: those of the resolver merely number the tasks.
    resolver = tf.distribute.cluster_resolver.SlurmClusterResolver(
        port_base=port, gpus_per_node=machines_together(), gpus_per_task=1, auto_set_gpu=False
    )
    cluster = resolver.cluster_spec().as_dict()  # by which it learns which task this is
    return {"cluster": cluster, "task": {"type": resolver.task_type, "index": resolver.task_id}}


def _tf_config() -> str:
    return os.environ.get("TF_CONFIG", "")


def _machines(tf_config: str) -> int:
    """How many machines train together by the variable TF_CONFIG of TensorFlow.

    >>> _machines('{"cluster": {"chief": ["a:1"], "worker": ["b:1", "c:1"], "ps": ["d:1"]}}')
    3
    """
    try:
        cluster = json.loads(tf_config).get("cluster", {})
        return sum(len(cluster.get(role, ())) for role in ("chief", "master", "worker"))
    except (ValueError, AttributeError, TypeError):
        return 0  # empty, or no description of a cluster


def device_scope() -> AbstractContextManager:
    """Scope of a `tf.distribute` strategy to make a model in, on TensorFlow where there are several
    devices or machines.

    >>> with device_scope():
    ...     pass
    """
    if _backend() != "tensorflow" or replicas() == 1:
        return nullcontext()
    if _together is not None:
        return _together.scope()
    import tensorflow as tf

    return tf.distribute.MirroredStrategy(_devices()).scope()


def data_parallel() -> AbstractContextManager:
    """Scope of `keras.distribution.DataParallel` to make and train a model in, on JAX where there
    are several devices."""
    if _backend() != "jax" or replicas() == 1:
        return nullcontext()
    import keras

    return keras.distribution.DataParallel(devices=_devices(), auto_shard_dataset=False).scope()


def replicas() -> int:
    """Number of devices, of all machines together, that share a batch."""
    return len(_devices()) if _together is None else _together.num_replicas_in_sync


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
    """Whether XLA compiles the training step: on TensorFlow it is slower than Eigen and oneDNN on a
    CPU, and fails with several replicas; JAX is made for it."""
    if _backend() != "tensorflow":
        return _backend() == "jax"
    import tensorflow as tf

    return bool(tf.config.list_logical_devices("GPU")) and replicas() == 1


def limit_threads(threads: int | None) -> None:
    """Limit the threads that the backend computes with in this process.

    Raises:
        RuntimeError: TensorFlow has begun to compute with another number of threads.
    """
    if threads is None:
        return
    backend = _backend()
    if backend == "jax":
        os.environ["NPROC"] = str(threads)  # read by XLA when it first computes
    elif backend == "torch":
        import torch

        torch.set_num_threads(threads)
    else:
        _limit_tensorflow(threads)


def _limit_tensorflow(threads: int) -> None:
    import tensorflow as tf

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
    backend = _backend()
    if backend == "jax":
        import keras

        return keras.distribution.list_devices()
    if backend != "tensorflow":
        return ["one"]  # Keras shares no batch between devices of PyTorch
    import tensorflow as tf

    accelerators = [device.name for device in tf.config.list_logical_devices("GPU")]
    return accelerators or [device.name for device in tf.config.list_logical_devices("CPU")]
