"""Submissions: what passes is accepted by the form's own rules, worked out here from the file alone; what fails names the row."""

from __future__ import annotations

import csv
import io
import math
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import strategies as st

from comp.api import Target, Task
from comp.catalog import build_catalog
from comp.errors import CompError
from comp.predictions import Predictions
from comp.submission import build_submission, render_frame
from tests.fuzz.exploring import counts, explore

CATALOG = build_catalog(None)
TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\0\r"), min_size=1, max_size=6)
NAMES = TEXT | st.sampled_from(["007", "7", "7.0", "a b", "a,b", 'a"b', "a\nb", " a", "NA", "nan", "-", "=1+1", "'", "é"])


@dataclass(frozen=True)
class Case:
    """A task, a form, the sample as rows of text, and predictions by id. `suspects`: what a refusal must name one of."""

    task: Task
    form: dict[str, Any]
    header: list[str]
    rows: list[list[str]]
    ids: list[str]
    values: np.ndarray
    suspects: list[str] = field(default_factory=list)


# ---- well-formed ones ----------------------------------------------------------------------------------------------------


@st.composite
def sound(draw: Any) -> Case:
    """A case that must pass."""
    ids = draw(st.lists(NAMES, min_size=1, max_size=6, unique=True))
    classes = tuple(
        sorted(draw(st.lists(NAMES, min_size=2, max_size=4, unique=True) | st.just(["0", "1", "2"]) | st.just(["cat", "dog"])))
    )
    use = draw(st.sampled_from(["labels", "number", "probabilities", "probability", "columns", "set", "topk", "long", "value"]))
    kind = {"value": "regression", "columns": "multilabel", "set": "multilabel"}.get(use, "multiclass")
    target = Target("answer", kind, () if kind == "regression" else classes, ("answer",), " " if use == "set" else None)
    task = Task((target,))
    random = np.random.default_rng(draw(st.integers(0, 99)))
    values = random.random((len(ids), task.outputs))
    if kind == "multiclass":
        values /= values.sum(axis=1, keepdims=True)
    if kind == "regression":
        values = values * 1e6 - 5e5
    header, form = ["Id", "answer"], {"use": use}
    cells = lambda text: [[name, text] for name in ids]  # noqa: E731
    match use:
        case "labels":
            rows = cells(classes[0])
        case "number":
            rows, form = cells("0"), {"use": "labels", "write": "number"}
        case "value":
            rows, form = cells("0.5"), {"use": "labels"}
        case "probability":
            rows, form = cells("0"), {"use": use, "positive": classes[-1]}
        case "topk":
            joiner = next(mark for mark in " ;|~^" if not any(mark in name for name in classes))
            rows, form = cells(joiner.join(classes[:2])), {"use": use, "k": 2, "separator": joiner}
        case "set":
            rows, form = cells(""), {"use": "multilabel", "form": "set", "separator": " ", "empty": ""}
        case "long":
            rows = [[f"{name}_{label}", "0"] for name in ids for label in classes]
        case _:
            header = ["Id", *(f"p_{label}" for label in classes)]
            rows = [[name, *["0"] * len(classes)] for name in ids]
            form = {"use": "probabilities"} if use == "probabilities" else {"use": "multilabel", "form": "columns"}
    shown = draw(st.permutations(rows)) if use != "long" else rows
    return Case(task, form, header, [list(row) for row in shown], ids, values)


