"""The floors of the house: imports go down only, and heavy modules stay where they belong (DESIGN, section 2)."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
FLOORS = {
    0: ["errors", "api", "packed", "formula", "inline", "stopping", "process", "formats"],
    1: ["project", "source", "keys", "signature", "closure", "catalog"],
    2: [
        "events", "marked", "overlay", "defaults", "families", "layers", "checking", "combinations", "digest", "manifest",
        "competition", "units", "assigning", "folds", "lineage",
        "ids", "parquet", "predictions", "views", "scores", "bootstrap", "crossfit", "judges", "post",
        "unsettled",
        "blends", "members", "submission", "sample", "ledger", "images", "decoding", "whole", "pictures", "stores",
        "runs", "tables", "rare", "aggregate", "steps", "extra", "fixes", "further", "lookalikes", "groups",
        "domains", "points", "search", "trials",
    ],
    3: ["engine", "report"],
    5: ["cli", "__main__"],
}  # fmt: skip
"""Everything that is not named here orchestrates: floor 4."""

FLOOR_OF = {name: floor for floor, names in FLOORS.items() for name in names}
ORCHESTRATION = 4
HEAVY = (
    "torch",
    "timm",
    "torchvision",
    "albumentations",
    "pandas",
    "numpy",
    "sklearn",
    "cv2",
    "lightning_fabric",
    "PIL",
    "pyarrow",
)


def list_sources(folder: str) -> list[Path]:
    return sorted(path for path in (ROOT / folder).rglob("*.py") if "runs" not in path.relative_to(ROOT).parts)


def read_imports(file: Path) -> Iterator[tuple[int, str]]:
    """(line, module) of every import in a file, those inside functions too; not those for type checkers alone."""
    tree = ast.parse(file.read_text(encoding="utf-8"))
    skipped = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)
        for part in node.body
        for inner in ast.walk(part)
    }
    package = list(file.relative_to(ROOT).with_suffix("").parts)
    for node in ast.walk(tree):
        if id(node) in skipped:
            continue
        if isinstance(node, ast.Import):
            yield from ((node.lineno, name.name) for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = (
                ".".join([*package[: -node.level], *([node.module] if node.module else [])]) if node.level else node.module or ""
            )
            # `from comp.stores import store` names a module, not an attribute.
            yield from ((node.lineno, f"{base}.{name.name}") for name in node.names)
            yield node.lineno, base
        elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith(("import_module", "__import__")):
            yield from ((node.lineno, part.value) for part in node.args[:1] if isinstance(part, ast.Constant))


def part_of(module: str) -> str | None:
    """The part of comp that a module belongs to: `comp.engine.fold` is engine's; None for others and for comp itself."""
    parts = module.split(".")
    if parts[0] != "comp" or len(parts) == 1:
        return None
    known = (
        (ROOT / "comp" / parts[1]).is_dir() or (ROOT / "comp" / f"{parts[1]}.py").is_file() or parts[1] in ("plugins", "examples")
    )
    return parts[1] if known else None


def list_comp() -> list[tuple[Path, str, int]]:
    """(file, part, floor) of everything in comp."""
    files = [(path, part_of(".".join(path.relative_to(ROOT).with_suffix("").parts))) for path in list_sources("comp")]
    return [(path, part, FLOOR_OF.get(part, ORCHESTRATION)) for path, part in files if part not in (None, "__init__", "user")]


def test_imports_go_down_only() -> None:
    found = [
        f"{path.relative_to(ROOT)}:{line} (floor {floor}) imports comp.{other} (floor {FLOOR_OF.get(other, ORCHESTRATION)})"
        for path, part, floor in list_comp()
        for line, module in read_imports(path)
        if (other := part_of(module)) not in (None, part, "user", "plugins", "examples")
        and FLOOR_OF.get(other, ORCHESTRATION) > floor
    ]
    assert found == []


