"""Sending: batches brought to a GPU while it computes. Elsewhere they are where they are wanted already."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import torch

from comp.engine.loader.recipe import Batch
from comp.stores.ahead import read_ahead

Sent = tuple[torch.Tensor, torch.Tensor, torch.cuda.Event | None]
"""A batch on its way to the device, and what tells when it is there."""


class Sender:
    """Copies on a stream of its own, one batch ahead, so that neither making a batch nor copying it holds up the device."""

    def __init__(self, device: torch.device) -> None:
        self.device, self.stream = device, torch.cuda.Stream(device)

    def send_ahead(self, batches: Iterator[Batch], count: int) -> Iterator[Batch]:
        """The `count` batches, on the device; the next one is made and sent meanwhile."""
        with ThreadPoolExecutor(1) as thread:
            for images, rows, copied in read_ahead(lambda _: self.send(next(batches)), range(count), thread, 1):
                if copied is not None:
                    computing = torch.cuda.current_stream(self.device)
                    computing.wait_event(copied)
                    for part in (images, rows):
                        part.record_stream(computing)  # else its memory might be given away while the step still reads it
                yield images, rows

    def send(self, batch: Batch) -> Sent:
        images, rows = (part if part.is_pinned() else part.pin_memory() for part in batch)
        try:
            with torch.cuda.stream(self.stream):
                sent = [part.to(self.device, non_blocking=True) for part in (images, rows)]
                return sent[0], sent[1], self.stream.record_event()
        except torch.OutOfMemoryError:
            return images, rows, None  # the step copies it itself, and divides its batch where memory is short
