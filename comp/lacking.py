"""What a machine can run out of during a run, its disk and its memory, as errors of that run."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from comp.errors import RunError, WorkspaceError

KEPT = "What was saved before is kept: the same command goes on."

_OF_MEMORY = ("allocate memory", "Insufficient memory", "std::bad_alloc", "not enough memory")
"""As torch's allocator, the kernel, OpenCV and C++ say it."""


@contextmanager
def fail_without_disk() -> Iterator[None]:
    """A disk that fills up once training has begun is no mistake of the command's.

    Raises:
        RunError: in place of WorkspaceError.
    """
    try:
        yield
    except WorkspaceError as error:
        raise RunError(f"{error}. {KEPT}") from error


@contextmanager
def fail_without_memory() -> Iterator[None]:
    """Raises: RunError: in place of what libraries raise where the machine's memory has run out."""
    try:
        yield
    except Exception as error:
        if not lacks_memory(error):
            raise
        raise RunError(
            f"the machine's memory has run out ({describe(error)}). Lower train.batch_size, train.workers or image.size, or end "
            f"other programs. {KEPT}"
        ) from error


def lacks_memory(error: Exception) -> bool:
    return isinstance(error, MemoryError) or any(words in str(error) for words in _OF_MEMORY)


def describe(error: Exception) -> str:
    """The first line, of torch's without where it stands in torch."""
    return (str(error).splitlines() or [type(error).__name__])[0].rpartition("Allocator: ")[2]