def test_engine_and_report_meet_only_in_events() -> None:
    found = [
        f"{path.relative_to(ROOT)}:{line} imports {module}"
        for path, part, _ in list_comp()
        for line, module in read_imports(path)
        if (part, part_of(module)) in (("engine", "report"), ("report", "engine"))
    ]
    assert found == []


def test_every_part_on_a_floor_exists_and_none_imports_in_a_circle() -> None:
    parts = {part for _, part, _ in list_comp()}
    graph = {
        part: {part_of(module) for path, one, _ in list_comp() if one == part for _, module in read_imports(path)} & parts
        for part in parts
    }
    # signature and checking may name what the other floors' modules hold; a circle at run time may not be.
    for part in sorted(parts):
        reached, waiting = set(), sorted(graph[part] - {part})
        while waiting:
            other = waiting.pop()
            if other not in reached:
                reached.add(other)
                waiting += sorted(graph[other] - reached)
        assert part not in reached, f"comp.{part} imports itself by way of {sorted(reached)}"


def test_only_engine_and_plugins_import_torch() -> None:
    found = [
        f"{path.relative_to(ROOT)}:{line} imports {module}"
        for path, part, _ in list_comp()
        for line, module in read_imports(path)
        if part != "engine"
        and module.split(".")[0] in ("torch", "timm", "torchvision", "lightning_fabric", "torchensemble", "torchsampler")
    ]
    assert found == []


def test_nobody_imports_a_plugin() -> None:
    found = [
        f"{path.relative_to(ROOT)}:{line} imports {module}"
        for path in list_sources("comp")
        for line, module in read_imports(path)
        if module.startswith(("comp.plugins", "plugins.")) or module == "plugins"
    ]
    assert found == []


def test_plugins_import_nothing_of_comp_but_its_api() -> None:
    files = [*list_sources("plugins"), *(path for path in list_sources("experiments") if path.name != "__init__.py")]
    assert len(files) > 30
    found = [
        f"{path.relative_to(ROOT)}:{line} imports {module}"
        for path in files
        for line, module in read_imports(path)
        if module.split(".")[0] == "comp" and module != "comp" and not module.startswith("comp.api")
    ]
    assert found == []


@pytest.mark.parametrize("module", ["comp.cli", "comp.new", "comp.catalog", "comp.manifest"])
def test_heavy_modules_are_not_reached_by(module: str) -> None:
    if not (ROOT / "comp" / f"{module.removeprefix('comp.')}.py").exists() and not (ROOT / module.replace(".", "/")).is_dir():
        pytest.fail(f"there is no {module}")
    code = f"import sys, {module}; print(sorted({set(HEAVY)!r} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.stdout.strip(), done.stderr) == ("[]", "")


def test_each_part_of_the_image_store_is_imported_from_where_it_lives() -> None:
    homes = {"ImageStore": "comp.stores.stored", "StoreForm": "comp.stores.store_source", "Source": "comp.stores.store_source"}
    found = [
        f"{path.relative_to(ROOT)}:{line} imports {module}"
        for folder in ("comp", "tests", "benchmarks")
        for path in list_sources(folder)
        for line, module in read_imports(path)
        for home, _, name in [module.rpartition(".")]
        if home.startswith("comp.stores.store") and homes.get(name, home) != home
    ]
    assert found == []


def test_the_reader_of_imports_sees_lazy_and_relative_ones_and_skips_type_checking(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.modules[__name__], "ROOT", tmp_path)
    file = tmp_path / "comp" / "cli" / "x.py"
    file.parent.mkdir(parents=True)
    file.write_text(
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import torch\n"
        "def f():\n    import numpy.linalg\n    from . import y\n    from ..run import z\n"
        "    from importlib import import_module\n    import_module('comp.tuning.tune')\n"
    )
    modules = {module for _, module in read_imports(file)}
    assert "torch" not in modules
    assert {"numpy.linalg", "comp.cli.y", "comp.run", "comp.tuning.tune"} <= modules
