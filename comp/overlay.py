"""Overlay: how mappings of marked values are laid over each other, the later over the earlier."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from comp.marked import Marked


def merge(
    below: Marked, over: Marked, *, floor: Marked | None = None, implied: Mapping[str, str] | None = None, keep_null: bool = False
) -> Marked:
    """`over` laid on `below`, both mappings: mappings merge, lists replace, another `use` replaces the whole mapping.

    Args:
        floor: what null restores; a key that it lacks is removed.
        implied: key -> what `use` is where a mapping leaves it out.
        keep_null: null is a value (a resolved manifest).
    """
    found = dict(below.value)
    for key, item in over.value.items():
        under, ground = found.get(key), floor.get(key) if floor else None
        if item.value is None and not keep_null:
            found.pop(key, None)
            if ground is not None:
                found[key] = ground
        elif key == "search" and under and under.is_mapping and item.is_mapping:
            found[key] = _lay_search(under, item, keep_null)
        elif under and under.is_mapping and item.is_mapping and not _replaces(key, under, item, (implied or {}).get(key)):
            same = ground is not None and ground.is_mapping and _use(ground) in (None, _use(under))
            found[key] = merge(under, item, floor=ground if same else None, keep_null=keep_null)
        else:
            # A stage's nulls restore the defaults when it merges in its turn.
            found[key] = item if keep_null or key == "stages" else _drop_null(item)
    return Marked(found, over.origin if over.value else below.origin)


def _lay_search(below: Marked, over: Marked, keep_null: bool) -> Marked:
    """A key's domain replaces the one underneath whole; null takes it out."""
    kept = {key: node for key, node in below.value.items() if key not in over.value}
    own = over if keep_null else _drop_null(over)
    return Marked(kept | own.value, over.origin)


def _use(node: Marked) -> Any:
    use = node.get("use")
    return None if use is None else use.value


def _replaces(key: str, under: Marked, item: Marked, implied: str | None) -> bool:
    if key == "loss" and _is_per_target(under):
        return "use" in item.value
    if key == "loss" and _is_per_target(item):
        return True
    use = _use(item)
    return use is not None and use != (_use(under) or implied or use)


def _is_per_target(node: Marked) -> bool:
    """A loss each for several targets: `{label: {use: focal}, alphabet: {use: focal}}`."""
    return bool(node.value) and all(item.is_mapping and "use" in item.value for item in node.value.values())


def _drop_null(node: Marked) -> Marked:
    if node.is_mapping:
        return Marked({key: _drop_null(item) for key, item in node.value.items() if item.value is not None}, node.origin)
    if isinstance(node.value, list):
        return Marked([_drop_null(item) for item in node.value], node.origin)
    return node
