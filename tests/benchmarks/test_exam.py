"""benchmarks/exam.py, run on a tiny student."""

from __future__ import annotations

import json

import pytest

import exam
from bandwidth import BoundJob, measure_bound
from exam_variants import read_batching
from measuring.lengths import draw_lengths
from measuring.models import load_model
from measuring.prompts import make_prompts
from tutelage.student.answering.prompts import encode_prompts


@pytest.mark.slow
def test_ours_against_the_library(capsys: pytest.CaptureFixture[str]) -> None:
    argv = ["--device", "cpu", "--model", "tiny", "--questions", "4", "--samples", "2", "--demonstrations", "24"]
    exam.main([*argv, "--new-tokens", "8", "--sequences", "4", "--limit-seconds", "60", "--json"])
    result = json.loads(capsys.readouterr().out.splitlines()[-1])
    variants = result["cases"][0]["variants"]
    assert {name: variants[name].get("sequences_done") for name in variants} == dict.fromkeys(exam.VARIANTS, 8)
    assert all(0 < variants[name]["tokens"] <= 8 * 8 for name in variants)
    assert result["speedup_vs_generate"] > 0
    assert result["speedup_vs_generate_batch"] > 0
    assert result["share_of_bandwidth_bound"] > 0


@pytest.mark.slow
def test_ours_on_two_ranks(capsys: pytest.CaptureFixture[str]) -> None:
    argv = ["--device", "cpu", "--model", "tiny", "--questions", "12", "--samples", "2", "--demonstrations", "24"]
    exam.main([*argv, "--new-tokens", "24", "--ranks", "1,2", "--limit-seconds", "60", "--json"])
    result = json.loads(capsys.readouterr().out.splitlines()[-1])
    variants = result["cases"][0]["variants"]
    assert [variants[name]["sequences_done"] for name in ("ours:1", "ours:2")] == [24, 24]
    assert variants["ours:1"]["tokens"] == variants["ours:2"]["tokens"]  # the same texts
    assert len(variants["ours:2"]["tokens_of_ranks"]) == 2
    assert result["speedup_of_ranks"] > 0


def test_prompts_have_the_tokens_asked_for() -> None:
    student = load_model("tiny", "cpu")
    prompts = encode_prompts(student, make_prompts(student, "tiny", 6, 24, seed=0, data=None))
    assert len({tuple(prompt[:24]) for prompt in prompts}) == 1
    assert len({tuple(prompt) for prompt in prompts}) == 6
    assert [len(prompt) - 24 for prompt in prompts] == [sizes.question for sizes in draw_lengths(6, seed=0)]
    assert min(min(prompt) for prompt in prompts) > 1  # neither the end nor the padding


def test_a_real_model_needs_real_questions() -> None:
    with pytest.raises(ValueError, match="--data"):
        make_prompts(load_model("tiny", "cpu"), "some/model", 6, 24, seed=0, data=None)


def test_the_bound_by_hand() -> None:
    """tiny: two layers, two heads of 8 for keys and values, float32 on a CPU."""
    bound = measure_bound(BoundJob("tiny", "cpu", sequences=4, demonstrations=100, own=10.0))
    token = 2 * 2 * 2 * 8 * 4
    assert bound["kv_bytes_per_token"] == token
    weights = 4 * sum(parameter.numel() for parameter in load_model("tiny", "cpu").model.parameters())
    ratio = (weights + token * 4 * 110) / (weights + token * (100 + 4 * 10))
    found = bound["bound_tokens_per_second"] / bound["bound_tokens_per_second_unshared"]
    assert found == pytest.approx(ratio, rel=1e-2)


def test_settings_of_generate_batch() -> None:
    attention, named = read_batching("sdpa+r64+t512+graph+compile")
    assert attention == "paged|sdpa"
    assert (named["max_requests_per_batch"], named["max_batch_tokens"]) == (64, 512)
    assert named["use_cuda_graph"]
    assert named["default_compile_level"] == 1
    with pytest.raises(ValueError, match="nonsense"):
        read_batching("sdpa+nonsense")
