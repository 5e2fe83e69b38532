"""`comp cache`: what decoded images take of the disk."""

from __future__ import annotations

import re
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from comp.cli.options import json_option
from comp.cli.output import print_json, print_lines, relative

if TYPE_CHECKING:
    from comp.stores.cache import Entry

SECONDS = {"s": 1, "min": 60, "h": 3600, "d": 86400}


def read_age(ctx: click.Context, param: click.Parameter, value: str | None) -> float:
    """`7d` -> seconds."""
    if value is None:
        return 0.0
    parts = re.fullmatch(r"(\d+(?:\.\d+)?)\s*(s|min|h|d)", value.strip())
    if parts is None:
        raise click.BadParameter(f"'{value}' is no age; wanted a number with s, min, h or d, as in 7d")
    return float(parts[1]) * SECONDS[parts[2]]


@click.command("cache")
@click.option("--clear", is_flag=True, help="Remove what is listed, but for what is in use now.")
@click.option(
    "--older-than", "older_than_s", metavar="AGE", callback=read_age, help="Only what was not used for so long: 12h, 7d."
)
@json_option
def cache_command(clear: bool, older_than_s: float, as_json: bool) -> None:
    """List the stores of decoded images in .comp/cache, or remove them.

    The cache keeps to its limit by itself: what was used longest ago goes first. Whatever is removed is made again when it is
    wanted. COMP_CACHE_GB sets the limit of this machine; without it, it is four fifths of what the disk would have free.
    """
    from comp.project import find_project
    from comp.stores.cache import LIMIT, clear_cache, list_entries, looking, read_limit, show_bytes

    cache = find_project().cache
    removed = clear_cache(cache, older_than_s) if clear else []
    with looking(cache):
        entries, limit = list_entries(cache), read_limit(cache)
    listed = [entry for entry in entries if time.time() - entry.used_at >= older_than_s]
    total = sum(entry.bytes for entry in entries)
    if as_json:
        facts: dict[str, Any] = {"folder": cache, "limit_bytes": limit, "bytes": total, "stores": listed}
        print_json(facts | ({"removed": removed} if clear else {}))
        return
    print_lines(describe_removed(removed, listed) if clear else describe_entries(listed))
    print_lines([f"{relative(cache)} takes {show_bytes(total)} of at most {show_bytes(limit)} ({LIMIT} sets it)"])


def describe_removed(removed: Sequence[Entry], kept: Sequence[Entry]) -> list[str]:
    from comp.stores.cache import show_bytes

    lines = [f"removed {len(removed)} stores, {show_bytes(sum(entry.bytes for entry in removed))}"]
    return lines + [f"kept {entry.key} ({', '.join(entry.by)}), which is in use" for entry in kept if entry.in_use]


def describe_entries(entries: Sequence[Entry]) -> list[str]:
    from comp.report.tables import format_age, format_table

    if not entries:
        return ["nothing is stored."]
    header = ["store", "made for", "images", "px", "size", "features", "last used"]
    now = time.time()
    rows = [
        [
            entry.key,
            ", ".join(entry.by) or "–",
            f"{entry.images:,}" if entry.images else "–",
            f"{entry.size[0]} x {entry.size[1]} x {entry.channels}" if entry.stored else describe_unstored(entry),
            show(entry.bytes),
            show(entry.feature_bytes),
            "in use" if entry.in_use else format_age(now - entry.used_at),
        ]
        for entry in entries
    ]
    return format_table(header, rows, right=(2, 4, 5))


def describe_unstored(entry: Entry) -> str:
    return "not stored" if entry.images else "unfinished"


def show(count: int) -> str:
    from comp.stores.cache import show_bytes

    return show_bytes(count) if count else "–"