def spoil(case: Case, how: str, at: int) -> Case:
    """The same with one thing wrong, and what a message must name then."""
    row, unit = case.rows[at % len(case.rows)], at % len(case.ids)
    name, others = case.ids[unit], [place for place in range(len(case.ids)) if place != unit]
    match how:
        case "no prediction":
            return replace(
                case,
                ids=[case.ids[at] for at in others],
                values=case.values[others],
                suspects=[name, "no rows", "the sample numbers its"],
            )
        case "one too many":
            strange = "".join(case.ids) + "?"
            more = np.vstack([case.values, case.values[:1]])
            return replace(case, ids=[*case.ids, strange], values=more, suspects=[strange, "the sample numbers its"])
        case "nan" | "inf" | "minus" | "above":
            values = case.values.copy()
            values[unit] = {"nan": math.nan, "inf": math.inf, "minus": -0.5, "above": 1.5}[how]
            return replace(case, values=values, suspects=[name])
        case "sample lacks a row":
            return replace(
                case, rows=[other for other in case.rows if other is not row], suspects=[row[0], name, "the sample numbers its"]
            )
        case "sample has a row twice":
            return replace(case, rows=[*case.rows, row], suspects=[row[0], "the sample numbers its"])
        case "another column":
            return replace(case, header=[*case.header[:-1], "guess"], suspects=["guess", case.header[-1]])
        case "a column more":
            rows = [[*cells, "0"] for cells in case.rows]
            return replace(case, header=[*case.header, "extra"], rows=rows, suspects=["extra"])
        case "no rows":
            return replace(case, rows=[], suspects=["no rows", *case.ids])
    raise AssertionError(how)


SPOILT = (
    "no prediction",
    "one too many",
    "nan",
    "inf",
    "minus",
    "above",
    "sample lacks a row",
    "sample has a row twice",
    "another column",
    "a column more",
    "no rows",
)


# ---- the form's own rules ------------------------------------------------------------------------------------------------


def read_back(data: bytes) -> tuple[list[str], list[list[str]]]:
    """As a competition's server reads it."""
    header, *rows = csv.reader(io.StringIO(data.decode(), newline=""), strict=True)
    return header, rows


def demand_accepted(case: Case, data: bytes) -> None:
    """The sample's header and ids in its order, and in each row the answer that the predictions of its id give."""
    header, rows = read_back(data)
    assert header == case.header
    assert [row[0] for row in rows] == [row[0] for row in case.rows]
    by_id, classes = dict(zip(case.ids, case.values, strict=True)), case.task.target.classes
    for row in rows:
        use = case.form["use"]
        if use == "long":
            name, label = next((n, c) for n in case.ids for c in classes if f"{n}_{c}" == row[0])
            assert math.isclose(float(row[1]), by_id[name][classes.index(label)], rel_tol=1e-12)
            continue
        values = by_id[row[0]]
        if case.task.target.kind == "regression":
            assert math.isclose(float(row[1]), values[0], rel_tol=1e-12) and math.isfinite(float(row[1]))
        elif use == "labels":
            best = int(values.argmax())
            assert row[1] == (str(best) if case.form.get("write") == "number" else classes[best])
        elif use == "probability":
            assert math.isclose(float(row[1]), values[-1], rel_tol=1e-12) and 0 <= float(row[1]) <= 1
        elif use == "topk":
            best = sorted(range(len(classes)), key=lambda at: (-values[at], at))[:2]
            assert row[1].split(case.form["separator"]) == [classes[at] for at in best]
        elif case.form.get("form") == "set":
            assert row[1] == " ".join(name for name, value in zip(classes, values, strict=True) if value >= 0.5)
        else:
            numbers = [float(cell) for cell in row[1:]]
            assert all(0 <= number <= 1 for number in numbers)
            np.testing.assert_allclose(
                numbers, [values[classes.index(name.removeprefix("p_"))] for name in header[1:]], rtol=1e-12
            )


def submit(case: Case) -> bytes:
    columns = {name: [row[at] for row in case.rows] for at, name in enumerate(case.header)}
    sample = pd.DataFrame({name: np.asarray(cells, dtype=object) for name, cells in columns.items()}, columns=case.header).astype(
        object
    )
    predictions = Predictions(case.task, np.asarray(case.ids, dtype=object), case.values)
    return render_frame(build_submission(CATALOG, case.form, case.task, predictions, sample, "Id"))


@counts(60, 3000)
def test_what_passes_is_accepted_by_the_forms_own_rules(count):
    explore(sound(), count, lambda case: demand_accepted(case, submit(case)))


