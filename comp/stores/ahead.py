"""Reading ahead: what a function makes of one item after another, worked out by threads a few items before it is wanted."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, Future
from typing import TypeVar

Item = TypeVar("Item")
Made = TypeVar("Made")


def read_ahead(make: Callable[[Item], Made], items: Iterable[Item], threads: Executor, depth: int) -> Iterator[Made]:
    """What `make` returns for each item, in order; at most `depth` of them wait. Begins when the first one is asked for."""
    waiting: deque[Future[Made]] = deque()
    try:
        for item in items:
            waiting.append(threads.submit(make, item))
            if len(waiting) > depth:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        for future in waiting:
            future.cancel()
