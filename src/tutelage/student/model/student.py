"""The student: a language model, causal or encoder-decoder, with its tokenizer; loaded, checked and saved.

The weights are float32, the master weights of training; `autocast` lowers the precision of the arithmetic
where the device gains by it. No code of a model's repository is run and no pickle is read.
"""

from __future__ import annotations

import contextlib
import errno
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoModelForSeq2SeqLM,
    AutoTokenizer,
    GgufConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)

from tutelage.distributed import local_rank, world_size
from tutelage.errors import StudentError
from tutelage.student.model.quantization import in_4_bits, keep_weights
from tutelage.student.model.sources import Source, explain, find_source
from tutelage.student.model.special_tokens import repair_special_tokens


@dataclass(frozen=True, slots=True)
class Student:
    """Who learns (or a teacher run in this process).

    pad_id: fills batches; none of the stop ids, so that no mask or loss can mistake one for the other.
    eos_id: the end token that training teaches and generation stops on.
    bos: the token ids that the tokenizer puts before a text, often none.
    stop_ids: every token id that ends generation, `eos_id` first.
    decoder_start: the token ids that the decoder of an encoder-decoder student is given before its first own one.
    suffix: the token ids that its tokenizer puts behind a text for the encoder.
    """

    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    device: torch.device
    pad_id: int
    eos_id: int
    bos: tuple[int, ...]
    stop_ids: tuple[int, ...]
    decoder_start: tuple[int, ...] = ()
    suffix: tuple[int, ...] = ()

    @property
    def is_encoder_decoder(self) -> bool:
        """Whether an encoder reads what is asked, and the decoder writes the answer alone."""
        return bool(getattr(self.model.config, "is_encoder_decoder", False))

    @property
    def context(self) -> int | None:
        """The most tokens the model can take, encoder and decoder each; None if it states no limit."""
        limit = getattr(self.model.config.get_text_config(), "max_position_embeddings", None)
        return limit if isinstance(limit, int) and limit > 0 else None


def load_student(model: str, *, revision: str | None = None, device: str = "auto", quantize: bool = False) -> Student:
    """Loads a language model and makes its special tokens consistent (see `repair_special_tokens`).

    model: a hub id, a local folder, the path of a .gguf file, or "package:NAME" for the one .gguf file that
        the installed Python distribution NAME carries. A GGUF file is converted, which takes its time (25 s for
        135M parameters): save the student and load that.
    revision: of a hub id. device: "auto" (a CUDA GPU where there is one), or as torch names it.
    quantize: the linear layers but the head in 4 bits (NF4, double quantisation), by bitsandbytes.
    Raises: StudentError if it is not found, not readable, or not such a language model.
    """
    place = choose_device(device)
    source = find_source(model, revision)
    try:
        tokenizer = _load_tokenizer(source)
        network = _load_model(source, in_4_bits(place) if quantize else {})
    except StudentError:
        raise
    # The loaders of four libraries raise whatever they like on a file that is damaged or of another kind.
    except Exception as error:
        raise StudentError(explain(model, error)) from None
    tokens = repair_special_tokens(model, network, tokenizer)
    network.to(place)  # type: ignore[arg-type]
    network.eval()
    student = Student(
        network,
        tokenizer,
        place,
        tokens.pad_id,
        tokens.eos_id,
        tokens.bos,
        tokens.stop_ids,
        tokens.decoder_start,
        tokens.suffix,
    )
    if not student.is_encoder_decoder and not quantize:  # which is coarse, and of a student that was checked before
        _check_causal(model, network, tokens.eos_id)
    return student


def save_student(student: Student, folder: Path, weights: dict[str, torch.Tensor] | None = None) -> None:
    """Writes weights (float32 safetensors), tokenizer and generation settings into `folder`.

    weights: those of a student in shards, put together (see ranks/sharding.py); None: the model's own.
    Plain `from_pretrained` loads what is saved, and its `generate` stops where the student does.
    Raises: OSError if it cannot be written.
    """
    with safetensors_errors():
        student.model.save_pretrained(folder, state_dict=weights)
    save_words(student, folder)


def save_words(student: Student, folder: Path) -> None:
    """Writes the tokenizer and the generation settings alone. Raises: OSError if they cannot be written."""
    assert student.model.generation_config is not None  # noqa: S101 - repair_special_tokens made it
    student.model.generation_config.save_pretrained(folder)
    with safetensors_errors():
        student.tokenizer.save_pretrained(folder)


