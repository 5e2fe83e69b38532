"""The hand-made run and search, and the reader of pages, as fixtures (tests import no module of one another)."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest


def load(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"report_{name}", Path(__file__).with_name(f"{name}.py"))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def story() -> ModuleType:
    return load("story")


@pytest.fixture(scope="session")
def searched() -> ModuleType:
    return load("searched")


@pytest.fixture(scope="session")
def pages() -> ModuleType:
    return load("pages")
