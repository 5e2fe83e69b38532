"""What metrics of numbers share."""

from __future__ import annotations

from comp.api import PluginError, Target


def demand_value(target: Target, name: str) -> None:
    """Raises: PluginError: the target has classes."""
    if target.kind != "regression":
        raise PluginError(f"metric {name} wants a number; {target.name!r} has {target.width} classes: use accuracy or log_loss")
