"""comp.source: plugins as their source describes them."""

from __future__ import annotations

import copy
import pickle
from pathlib import Path
from typing import Literal

import pytest

from comp.source import REQUIRED, Broken, Plugin, read_annotation, read_source

FOCAL = '''
from comp.api import plugin

@plugin("loss")
def focal(task, /, *, gamma: float = 2.0, alpha: "float | None" = None, names: list[str] = ["a"], power: int) -> object:
    """Focal loss (Lin et al. 2017).

    Longer text.

    Args:
        gamma: focusing exponent;
            0 gives cross-entropy.
        alpha: weight of the positive class.
        names, power: two at once.

    Raises:
        ValueError: never.

    Example: {use: focal, gamma: 1.0}
    """
'''


def read_one(text: str) -> Plugin:
    found, broken = read_source(text, Path("focal.py"), "comp.user.focal", "experiment")
    assert not broken
    (plugin,) = found
    return plugin


def read_fault(text: str) -> str:
    found, broken = read_source(text, Path("focal.py"), "m", "workspace")
    assert not found
    ((file, message),) = broken
    assert file == Path("focal.py")
    return message


def test_everything_that_a_definition_says() -> None:
    plugin = read_one(FOCAL)
    assert (plugin.kind, plugin.name, plugin.line, plugin.supplied) == ("loss", "focal", 5, ("task",))
    assert plugin.summary == "Focal loss (Lin et al. 2017)."
    assert [(p.name, p.annotation, p.default, p.help) for p in plugin.parameters] == [
        ("gamma", "float", 2.0, "focusing exponent; 0 gives cross-entropy."),
        ("alpha", "float | None", None, "weight of the positive class."),
        ("names", "list[str]", ["a"], "two at once."),
        ("power", "int", REQUIRED, "two at once."),
    ]
    assert (plugin.family, plugin.open, plugin.origin) == (None, False, "experiment")
    assert plugin.example == "{use: focal, gamma: 1.0}"


def test_a_class_is_described_by_its_init() -> None:
    plugin = read_one(
        'import comp.api as api\n@api.plugin("logger")\nclass mine:\n  "Mine."\n'
        "  def __init__(self, folder, /, *, x: int = 1): ...\n"
    )
    assert (plugin.supplied, [parameter.name for parameter in plugin.parameters]) == (("folder",), ["x"])
    assert plugin.example == ""


def test_families() -> None:
    prefix = read_one(
        '@plugin("augment", family="A.", names="n", signature="s")\ndef albumentations(name, image, /, **arguments): "x"\n'
    )
    assert (prefix.prefix, prefix.label, prefix.open, prefix.names, prefix.signature) == ("A.", "A.…", True, "n", "s")
    assert prefix.supplied == ("name", "image")
    keyed = read_one('@plugin("model", family="arch")\ndef timm(image, /, *, arch: str, **arguments): "x"\n')
    assert (keyed.prefix, keyed.label) == (None, "timm")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("def f(:\n", "line 1: does not parse: invalid syntax"),
        ("x = '\0'\n", "does not parse"),
        ('@plugin("los")\ndef f(): ...\n', "line 2: 'f': @plugin('los'): there is no such kind"),
        ("@plugin\ndef f(): ...\n", "there is no such kind"),
        ('K = "loss"\n@plugin(K)\ndef f(): ...\n', "the kind of @plugin must be written out"),
        ('@plugin("loss", colour="red")\ndef f(): ...\n', "@plugin takes a kind"),
        ('@plugin("augment", on="cpu")\ndef f(): ...\n', "on='cpu': only an augment"),
        ('@plugin("loss", on="device")\ndef f(): ...\n', "on='device': only an augment"),
        (
            '@plugin("loss")\ndef f(task, pixels, /): ...\n',
            "wants 'pixels' before the `/`; for the kind 'loss' comp supplies task, counts, rows",
        ),
        ('@plugin("loss")\ndef f(task, gamma=2): ...\n', "task, gamma: parameters stand before `/`"),
        ('@plugin("loss")\ndef f(*tasks): ...\n', "tasks: parameters stand before"),
        ('@plugin("loss")\ndef f(*, gamma=2): ...\n', "parameter 'gamma' has no annotation"),
        ('@plugin("loss")\ndef f(*, gamma: complex = 2): ...\n', "annotation 'complex' is outside the closed set"),
        ('@plugin("loss")\ndef f(*, gamma: list[int, str] = 2, x: "__import__(1)"): ...\n', "outside the closed set"),
        ('@plugin("loss")\ndef f(*, gamma: float = 1 / 2): ...\n', "the default of 'gamma' is not a literal: 1 / 2"),
        ('@plugin("loss")\ndef f(**arguments): ...\n', "declares no family"),
        ('@plugin("loss", family="arch")\ndef f(**arguments): ...\n', "family='arch' is neither a prefix"),
        ('@plugin("loss")\nclass f: ...\n', "needs an __init__"),
    ],
)
def test_what_is_no_plugin(text: str, message: str) -> None:
    assert message in read_fault(text)


def test_one_broken_definition_leaves_the_others() -> None:
    found, broken = read_source(FOCAL + '\n@plugin("loss")\ndef bad(task): ...\n', Path("f.py"), "m", "workspace")
    assert [plugin.name for plugin in found] == ["focal"]
    why = "task: parameters stand before `/` (supplied by comp) or after `*` (set by a manifest)"
    assert broken == [Broken(Path("f.py"), f"line 23: 'bad': {why}")]


def test_annotations_of_the_closed_set() -> None:
    assert read_annotation("Literal['a', 1] | None") == Literal["a", 1] | None
    assert read_annotation("tuple[int, ...]") == tuple[int, ...]
    assert read_annotation("dict[str, list[float]] | Path") == dict[str, list[float]] | Path
    for outside in ("Any", "os.PathLike", "list[Any]", "int if 1 else str", "", "(1", "Literal[x]"):
        with pytest.raises(ValueError, match="closed set"):
            read_annotation(outside)


def test_required_stays_one_thing() -> None:
    assert pickle.loads(pickle.dumps(REQUIRED)) is REQUIRED
    assert copy.deepcopy(REQUIRED) is REQUIRED
