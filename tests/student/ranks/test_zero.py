"""Study under DeepSpeed's ZeRO-3: the same study as on one rank, and an accelerate configuration that counts."""

from __future__ import annotations

import json
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.ranks import Job, run_all
from tests.student.packed.architectures import PACKED, make_student
from tests.student.ranks.test_ranks import check_same
from tutelage.config import StudySettings
from tutelage.errors import StudentError
from tutelage.student.ranks import sharding, zero_settings

Found = dict[str, list[Any]]

PLAIN = {"stage": 3, "stage3_param_persistence_threshold": 0}  # or nothing as small as here would be taken apart
OFFLOADED = {
    "stage": 3,
    "stage3_param_persistence_threshold": 100,
    "offload_optimizer": {"device": "cpu"},
    "offload_param": {"device": "cpu", "nvme_path": None},
    "overlap_comm": True,
    "reduce_bucket_size": "auto",
    "sub_group_size": 1000,
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("zero")


@pytest.fixture(scope="module")
def found(folder: Path) -> Iterator[Found]:
    """What every rank of each job gave. One rank alone has nothing to take apart, and studies without DeepSpeed."""
    if find_spec("deepspeed") is None:
        pytest.skip("DeepSpeed is not installed")
    plain, offloaded = str(folder / "plain.json"), str(folder / "offloaded.json")
    Path(plain).write_text(json.dumps({"zero_optimization": PLAIN}))
    Path(offloaded).write_text(json.dumps({"zero_optimization": OFFLOADED}))

    def job(ranks: int, work: str = "train", config: str = plain, **named: Any) -> Job:
        return Job(f"tests.student.ranks.zero_ranked.{work}", ranks, {"config": config, **named})

    one, other = str(folder / "one"), str(folder / "other")
    thrifty = {"gradient_checkpointing": True, "micro_batch_size": 1}
    jobs = {
        "1": job(1),
        "2, twice": job(2, "train_twice", save=str(folder / "saved")),
        "3, offloaded": job(3, config=offloaded),
        "GPT-J, 1": job(1, model="GPT-J"),
        "GPT-J, 2": job(2, model="GPT-J", changes=thrifty),
        "T5, tied, 1": job(1, model="T5, tied"),
        "T5, tied, 2": job(2, model="T5, tied"),
        "adapter, 1": job(1, adapter=True),
        "adapter, 2": job(2, adapter=True),
        "cut on 1": job(1, path=one, stop_after=3),
        "cut on 1, 2": job(2, path=one),
        "cut on 3": job(3, path=other, config=offloaded, stop_after=3),
        "cut on 3, 2": job(2, path=other),  # and leaves the checkpoint as it was
        "cut on 3, 1": job(1, path=other),
    }
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ACCELERATE_USE_DEEPSPEED", "true")
        patch.setenv("DS_ACCELERATOR", "cpu")
        yield dict(zip(jobs, run_all(list(jobs.values())), strict=True))


@pytest.mark.slow
@pytest.mark.parametrize("ranks", ["2, twice", "3, offloaded"])
def test_it_is_the_same_study(found: Found, ranks: str) -> None:
    check_same(found["1"][0], found[ranks])
    assert all(rank["sharded"] for rank in found[ranks])
    assert not found["1"][0]["sharded"]


@pytest.mark.parametrize("model", ["GPT-J", "T5, tied", "adapter"])
def test_another_model_and_an_adapter_study_the_same(found: Found, model: str) -> None:
    check_same(found[f"{model}, 1"][0], found[f"{model}, 2"])
    assert all(rank["sharded"] for rank in found[f"{model}, 2"])


@pytest.mark.parametrize("resumed", ["cut on 1, 2", "cut on 3, 2", "cut on 3, 1"])
def test_any_number_of_ranks_resumes_with_deepspeed_and_without(found: Found, resumed: str) -> None:
    check_same(found["1"][0], found[resumed], first=3)


def test_the_student_is_saved_whole(found: Found, folder: Path) -> None:
    loaded = make_student(PACKED["Llama"]).model.from_pretrained(folder / "saved")
    weights = torch.cat([weight.detach().flatten() for weight in loaded.parameters()])
    torch.testing.assert_close(weights, torch.tensor(found["2, twice"][0]["weights"]), rtol=0, atol=0)


def test_nothing_is_left_of_a_study(found: Found) -> None:
    for rank in found["2, twice"]:
        assert rank["first"] == {key: rank[key] for key in rank["first"]}
        assert rank["left"] == [0, 0]
        assert rank["linear"] == "torch._C._nn"


@pytest.fixture
def set_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Sets accelerate up for DeepSpeed with a file of this content, on two ranks."""
    monkeypatch.setenv("ACCELERATE_USE_DEEPSPEED", "true")
    monkeypatch.setattr("tutelage.distributed.world_size", lambda: 2)
    monkeypatch.setattr(zero_settings, "find_spec", lambda name: object())

    def write(zero: dict[str, Any], **other: Any) -> None:
        path = tmp_path / "deepspeed.json"
        path.write_text(json.dumps({"zero_optimization": zero, **other}))
        monkeypatch.setenv("ACCELERATE_DEEPSPEED_CONFIG_FILE", str(path))

    return write


def test_the_configuration_says_where_things_lie_and_the_recipe_what_is_learned(set_up: Any) -> None:
    templates = {"optimizer": {"type": "AdamW", "params": {"lr": 1e-2}}, "gradient_clipping": 0.1}
    set_up(OFFLOADED, **templates, bf16={"enabled": True}, fp16={"enabled": False}, scheduler="auto")
    assert sharding.is_wanted(StudySettings(), quantized=False)
    told = zero_settings.engine_settings(StudySettings(max_gradient_norm=2.0))
    assert told["gradient_clipping"] == 2.0
    assert "optimizer" not in told
    assert "bf16" not in told
    kept = {key: value for key, value in OFFLOADED.items() if value != "auto"}
    assert told["zero_optimization"] == kept
    assert zero_settings.unused_keys() == ["optimizer", "gradient_clipping", "bf16"]


@pytest.mark.parametrize(
    ("zero", "said"),
    [
        ({"stage": 2}, "ZeRO stage 2; a study takes stage 3"),
        ({"stage": 3, "zero_quantized_gradients": True}, "has zero_quantized_gradients under"),
        ({"stage": 3, "offload_param": {"device": "nvme", "nvme_path": "/disk"}}, "offload to nvme"),
    ],
)
def test_a_configuration_that_no_study_can_follow_is_an_error(set_up: Any, zero: dict[str, Any], said: str) -> None:
    set_up(zero)
    with pytest.raises(StudentError, match=said):
        sharding.is_wanted(StudySettings(), quantized=False)


def test_a_missing_file_and_a_missing_package_are_errors(set_up: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ACCELERATE_DEEPSPEED_CONFIG_FILE", "/nonexistent.json")
    with pytest.raises(StudentError, match=r"does not take its configuration .*nonexistent\.json"):
        sharding.is_wanted(StudySettings(), quantized=False)
    monkeypatch.setattr(zero_settings, "find_spec", lambda name: None)
    with pytest.raises(StudentError, match=r"pip install 'tutelage\[deepspeed\]'"):
        sharding.is_wanted(StudySettings(), quantized=False)


def test_accelerates_own_questions_suffice(set_up: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ACCELERATE_DEEPSPEED_ZERO_STAGE", "3")
    monkeypatch.setenv("ACCELERATE_DEEPSPEED_OFFLOAD_OPTIMIZER_DEVICE", "cpu")
    told = zero_settings.engine_settings(StudySettings())["zero_optimization"]
    assert told["offload_optimizer"]["device"] == "cpu"
    assert "offload_param" not in told
