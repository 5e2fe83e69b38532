"""Compiling: torch.compile, and what its failures mean to somebody who only set `train.compile`."""

from __future__ import annotations

from torch import nn

from comp.errors import RunError

SHOWN = 300
"""Characters of torch's own words."""


def explain_compiling(error: Exception, network: nn.Module) -> RunError | None:
    """What a failed step of a compiled network says; None where the compiler is not to blame."""
    from torch._dynamo.exc import TorchDynamoException  # takes a second

    if not isinstance(error, TorchDynamoException):
        return None
    words = str(getattr(error, "inner_exception", None) or error)
    first = next((line.strip() for line in words.splitlines() if line.strip()), type(error).__name__)[:SHOWN]
    lacking = "compiler" in first.lower() and ("not found" in first.lower() or "no working" in first.lower())
    why = f"train.compile: torch cannot compile {type(getattr(network, 'backbone', network)).__name__} on this machine: {first}"
    do = "install one (g++ or clang++; on a GPU triton, too), or" if lacking or "triton" in first.lower() else "leave it out:"
    return RunError(f"{why}; {do} set train.compile: false.")
