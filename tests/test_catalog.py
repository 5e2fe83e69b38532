"""comp.catalog: plugins found without importing them."""

from __future__ import annotations

import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from comp.catalog import REQUIRED, build_catalog
from comp.errors import PluginError
from comp.project import Project, built_in_folder

LOSS = '''from pathlib import Path

from comp.api import plugin

@plugin("loss")
def {name}(task, /, *, gamma: float = 2.0, where: Path = "x", span: tuple[int, int] = (1, 2)):
    """Mine.

    Args:
        gamma: the exponent.
        where: a file.
        span: two.
    """
    return (task, gamma, where, span)
'''


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    monkeypatch.setenv("COMP_WORKSPACE", "")
    for folder in ("plugins/loss", "experiments/exp001", "experiments/exp002"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "competition.yaml").write_text("format: 1\n")
    return Project(tmp_path)


def write(project: Project, file: str, text: str) -> Path:
    path = project.root / file
    path.write_text(text)
    return path


def test_sources_and_their_modules(project: Project) -> None:
    write(project, "plugins/loss/one.py", LOSS.format(name="one"))
    write(project, "plugins/two.py", LOSS.format(name="two"))
    write(project, "experiments/exp001/three.py", LOSS.format(name="three"))
    catalog = build_catalog(project, [project.experiments / "exp001"])
    found = {plugin.name: (plugin.origin, plugin.module) for plugin in catalog.of_kind("loss") if plugin.origin != "built-in"}
    assert found == {
        "one": ("workspace", "comp.user.plugins.loss.one"),
        "two": ("workspace", "comp.user.plugins.two"),
        "three": ("experiment", "comp.user.experiments.exp001.three"),
    }
    assert ("loss", "three") not in build_catalog(project).plugins


def test_built_in_plugins_are_all_whole_and_documented() -> None:
    catalog = build_catalog(None)
    assert catalog.broken == []
    for plugin in catalog.plugins.values():
        assert plugin.summary, plugin.file
        assert [parameter.name for parameter in plugin.parameters if not parameter.help] == [], plugin.file
        assert plugin.file.parent.name == plugin.kind


