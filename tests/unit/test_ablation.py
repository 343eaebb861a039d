"""The ablation's table on constructed verdicts: what it counts, and what it says in words."""

import csv
import json
from types import SimpleNamespace

import pytest

from fakeemo import workflow as plan
from fakeemo.ablation import METHODS, PAPER, RIVALS, compare, write_ablation
from fakeemo.evaluation import Prediction, write_predictions

PROTOCOL = "split of the sample sheet"


def verdicts(right, *, split="test", unscored=(), unlabelled=()):
    """Give predictions of pairs of a genuine and a fake video, right where ``right`` has a 1."""
    rows = []
    for i, is_right in enumerate(right):
        label = ("genuine", "fake")[i % 2]
        called = label if is_right == "1" else ("fake", "genuine")[i % 2]
        score = 0.5 + (0.1 + 0.001 * i) * (1 if called == "fake" else -1)
        if i in unscored:
            rows.append(Prediction(f"v{i}", f"s{i // 2}", "anger", split, label, None, None, None, 0, "no_face"))
        else:
            label = "" if i in unlabelled else label
            rows.append(Prediction(f"v{i}", f"s{i // 2}", "anger", split, label, score, called, None, 1, "ok"))
    return rows


def words(methods, split="test"):
    return compare(methods, PROTOCOL)["splits"][split]["words"]


def test_a_rival_that_wins_is_named():
    paper = verdicts("1100" * 5)
    (sentence,) = words({PAPER: paper, "direct": verdicts("1111" * 5)})
    assert sentence.startswith("Test: The rival wins: rival: facial activity, each video by itself (20 of 20)")
    assert "LSTM-PB + boosting (10 of 20)" in sentence
    assert "McNemar's test agrees" in sentence
    (sentence,) = words({PAPER: paper, "direct": verdicts("1110" + "1100" * 4)})
    assert "The rival wins" in sentence
    assert "McNemar's test cannot tell them apart" in sentence


def test_a_rival_that_loses_or_draws_is_named_too():
    paper = verdicts("1111" * 5)
    assert "more are right than by rival" in words({PAPER: paper, "pairs": verdicts("1100" * 5)})[0]
    assert "as many are right by rival" in words({PAPER: paper, "pairs": paper})[0]


def test_pairs_are_compared_apart():
    def in_pairs(scores):
        rows = verdicts("11" * len(scores))
        called = [("genuine", "fake")[:: 1 if right else -1] for right in scores]
        return [
            row._replace(predicted_paired=called[i // 2][i % 2], paired_with=rows[i ^ 1].video_id)
            for i, row in enumerate(rows)
        ]

    assert words({PAPER: in_pairs([1, 1, 0]), "pairs": in_pairs([1, 1, 1])})[1] == (
        "Test, by pairs: The rival wins: rival: facial activity, learned from pairs (3 of 3 pairs) against LSTM-PB +"
        " boosting (2 of 3)."
    )
    assert len(words({PAPER: in_pairs([1, 1, 1]), "pairs": in_pairs([1, 1, 0])})) == 1


def test_other_methods_are_named_where_they_are_better():
    paper = verdicts("1100" * 5)
    (sentence,) = words({PAPER: paper, "nearest-pb": verdicts("1110" * 5), "one-step": verdicts("1000" * 5)})
    assert sentence.startswith("Test: Better than the paper's method: nearest class PB (15 of 20)")


def test_methods_are_compared_over_the_videos_that_both_judged():
    paper = verdicts("11110000", unscored=(0,), unlabelled=(1,))
    other = verdicts("00111100", unscored=(2,), unlabelled=(1,))
    found = compare({PAPER: paper, "plain": other}, PROTOCOL)["splits"]["test"]["methods"]["plain"]
    # Both have judged v3 to v7: v3 rightly both, v4 and v5 the second alone.
    test = found["mcnemar"]
    assert (test["n"], test["only_first"], test["only_second"], test["verdict"]) == (5, 0, 2, "undecidable")
    assert "cannot decide" in test["sentence"]
    assert (found["n"], found["correct"]) == (6, 3)


def test_splits_are_apart_and_training_is_left_out():
    def rows(test, valid):
        return [*verdicts(test), *verdicts(valid, split="valid"), *verdicts("1111", split="train")]

    found = compare({PAPER: rows("1111", "1100"), "direct": rows("1100", "1111")}, PROTOCOL)
    assert list(found["splits"]) == ["test", "valid"]
    counts = {s: [cell["correct"] for cell in part["methods"].values()] for s, part in found["splits"].items()}
    assert counts == {"test": [4, 2], "valid": [2, 4]}
    assert found["splits"]["valid"]["words"][0].startswith("Validation: The rival wins")


def test_where_nothing_was_judged_it_says_so():
    rows = verdicts("11", unscored=(0, 1))
    assert words({PAPER: rows, "direct": rows}) == ["Test: no video has both a label and a score."]


def test_files_hold_the_table(tmp_path):
    methods = {name: verdicts("1110" * 5) for name in METHODS if name != "pairs"} | {PAPER: verdicts("1100" * 5)}
    files = {}
    for name, rows in methods.items():
        files[name] = tmp_path / f"{name}.csv"
        write_predictions(files[name], rows)
    out = [tmp_path / name for name in ("ablation.csv", "ablation.json", "ablation.html", "figures/ablation.svg")]
    write_ablation(files, PROTOCOL, *out, demo=True)
    with open(out[0], newline="") as file:
        table = {row["method"]: row for row in csv.DictReader(file)}
    assert list(table) == [name for name in METHODS if name != "pairs"]
    assert {row["protocol"] for row in table.values()} == {PROTOCOL}
    assert (table["direct"]["correct"], table["direct"]["n"], table["direct"]["accuracy"]) == ("15", "20", "0.75")
    assert table[PAPER]["p"] == ""
    assert float(table["direct"]["p"]) == pytest.approx(2 / 2**5)
    found = json.loads(out[1].read_text())
    assert found["left_out"] == {"pairs": METHODS["pairs"]}
    page = out[2].read_text()
    assert "The rival wins" in page
    assert f"Protocol: {PROTOCOL}." in page
    assert "say nothing about people" in page
    assert "Left out: rival: facial activity, learned from pairs" in page
    assert all(title in page for title in METHODS.values())
    assert "http://" not in page
    assert "<script" not in page


def test_rules_and_table_have_the_same_methods():
    def of_subjects(*subjects):
        shown = dict(zip(("a", "b"), subjects, strict=True))
        model = plan.Model("anger", "", {"a": "fake", "b": "genuine"}, shown, [], [])
        return SimpleNamespace(models={"anger": model})

    assert {PAPER, *plan.ARMS, *plan.baselines(of_subjects("s", "s"))} == set(METHODS)
    assert set(METHODS) - {PAPER, *plan.ARMS, *plan.baselines(of_subjects("s", "t"))} == {"pairs"}
    assert set(RIVALS) < set(METHODS)