@counts(80, 4000)
def test_what_fails_names_the_row_and_what_does_not_is_right(count):
    def check(case: Case) -> None:
        try:
            data = submit(case)
        except CompError as error:
            said = str(error)
            assert any(name in said or repr(name) in said or repr(name)[1:-1] in said for name in case.suspects), (
                case.suspects,
                said,
            )
            return
        demand_accepted(case, data)  # a value out of range that another answer hides: labels of a row of minus a half

    cases = st.builds(spoil, sound(), st.sampled_from(SPOILT), st.integers(0, 10))
    explore(cases, count, check)


@pytest.mark.parametrize("how", SPOILT)
def test_each_fault_is_refused_where_it_could_be_seen(how):
    """Probabilities of three classes: none of these may pass."""
    ids = ["a", "b", "c"]
    task = Task((Target("answer", "multiclass", ("x", "y", "z"), ("answer",)),))
    rows = [[name, "0", "0", "0"] for name in ids]
    case = Case(task, {"use": "probabilities"}, ["Id", "p_x", "p_y", "p_z"], rows, ids, np.full((3, 3), 1 / 3))
    demand_accepted(case, submit(case))
    with pytest.raises(CompError):
        submit(spoil(case, how, 1))


@pytest.mark.parametrize("case", ["id", "class", "column"])
def test_what_csv_cannot_carry_is_refused(case):
    """A reader takes a carriage return for the end of a row, quoted or not, and pandas does not quote it."""
    ids, classes = (["a\rb"] if case == "id" else ["a"]), (("x\r", "y") if case == "class" else ("x", "y"))
    header = ["Id", "answer\r" if case == "column" else "answer"]
    task = Task((Target("answer", "multiclass", classes, ("answer",)),))
    with pytest.raises(CompError, match="carriage return"):
        submit(Case(task, {"use": "labels"}, header, [[ids[0], classes[1]]], ids, np.array([[0.9, 0.1]])))


# ---- any sample at all ---------------------------------------------------------------------------------------------------

CELLS = st.sampled_from(["0", "1", "0.5", "a", "b", "a b", "", "x_a", "x_b", "y_a", "1.0", "nan", "inf"]) | TEXT
SAMPLES = st.integers(1, 4).flatmap(
    lambda width: st.tuples(
        st.lists(CELLS, min_size=width, max_size=width, unique=True),
        st.lists(st.lists(CELLS, min_size=width, max_size=width), max_size=5),
    )
)
FORMS = st.sampled_from([{"use": use} for use in ("labels", "probabilities", "probability", "multilabel", "topk", "long")])
TASKS = st.sampled_from(
    [
        Task((Target("t", "multiclass", ("a", "b"), ("t",)),)),
        Task((Target("t", "regression", (), ("t",)),)),
        Task((Target("t", "multilabel", ("a", "b"), ("a", "b")),)),
        Task((Target("t", "multiclass", ("a", "b"), ("t",)), Target("v", "regression", (), ("v",)))),
    ]
)


@counts(40, 3000)
def test_any_sample_is_answered_or_refused_in_words(count):
    def check(given: tuple[Any, ...]) -> None:
        (header, rows), form, task, ids = given
        frame = pd.DataFrame(rows, columns=header, dtype=object).astype(object)
        values = np.random.default_rng(0).random((len(ids), task.outputs))
        predictions = Predictions(task, np.asarray(ids, dtype=object), values)
        try:
            made = build_submission(CATALOG, form, task, predictions, frame, header[0], list(ids))
        except CompError as error:
            assert str(error)
            return
        found, cells = read_back(render_frame(made))
        assert np.isfinite([float(cell) for column in made.select_dtypes("float") for cell in made[column]]).all()
        assert found == header and [row[0] for row in cells] == [row[0] for row in rows]

    explore(st.tuples(SAMPLES, FORMS, TASKS, st.lists(CELLS, max_size=4, unique=True)), count, check)
