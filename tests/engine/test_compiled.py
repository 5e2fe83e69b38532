"""torch.compile where it cannot: one error that says what is lacking, and which key to change."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import torch
from torch import nn

from comp.engine.checkpoint import Progress
from comp.engine.compiled import SHOWN, explain_compiling
from comp.errors import RunError

if TYPE_CHECKING:
    from tests.engine.conftest import Desk


def break_compiler(monkeypatch: pytest.MonkeyPatch, message: str) -> None:
    """As on a machine whose compiler says this; the code generator itself takes half a minute."""
    compiled = torch.compile

    def backend(graph: object, inputs: object) -> None:
        raise RuntimeError(message)

    monkeypatch.setattr(torch, "compile", lambda module: compiled(module, backend=backend))


def test_a_machine_without_a_compiler_is_told_what_it_lacks(desk: Desk, monkeypatch) -> None:
    break_compiler(monkeypatch, "No working C++ compiler found in torch._inductor.config.cpp.cxx: (None, 'g++')\n" + "x" * 9999)
    stage = desk.case("train.compile=true", plain=True).stage()
    with pytest.raises(RunError) as caught:
        stage.train_epoch(Progress())
    said = str(caught.value)
    assert said.startswith("train.compile: torch cannot compile ") and "No working C++ compiler found" in said
    assert said.endswith("install one (g++ or clang++; on a GPU triton, too), or set train.compile: false.")
    assert "\n" not in said and len(said) < SHOWN + 250


def test_what_torch_cannot_compile_is_told(desk: Desk, monkeypatch) -> None:
    break_compiler(monkeypatch, "this operator is not known")
    stage = desk.case("train.compile=true", plain=True).stage()
    with pytest.raises(RunError, match="this operator is not known; leave it out: set train.compile: false"):
        stage.train_epoch(Progress())


def test_an_error_of_the_model_itself_is_no_compilers() -> None:
    assert explain_compiling(RuntimeError("mat1 and mat2 shapes cannot be multiplied"), nn.Linear(1, 1)) is None


@pytest.mark.slow
def test_torch_itself_says_so_without_one(desk: Desk, monkeypatch, tmp_path) -> None:
    from torch._inductor import config

    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path / "cache"))
    stage = desk.case("train.compile=true", plain=True).stage()
    said = r"^train\.compile: .*No working C\+\+ compiler.*set train\.compile: false\.$"
    with config.patch({"cpp.cxx": (None, str(tmp_path / "g++"))}), pytest.raises(RunError, match=said):
        stage.train_epoch(Progress())
