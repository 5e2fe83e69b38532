"""comp.keys: what may stand in a manifest."""

from __future__ import annotations

from comp.api import KINDS
from comp.keys import (
    COMPETITION_KEYS,
    KIT_PARAMETERS,
    LIMITS,
    LISTS,
    MANIFEST_KEYS,
    MODEL_KEYS,
    PLAIN,
    SEARCH,
    SECTIONS,
    SLOTS,
    STAGE_KEYS,
    STAGE_PARAMETERS,
    STARTING_KEYS,
)
from comp.signature import check_values
from comp.source import REQUIRED, read_annotation


def test_every_key_is_described_once() -> None:
    described = [*(parameter.name for parameter in PLAIN), *SLOTS, *SECTIONS, *LISTS, "stages", "search"]
    assert sorted(described) == sorted(MANIFEST_KEYS)
    assert {*COMPETITION_KEYS, *STARTING_KEYS, *MODEL_KEYS, *STAGE_KEYS} <= set(MANIFEST_KEYS)
    assert set(STAGE_KEYS) <= set(MODEL_KEYS)


def test_slots_are_of_known_kinds_and_every_kind_has_one() -> None:
    assert {slot.kind for slot in SLOTS.values()} == set(KINDS)
    assert set(KIT_PARAMETERS) <= set(KINDS)


def test_parameters_are_of_the_closed_set_have_help_and_fitting_defaults() -> None:
    for parameters in (PLAIN, STAGE_PARAMETERS, SEARCH, *SECTIONS.values(), *LISTS.values(), *KIT_PARAMETERS.values()):
        for parameter in parameters:
            read_annotation(parameter.annotation)
            assert parameter.help, parameter.name
        defaults = {parameter.name: parameter.default for parameter in parameters if parameter.default is not REQUIRED}
        assert check_values([parameter for parameter in parameters if parameter.name in defaults], defaults, "it") == []


def test_limits_are_of_keys_that_exist() -> None:
    sections = {**SECTIONS, "search": SEARCH}
    keys = {f"{section}.{parameter.name}" for section, parameters in sections.items() for parameter in parameters}
    assert set(LIMITS) - keys - {parameter.name for parameter in PLAIN} == {"split.folds", "split.repeats", "split.seed"}
