"""Source: what a file says about the plugins in it, read with ast; nothing is imported.

This module turns one file into Plugin records, or into the reason why it cannot. Which files are looked at is the catalog's
business, what arguments a plugin takes is checked in signature.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

from comp.api import KINDS, OFFERS, Spec

ANNOTATIONS: dict[str, Any] = {known.__name__: known for known in (bool, int, float, str, list, tuple, dict, Path, Spec)}
CLOSED_SET = "bool int float str Path Spec Literal list tuple dict None and their unions"


class Required:
    """Stands where a parameter has no default. There is one of it, in worker processes too."""

    def __reduce__(self) -> str:
        return "REQUIRED"

    def __repr__(self) -> str:
        return "REQUIRED"


REQUIRED = Required()


@dataclass(frozen=True)
class Parameter:
    """What a manifest may set: a keyword-only parameter of a plugin, or a key of the manifest itself.

    Attributes:
        annotation: as written in the source, from the closed set.
        default: a literal, or REQUIRED.
        help: its line of the docstring's `Args:`.
    """

    name: str
    annotation: str
    default: Any = REQUIRED
    help: str = ""

    @property
    def nests(self) -> bool:
        """Whether it holds other plugins of the same kind."""
        return re.search(r"\bSpec\b", self.annotation) is not None


@dataclass(frozen=True)
class Plugin:
    """One plugin, as its source describes it.

    Attributes:
        module: importable name of the module that holds it.
        supplied: what the kit gives it, in its order (before the `/`).
        family: prefix that ends in a dot, or the parameter that holds a library's name; None: not a family.
        open: it takes `**arguments`, which it passes through to a library.
        example: what a manifest may write for it, as YAML: the docstring's line `Example: {use: …}`; empty where it has none.
        names, signature: functions of the module that describe the library (comp.api.plugin).
        on: `device`: an augment that changes batches there.
    """

    kind: str
    name: str
    file: Path
    line: int
    module: str
    summary: str
    doc: str
    supplied: tuple[str, ...]
    parameters: tuple[Parameter, ...]
    family: str | None = None
    open: bool = False
    names: str | None = None
    signature: str | None = None
    on: str | None = None
    example: str = ""
    origin: Literal["built-in", "workspace", "experiment", "package"] = "built-in"

    @property
    def prefix(self) -> str | None:
        """`A.` where the plugin is a family by prefix."""
        return self.family if self.family and self.family.endswith(".") else None

    @property
    def label(self) -> str:
        """What a manifest writes after `use:`."""
        return f"{self.prefix}…" if self.prefix else self.name


class Broken(NamedTuple):
    """A file, or a plugin in it, that cannot be used, and why."""

    file: Path
    message: str


class SourceFault(Exception):
    """Why a definition is no plugin: internal to this module and the catalog."""


def read_source(text: str, file: Path, module: str, origin: str) -> tuple[list[Plugin], list[Broken]]:
    """The plugins of one file, and what is wrong with others in it."""
    try:
        tree = ast.parse(text, filename=str(file))
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        line = getattr(error, "lineno", None)
        return [], [Broken(file, f"{f'line {line}: ' if line else ''}does not parse: {getattr(error, 'msg', None) or error}")]
    found, broken = [], []
    for node, decorator in _find_decorated(tree):
        try:
            found.append(_read_plugin(node, decorator, file, module, origin))
        except SourceFault as fault:
            broken.append(Broken(file, f"line {node.lineno}: {node.name!r}: {fault}"))
    return found, broken


Definition = ast.FunctionDef | ast.ClassDef


def _find_decorated(tree: ast.Module) -> Iterator[tuple[Definition, ast.Call]]:
    for node in tree.body:
        if isinstance(node, Definition):
            for decorator in node.decorator_list:
                function = decorator.func if isinstance(decorator, ast.Call) else decorator
                name = function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", None)
                if name == "plugin":
                    yield node, decorator if isinstance(decorator, ast.Call) else ast.Call(function, [], [])


def _read_plugin(node: Definition, decorator: ast.Call, file: Path, module: str, origin: Any) -> Plugin:
    marks = _read_marks(decorator)
    kind, family = marks.pop("kind"), marks["family"]
    doc = ast.get_docstring(node) or ""
    function = _find_signature(node)
    supplied, keywords, has_open = _read_parameters(function, function is not node, _read_help(doc))
    known = {parameter.name for parameter in keywords}
    if family is not None and not family.endswith(".") and family not in known:
        raise SourceFault(f"family={family!r} is neither a prefix that ends in a dot nor one of its keyword parameters")
    offers = OFFERS[kind] + (("name",) if family is not None and family.endswith(".") else ())
    for name in supplied:
        if name not in offers:
            there = ", ".join(offers) or "nothing"
            raise SourceFault(f"wants {name!r} before the `/`; for the kind {kind!r} comp supplies {there}")
    if has_open and family is None:
        raise SourceFault("takes **arguments but declares no family, so they cannot be checked")
    return Plugin(
        kind=kind, name=node.name, file=file, line=node.lineno, module=module, summary=doc.partition("\n")[0].strip(), doc=doc,
        supplied=supplied, parameters=keywords, open=has_open, example=_read_example(doc), origin=origin, **marks,
    )  # fmt: skip


def _read_marks(decorator: ast.Call) -> dict[str, Any]:
    """The arguments of `@plugin(...)`."""
    marks: dict[str, Any] = {"kind": None, "family": None, "names": None, "signature": None, "on": None}
    positional = [("kind", node) for node in decorator.args[:1]]
    for name, node in [*positional, *((keyword.arg or "", keyword.value) for keyword in decorator.keywords)]:
        if name not in marks or len(decorator.args) > 1:
            raise SourceFault("@plugin takes a kind, then family=, names=, signature=, on=")
        if not isinstance(node, ast.Constant) or not isinstance(node.value, str | None):
            raise SourceFault(f"the {name} of @plugin must be written out as text; it is read without importing the file")
        marks[name] = node.value
    if marks["kind"] not in OFFERS:
        raise SourceFault(f"@plugin({marks['kind']!r}): there is no such kind; the kinds are {', '.join(KINDS)}")
    if marks["on"] not in (None, "device") or (marks["on"] and marks["kind"] != "augment"):
        raise SourceFault(f"on={marks['on']!r}: only an augment can be on another place than its own, and that is 'device'")
    return marks


def _find_signature(node: Definition) -> ast.FunctionDef:
    if isinstance(node, ast.FunctionDef):
        return node
    for part in node.body:
        if isinstance(part, ast.FunctionDef) and part.name == "__init__":
            return part
    raise SourceFault("a class that is a plugin needs an __init__ of its own: its signature is the schema")


def _read_parameters(
    function: ast.FunctionDef, of_class: bool, help_of: dict[str, str]
) -> tuple[tuple[str, ...], tuple[Parameter, ...], bool]:
    """What is supplied, what a manifest may set, and whether anything else may be."""
    arguments = function.args
    positional, either = list(arguments.posonlyargs), list(arguments.args)
    if of_class:
        (positional or either)[:1] = []
    if either or arguments.vararg:
        names = ", ".join(part.arg for part in (*either, arguments.vararg) if part)
        raise SourceFault(f"{names}: parameters stand before `/` (supplied by comp) or after `*` (set by a manifest)")
    keywords = []
    for part, default in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True):
        if part.annotation is None:
            raise SourceFault(f"parameter {part.arg!r} has no annotation; wanted one from {CLOSED_SET}")
        annotation = ast.unparse(part.annotation)
        try:
            read_annotation(annotation)
        except ValueError as error:
            raise SourceFault(f"parameter {part.arg!r}: {error}") from None
        keywords.append(Parameter(part.arg, _unquote(annotation), _read_default(part.arg, default), help_of.get(part.arg, "")))
    return tuple(part.arg for part in positional), tuple(keywords), arguments.kwarg is not None


def _read_default(name: str, node: ast.expr | None) -> Any:
    if node is None:
        return REQUIRED
    try:
        return ast.literal_eval(node)
    except (ValueError, TypeError, RecursionError):
        raise SourceFault(f"the default of {name!r} is not a literal: {ast.unparse(node)}") from None


def _unquote(annotation: str) -> str:
    """`'float | None'` (written in quotes) is `float | None`."""
    node = ast.parse(annotation, mode="eval").body
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else annotation


def read_annotation(text: str) -> Any:
    """The type that an annotation of the closed set names. Nothing is evaluated but these names.

    Raises:
        ValueError: it is outside the closed set.
    """
    try:
        return _read_type(ast.parse(text, mode="eval").body)
    except (SyntaxError, TypeError, ValueError):
        raise ValueError(f"annotation {text!r} is outside the closed set: {CLOSED_SET}") from None


def _read_type(node: ast.expr) -> Any:
    match node:
        case ast.Constant(value=None):
            return None
        case ast.Constant(value=str() as quoted):
            return read_annotation(quoted)
        case ast.Name(id=name) if name in ANNOTATIONS:
            return ANNOTATIONS[name]
        case ast.BinOp(left=left, op=ast.BitOr(), right=right):
            return _read_type(left) | _read_type(right)
        case ast.Subscript(value=ast.Name(id="Literal"), slice=inner):
            return Literal[ast.literal_eval(inner)]
        case ast.Subscript(value=ast.Name(id=("list" | "tuple" | "dict") as name), slice=inner):
            parts = inner.elts if isinstance(inner, ast.Tuple) else [inner]
            return ANNOTATIONS[name][tuple(... if _is_ellipsis(part) else _read_type(part) for part in parts)]
    raise ValueError(ast.unparse(node))


def _is_ellipsis(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and node.value is ...


def _read_help(doc: str) -> dict[str, str]:
    """Parameter -> its text under `Args:` (Google style; a deeper line goes on)."""
    section = re.search(r"^Args:\n((?:[ \t]+.*\n?|\n)*)", doc, re.MULTILINE)
    found: dict[str, str] = {}
    if section is None:
        return found
    lines = [line for line in section[1].splitlines() if line.strip()]
    indent = min((len(line) - len(line.lstrip()) for line in lines), default=0)
    names: list[str] = []
    for line in lines:
        head = re.fullmatch(r"([\w*, ]+?)(?: \([^)]*\))?:\s*(.*)", line[indent:])
        if head and not line[indent:].startswith(" "):
            names = [name.strip(" *") for name in head[1].split(",")]
            found.update(dict.fromkeys(names, head[2]))
        else:
            found.update({name: f"{found[name]} {line.strip()}".strip() for name in names})
    return found


def _read_example(doc: str) -> str:
    found = re.search(r"^Example: *(\{.*\})\s*$", doc, re.MULTILINE)
    return found[1] if found else ""
