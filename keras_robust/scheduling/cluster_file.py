"""What to ask a cluster's queue for: a YAML file, carried out by dask-jobqueue."""

import shutil
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from keras_robust.common.errors import invalid
from keras_robust.common.yaml import read_yaml

__all__ = ["LOCAL", "ClusterFile"]

LOCAL = "local"

Queue = Literal["slurm", "pbs", "lsf", "sge"]


class ClusterFile(BaseModel):
    """Jobs of a queue, each of which does one piece of work after the other.

    A job whose time ends is replaced; what it did continues at its last checkpoint.

    Args:
        scheduler: `slurm`, `pbs`, `lsf` or `sge`.
        workers: Jobs at a time.
        cores: CPU cores of a job, for the threads of the piece that it does.
        memory: Of a job, as `16GB`.
        gpus: GPUs of a job; it does as many pieces at a time, one on each.
        walltime: Of a job, as the queue writes it: `"08:00:00"`.
        queue: Queue or partition.
        account: Account or project that pays.
        directives: Further lines for the head of the job script, without their `#SBATCH`.
        prologue: Lines of shell before the worker starts, such as `module load python`.
        interface: Network by which machines reach each other, such as `ib0`.
        options: Any other argument of the class of dask-jobqueue, such as `python`.

    >>> file = ClusterFile(scheduler="slurm", cores=8, memory="32GB", gpus=1, walltime="08:00:00")
    >>> file.arguments(Path("logs"))["job_extra_directives"]
    ['--gres=gpu:1']
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    scheduler: Queue
    workers: int = Field(default=1, ge=1)
    cores: int = Field(ge=1)
    memory: str
    gpus: int = Field(default=0, ge=0)
    walltime: str | None = None
    queue: str | None = None
    account: str | None = None
    directives: tuple[str, ...] = ()
    prologue: tuple[str, ...] = ()
    interface: str | None = None
    options: dict[str, Any] = Field(default_factory=dict)

    @classmethod
    def load(cls, path: str | Path) -> "ClusterFile":
        """Read the file.

        Raises:
            FileNotFoundError, IsADirectoryError, ValueError: See
                `keras_robust.common.yaml.read_yaml`; or it holds something else.
        """
        return cls.model_validate(read_yaml(path, "the keys `scheduler`, `cores` and `memory`"))

    @classmethod
    def named(cls, cluster: str | Path) -> "ClusterFile | None":
        """The file that `--cluster` names; None for `local` and the address of a scheduler.

        Raises:
            FileNotFoundError, IsADirectoryError, ValueError: See `load`.
        """
        is_file = str(cluster) != LOCAL and "://" not in str(cluster)
        return cls.load(cluster) if is_file else None

    @property
    def threads(self) -> int:
        """CPU threads of a piece."""
        return max(1, self.cores // max(1, self.gpus))

    def arguments(self, logs: Path) -> dict[str, Any]:
        """What the class of dask-jobqueue is called with.

        Args:
            logs: Folder of what the jobs say.
        """
        asked = {
            "slurm": [f"--gres=gpu:{self.gpus}"],
            "pbs": [],
            "lsf": [f'-gpu "num={self.gpus}"'],
            "sge": [f"-l gpu={self.gpus}"],
        }[self.scheduler]
        # One thread of Dask per piece: the threads that compute are those of its process.
        extra = ["--nthreads", str(max(1, self.gpus))]
        if self.gpus:
            extra += ["--resources", f"GPU={self.gpus}"]
        payer = "project" if self.scheduler in ("lsf", "sge") else "account"
        given = {
            "queue": self.queue,
            payer: self.account,
            "cores": self.cores,
            "memory": self.memory,
            "processes": 1,
            "walltime": self.walltime,
            "interface": self.interface,
            "job_extra_directives": [*self.directives, *(asked if self.gpus else [])],
            "job_script_prologue": list(self.prologue),
            "worker_extra_args": extra,
            "log_directory": str(logs),
            "job_name": "keras-robust",
            "scheduler_options": {"dashboard_address": ":0"},
        }
        if self.scheduler == "pbs" and self.gpus:
            given["resource_spec"] = (
                f"select=1:ncpus={self.cores}:ngpus={self.gpus}:mem={self.memory}"
            )
        return {key: value for key, value in given.items() if value is not None} | self.options

    def require_queue(self) -> None:
        """Make sure that jobs can be submitted from this machine.

        Raises:
            ImportError: dask-jobqueue is absent.
            ValueError: The queue's command is.
        """
        command = self._class().job_cls.submit_command.split()[0]
        if not shutil.which(command):
            raise invalid(
                "cluster",
                f"{self.scheduler} on this machine, with its command {command!r}",
                said="a machine without it",
                remedy="Run this where jobs are submitted, such as the login node.",
            )

    def start(self, logs: Path) -> Any:
        """The cluster of dask-jobqueue, which has asked for no job yet.

        Raises:
            ImportError: dask-jobqueue is absent.
            ValueError: It refuses its arguments.
        """
        make = self._class()
        try:
            return make(**self.arguments(logs))
        except (TypeError, ValueError, RuntimeError) as error:
            raise invalid(
                "cluster",
                f"what dask-jobqueue's {make.__name__} takes",
                said=str(error),
                remedy="Correct the file of --cluster.",
            ) from error

    def _class(self) -> Any:
        try:
            import dask_jobqueue
        except ImportError as error:
            raise ImportError(
                "The queue of a cluster needs dask-jobqueue. Install it with "
                "`pip install 'keras-robust[cluster]'`."
            ) from error
        return getattr(dask_jobqueue, f"{self.scheduler.upper()}Cluster")