@contextlib.contextmanager
def safetensors_errors() -> Iterator[None]:
    """Raises OSError where safetensors, which has an error of its own, could not write: on a full disk above all."""
    try:
        yield
    except SafetensorError as error:
        full = "os error 28" in str(error)
        raise OSError(errno.ENOSPC if full else errno.EIO, str(error)) from None


def choose_device(device: str) -> torch.device:
    """The torch device of a recipe's word for it. Raises: StudentError if there is no such device."""
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    if device == "cuda" and world_size() > 1:  # the current device already, by `distributed.joined`
        device = f"cuda:{local_rank()}"
    try:
        chosen = torch.device(device)
        torch.empty(0, device=chosen)
    # torch raises RuntimeError, AssertionError or NotImplementedError, depending on the build.
    except Exception as error:
        reason = str(error).strip().partition("\n")[0]
        raise StudentError(f'There is no device "{device}" here ({reason}). Take "auto", "cpu" or "cuda".') from None
    return chosen


def autocast(device: torch.device, cache: bool = True) -> contextlib.AbstractContextManager[object]:
    """bfloat16 arithmetic where the GPU has it; weights stay float32. On a CPU it would be 20 times slower.

    cache: whether a weight is cast once for all its uses.
    """
    if device.type == "cuda" and torch.cuda.is_bf16_supported():
        return torch.autocast("cuda", dtype=torch.bfloat16, cache_enabled=cache)
    return contextlib.nullcontext()


def _load_tokenizer(source: Source) -> PreTrainedTokenizerBase:
    tokenizer: Any = AutoTokenizer.from_pretrained(source.name, **source.arguments)
    if not tokenizer.is_fast:
        raise StudentError(
            f"The tokenizer of {source.model} is a {type(tokenizer).__name__}, which cannot tell where its "
            "tokens stand in a text. Take a model with a tokenizer.json."
        )
    assert isinstance(tokenizer, PreTrainedTokenizerBase)  # noqa: S101 - for the type checker
    return tokenizer


def _load_model(source: Source, quantization: Mapping[str, Any]) -> PreTrainedModel:
    arguments: dict[str, Any] = {**source.arguments, **quantization}
    kind: Any = AutoModelForCausalLM
    if source.is_gguf:
        # Without this the model counts as quantized, and neither trains nor saves.
        arguments["quantization_config"] = GgufConfig(dequantize=True)
    else:
        config = AutoConfig.from_pretrained(source.name, **source.arguments)
        if getattr(config, "is_encoder_decoder", False):
            kind = AutoModelForSeq2SeqLM
        arguments["use_safetensors"] = True
    loaded: Any = kind.from_pretrained(source.name, dtype=torch.float32, output_loading_info=True, **arguments)
    model, report = loaded
    if missing := sorted(report["missing_keys"]):
        raise StudentError(
            f"{source.model} is not a whole language model: {', '.join(missing[:3])} "
            f"({len(missing)} in all) missing in its files. Take a model with a language-model head."
        )
    assert isinstance(model, PreTrainedModel)  # noqa: S101 - for the type checker
    if quantization:
        keep_weights(model)
    if kind is AutoModelForSeq2SeqLM:
        _state_own_head(model)
    return model


def _state_own_head(model: PreTrainedModel) -> None:
    """Has the configuration say so if the head shares no weights with the embeddings.

    T5's says in transformers 5 that they are shared, whatever its files hold: what resizes or saves the model goes by
    that, and the versions before scale the hidden states by it.
    """
    head, embeddings = model.get_output_embeddings(), model.get_input_embeddings()
    if isinstance(head, torch.nn.Linear) and head.weight is not embeddings.weight:
        model.config.tie_word_embeddings = False


def _check_causal(name: str, model: PreTrainedModel, token: int) -> None:
    """An encoder loads as a causal model all the same; told by its first logits, which see the second token."""
    other = token - 1 if token else 1
    token_BT = torch.tensor([[token, token], [token, other]], device=model.device)
    with torch.inference_mode():
        logits_BTV = model(input_ids=token_BT, use_cache=False).logits
    first_V, second_V = logits_BTV[0, 0], logits_BTV[1, 0]
    if (first_V - second_V).abs().max() > 1e-4 * first_V.abs().max():  # rounding is a hundred times smaller
        raise StudentError(
            f"{name} is not a causal language model ({model.config.model_type}): its prediction after a text "
            "changes with what follows. Take a decoder model."
        )
