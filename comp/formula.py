"""Formulas: arithmetic and comparisons over named values, as manifests write them: `mask*6 + gender*3 + (age >= 60)`.

Only what stands here is read; nothing is executed. Values are numbers, texts, or numpy arrays of numbers or of texts. Whole
numbers are counted exactly; a result that int64 does not hold is an error.
"""

from __future__ import annotations

import ast
import operator
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

ARITHMETIC: Mapping[type, Callable[[Any, Any], Any]] = {
    ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul, ast.FloorDiv: operator.floordiv, ast.Mod: operator.mod,
    ast.Lt: operator.lt, ast.LtE: operator.le, ast.Gt: operator.gt, ast.GtE: operator.ge,
}  # fmt: skip
EQUALITY: Mapping[type, Callable[[Any, Any], Any]] = {ast.Eq: operator.eq, ast.NotEq: operator.ne}
GREATEST = 2**63
NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)")


@dataclass(frozen=True)
class Formula:
    """Attributes:
    text: as it was written.
    names: what it names, in alphabetical order.
    """

    text: str
    names: tuple[str, ...]
    tree: ast.expr

    def evaluate(self, values: Mapping[str, Any]) -> Any:
        """Its value where names mean these values, elementwise where they are arrays; true counts 1.

        Returns:
            int, float, str, or an array: of objects (int or str), or float64.

        Raises:
            ValueError: something that is no part of a formula, a name without a value, arithmetic on a text, a number that is
                compared with a text, a division by 0, or a result too large.
        """
        import numpy as np  # manifests are read without it

        with np.errstate(all="ignore"):
            return evaluate(self.tree, {name: as_exact(value) for name, value in values.items()})


def read_formula(text: str) -> Formula:
    """Raises ValueError where it does not parse."""
    try:
        tree = ast.parse(text.strip(), mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise ValueError(f"{text!r} is no formula such as mask*6 + gender*3 + age") from error
    return Formula(text, tuple(sorted({node.id for node in ast.walk(tree) if isinstance(node, ast.Name)})), tree)


def evaluate(node: ast.expr, values: Mapping[str, Any]) -> Any:
    match node:
        case ast.Name(id=name) if name in values:
            return values[name]
        case ast.Name(id=name):
            raise ValueError(f"it names {name!r}; there are {', '.join(values)}")
        case ast.Constant(value=str() as text):
            return text
        case ast.Constant(value=int() as number) if not isinstance(number, bool) and number < GREATEST:
            return number
        case ast.UnaryOp(op=ast.USub(), operand=inner):
            return operator.neg(demand_number(evaluate(inner, values)))
        case ast.BinOp(left=left, op=op, right=right) | ast.Compare(left=left, ops=[op], comparators=[right]):
            return combine(op, evaluate(left, values), evaluate(right, values), node)
    raise refuse(node)


def combine(op: ast.AST, left: Any, right: Any, node: ast.expr) -> Any:
    if type(op) in EQUALITY and isinstance(node, ast.Compare):
        demand_alike(left, right, node)
        return as_exact(EQUALITY[type(op)](left, right) * 1)
    if type(op) not in ARITHMETIC:
        raise refuse(node)
    demand_number(left), demand_number(right)
    if isinstance(op, ast.FloorDiv | ast.Mod) and is_any(right == 0):
        raise ValueError(f"{ast.unparse(node)!r} divides by zero")
    try:
        # Times 1: true counts 1.
        found = as_exact(ARITHMETIC[type(op)](left, right) * 1)
    except (OverflowError, ZeroDivisionError) as error:
        raise ValueError(f"{ast.unparse(node)!r} cannot be worked out: {error}") from error
    if is_any(abs(found) >= GREATEST):
        raise ValueError(f"{ast.unparse(node)!r} becomes too large; wanted results below 2**63")
    return found


def as_exact(value: Any) -> Any:
    """Arrays of whole numbers as objects, which do not wrap."""
    return value.astype(object) if getattr(value, "dtype", None) is not None and value.dtype.kind in "iu" else value


def is_any(flags: Any) -> bool:
    return bool(flags.any() if hasattr(flags, "any") else flags)


def find_text(value: Any) -> str | None:
    """Of a text, or an array of them, one that is no number, where there is one; None for numbers and what is empty."""
    texts = [value] if isinstance(value, str) else value if getattr(value, "dtype", None) == "O" else ()
    if not len(texts) or not isinstance(texts[0], str):
        return None
    return next((text for text in texts if not NUMBER.fullmatch(text)), texts[0])


def demand_number(value: Any) -> Any:
    """Raises ValueError for a text, or an array of them."""
    if (text := find_text(value)) is not None:
        raise ValueError(f"{text!r} is no number; wanted (column == {text!r})")
    return value


def demand_alike(left: Any, right: Any, node: ast.Compare) -> None:
    """Raises ValueError for numbers beside texts, which are never equal."""
    texts = find_text(left), find_text(right)
    if (texts[0] is None) == (texts[1] is None) or 0 in (getattr(left, "size", 1), getattr(right, "size", 1)):
        return
    sides = [node.left, node.comparators[0]]
    number, text = sides if texts[0] is None else sides[::-1]
    example = texts[0] or texts[1] or ""
    number_side, text_side = ast.unparse(number), ast.unparse(text)
    if isinstance(text, ast.Constant):
        wanted = f"no quotes, as in ({number_side} == {example if NUMBER.fullmatch(example) else 1})"
    else:
        wanted = f"quotes, as in ({text_side} == '{number_side}')" if isinstance(number, ast.Constant) else "both of one kind"
        text_side += f", which holds {example!r}"
    raise ValueError(f"{ast.unparse(node)!r} compares a number, {number_side}, with a text, {text_side}; wanted {wanted}")


def refuse(node: ast.expr) -> ValueError:
    wanted = "names, whole numbers, texts, + - * // % ( ) and comparisons"
    return ValueError(f"{ast.unparse(node)!r} is no part of a formula; wanted {wanted}")
