"""comp.scale.shelves and comp.scale.courier: a fold's files come and go whole, or not at all."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from comp.errors import RunError, WorkspaceError
from comp.project import hash_file
from comp.scale import courier, shelves
from comp.scale.courier import Courier, fetch_goods
from comp.scale.shelves import Depot, DepotShelf, Shelf, StorageShelf, describe_file, list_files, open_storage


class Actor:
    """A depot that is asked as an actor is, in this process."""

    def __init__(self, depot: Depot) -> None:
        self.depot = depot

    def __getattr__(self, name: str) -> Any:
        return type("Method", (), {"remote": staticmethod(lambda *given: (name, given))})

    def get(self, call: tuple[str, tuple]) -> Any:
        name, given = call
        return getattr(self.depot, name)(*given)


@pytest.fixture
def make_depot(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., Actor]:
    def make(**goods: str) -> Actor:
        actor = Actor(Depot(str(tmp_path / "run"), goods))
        monkeypatch.setattr(shelves, "get_apart", actor.get)
        return actor

    return make


@pytest.fixture(params=["depot", "storage"])
def shelf(request: pytest.FixtureRequest, tmp_path: Path, make_depot: Callable[..., Actor]) -> Iterator[Shelf]:
    if request.param == "depot":
        yield DepotShelf(make_depot(), "fold0")
    else:
        yield StorageShelf((tmp_path / "stored").as_uri(), "exp001", "0123abcd", "fold0")


def fill(folder: Path, **files: bytes) -> Path:
    for name, content in files.items():
        target = folder / name.replace("__", "/").replace("_json", ".json")
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)
    return folder


def test_what_is_saved_is_loaded_as_it_was(shelf: Shelf, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shelves, "CHUNK_BYTES", 1000)
    assert shelf.list() == []
    for content in (bytes(range(256)) * 20, b"", b"x" * 1000, b"shorter"):
        source = tmp_path / "source"
        source.write_bytes(content)
        shelf.save("seed7/last", source)
        shelf.load("seed7/last", tmp_path / "back" / "last")
        assert (tmp_path / "back" / "last").read_bytes() == content
    assert shelf.list() == ["seed7/last"]
    shelf.drop("seed7/last")
    shelf.drop("seed7/last")
    assert shelf.list() == []


def test_fold_json_comes_last_and_a_seeds_before_the_folds(shelf: Shelf, tmp_path: Path) -> None:
    folder = fill(tmp_path / "here", fold_json=b"{}", oof=b"o", seed7__fold_json=b"{}", seed7__last=b"l", zebra=b"z")
    (folder / ".lock").touch()
    wanted = ["seed7/last", "oof", "zebra", "seed7/fold.json", "fold.json"]
    assert list_files(folder) == wanted
    for name in wanted:
        shelf.save(name, folder / name)
    assert shelf.list() == wanted


def test_a_courier_begins_with_what_is_there_and_leaves_what_there_is(shelf: Shelf, tmp_path: Path) -> None:
    old = fill(tmp_path / "old", last=b"epoch 1")
    shelf.save("last", old / "last")
    folder = tmp_path / "node"
    with Courier(shelf, folder):
        assert (folder / "last").read_bytes() == b"epoch 1"
        (folder / "last").unlink()
        fill(folder, oof=b"rows", fold_json=b"{}")
    assert shelf.list() == ["oof", "fold.json"]


def test_a_courier_takes_each_checkpoint_while_the_fold_trains(
    shelf: Shelf, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(courier, "EVERY_S", 0.02)
    folder = tmp_path / "node"
    with Courier(shelf, folder):
        for number in (1, 22):
            fill(folder, last=b"x" * number)
            give_up = time.monotonic() + 20
            while look(shelf, tmp_path / "seen") != b"x" * number:
                assert time.monotonic() < give_up
                time.sleep(0.01)


def look(shelf: Shelf, target: Path) -> bytes:
    if "last" not in shelf.list():
        return b""
    shelf.load("last", target)
    return target.read_bytes()


def test_a_courier_brings_what_there_is_also_when_the_fold_fails(shelf: Shelf, tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), Courier(shelf, tmp_path / "node"):
        fill(tmp_path / "node", last=b"saved")
        raise ZeroDivisionError
    assert shelf.list() == ["last"]


def test_a_piece_that_changes_on_the_way_is_no_file(make_depot: Callable[..., Actor], tmp_path: Path) -> None:
    actor = make_depot()
    shelf = DepotShelf(actor, "fold0")
    source = fill(tmp_path / "here", last=b"right") / "last"
    shelf.save("last", source)
    write = actor.depot.write
    actor.depot.write = lambda fold, name, start, piece: write(fold, name, start, piece[::-1])
    source.write_bytes(b"wrong")
    with pytest.raises(RunError, match="another file than was sent"):
        shelf.save("last", source)
    assert [path.read_bytes() for path in (tmp_path / "run" / "fold0").iterdir()] == [b"right"]


def test_goods_are_fetched_once_and_kept_by_what_they_hold(make_depot: Callable[..., Actor], tmp_path: Path) -> None:
    source = fill(tmp_path / "here", pixels=b"p" * 5000, copy=b"p" * 5000, table=b"t")
    contents = {path.name: describe_file(path) for path in source.iterdir()}
    actor = make_depot(**{content.sha256: str(source / name) for name, content in contents.items()})
    asked: list[str] = []
    read = actor.depot.read_goods
    actor.depot.read_goods = lambda sha256, start: asked.append(sha256) or read(sha256, start)
    for _ in range(2):
        fetch_goods(actor, contents, tmp_path / "goods")
    kept = [path for path in (tmp_path / "goods").iterdir() if not path.name.startswith(".")]
    assert sorted(path.name for path in kept) == sorted({content.sha256 for content in contents.values()}) == sorted(asked)
    assert all(hash_file(path) == path.name for path in kept)


def test_a_node_without_room_is_told_before_anything_comes(
    make_depot: Callable[..., Actor], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = fill(tmp_path / "here", pixels=b"p")
    content = describe_file(source / "pixels")._replace(bytes=2**60)
    with pytest.raises(
        WorkspaceError, match=r"goods has .* GB free, and a file of 1073741824\.0 GB is to come; .*COMP_NODE_FOLDER"
    ):
        fetch_goods(make_depot(), {"pixels": content}, tmp_path / "goods")


@pytest.mark.parametrize("uri", ["nowhere", "s4://bucket/runs", "file:///proc/none/runs"])
def test_a_storage_that_cannot_be_written_is_named(uri: str) -> None:
    with pytest.raises(WorkspaceError, match=rf"--storage {uri} cannot be written .*wanted a folder that pyarrow\.fs can write"):
        open_storage(uri)


def test_names_in_a_storage_are_those_of_the_run(tmp_path: Path) -> None:
    shelf = StorageShelf((tmp_path / "stored").as_uri(), "exp001", "0123abcd", "fold0")
    shelf.save("fold.json", fill(tmp_path, fold_json=b"{}") / "fold.json")
    assert json.loads((tmp_path / "stored/exp001/0123abcd/fold0/fold.json").read_text()) == {}
