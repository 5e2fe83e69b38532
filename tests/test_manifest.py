"""comp.manifest: resolved, stored, read back, changed."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from comp.errors import ManifestError, WeightsError
from comp.manifest import load_competition_file, load_resolved

if TYPE_CHECKING:
    from tests.conftest import Sheets


def test_an_empty_manifest_is_whole(sheets: Sheets) -> None:
    manifest = sheets.load("")
    assert manifest.values["dataset"]["target"] == "label"
    assert manifest.values["train"]["batch_size"] == 32
    assert [stage["name"] for stage in manifest.stages] == ["train"]
    assert manifest.stages[0]["epochs"] == manifest.values["train"]["epochs"] == manifest.stages[0]["train"]["epochs"]
    assert (manifest.parents, manifest.is_blend) == ((), False)


def test_origins(sheets: Sheets) -> None:
    manifest = sheets.load("about: x\nloss:\n  use: focal\n  gamma: 3\n", "optimizer.lr=1e-4")
    explained = {key: (value, str(origin)) for key, value, origin in manifest.explain()}
    assert explained["loss.gamma"] == (3.0, "experiments/exp001/manifest.yaml:4")
    assert explained["loss.alpha"] == (None, "default")
    assert explained["metric.use"] == ("accuracy", "competition.yaml:5")
    assert explained["optimizer.lr"] == (1e-4, "--set optimizer.lr=1e-4")
    assert explained["train.epochs"][1] == "default"
    assert explained["augment.0.use"] == ("light", "default")


def test_faults_name_the_file_that_states_them(sheets: Sheets) -> None:
    sheets.write("base", "\nloss: {use: focal, gama: 1}\n")
    file = sheets.project.competition_file
    text = file.read_text().replace("{use: accuracy}", "{use: acuracy}").replace("folds: 5", "folds: five")
    file.write_text(text + "train: {epochs: 3}\n")
    assert sheets.list_faults("extends: base\nseed: x\n") == [
        "competition.yaml:4 split.folds: is 'five' (text); wanted int",
        "competition.yaml:5 metric.use: there is no metric 'acuracy'; did you mean 'accuracy'?",
        "competition.yaml:8 train: is not fixed by a competition; it belongs in a manifest "
        "(competition.yaml holds dataset, task, split, metric, submission, leaderboard)",
        "experiments/base/manifest.yaml:2 loss.gama: 'focal' has no parameter 'gama'; did you mean 'gamma'?",
        "2 seed: is 'x' (text); wanted int",
    ]


def test_competition_without_what_it_must_have(sheets: Sheets) -> None:
    (sheets.project.root / "competition.yaml").write_text("format: 1\n")
    assert sheets.list_faults("") == [
        "competition.yaml dataset: is missing; `comp init` writes it",
        "competition.yaml metric: is missing; `comp init` writes it",
    ]


def test_load_competition_file(sheets: Sheets) -> None:
    assert load_competition_file(sheets.project)["task"]["image_px"] == 227
    (sheets.project.root / "competition.yaml").write_text("metrics: {use: accuracy}\n")
    with pytest.raises(ManifestError, match="competition.yaml:1  metrics: is not fixed by a competition; did you mean 'metric'"):
        load_competition_file(sheets.project)


# ---- stored and read back -------------------------------------------------------------------------------------------------


def test_a_dump_reads_back_as_the_same(sheets: Sheets) -> None:
    text = (
        "about: 'ein: Täst, \"quoted\" # no'\nloss: {use: focal, gamma: 1.0e-7}\naugment: [{use: A.HorizontalFlip, p: 1}]\n"
        "stages: [{name: a, epochs: 2, mix: null, freeze: backbone}, {name: b, epochs: 3, optimizer: {lr: 1e-5}, start: best}]\n"
        "split: {use: column, column: 'no', held_out: ['1e-3', 'null', '~', '2020-01-01', '0x1f', ' ', 'true']}\n"
    )
    manifest = sheets.load(text)
    file = sheets.project.root / "resolved.yaml"
    file.write_text(manifest.dump())
    again = load_resolved(sheets.project, "exp001", file)
    assert manifest.dump().startswith("format: 1\n")
    assert (again.values, again.stages, again.digest({"a": "b"})) == (
        manifest.values,
        manifest.stages,
        manifest.digest({"a": "b"}),
    )


def test_the_dump_of_a_child_reads_back_too(sheets: Sheets) -> None:
    sheets.write("base", "seed: 3\n")
    manifest = sheets.load("extends: base\nloss: {use: focal}\n")
    file = sheets.project.root / "resolved.yaml"
    file.write_text(manifest.dump())
    sheets.write("base", "seed: 4\nloss: {use: nonsense}\n")
    assert load_resolved(sheets.project, "exp001", file).values == manifest.values


# ---- changed afterwards ---------------------------------------------------------------------------------------------------


def test_with_values_checks_and_keeps_origins(sheets: Sheets) -> None:
    manifest = sheets.load("loss: {use: focal}\n")
    changed = manifest.with_values({"tta": [], "also": [{"use": "macro_f1"}]})
    assert (changed.values["tta"], changed.values["also"][0]["classes"], manifest.values["tta"]) == (
        [],
        "all",
        [{"use": "hflip"}],
    )
    assert (str(changed.origins["loss.use"]), str(changed.origins["also"])) == ("experiments/exp001/manifest.yaml:1", "as given")
    with pytest.raises(ManifestError, match="there is no loss 'nope'"):
        manifest.with_values({"loss": {"use": "nope"}})


def test_with_values_makes_the_stages_anew(sheets: Sheets) -> None:
    other = sheets.load("stages: [{name: a, epochs: 2}]\nloss: {use: focal}\n")
    manifest = sheets.load("").with_values(other.values)
    assert (manifest.stages, manifest.relevant()) == (other.stages, other.relevant())


def test_parse_plugin(sheets: Sheets) -> None:
    manifest = sheets.load("")
    assert manifest.parse_plugin("tta", "hflip") == {"use": "hflip"}
    assert manifest.parse_plugin("metric", "{use: macro_f1, classes: present}")["classes"] == "present"
    for text, message in (
        ("f2", "there is no metric"),
        ("{use: accuracy, treshold: 1}", "did you mean 'threshold'"),
        ("[x", "is not YAML"),
        ("", "wanted a mapping"),
    ):
        with pytest.raises(ManifestError, match=message):
            manifest.parse_plugin("metric", text)


def test_weight_files_are_hashed_and_must_be_there(sheets: Sheets) -> None:
    text = "model: {use: timm, arch: resnet18, pretrained: w.safetensors}\n"
    with pytest.raises(WeightsError, match="model.pretrained: there is no file w.safetensors"):
        sheets.load(text).weight_hashes()
    (sheets.project.root / "w.safetensors").write_bytes(b"abc")
    assert sheets.load(text).weight_hashes() == {
        "model.pretrained": "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    }
    assert sheets.load("model: {use: timm, arch: resnet18, pretrained: false}\n").weight_hashes() == {}


def test_loading_imports_nothing_heavy(sheets: Sheets) -> None:
    sheets.write("exp001", "augment: [{use: A.HorizontalFlip}]\nmodel: {use: timm, arch: resnet18}\n")
    code = (
        "import sys; from pathlib import Path; from comp.manifest import load_manifest; from comp.project import Project;"
        f"load_manifest(Project(Path({str(sheets.project.root)!r})), 'exp001').explain();"
        "heavy = {'torch', 'numpy', 'pandas', 'timm', 'albumentations', 'cv2', 'sklearn', 'PIL', 'click', 'rich'};"
        "print(sorted(heavy & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "[]"
