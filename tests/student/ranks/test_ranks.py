"""Study on several ranks: whatever their number, and in shards or not, it is the same study."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from tests.ranks import Job, run_all
from tests.student.packed.architectures import PACKED, make_lesson, make_student
from tutelage.config import StudySettings
from tutelage.errors import StudentError
from tutelage.student.ranks import sharding
from tutelage.student.training.shares import own_micro_batches, share_out

Found = dict[str, list[Any]]

FULL = {"sharding": "full"}
CHECKPOINTED = FULL | {"gradient_checkpointing": True}
OTHERS: dict[str, tuple[int, dict[str, Any]]] = {
    "GPT-Neo, a local layer": (2, CHECKPOINTED),  # in separate passes
    "GPT-J": (2, CHECKPOINTED),  # packed, in its own attention
    "T5, tied": (4, FULL),  # with each question encoded once
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("ranks")


@pytest.fixture(scope="module")
def found(folder: Path) -> Found:
    """What every rank of each job gave."""

    def job(ranks: int, work: str = "train", **named: Any) -> Job:
        return Job(f"tests.student.ranks.ranked.{work}", ranks, named)

    one, other = str(folder / "one"), str(folder / "other")
    jobs = {
        "1": job(1),
        "2": job(2, changes={"micro_batch_size": 1}),
        "4": job(4),
        "2 in shards": job(2, changes=FULL, save=str(folder / "saved")),
        "4 in shards": job(4, changes=FULL | {"micro_batch_size": 1}),
        **{f"{name}, 1": job(1, model=name) for name in OTHERS},
        **{
            f"{name}, in shards": job(ranks, model=name, changes=changes, save=str(folder / name))
            for name, (ranks, changes) in OTHERS.items()
        },
        "cut on 1": job(1, path=one, stop_after=3),
        "cut on 1, 2 in shards": job(2, path=one, changes=FULL),
        "cut on 2 in shards": job(2, path=other, changes=FULL, stop_after=3),
        "cut on 2 in shards, 4": job(4, path=other),
        "short of memory": job(2, "train_short_of_memory", call=1),
        "short of memory later": job(2, "train_short_of_memory", call=3),
        "a closed way": job(2, "train_by_a_closed_way", sharding="full"),
        "full disk": job(2, "train_on_a_full_disk", path=str(folder / "full"), sharding="none"),
        "full disk in shards": job(2, "train_on_a_full_disk", path=str(folder / "full-2"), sharding="full"),
    }
    return dict(zip(jobs, run_all(list(jobs.values())), strict=True))


def check_same(whole: dict[str, Any], ranks: Sequence[dict[str, Any]], first: int = 1) -> None:
    """Every rank saw the steps of the whole study from the `first` on, and came to its weights."""
    for rank in ranks:
        assert [step["step"] for step in rank["steps"]] == list(range(first, len(whole["steps"]) + 1))
        for step, expected in zip(rank["steps"], whole["steps"][first - 1 :], strict=True):
            norms = step["gradient_norm"], expected["gradient_norm"]
            assert norms[0] == pytest.approx(norms[1], rel=1e-4)  # rounded more often than a loss
            assert step | {"gradient_norm": 0} == pytest.approx(expected | {"gradient_norm": 0}, rel=1e-6)
        assert rank["weights"] == pytest.approx(whole["weights"], rel=1e-5, abs=1e-6)
        assert rank["steps"] == ranks[0]["steps"]


@pytest.mark.slow
@pytest.mark.parametrize("ranks", ["2", "4", "2 in shards", "4 in shards"])
def test_losses_and_weights_do_not_depend_on_the_ranks(found: Found, ranks: str) -> None:
    assert min(step["samples"] for step in found["1"][0]["steps"]) < 4  # fewer than ranks
    assert len({step["triplets"] for step in found["1"][0]["steps"]}) > 1
    check_same(found["1"][0], found[ranks])
    assert all(rank["sharded"] == ("shards" in ranks) for rank in found[ranks])


@pytest.mark.parametrize("name", OTHERS)
def test_a_student_that_studies_in_another_way_does_so_in_shards(found: Found, name: str) -> None:
    check_same(found[f"{name}, 1"][0], found[f"{name}, in shards"])


@pytest.mark.parametrize("resumed", ["cut on 1, 2 in shards", "cut on 2 in shards, 4"])
def test_another_number_of_ranks_resumes(found: Found, resumed: str) -> None:
    check_same(found["1"][0], found[resumed], first=3)


def test_a_student_in_shards_is_saved_whole(found: Found, folder: Path) -> None:
    loaded = make_student(PACKED["Llama"]).model.from_pretrained(folder / "saved")
    weights = torch.cat([weight.detach().flatten() for weight in loaded.parameters()])
    torch.testing.assert_close(weights, torch.tensor(found["2 in shards"][0]["weights"]), rtol=0, atol=0)


def test_tied_weights_are_saved_once(found: Found, folder: Path) -> None:
    assert found["T5, tied, in shards"][0]["sharded"]
    names = load_file(folder / "T5, tied" / "model.safetensors")
    assert [name for name in names if "shared" in name or "embed" in name or "head" in name] == ["shared.weight"]


def test_a_rank_whose_memory_runs_out_tries_again_by_itself(found: Found) -> None:
    check_same(found["1"][0], found["short of memory"])


def test_a_gradient_that_was_sent_cannot_be_taken_back(found: Found) -> None:
    assert "StudentError: Memory ran out on rank 1" in found["short of memory later"][1]
    assert "study.gradient_checkpointing=true" in found["short of memory later"][1]


def test_all_ranks_go_another_way_together(found: Found) -> None:
    check_same(found["1"][0], found["a closed way"])


@pytest.mark.parametrize("name", ["full", "full-2"])
def test_a_full_disk_of_one_rank_is_an_error_of_all_and_leaves_the_last_good_checkpoint(
    found: Found, folder: Path, name: str
) -> None:
    for rank in found["full disk" if name == "full" else "full disk in shards"]:
        assert "No space left" in rank["error"]
    assert [path.name for path in (folder / name).iterdir()] == ["step-2"]
    index = json.loads((folder / name / "step-2" / "index.json").read_text())
    files = {path.name for path in (folder / name / "step-2").glob("*.safetensors")}
    assert len(files) > 2
    assert {*index["weight_map"].values()} == files


def test_a_batch_is_shared_out_by_work() -> None:
    samples = make_lesson(make_student(PACKED["Llama"]))
    long = max(samples, key=lambda sample: len(sample.anchor.token_ids))
    parts = share_out([long, *samples, long, *samples], 3)
    assert sorted(id(sample) for part in parts for sample in part) == sorted(map(id, [long, *samples, long, *samples]))
    work = [sum(len(sample.anchor.token_ids) for sample in part) for part in parts]
    assert max(work) < 1.5 * min(work)
    assert [len(part) for part in share_out(samples[:2], 4)] == [1, 1, 0, 0]
    assert share_out([], 2) == [[], []]


def test_one_rank_has_all(monkeypatch: pytest.MonkeyPatch) -> None:
    samples = make_lesson(make_student(PACKED["Llama"]))
    assert [len(part) for part in own_micro_batches(samples, 2)] == [2, 2, 1]
    monkeypatch.setattr("tutelage.distributed.world_size", lambda: 4)
    monkeypatch.setattr("tutelage.distributed.rank", lambda: 3)
    assert own_micro_batches(samples[:3], 2) == []
    [[filling]] = own_micro_batches(samples[:3], 2, same_number=True)
    assert not filling.is_triplet
    assert not any(filling.anchor.weights)


def test_accelerates_configuration_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = StudySettings()
    monkeypatch.setenv("ACCELERATE_USE_FSDP", "true")
    assert not sharding.is_wanted(settings, quantized=False)  # one rank has nothing to shard
    monkeypatch.setattr("tutelage.distributed.world_size", lambda: 2)
    with pytest.raises(StudentError, match="fsdp_version: 2"):
        sharding.is_wanted(settings, quantized=False)
    monkeypatch.setenv("FSDP_VERSION", "2")
    assert sharding.is_wanted(settings, quantized=False)
    with pytest.raises(StudentError, match="4 bits"):
        sharding.is_wanted(settings, quantized=True)
    monkeypatch.setenv("ACCELERATE_USE_DEEPSPEED", "true")
    with pytest.raises(StudentError, match="DeepSpeed"):
        sharding.is_wanted(settings, quantized=False)
