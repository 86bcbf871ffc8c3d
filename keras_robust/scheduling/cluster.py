"""Pieces of work on the workers of a Dask scheduler, whichever machines these are on.

Dask starts, reaches and watches the workers. What a worker does with a piece is in
`keras_robust.scheduling.cluster_worker`; which piece goes to whom, and what is done again, is as
with the processes of one machine.
"""

import logging
import secrets
import signal
import time
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import keras_robust
from keras_robust.common.errors import invalid
from keras_robust.common.files import atomic_write_text, locked
from keras_robust.common.interrupts import Interrupts
from keras_robust.scheduling import cluster_worker
from keras_robust.scheduling.cluster_file import LOCAL, ClusterFile
from keras_robust.scheduling.processes import LOST, Crew, Piece, insist

if TYPE_CHECKING:
    from distributed import Client, Future

__all__ = ["Cluster", "ClusterPiece", "joined"]

GROUP = "keras-robust"
LOOK_SECONDS = 0.3
RENEW_SECONDS = 20.0
FIRST_WORKER_SECONDS = 30.0
CONNECT_SECONDS = 10.0


@contextmanager
def joined(
    cluster: str | Path | None,
    folder: str | Path,
    data: Sequence[str | Path] = (),
    *,
    jobs: int = 1,
    threads: int | None = None,
    gpu: bool = True,
) -> "Iterator[Cluster | None]":
    """Workers for pieces of work in a folder, for as long as the context lasts.

    Args:
        cluster: Address of a running scheduler (`tcp://HOST:8786`), a YAML file of `ClusterFile`,
            whose workers are started here and ended with the context, `"local"` for workers on
            this machine, or None for none.
        folder: That the pieces write into; made when missing.
        data: Folders and files that they read.
        jobs: Workers of `"local"`.
        threads: CPU threads per piece; by default those of the machine, divided by the pieces
            that a worker does at a time.
        gpu: Whether pieces need a GPU, where there are workers that have one.

    Yields:
        What `run_planned` and `tune` take as `crew`; None where `cluster` is.

    Raises:
        ImportError: Dask is absent.
        ValueError: There is no such scheduler or file; a worker does not see the folders, the
            locks, or another version of the library.
    """
    if cluster is None:
        yield None
        return
    file = ClusterFile.named(cluster)
    try:
        import distributed  # noqa: F401
    except ImportError as error:
        raise ImportError(
            "A cluster needs Dask. Install it with `pip install 'keras-robust[cluster]'`, on the "
            "workers as well."
        ) from error
    logging.getLogger("distributed").setLevel(logging.CRITICAL)
    folder = Path(folder).absolute()
    with ExitStack() as stack:
        if str(cluster) == LOCAL:
            made = Cluster(_local(stack, jobs), folder, threads=threads)
        elif file is None:
            made = Cluster(_connected(stack, str(cluster)), folder, threads=threads)
        else:
            renew, client = _queued(stack, file, folder)
            made = Cluster(client, folder, threads=threads or file.threads, renew=renew)
            made.asked_for = file.workers * max(1, file.gpus)
        made.gpu = gpu
        made.data = [Path(one).absolute() for one in data]
        folder.mkdir(parents=True, exist_ok=True)
        if made.renew is None:
            _wait_for_a_worker(made, str(cluster))
            made.free(())
        yield made


@dataclass
class ClusterPiece:
    """A piece of work that a worker does."""

    key: str
    address: str
    where: str
    future: "Future"
    cluster: "Cluster" = field(repr=False)
    started: float = field(default_factory=time.monotonic)
    error: str = ""

    def poll(self) -> int | None:
        """See `Piece.poll`."""
        if self.future.status == "finished":
            return int(self.future.result())
        if self.future.status == "error":
            self.error = f"{self.where} could not do it: {self.future.exception()}"
            return LOST
        if self.future.status in ("lost", "cancelled"):
            self.error = f"the scheduler has forgotten what {self.where} was doing"
            return LOST
        if self.address not in self.cluster.workers():
            self.future.cancel()
            return LOST
        return None


