"""Relaying: what several runs or processes tell, as the readers of one stream can take it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from comp.events import Emit, Event, Notice, RunStarted, StoreProgress


def label(emit: Emit, experiment: str) -> Emit:
    """For a view of several experiments: their folds are `exp001/0`, and what they say begins with their name."""

    def tell(event: Event) -> None:
        if isinstance(event, RunStarted):
            event = replace(event, folds=[f"{experiment}/{fold}" for fold in event.folds])
        elif isinstance(event, Notice):
            event = replace(event, text=f"{experiment}: {event.text}")
        elif isinstance(event, StoreProgress):
            event = replace(event, what=f"{experiment} {event.what}")
        elif hasattr(event, "fold"):
            event = replace(event, fold=f"{experiment}/{event.fold}")
        emit(event)

    return tell


def start_once(emit: Emit, wanted: Sequence[str]) -> Emit:
    """What several processes tell of one run: it starts once, with all folds that are wanted, whichever begins."""
    started = False

    def tell(event: Event) -> None:
        nonlocal started
        if not isinstance(event, RunStarted):
            emit(event)
        elif not started:
            started = True
            emit(replace(event, folds=list(wanted)))

    return tell
