"""Settled: competition.yaml as text: written from conclusions, read back, and completed where somebody answered its questions.

What stands in the file stays as it is written there, comments too; only a "?" that could be concluded after all is replaced.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from comp.catalog import Catalog, build_catalog
from comp.checking import Checker
from comp.conclude import CONCLUDED
from comp.errors import Fault, ManifestError
from comp.inline import to_yaml
from comp.keys import SECTIONS, SLOTS
from comp.marked import Marked, parse_yaml, read_yaml, unmark
from comp.notes import Conclusion, Notes
from comp.project import Project
from comp.signature import list_parameters
from comp.unsettled import MARK, UNKNOWN, find_unsettled, list_keys

FORMAT = 1
ORDER = ("dataset", "task", "split", "metric", "submission", "leaderboard")
GUESSES = "# Lines marked QUESTION are guesses: settle them before the first run."
INCOMPLETE = '# Write the answer in place of each "?", then `comp init` in this folder concludes the rest.'
COUNTED = "task.rows"
"""A key that init always writes, at the end: a file without it is not complete."""


def read_settled(project: Project) -> Notes | None:
    """What competition.yaml says, by dotted key (`dataset.id`), without what is still "?": notes with nothing concluded.

    Returns:
        None where there is nothing to complete: the file is no competition's, or it lacks nothing.

    Raises:
        ManifestError: what it says is taken by no plugin; all such keys.
    """
    file = project.competition_file
    values, faults = read_yaml(file, file.name)
    dataset = values.get("dataset")
    if dataset is None or not dataset.is_mapping:
        return None
    if faults:
        raise ManifestError(faults, "nothing was written")
    sections = {section: node for section, node in values.value.items() if node.is_mapping}
    found = {f"{section}.{key}": item for section, node in sections.items() for key, item in node.value.items()}
    unknown = [key for key, item in found.items() if item.value == UNKNOWN]
    if COUNTED in found and not unknown:
        return None
    catalog = build_catalog(project)
    faults = [fault for section in ORDER for fault in check_section(catalog, values, section)]
    use = dataset.get("use")
    if use is not None and use.value not in (None, UNKNOWN, *CONCLUDED):
        faults += [fault for fault in find_unsettled(values, file) if fault.path.startswith("dataset.")]
    if faults:
        raise ManifestError(faults, "nothing was written")
    nullable = {key for section in sections for key in list_nullable(catalog, values, section)}
    settled = {key: item for key, item in found.items() if key not in unknown and (item.value is not None or key in nullable)}
    return Notes(
        settled={key: unmark(item) for key, item in settled.items()},
        origins={key: item.origin for key, item in settled.items()},
    )


def list_nullable(catalog: Catalog, values: Marked, section: str) -> list[str]:
    """The keys of a section where null says something; elsewhere it says as little as a key that is left out."""
    use = values.find((section, "use")).value
    plugins = [plugin for plugin in catalog.of_kind(section) if plugin.name == use or not isinstance(use, str)]
    known = [*SECTIONS.get(section, ()), *(parameter for plugin in plugins for parameter in list_parameters(plugin))]
    return [f"{section}.{parameter.name}" for parameter in known if "None" in parameter.annotation]


def check_section(catalog: Catalog, values: Marked, section: str) -> list[Fault]:
    """What no plugin takes of a section; a "?" is passed over, and so is what was left out.

    Where `use` is left out, it is held against the plugin that takes most of it.
    """
    node = values.get(section)
    if node is None or node.value is None:
        return []
    if not node.is_mapping:
        return check_stated(catalog, section, node)
    stated = {key: item for key, item in node.value.items() if item.value is not None and item.value != UNKNOWN}
    uses: list[Marked] = []
    if "use" not in stated and section in SLOTS:
        names = [plugin.name for plugin in catalog.of_kind(section) if not plugin.prefix]
        uses = [Marked(name, node.origin) for name in (CONCLUDED if section == "dataset" else names)]
    tried = [{"use": use, **stated} for use in uses] or [stated]
    left_out = {f"{section}.{key}" for key in node.value if key not in stated}
    checked = ([fault for fault in check_stated(catalog, section, Marked(each, node.origin)) if fault.path not in left_out]
               for each in tried)  # fmt: skip
    return min(checked, key=len)


def check_stated(catalog: Catalog, section: str, node: Marked) -> list[Fault]:
    checker = Checker(catalog, Marked({section: node}, node.origin))
    checker.check_keys([section])
    return checker.faults


def write_text(notes: Sequence[Conclusion], head: Sequence[str]) -> str:
    """The file: its keys in order, a question above the key that it is about. `head`: the lines of its head comment."""
    lines = [f"# {line}".rstrip() for line in head]
    if any(note.question for note in notes):
        lines.append(GUESSES)
    if any(note.value == UNKNOWN for note in notes):
        lines.append(INCOMPLETE)
    lines.append(f"format: {FORMAT}")
    for section in ORDER:
        own = [line for note in notes if note.section == section for line in write_key(note)]
        lines += [f"{section}:", *own] if own else []
    return "\n".join(lines) + "\n"


def write_key(note: Conclusion) -> list[str]:
    """Its question and its line; a choice is commented out. null would say "the default", which is what a missing key says."""
    asked = [f"  {MARK}{note.question}"] if note.question else []
    line = note.choice or f"{note.key.partition('.')[2]}: {to_yaml(note.value)}"
    return ([*asked, f"  # {line}"] if asked or note.choice else []) if note.value is None else [*asked, f"  {line}"]


# ---- completing ----------------------------------------------------------------------------------------------------------


def complete_text(text: str, notes: Sequence[Conclusion], values: Mapping[str, Any]) -> str:
    """The text with what it lacks: each key at the end of its section, and what was concluded in place of a "?".

    Args:
        values: by dotted key, what the text says already.
    """
    lines = open_sections(text)
    for note in notes:
        if note.key in values:
            continue
        places = {key: number for number, key, shown in list_keys("\n".join(lines)) if shown}
        if note.key in places:
            start = end = places[note.key]
            while start and lines[start - 1].strip().startswith(MARK):
                start -= 1
            lines[start : end + 1] = indent(write_key(note), lines[end])
        elif note.section in places:
            there = [number for key, number in places.items() if key.partition(".")[0] == note.section]
            last = max(there)
            while last + 1 < len(lines) and lines[last + 1].startswith(" "):
                last += 1
            own = write_key(note)
            lines[last + 1 : last + 1] = indent(own, lines[max(there)]) if len(there) > 1 else own
        else:
            lines += [f"{note.section}:", *own] if (own := write_key(note)) else []
    is_complete = not any(note.value == UNKNOWN for note in notes)
    return "\n".join(line for line in lines if not (is_complete and line == INCOMPLETE)) + "\n"


def indent(own: Sequence[str], like: str) -> list[str]:
    """Lines of write_key as far to the right as one of the file."""
    return [" " * (len(like) - len(like.lstrip())) + line[2:] for line in own]


def open_sections(text: str) -> list[str]:
    """The lines, with `task: {kind: binary}` as a block and no null in `task: null`, so that keys can follow."""
    from ruamel.yaml import YAML

    values, _ = parse_yaml(text, "")
    root, lines = YAML(typ="safe", pure=True).compose(text), text.splitlines()
    for key, node in reversed(root.value):
        stated = values.get(key.value) if values else None
        if key.value in ORDER and stated and node.value != "" and (stated.value is None or node.flow_style):
            first, last = key.start_mark.line, node.end_mark.line
            own = [f"  {name}: {to_yaml(unmark(item))}" for name, item in (stated.value or {}).items()]
            lines[first : last + 1] = [f"{key.value}:{lines[last][node.end_mark.column :].rstrip()}", *own]
    return lines
