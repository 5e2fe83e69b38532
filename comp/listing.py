"""Listing: the files of a competition's folder, walked once and never opened, and the place of the images that a table names.

Members of archives (zip, plain tar) are listed as files; what the files mean is concluded elsewhere.
"""

from __future__ import annotations

import os
import re
import tarfile
import unicodedata
import zipfile
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from comp.api import ARRAYS, PICTURES

PARTS = {
    "train": ("train", "training", "train_images", "trainset", "train_set"),
    "valid": ("valid", "val", "validation", "dev"),
    "test": ("test", "testing", "test_images", "testset", "test_set"),
}
NOISE = re.compile(r"(^|[/_-])(old|leaky?|backup|masks?|thumb\w*|annotat\w*|preview\w*|external)([/_.-]|$)", re.I)
DEPTH = 3
MOST_ARCHIVES = 50
ARCHIVES = (".zip", ".tar", ".tar.gz", ".tgz")


@dataclass(frozen=True)
class Place:
    """A folder or archive that holds images.

    Attributes:
        name: from the data's folder, `.` for itself.
        share: how many of the images asked for are there, in [0, 1].
        suffixes: the extensions of those images, most frequent first.
        doubled: how many of them are there more than once.
    """

    name: str
    share: float
    suffixes: tuple[str, ...]
    doubled: int = 0

    @property
    def is_archive(self) -> bool:
        return self.name.lower().endswith((".zip", ".tar", ".gz", ".tgz", ".npz"))


@dataclass(frozen=True)
class Listing:
    """Attributes:
    files: visible files, from the root, sorted.
    members: archive -> the names of its visible members.
    """

    root: Path
    files: tuple[str, ...]
    members: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    @cached_property
    def images(self) -> list[tuple[str, str, str, str]]:
        """(place, path in it, name, name without the extension), both composed; the place of a file of its own is empty."""
        found = [("", path) for path in self.files] + [(at, path) for at, paths in self.members.items() for path in paths]
        split = ((at, path, path.rpartition("/")[2]) for at, path in found)
        return [(at, path, compose(name), compose(strip_suffix(name))) for at, path, name in split if is_image(name)]

    @cached_property
    def folders(self) -> list[str]:
        """The folders and archives that hold images, directly or further down, nearest first; `.` among them."""
        found = {place for at, path, *_ in self.images for place in ([at] if at else list_above(path))}
        return sorted(found, key=lambda name: (name.count("/"), name))

    @property
    def unlisted(self) -> list[str]:
        """The archives of which nothing is known: damaged, empty, compressed tars, or too many."""
        return [path for path in self.files if path.lower().endswith(ARCHIVES) and path not in self.members]

    def below(self, place: str) -> list[str]:
        """The paths, from a folder or archive, of the images below it."""
        if place in self.members:
            return [path for path in self.members[place] if is_image(path)]
        prefix = "" if place == "." else place + "/"
        return [path[len(prefix) :] for at, path, *_ in self.images if not at and path.startswith(prefix)]


def is_image(name: str) -> bool:
    """By its extension; DICOM often comes without one."""
    suffix = os.path.splitext(name)[1].lower()
    return suffix in PICTURES or suffix in ARRAYS or "." not in name.rpartition("/")[2]


def strip_suffix(name: str) -> str:
    """Without the extension of an image: an id may hold dots."""
    stem, suffix = os.path.splitext(name)
    return stem if suffix.lower() in PICTURES or suffix.lower() in ARRAYS else name


def compose(text: str) -> str:
    """One code point a letter: file names from a Mac have accents, and the parts of Korean syllables, apart."""
    return text if text.isascii() else unicodedata.normalize("NFC", text)


def list_above(path: str) -> Iterator[str]:
    """The folders that a file lies in, `.` first."""
    yield "."
    parts = path.split("/")[:-1]
    yield from ("/".join(parts[: depth + 1]) for depth in range(min(len(parts), DEPTH)))


# ---- walking -------------------------------------------------------------------------------------------------------------


