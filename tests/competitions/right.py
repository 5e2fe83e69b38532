"""Right: how much of a submission is so, by the perfect one; one number from 0 to 1, whatever the form of the answers."""

from __future__ import annotations

import numpy as np
import pandas as pd


def right_share(submission: pd.DataFrame, solution: pd.DataFrame) -> float:
    """Both as text, the id in the first column; joined by id, whatever the order of the rows.

    Several columns of which each row of the solution marks one: the share of rows whose greatest is that one. Several columns
    otherwise: the mean AUC of those that hold both answers. One column: by its values, the AUC where the solution has 0 and 1
    and the submission what lies between, the rank correlation where the submission has numbers that are no labels; or else the
    share of rows that have the same text, the same set of labels, or (where the solution has one label and the
    submission lists several) the right one first.

    Raises:
        ValueError: other columns, other ids, an id twice, or nothing to tell apart.
    """
    if list(submission.columns) != list(solution.columns):
        raise ValueError(f"columns {list(submission.columns)}; wanted {list(solution.columns)}")
    key = solution.columns[0]
    ids = submission[key].tolist()
    if sorted(ids) != sorted(solution[key]) or len(set(ids)) < len(ids):
        raise ValueError(
            f"{len(ids)} ids, {len(set(ids))} of them different; wanted the {len(solution)} of the solution, each once"
        )
    given = submission.set_index(key).loc[solution[key].tolist()]
    wanted = solution.set_index(key)
    if len(wanted.columns) > 1:
        return compare_columns(given.astype(float).to_numpy(), wanted.astype(float).to_numpy())
    return compare_cells(given.iloc[:, 0], wanted.iloc[:, 0])


def compare_columns(given: np.ndarray, wanted: np.ndarray) -> float:
    """(N, K) answers, (N, K) of 0 and 1."""
    if (wanted.sum(axis=1) == 1).all():
        return float((given.argmax(axis=1) == wanted.argmax(axis=1)).mean())
    told = [place for place in range(wanted.shape[1]) if len(set(wanted[:, place])) > 1]
    return float(np.mean([measure_auc(given[:, place], wanted[:, place] > 0.5) for place in told]))


def compare_cells(given: pd.Series, wanted: pd.Series) -> float:
    """(N,) texts each."""
    numbers = pd.to_numeric(given, errors="coerce"), pd.to_numeric(wanted, errors="coerce")
    if not pd.concat(numbers).isna().any() and not set(given) <= set(wanted):
        values, answers = (each.to_numpy(float) for each in numbers)
        if set(answers) == {0, 1}:
            return measure_auc(values, answers == 1)
        if (values % 1 != 0).any():
            return float(numbers[0].corr(numbers[1], method="spearman"))
    lists, single = given.str.split(), (wanted.str.split().str.len() <= 1).all()
    if single and (lists.str.len() > 1).any():
        return float((lists.str[0] == wanted).mean())
    return float(
        np.mean([mine == right or set(mine.split()) == set(right.split()) for mine, right in zip(given, wanted, strict=True)])
    )


def measure_auc(values: np.ndarray, positive: np.ndarray) -> float:
    """Share of pairs of a positive and a negative in which the positive has the greater value; equal ones count half."""
    apart = values[positive][:, None] - values[~positive][None, :]
    if apart.size == 0:
        raise ValueError("every row has the same answer; wanted both")
    return float(((apart > 0) + 0.5 * (apart == 0)).mean())