def test_discovery_imports_no_plugin() -> None:
    code = (
        "import sys; from comp.catalog import build_catalog; build_catalog(None);"
        "print([module for module in sys.modules if 'comp.plugins' in module])"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "[]"


def test_a_file_that_does_not_parse_is_a_row(project: Project) -> None:
    file = write(project, "plugins/loss/broken.py", "@plugin('loss')\ndef broken(:\n")
    latin = write(project, "plugins/loss/latin.py", "")
    latin.write_bytes(b"# plugin \xe9\n")
    catalog = build_catalog(project)
    assert [(row.file, row.message.partition(":")[0]) for row in catalog.broken] == [(file, "line 2"), (latin, "is not UTF-8")]
    with pytest.raises(PluginError, match=r"there is no loss 'broken'.*broken.py: line 2: does not parse"):
        catalog.find("loss", "broken")


def test_files_without_plugins_and_private_ones_are_left_alone(project: Project) -> None:
    write(project, "experiments/exp001/notes.py", "def f(:\n")
    write(project, "experiments/exp001/_hidden.py", LOSS.format(name="hidden"))
    catalog = build_catalog(project, [project.experiments / "exp001"])
    assert catalog.broken == []
    assert ("loss", "hidden") not in catalog.plugins


def test_two_plugins_of_one_name_are_an_error_naming_both(project: Project) -> None:
    one = write(project, "plugins/loss/one.py", LOSS.format(name="mine"))
    two = write(project, "experiments/exp001/two.py", LOSS.format(name="mine").replace("Mine.", "Other."))
    with pytest.raises(PluginError, match="two plugins are named loss 'mine'") as caught:
        build_catalog(project, [project.experiments / "exp001"])
    assert f"{one}:6" in str(caught.value)
    assert f"{two}:6" in str(caught.value)


def test_a_name_that_is_built_in_clashes_too(project: Project) -> None:
    write(project, "plugins/loss/focal.py", LOSS.format(name="focal"))
    with pytest.raises(PluginError, match="two plugins are named loss 'focal'"):
        build_catalog(project)


def test_the_same_file_or_content_counts_once(project: Project) -> None:
    text = LOSS.format(name="mine")
    write(project, "experiments/exp001/mine.py", text)
    write(project, "experiments/exp002/mine.py", text)
    (project.plugins / "loss" / "linked.py").symlink_to(built_in_folder() / "loss" / "focal.py")
    catalog = build_catalog(project, [project.experiments / "exp001", project.experiments / "exp002"])
    assert catalog.plugins["loss", "mine"].module == "comp.user.experiments.exp001.mine"
    assert catalog.plugins["loss", "focal"].origin == "built-in"


def test_one_name_in_two_kinds(project: Project) -> None:
    write(project, "plugins/both.py", '@plugin("loss")\ndef both(): "x"\n')
    write(project, "plugins/too.py", '@plugin("metric")\ndef both(): "x"\n')
    assert {kind for kind, name in build_catalog(project).plugins if name == "both"} == {"loss", "metric"}


def test_a_file_whose_name_cannot_be_imported(project: Project) -> None:
    file = write(project, "plugins/my-loss.py", LOSS.format(name="mine"))
    assert build_catalog(project).broken == [(file, "cannot be imported under its name; wanted letters, digits and _ only")]


def test_packages_by_entry_point(project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    site = tmp_path / "site"
    (site / "kit_lovasz-1.0.dist-info").mkdir(parents=True)
    (site / "kit_lovasz-1.0.dist-info" / "METADATA").write_text("Name: kit-lovasz\nVersion: 1.0\n")
    entries = "[comp.plugins]\nloss.lovasz = kit_lovasz:lovasz\nloss.gone = kit_gone:gone\nloss.other = kit_lovasz:other\n"
    (site / "kit_lovasz-1.0.dist-info" / "entry_points.txt").write_text(entries)
    (site / "kit_lovasz.py").write_text(LOSS.format(name="lovasz"))
    monkeypatch.syspath_prepend(str(site))
    catalog = build_catalog(project)
    assert (catalog.plugins["loss", "lovasz"].origin, catalog.plugins["loss", "lovasz"].module) == ("package", "kit_lovasz")
    assert [row.message for row in catalog.broken] == [
        "entry point 'loss.gone': there is no module 'kit_gone'",
        "entry point 'loss.other': the file has no such plugin",
    ]
    assert "kit_lovasz" not in sys.modules


def test_find_by_name_prefix_and_near_name() -> None:
    catalog = build_catalog(None)
    assert catalog.find("loss", "focal")[0].name == "focal"
    plugin, name = catalog.find("augment", "A.HorizontalFlip")
    assert (plugin.prefix, name) == ("A.", "HorizontalFlip")
    with pytest.raises(PluginError, match="there is no loss 'foca'; did you mean 'focal'"):
        catalog.find("loss", "foca")
    with pytest.raises(PluginError, match=r"there is no mix 'zzzz' \(there are: cutmix, mixup, mixup_cutmix\)"):
        catalog.find("mix", "zzzz")
    for bare in ("A.", "albumentations"):
        with pytest.raises(PluginError, match="there is no augment"):
            catalog.find("augment", bare)


def test_build_passes_what_is_declared_and_converts(project: Project) -> None:
    write(project, "plugins/mine.py", LOSS.format(name="mine"))
    spec = {"use": "mine", "gamma": 3, "where": "a/b", "span": [4, 5]}
    assert build_catalog(project).build("loss", spec, task="the task", counts="unwanted") == (
        "the task",
        3.0,
        Path("a/b"),
        (4, 5),
    )


def test_build_gives_a_family_by_prefix_the_name(project: Project) -> None:
    text = 'from comp.api import plugin\n@plugin("augment", family="L.")\ndef fam(image, name, /, **rest):\n    "x"\n'
    text += "    return image, name, rest\n"
    write(project, "plugins/fam.py", text)
    assert build_catalog(project).build("augment", {"use": "L.Blur", "p": 1}, image="spec") == ("spec", "Blur", {"p": 1})


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (
            "import nowhere_to_be_found\n",
            r"f.py:2 cannot be imported: ModuleNotFoundError: No module named 'nowhere_to_be_found'",
        ),
        ("", r"f.py:6: loss 'f' failed: ZeroDivisionError: division by zero"),
    ],
)
def test_a_plugin_that_raises_is_named_with_its_line(project: Project, body: str, message: str) -> None:
    text = f'from comp.api import plugin\n{body or chr(10)}@plugin("loss")\ndef f(*, x: int = 0):\n    "x"\n    return 1 / x\n'
    write(project, "plugins/f.py", text)
    with pytest.raises(PluginError, match=message):
        build_catalog(project).build("loss", {"use": "f"})


