"""Running independent jobs in processes, or in this one."""

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from typing import Any

__all__ = ["run_jobs"]


def run_jobs(jobs: Sequence[Callable[[], Any]], workers: int = 1) -> Iterator[Any]:
    """Results of the jobs as they come; the first error ends it, after the jobs under way.

    Args:
        jobs: Picklable where `workers` is more than 1.
        workers: Processes.

    >>> list(run_jobs([list, dict]))
    [[], {}]
    """
    if workers == 1 or len(jobs) < 2:
        yield from (job() for job in jobs)
        return
    pool = ProcessPoolExecutor(
        min(workers, len(jobs)),
        # Forking a process that has threads (TensorFlow's, Qt's) can deadlock.
        mp_context=multiprocessing.get_context("spawn"),
        initializer=_follow_parent,
    )
    try:
        for future in as_completed([pool.submit(_call, job) for job in jobs]):
            yield future.result()
    finally:
        try:
            pool.shutdown(cancel_futures=True)
        except KeyboardInterrupt:  # a second one: do not wait for the jobs under way either
            for child in multiprocessing.active_children():
                child.kill()
            raise


def _call(job: Callable[[], Any]) -> Any:
    return job()


def _follow_parent() -> None:
    """Leave Ctrl-C to the parent, and end when it is killed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()

    def watch() -> None:
        if parent is not None:
            parent.join()
            os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
