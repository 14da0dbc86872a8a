"""Answers by vLLM, for those who have it: another engine behind the same interface, with its own random numbers.

What was not seen live: everything that vLLM itself does. It needs a CUDA GPU and brings a torch of its own; the
suite runs this module against a stand-in with vLLM's documented interface (0.15), no more.
"""

from __future__ import annotations

import importlib
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from tutelage.errors import StudentError
from tutelage.student.answering.answers import Finished, Further
from tutelage.student.answering.prompts import check_lengths, encode_prompts, plan_sittings
from tutelage.student.answering.stopping import NEXT_QUESTION, Complete, Completion, EndRule, answer_end
from tutelage.student.engine.drawing import Drawing, Sampling
from tutelage.student.model.memory import release
from tutelage.student.model.student import Student, save_student

_SEQUENCES = 1024
_MEMORY_SHARE = 0.9  # of what the student in this process leaves free


class VllmAnswerer:
    """As `answerer.Answerer`, within sampling noise: the same prompt and seed draw other answers than there.

    It loads the student anew, from a folder that is written for it and gone afterwards.
    Raises: StudentError if vLLM is not installed or runs no such student, or a prompt is empty or too long.
    """

    def __init__(
        self,
        student: Student,
        prompts: Sequence[str],
        drawing: Drawing,
        *,
        samples: int = 1,
        seeds: Sequence[int] | None = None,
        complete: Complete | None = answer_end,
        batch_size: int | None = None,
    ) -> None:
        if student.is_encoder_decoder:
            raise StudentError(
                'student.engine is "vllm", which runs no encoder-decoder models such as this student '
                f'({student.model.config.model_type}). Take student.engine="built-in".'
            )
        self._vllm = _import()
        self._student = student
        self._prompts = encode_prompts(student, prompts)
        check_lengths(student, self._prompts, drawing)
        self._drawing = drawing
        self._samples = samples
        self._seeds = seeds
        self._rule = EndRule(student.tokenizer, student.stop_ids, complete)
        self._sequences = batch_size or _SEQUENCES
        self._sittings = plan_sittings(self._prompts, samples, self._sequences)
        self._model: Any = None

    @property
    def sittings(self) -> list[list[int]]:
        """As Answers."""
        return self._sittings

    def answer(
        self, sitting: Sequence[int], finished: Finished | None = None, further: Further | None = None
    ) -> list[list[Completion]]:
        """As Answers; it tells of all prompts at the end, and asks for further ones then."""
        if self._model is None:
            self._model = self._load()
        outputs = self._model.generate(
            [{"prompt_token_ids": self._prompts[prompt]} for prompt in sitting],
            [self._parameters(prompt) for prompt in sitting],
            use_tqdm=False,
        )
        answers = []
        for prompt, output in zip(sitting, outputs, strict=True):
            made = sorted(output.outputs, key=lambda one: int(one.index))
            completions = [self._rule.completion(self._rule.cut(list(one.token_ids))) for one in made]
            if finished is not None:
                finished(prompt, completions)
            answers.append(completions)
        while further is not None and (more := further()):
            self.answer(more, finished)
        return answers

    def release(self) -> None:
        """As Answers."""
        self._model = None
        release(self._student.device)

    def _load(self) -> Any:
        release(self._student.device)  # vLLM takes what nobody else has, this process included
        with tempfile.TemporaryDirectory(prefix="tutelage-student-") as folder:
            save_student(self._student, Path(folder))
            return self._vllm.LLM(
                model=folder,
                dtype="bfloat16" if torch.cuda.is_bf16_supported(including_emulation=False) else "float32",
                max_model_len=max(map(len, self._prompts)) + self._drawing.max_new_tokens,
                max_num_seqs=self._sequences,
                enable_prefix_caching=True,
                gpu_memory_utilization=_free_share(self._student.device),
                generation_config="vllm",  # the recipe says how to sample, not the model's file
            )

    def _parameters(self, prompt: int) -> Any:
        named: dict[str, Any] = {"temperature": 0.0}
        if isinstance(self._drawing, Sampling):
            named = {
                "temperature": self._drawing.temperature,
                "top_k": self._drawing.top_k or -1,
                "top_p": self._drawing.top_p or 1.0,
                "seed": self._seeds[prompt] if self._seeds else None,
            }
        # An answer's end is found in the text, by the same rule as ever; a stop only saves what would come behind it.
        if self._rule.complete is answer_end:
            named |= {"stop": [NEXT_QUESTION], "include_stop_str_in_output": True, "detokenize": True}
        else:
            named |= {"detokenize": False}
        return self._vllm.SamplingParams(
            n=self._samples,
            max_tokens=self._drawing.max_new_tokens,
            stop_token_ids=list(self._student.stop_ids),
            **named,
        )


def _import() -> Any:
    try:
        return importlib.import_module("vllm")
    except ImportError as error:
        raise StudentError(
            f'student.engine is "vllm", which cannot be imported ({error}). Install it by '
            '`pip install "tutelage[vllm]"`, or take student.engine="built-in".'
        ) from None


def _free_share(device: torch.device) -> float:
    """Of the GPU's whole memory, as vLLM counts."""
    if device.type != "cuda":
        return _MEMORY_SHARE
    free, total = torch.cuda.mem_get_info(device)
    return _MEMORY_SHARE * free / total