def test_an_edit_is_what_runs(project: Project) -> None:
    for value in ("1", "2"):
        write(project, "experiments/exp001/helper.py", f"VALUE = {value}\n")
        text = 'from comp.api import plugin\nfrom .helper import VALUE\n@plugin("loss")\ndef f():\n    "x"\n    return VALUE\n'
        write(project, "experiments/exp001/mine.py", text)
        catalog = build_catalog(project, [project.experiments / "exp001"])
        assert catalog.build("loss", {"use": "f"}) == int(value)


def test_source_hashes_cover_the_file_and_what_it_imports_from_beside_it(project: Project) -> None:
    write(
        project,
        "experiments/exp001/mine.py",
        'from comp.api import plugin\nfrom .helper import x\n@plugin("loss")\ndef f(): "x"\n',
    )
    seen = []
    for helper, deep in (
        ("from . import deep\nx = 1\n", ""),
        ("from . import deep\nx = 2\n", ""),
        ("from . import deep\nx = 2\n", "y = 1\n"),
    ):
        write(project, "experiments/exp001/helper.py", helper)
        write(project, "experiments/exp001/deep.py", deep)
        seen.append(build_catalog(project, [project.experiments / "exp001"]).source_hashes([("loss", {"use": "f"})])["loss.f"])
    assert len(set(seen)) == 3


NESTS = '''from comp.api import Spec, plugin

@plugin("loss")
def nests(task, rows, build, /, *, base: Spec = {"use": "one"}, parts: list[Spec] = []):
    """Nests."""
    return [build(base), *(build(part, rows=rows + 1) for part in parts)]

@plugin("loss")
def one(task, rows, /, *, span: tuple[int, int] = (1, 2)):
    """One."""
    return task, rows, span
'''


def test_build_is_supplied_for_nested_specs(project: Project) -> None:
    write(project, "plugins/nests.py", NESTS)
    catalog = build_catalog(project)
    parts = [{"use": "one", "span": [3, 4]}, {"use": "nests"}]
    assert catalog.build("loss", {"use": "nests", "parts": parts}, task="t", rows=7) == [
        ("t", 7, (1, 2)),
        ("t", 8, (3, 4)),
        [("t", 8, (1, 2))],
    ]


def test_nested_specs_are_walked_and_hashed(project: Project) -> None:
    write(project, "plugins/nests.py", NESTS)
    catalog = build_catalog(project)
    spec = {"use": "nests", "base": {"use": "one"}, "parts": [{"use": "nests", "base": {"use": "focal"}, "parts": []}]}
    assert [(".".join(path), inner["use"]) for path, inner in catalog.walk_spec("loss", spec)] == [
        ("", "nests"),
        ("base", "one"),
        ("parts.0", "nests"),
        ("parts.0.base", "focal"),
    ]
    assert set(catalog.source_hashes([("loss", spec)])) == {"loss.nests", "loss.one", "loss.focal"}


def test_source_hashes_do_not_depend_on_where_the_workspace_lies(tmp_path: Path) -> None:
    seen = set()
    for name in ("one", "two"):
        project = Project(tmp_path / name)
        (project.experiments / "exp001").mkdir(parents=True)
        write(project, "experiments/exp001/mine.py", 'from .helper import x\n@plugin("loss")\ndef f(): "x"\n')
        write(project, "experiments/exp001/helper.py", "x = 1\n")
        seen.add(build_catalog(project, [project.experiments / "exp001"]).source_hashes([("loss", {"use": "f"})])["loss.f"])
    assert len(seen) == 1


def test_built_in_sources_count_only_in_a_checkout(monkeypatch: pytest.MonkeyPatch) -> None:
    catalog = build_catalog(None)
    monkeypatch.setattr("comp.catalog.runs_from_checkout", lambda: True)
    assert list(catalog.source_hashes([("loss", {"use": "focal"})])) == ["loss.focal"]
    monkeypatch.setattr("comp.catalog.runs_from_checkout", lambda: False)
    assert catalog.source_hashes([("loss", {"use": "focal"})]) == {}


def test_a_builder_crosses_processes(project: Project) -> None:
    write(project, "plugins/mine.py", LOSS.format(name="mine"))
    builder: Any = pickle.loads(pickle.dumps(build_catalog(project).builder("loss", [{"use": "mine", "gamma": 1}], task="t")))
    assert builder() == [("t", 1.0, "x", (1, 2))]
    assert builder.catalog.plugins["model", "timm"].parameters[0].default is REQUIRED
