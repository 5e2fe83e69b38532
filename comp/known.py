"""Known: the competitions whose form comp ships, a YAML file each, and the one that a slug or its beginning names.

What a workspace is made of from one is init's business.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from comp.errors import ManifestError, WorkspaceError
from comp.marked import read_yaml, unmark
from comp.notes import Conclusion
from comp.project import competitions_folder, suggest


@dataclass(frozen=True)
class KnownForm:
    """A competition as its file says it.

    Attributes:
        head: the lines of its head comment, without `#`.
        competition: competition.yaml without what is counted.
        manifest: what its first experiment says beyond the defaults.
    """

    slug: str
    head: tuple[str, ...]
    competition: Mapping[str, Mapping[str, Any] | None]
    manifest: Mapping[str, Any]

    def conclude(self, shown: str) -> Iterator[Conclusion]:
        """Its keys, each as a conclusion. `shown`: how competition.yaml names the folder of the data."""
        for section, keys in self.competition.items():
            for key, value in (keys or {}).items():
                is_place = (section, key) == ("dataset", "data")
                yield Conclusion(f"{section}.{key}", place_data(shown, value) if is_place else value, f"known of {self.slug}")


def place_data(shown: str, below: str) -> str:
    """The folder that a form names from the one that was given."""
    return shown if below == "." else (Path(shown) / below).as_posix()


def list_slugs() -> list[str]:
    return sorted(path.stem for path in competitions_folder().glob("*.yaml"))


def open_form(slug: str) -> KnownForm:
    """The known form of that slug, or of the only one that begins so.

    Raises:
        WorkspaceError: there is none, or several begin so.
        ManifestError: its file is at fault.
    """
    file = competitions_folder() / f"{find_slug(slug)}.yaml"
    values, faults = read_yaml(file, file.name)
    if faults:
        raise ManifestError(faults)
    plain = unmark(values)
    lines = file.read_text(encoding="utf-8").splitlines()
    head = lines[: next((number for number, line in enumerate(lines) if not line.startswith("#")), len(lines))]
    return KnownForm(
        file.stem,
        tuple(line.removeprefix("#").removeprefix(" ") for line in head),
        plain.get("competition") or {},
        plain.get("manifest") or {},
    )


def find_slug(given: str) -> str:
    """Raises: WorkspaceError: no known competition is called so or begins so, or several do."""
    known = list_slugs()
    near = [given] if given in known else [slug for slug in known if slug.startswith(given)] if given else []
    if len(near) == 1:
        return near[0]
    if near:
        raise WorkspaceError(f"--competition {given}: {len(near)} known competitions begin so: {', '.join(near)}; say which")
    listed = f"; known are {', '.join(known)}; any other: leave --competition out, and `comp init` looks at the files"
    raise WorkspaceError(f"--competition {given}: no known competition{suggest(given, known)}{listed}")