class Cluster(Crew):
    """The workers of a scheduler, as far as they see the folders of the work.

    Args:
        client: Of the scheduler.
        folder: Of the pieces.
        data: What they read.
        threads: CPU threads per piece.
        renew: Asks for workers in place of those that ended, such as at the end of their time.
    """

    def __init__(
        self,
        client: "Client",
        folder: Path,
        data: Sequence[Path] = (),
        threads: int | None = None,
        renew: "Any" = None,
    ):
        self.client, self.folder, self.data = client, folder, list(data)
        self.threads, self.renew = threads, renew
        self.gpu, self.asked_for = True, 0
        self.left_out: dict[str, str] = {}
        self._fit: set[str] = set()
        self._known: dict[str, dict[str, Any]] = {}
        self._looked = self._renewed = float("-inf")
        self._room: Counter[str] = Counter()
        # The scheduler remembers every group that was ever begun; one task that stays keeps one.
        self._group = client.submit(int, key=(GROUP, secrets.token_hex(4)), pure=False)

    def workers(self) -> Mapping[str, Mapping[str, Any]]:
        """What the scheduler says of its workers, by address, a moment ago at most.

        Raises:
            ConnectionError: The scheduler does not answer.
            ValueError: The queue refuses the first jobs.
        """
        now = time.monotonic()
        if self.renew is not None and now - self._renewed > RENEW_SECONDS:
            self._renewed = now
            try:
                self.renew()
            except Exception as error:  # of whichever command submits
                # Once there were workers it may pass: a limit of jobs, a queue that restarts.
                if not self._fit:
                    raise invalid(
                        "cluster", "a job that the queue accepts", said=" ".join(str(error).split())
                    ) from error
        if now - self._looked > LOOK_SECONDS:
            try:
                # Not `scheduler_info`, whose answer a timer of the client replaces by one without
                # workers: all would seem to be gone.
                scheduler: Any = self.client.scheduler
                told = self.client.sync(scheduler.identity)
                self._known = dict(told["workers"])
            except Exception as error:  # whichever of its transports failed
                raise ConnectionError(
                    f"The scheduler of the cluster does not answer ({error}). Its workers stop and "
                    "save what they do; the same command continues once there is a scheduler."
                ) from error
            self._looked = now
        return self._known

    def free(self, busy: Collection[Piece]) -> int:
        """See `Crew.free`; workers that have joined meanwhile are looked at first.

        Raises:
            ValueError: The first workers do not see the folders.
        """
        workers = self.workers()
        self._welcome([address for address in workers if address not in self._fit])
        own = [piece for piece in busy if isinstance(piece, ClusterPiece)]
        taken = Counter(piece.address for piece in own if not piece.future.done())
        known = {self._group.key, *(piece.future.key for piece in own)}
        for address, keys in self.client.processing().items():
            taken[address] += len({tuple(k) if isinstance(k, list) else k for k in keys} - known)
        slots = {address: self._slots(workers[address]) for address in self._fit & workers.keys()}
        self._room = +Counter({address: slots[address] - taken[address] for address in slots})
        return self._room.total()

    def start(self, command: Sequence[str], folder: Path) -> ClusterPiece:
        """See `Crew.start`; to be called while there is room."""
        (address, _) = self._room.most_common(1)[0]
        self._room[address] -= 1
        worker = self._known[address]
        gpu = self._gpus
        order = cluster_worker.Order(
            key=f"{folder.name}-{secrets.token_hex(4)}",
            command=tuple(command),
            folder=folder.absolute(),
            at=Path.cwd(),
            environment=cluster_worker.environment_to_send(),
            threads=self.threads,
            shared_by=self._slots(worker),
            gpu=gpu,
        )
        # A piece stays where it is put: of a worker that goes, `poll` tells.
        future = self.client.submit(
            cluster_worker.work,
            order,
            key=(GROUP, order.key),
            workers=[address],
            resources={"GPU": 1} if gpu else None,
            pure=False,
        )
        name = str(worker.get("name", ""))
        host = str(worker.get("host", "")) or address
        where = host if name in ("", address) else f"{name} ({host})"
        return ClusterPiece(order.key, address, where, future, self)

    def stop(self, pieces: Collection[Piece], asked: Interrupts | None = None) -> None:
        """See `Crew.stop`; no pieces of others are touched."""
        own = [piece for piece in pieces if isinstance(piece, ClusterPiece)]
        keys = [piece.key for piece in own]

        def run(what: Any, *args: Any) -> None:
            there = [a for a in {piece.address for piece in own} if a in self.workers()]
            if there:
                self.client.run(what, keys, *args, workers=there, on_error="ignore")

        def ended() -> bool:
            return all(piece.poll() is not None for piece in own)

        if not ended():
            insist(
                lambda number: run(cluster_worker.tell, number),
                lambda: None if ended() else run(cluster_worker.kill),
                ended,
                asked,
            )
        self.client.cancel([piece.future for piece in own])

    @property
    def size(self) -> int:
        """Pieces that its workers do at a time, with those that a queue has yet to start."""
        return max(1, self.asked_for, sum(map(self._slots, self.workers().values())))

    @property
    def _gpus(self) -> bool:
        """Whether pieces need a GPU: where any worker has one, they are for those that have."""
        known = self._known.values()
        return self.gpu and any((worker.get("resources") or {}).get("GPU") for worker in known)

    def _slots(self, worker: Mapping[str, Any]) -> int:
        if self._gpus:
            return int((worker.get("resources") or {}).get("GPU", 0))
        return int(worker["nthreads"])

    def _welcome(self, new: Sequence[str]) -> None:
        new = [address for address in new if address not in self.left_out]
        if not new:
            return
        probe, token = self.folder / f".seen-{secrets.token_hex(6)}", secrets.token_hex(16)
        atomic_write_text(probe, token)
        try:
            with locked(probe):
                answers = self.client.run(
                    cluster_worker.in_the_way,
                    probe,
                    token,
                    [Path.cwd(), *self.data],
                    keras_robust.__version__,
                    workers=list(new),
                    on_error="return",
                )
        finally:
            probe.unlink(missing_ok=True)
        first = not self._fit
        for address in new:
            answer = answers.get(address, "")
            if answer == "":
                if address in answers:
                    self._fit.add(address)
            else:
                self.left_out[address] = str(answer)
        if self.left_out and (first or not self._fit):
            told = "; ".join(f"{address}: {why}" for address, why in self.left_out.items())
            raise invalid(
                "cluster",
                "workers on machines that see this folder, its locks and the data under the same "
                "paths (a shared file system), with the same keras-robust",
                said=told,
                remedy="Without a shared file system, give each machine a part (--part I/N) and "
                "bring the folders together afterwards.",
            )


