"""Work: an order carried out, by whichever process was given it."""

from __future__ import annotations

from collections.abc import Callable

from comp.events import Emit
from comp.orders import Order, open_order
from comp.train import train_folds


def carry_out(order: Order, emit: Emit, stop: Callable[[], bool]) -> None:
    """Train the order's fold, unless it is complete; wait where another process has it.

    Raises:
        WorkspaceError: as open_order.
        RunInterrupted, RunError: as the engine.
    """
    train_folds(open_order(order), [order.fold], emit, stop)
