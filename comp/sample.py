"""Sample: what a competition's sample submission asks for: which units, and whether it names them or only numbers their rows.

Some samples (`,answer value`) have no ids but the numbers 0, 1, 2, ... of the rows: then the test table's order says who is who.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from comp.api import Task
from comp.catalog import Catalog
from comp.errors import SubmissionError


def numbers_rows(sample: pd.DataFrame, id_column: str, ids: Sequence[str]) -> bool:
    """Whether the sample's ids are 0, 1, 2, ... and `ids` are others."""
    counted = [str(number) for number in range(len(sample))]
    return len(sample) > 0 and sample[id_column].tolist() == counted and set(counted) != set(ids)


def name_rows(sample: pd.DataFrame, id_column: str, order: Sequence[str] | None) -> pd.DataFrame:
    """The sample with the test set's ids in place of the numbers of its rows.

    Args:
        order: the ids of the test set, in its order.

    Raises:
        SubmissionError: there are not as many, so that the numbers could mean anything.
    """
    if order is None or len(order) != len(sample):
        there = "no test set says whose they are" if order is None else f"the test set has {len(order)} units"
        raise SubmissionError(f"the sample numbers its {len(sample)} rows instead of naming units, and {there}")
    return sample.assign(**{id_column: np.asarray(order, dtype=object)})


def id_first(sample: pd.DataFrame | None, id_column: str) -> pd.DataFrame | None:
    """The columns as a form is given them: it takes the first to be the id, wherever the sample has it."""
    return None if sample is None else sample[[id_column, *(column for column in sample.columns if column != id_column)]]


def list_units(
    catalog: Catalog, spec: Mapping[str, Any], task: Task, sample: pd.DataFrame, id_column: str, order: Sequence[str] | None
) -> list[str]:
    """The ids of the units that the sample wants answers for, by the form that `spec` names.

    Raises:
        SubmissionError: the form does not fit the sample.
    """
    if order is not None and numbers_rows(sample, id_column, order):
        return list(order) if len(order) == len(sample) else sample[id_column].tolist()
    form = catalog.build("submission", spec, task=task, sample=id_first(sample, id_column))
    return list(getattr(form, "units", sample[id_column].drop_duplicates()))
