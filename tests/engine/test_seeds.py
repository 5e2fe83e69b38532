from __future__ import annotations

from comp.engine.seeds import join_records


def record(**scores: float) -> dict:
    return {"scores": scores, "scores_best": scores, "scores_last": scores, "elapsed_s": 2.0, "epochs": 3, "best_epoch": 1}


def test_seeds_have_the_mean_of_their_scores() -> None:
    joined = join_records([1, 2], [record(accuracy=0.5), record(accuracy=0.7)])
    assert joined["scores"] == {"accuracy": 0.6} and joined["elapsed_s"] == 4.0
    assert joined["seeds"] == {"1": {"accuracy": 0.5}, "2": {"accuracy": 0.7}}


def test_a_metric_that_changed_between_two_seeds_leaves_no_mean_of_both() -> None:
    joined = join_records([1, 2], [record(accuracy=0.5), record(log_loss=1.2)])
    assert joined["scores"] == {} and joined["seeds"]["2"] == {"log_loss": 1.2}