def list_data(root: Path) -> Listing:
    """Walk a folder once, and list the members of its archives."""
    files = sorted(walk(root))
    archives = [path for path in files if path.lower().endswith(ARCHIVES)][:MOST_ARCHIVES]
    members = {path: tuple(names) for path in archives if (names := list_members(root / path))}
    return Listing(root, tuple(files), members)


def walk(root: Path) -> Iterator[str]:
    """The visible files below a folder. Links to folders are followed, but no circle twice."""
    waiting, seen = [(str(root), "")], set()
    while waiting:
        folder, prefix = waiting.pop()
        real = os.path.realpath(folder)
        if real in seen:
            continue
        seen.add(real)
        try:
            entries = list(os.scandir(folder))
        except OSError:
            continue
        for entry in entries:
            if not entry.name.startswith((".", "__MACOSX")):
                if entry.is_dir():
                    waiting.append((entry.path, f"{prefix}{entry.name}/"))
                else:
                    yield prefix + entry.name


def list_members(archive: Path) -> list[str]:
    """The visible members, those whose names lead outside left out, of a zip or a plain tar; none where it is neither."""
    try:
        with open(archive, "rb") as file:
            head = file.read(512)
        if head[:2] == b"PK":
            with zipfile.ZipFile(archive) as members:
                names = [name for name in members.namelist() if not name.endswith("/")]
        elif head[257:262] == b"ustar":
            with tarfile.open(archive, "r:") as members:
                names = [member.name.removeprefix("./") for member in members if member.isfile()]
        else:
            return []
    except (OSError, ValueError, EOFError, NotImplementedError, zipfile.BadZipFile, tarfile.TarError):
        return []
    return sorted(name for name in names if is_visible_member(name))


def is_visible_member(name: str) -> bool:
    parts = name.replace("\\", "/").split("/")
    inside = bool(parts[0]) and ".." not in parts and ":" not in name[:3]
    return inside and parts[0] != "__MACOSX" and parts[-1] != "" and not parts[-1].startswith(".")


# ---- finding images ------------------------------------------------------------------------------------------------------


def rank_places(listing: Listing, part: str, wanted: Sequence[str]) -> list[Place]:
    """The places that hold some of the images `wanted` (ids, names or paths), best first.

    Of those that hold as many, one of ordinary pictures comes before arrays and DICOM, one that is named after the part before
    others, a folder before an archive of the same, and the nearest first.
    """
    texts = {compose(text) for text in wanted if text}
    by_name: dict[str, list[str]] = {}
    for text in texts:
        by_name.setdefault(text.rpartition("/")[2], []).append(text)
    hits: dict[str, Counter[str]] = {}
    suffixes: dict[str, Counter[str]] = {}
    for at, path, name, stem in listing.images:
        for text in (*by_name.get(name, ()), *(by_name.get(stem, ()) if stem != name else ())):
            if "/" in text and not is_meant(text, compose(path)):
                continue
            for place in [at] if at else list_above(path):
                hits.setdefault(place, Counter())[text] += 1
                suffixes.setdefault(place, Counter())[name[len(stem) :].lower()] += 1
    found = [
        Place(
            name,
            len(each) / len(texts),
            tuple(suffix for suffix, _ in suffixes[name].most_common()),
            sum(count > 1 for count in each.values()),
        )
        for name, each in hits.items()
    ]
    named = re.compile("|".join(PARTS[part]), re.I)
    return sorted(
        found,
        key=lambda place: (
            -place.share,
            bool(NOISE.search(place.name)),
            not PICTURES.issuperset(place.suffixes),
            place.doubled > 0,
            not named.search(place.name),
            place.is_archive,
            place.name == ".",
            place.name.count("/"),
            place.name,
        ),
    )


def is_meant(text: str, path: str) -> bool:
    """Whether one path ends in the other, the extension aside."""
    one, other = "/" + strip_suffix(text.removeprefix("./")), "/" + strip_suffix(path)
    return one.endswith(other) or other.endswith(one)
