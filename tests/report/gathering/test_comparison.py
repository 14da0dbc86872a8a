"""Runs side by side: what is compared with what, and what is not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.report.made_runs import TESTED, write_run
from tutelage.evaluation.significance import holm, mcnemar
from tutelage.report.gathering.comparison import gather, link, short_names
from tutelage.report.reading import Reading
from tutelage.workspace import Workspace


def gathered(*folders: Path) -> Any:
    return gather([Reading(folder) for folder in folders], folders[0].parent).data


def test_differences_are_on_the_same_questions_and_corrected_together(tmp_path: Path) -> None:
    first = write_run(tmp_path / "first", [2, 6])
    better = write_run(tmp_path / "better", [2, 14])
    near = write_run(tmp_path / "near", [2, 7])
    other = write_run(tmp_path / "other", [2, 18], task="else")
    found = gathered(first, better, near, other)
    none, large, small, apart = [run["difference"] for run in found["runs"]]
    assert (none, apart) == (None, None)
    assert found["runs"][3]["not_compared"] == "other test questions than the first run's"
    right = [{str(place): place < count for place in range(TESTED)} for count in (6, 14, 7)]
    pairs = [mcnemar(right[0], one) for one in right[1:]]
    assert [large["adjusted"], small["adjusted"]] == holm([pair.p_value for pair in pairs])
    assert large["adjusted"] == 2 * large["p_value"] != large["p_value"]
    assert (large["difference"], tuple(large["interval"])) == (pairs[0].difference, pairs[0].interval)
    assert (large["significant"], small["significant"]) == (True, False)


def test_the_kept_round_counts_and_only_what_differs_is_told(tmp_path: Path) -> None:
    first = write_run(tmp_path / "first", [2, 6, 5], "[study]", "lambda = 0.0", kept=1)
    second = write_run(tmp_path / "second", [2, 6], "[study]", "lambda = 0.5", "[lora]", "r = 4", cents=25)
    found = gathered(first, second)
    one, two = found["runs"]
    assert (one["kept"], one["score"]["correct"], one["last"]) == (1, 6, 2)
    assert found["recipe"] == [
        {"key": "lora.r", "values": [None, "4"]},
        {"key": "study.lambda", "values": ["0.0", "0.5"]},
    ]
    assert (one["money"], one["tokens"], one["seconds"]) == (None, None, 91.5)
    assert (two["money"], two["tokens"], two["seconds"], two["unknown"]) == (0.25, 120, 61.0, 0)
    drawn = {chart["spec"]: chart["rows"] for chart in found["charts"]}
    assert [(row["run"], row["round"], row["accuracy"]) for row in drawn["runs"]] == [
        *(("first", 0, 0.1), ("first", 1, 0.3), ("first", 2, 0.25)),
        *(("second", 0, 0.1), ("second", 1, 0.3)),
    ]
    assert [(row["run"], row["money"]) for row in drawn["money"]] == [("second", 0.25)]
    assert [(row["run"], row["tokens"]) for row in drawn["tokens"]] == [("second", 120)]


def test_feedback_of_a_first_teacher_on_this_machine_is_the_devices_time(tmp_path: Path) -> None:
    paid = ("[teacher]", 'kind = "openai"')
    alone = write_run(tmp_path / "alone", [2, 6], *paid)
    first = write_run(tmp_path / "first", [2, 6], *paid, "[first_teacher]", 'kind = "local"')
    for folder in (alone, first):
        for number in (1, 2):
            Workspace(folder).note("end", round=number, stage="feedback", seconds=100.0)
    assert [one["seconds"] for one in gathered(alone, first)["runs"]] == [61.0, 161.0]


@pytest.mark.parametrize("name", ["questions.jsonl", "round-1/evaluation.jsonl", "outcome.json", "journal.jsonl"])
@pytest.mark.parametrize("half", [True, False])
def test_a_run_that_is_damaged_is_shown_and_not_compared_by_what_it_lacks(
    tmp_path: Path, name: str, half: bool
) -> None:
    folders = [write_run(tmp_path / which, [2, 6]) for which in ("first", "second")]
    path = folders[1] / name
    if half:
        path.write_bytes(path.read_bytes()[:-40])
    else:
        path.unlink()
    _, run = gathered(*folders)["runs"]
    assert run["score"]["correct"] == 6 if name != "outcome.json" else run["reason"] is None
    if name in ("questions.jsonl", "round-1/evaluation.jsonl"):
        assert run["difference"] is None
        assert run["not_compared"]
    assert bool(run["notes"]) == half


def test_names_are_as_long_as_tells_them_apart() -> None:
    paths = [Path("/a/one/seed-1"), Path("/a/two/seed-1"), Path("/b/two/seed-2")]
    assert short_names(paths) == ["one/seed-1", "two/seed-1", "two/seed-2"]


def test_a_link_is_a_path_whatever_a_folder_is_called(tmp_path: Path) -> None:
    run = tmp_path / "javascript:alert(1)#?"
    assert link(run, tmp_path) is None
    run.mkdir()
    (run / "report.html").touch()
    assert link(run, tmp_path) == "./javascript%3Aalert%281%29%23%3F/report.html"
    assert link(run, tmp_path / "elsewhere") == "./../javascript%3Aalert%281%29%23%3F/report.html"
