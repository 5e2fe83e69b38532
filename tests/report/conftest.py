"""The hand-made run, as a fixture (tests import no module of one another)."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest


@pytest.fixture(scope="session")
def story() -> ModuleType:
    spec = importlib.util.spec_from_file_location("report_story", Path(__file__).with_name("story.py"))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
