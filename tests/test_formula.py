from __future__ import annotations

import numpy as np
import pytest

from comp.formula import read_formula

A, B = np.repeat([3, 0, 7], 4), np.tile([2, 1, 5, 4], 3)


@pytest.mark.parametrize(
    "text",
    ["a*6 + b", "(a + 2*b) % 5", "a - -b*3", "7*a // 2 + b % 3", "a*6+b*0", "(a >= 3) + (a >= b)", "(a == b) - 2*(b != 4)"],
)
def test_it_is_pythons_arithmetic_on_numbers_and_on_arrays(text):
    formula = read_formula(text)
    wanted = [eval(text, {"__builtins__": {}}, {"a": int(a), "b": int(b)}) for a, b in zip(A, B, strict=True)]
    assert formula.evaluate({"a": A, "b": B}).tolist() == wanted
    assert [formula.evaluate({"a": int(a), "b": int(b)}) for a, b in zip(A, B, strict=True)] == wanted


def test_true_counts_one_in_a_sum_of_comparisons():
    assert read_formula("(a >= 3) + (a >= 7)").evaluate({"a": np.array([0, 3, 7, 9])}).tolist() == [0, 1, 2, 2]


def test_texts_compare():
    sex = np.array(["female", "male", "female"], dtype=object)
    assert read_formula("(sex == 'female')*3 + a").evaluate({"sex": sex, "a": np.arange(3)}).tolist() == [3, 1, 5]
    assert read_formula("sex != 'male'").evaluate({"sex": "female"}) == 1


def test_it_lists_what_it_names():
    assert read_formula(" mask*6 + gender*3 + (age >= 60)*mask ").names == ("age", "gender", "mask")


@pytest.mark.parametrize("text", ["a*6 +", "", "a = 3", "(" * 5000])
def test_what_does_not_parse(text):
    with pytest.raises(ValueError, match="is no formula such as"):
        read_formula(text)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a + c", "it names 'c'; there are a, b, sex"),
        ("a.real + b", "'a.real' is no part of a formula"),
        ("__import__('os').system('true') + a", "is no part of a formula"),
        ("a ** b", "'a \\*\\* b' is no part"),
        ("a*6.5", "'6.5' is no part"),
        ("True*a", "'True' is no part"),
        ("a < b < 3", "is no part"),
        ("[x for x in a] + b", "is no part"),
        ("a // 0", "'a // 0' divides by zero"),
        ("a % (b - b)", "divides by zero"),
        ("sex*3 + a", r"'female' is no number; wanted \(column == 'female'\)"),
        ("-sex", "'female' is no number"),
        ("a < 'x'", "'x' is no number"),
    ],
)
def test_anything_else_is_refused(text, said):
    arrays = {"a": np.arange(2), "b": np.arange(2), "sex": np.array(["female", "male"], dtype=object)}
    for values in (arrays, {"a": 1, "b": 2, "sex": "female"}):
        with pytest.raises(ValueError, match=said):
            read_formula(text).evaluate(values)


LARGE = 2**62


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("sex == '1'", r"compares a number, sex, with a text, '1'; wanted no quotes, as in \(sex == 1\)"),
        ("'male' != sex", r"a text, 'male'; wanted no quotes, as in \(sex == 1\)"),
        ("site == 3", r"a number, 3, with a text, site, which holds 'NA'; wanted quotes, as in \(site == '3'\)"),
        ("site == sex", "a number, sex, with a text, site, which holds 'NA'; wanted both of one kind"),
        ("site + sex", r"'NA' is no number; wanted \(column == 'NA'\)"),
    ],
)
def test_a_number_is_not_compared_with_a_text(text, said):
    with pytest.raises(ValueError, match=said):
        read_formula(text).evaluate({"sex": np.array([1, 2, 1]), "site": np.array(["3", "NA", "3"], dtype=object)})


def test_in_an_empty_table_there_is_nothing_to_compare():
    assert read_formula("(site == 3) + (site == 'x')").evaluate({"site": np.array([], dtype=object)}).tolist() == []


@pytest.mark.parametrize("value", [LARGE, np.array([1, LARGE]), np.array([1.0, 1e308])])
def test_a_result_that_is_too_large_is_refused_not_wrapped(value):
    for text in ("a*a", "a + a + a", "(a > 0)*9223372036854775807*a", "-a*a*a"):
        with pytest.raises(ValueError, match=r"becomes too large; wanted results below 2\*\*63"):
            read_formula(text).evaluate({"a": value})
    with pytest.raises(ValueError, match="cannot be worked out: int too large to convert to float"):
        read_formula("b + a").evaluate({"a": np.array([0.5, 1.5]), "b": 10**400})


def test_whole_numbers_are_exact_beyond_what_float64_holds():
    ids = np.array([90071992547409931, 90071992547409929])
    assert read_formula("(id == 90071992547409931)*2 + (id > 90071992547409930)").evaluate({"id": ids}).tolist() == [3, 0]
    assert read_formula("id % 1000").evaluate({"id": np.array([12345678901234567891], dtype=object)}).tolist() == [891]