def _local(stack: ExitStack, jobs: int) -> "Client":
    from distributed import Client, LocalCluster

    # Ctrl-C in a terminal reaches all of its processes; the workers leave it to this one.
    with _ignored_interrupts():
        cluster = LocalCluster(
            n_workers=jobs, threads_per_worker=1, dashboard_address=":0", host="127.0.0.1"
        )
    stack.enter_context(cluster)
    return stack.enter_context(Client(cluster))


@contextmanager
def _ignored_interrupts() -> Iterator[None]:
    before = signal.getsignal(signal.SIGINT)
    try:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
    except ValueError:  # not in the main thread, where no Ctrl-C arrives
        yield
        return
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _connected(stack: ExitStack, address: str) -> "Client":
    from distributed import Client

    try:
        return stack.enter_context(Client(address, timeout=CONNECT_SECONDS, set_as_default=False))
    except (OSError, TimeoutError, ValueError) as error:
        raise invalid(
            "cluster",
            "the address of a running scheduler",
            said=f"{address!r}, where none answers ({error})",
            remedy="Start one with `dask scheduler`, and workers with `dask worker ADDRESS`.",
        ) from error


def _queued(stack: ExitStack, file: ClusterFile, folder: Path) -> tuple[Any, "Client"]:
    from distributed import Client

    file.require_queue()
    cluster = file.start(folder / ".cluster")
    stack.callback(_close, cluster)
    client = stack.enter_context(Client(cluster, set_as_default=False))

    async def submitted() -> None:
        await cluster
        for job in list(cluster.workers.values()):
            await job  # submits one again that the queue refused, and raises what it says

    def renew() -> None:
        cluster.scale(file.workers)
        cluster.sync(submitted)

    return renew, client


def _close(cluster: Any) -> None:
    with suppress(AssertionError):  # of a job that the queue has refused
        cluster.close()


def _wait_for_a_worker(cluster: Cluster, name: str) -> None:
    end = time.monotonic() + FIRST_WORKER_SECONDS
    while not cluster.workers():
        if time.monotonic() > end:
            raise invalid(
                "cluster",
                "a scheduler with workers",
                said=f"{name!r}, which has none",
                remedy=f"Start some, on any machine: `dask worker {name}`.",
            )
        time.sleep(0.1)
