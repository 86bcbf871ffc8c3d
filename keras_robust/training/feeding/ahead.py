"""Work ahead of the training step, in threads of Python."""

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

__all__ = ["ahead"]

T = TypeVar("T")


def ahead(
    make: Callable[[int], T], numbers: Iterable[int], threads: int | None = None, held: int = 2
) -> Iterator[T]:
    """What a function makes of each number, in their order, made before it is asked for.

    Args:
        make: Called in threads.
        numbers: May be endless.
        threads: That work; `None` for one per processor.
        held: Results that are made or being made beside those at work.

    Raises:
        Exception: What `make` raised, in its turn.

    >>> from itertools import count, islice
    >>> list(islice(ahead(lambda n: n * n, count(3)), 3))
    [9, 16, 25]
    """
    threads = threads or os.cpu_count() or 1
    waiting: deque[Future[T]] = deque()
    with ThreadPoolExecutor(threads, "input") as pool:
        try:
            for number in numbers:
                waiting.append(pool.submit(make, number))
                if len(waiting) >= threads + held:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()
