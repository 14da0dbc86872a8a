"""Checkpoints inside a study: weights that are trained and the optimizer's state, whole tensors in safetensors files.

    CHECKPOINT/step-300/index.json  checkpoint-00001-of-00002.safetensors  checkpoint-00002-of-00002.safetensors

All ranks write them together, each its part of the files, and read them together: any number of ranks, with the
student in shards or not, goes on from any other's. A checkpoint is written under another name and renamed, and only
then the one before it goes, so the last good one always stays. There is no state of a random generator to keep: order
and dropout are functions of the seed and the step.
"""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from tutelage import distributed
from tutelage.errors import WorkspaceError
from tutelage.student.model.student import Student, safetensors_errors
from tutelage.student.ranks.partitioned import Partitioned, is_partitioned
from tutelage.student.ranks.sharding import own_part, own_rows, whole
from tutelage.student.training.optimizer import allocate_state
from tutelage.workspace import PARTIAL, disk_errors, flush, flush_folder, remove, write_json

FILE_BYTES = 5 * 10**9
"""Of tensors in a file, at most, but for a tensor that is larger by itself."""
INDEX = "index.json"
_STATES = ("exp_avg", "exp_avg_sq")
Held = Tensor | Partitioned


APART_SECONDS = 60.0
"""Between checkpoints at least, where the recipe does not say how many steps: what a kill may lose."""
SHARE = 0.05
"""Of a study's time, that saving may take there: 135M parameters are 1.6 GB, and 100 steps of theirs 3 s on a GPU."""
_ASKED_STEPS = 10
"""Between two looks at the leader's clock, for which several ranks wait for each other."""


class Rhythm:
    """When a study saves. steps: between checkpoints; None: as often as it costs little, by the clock."""

    def __init__(self, steps: int | None, clock: Callable[[], float] = time.monotonic) -> None:
        self._steps, self._clock = steps, clock
        self._saved, self._took = clock(), 0.0

    def is_due(self, step: int) -> bool:
        """Whether to save after an optimizer step, counted from 1; all ranks ask after each, and are told the same."""
        if self._steps is not None:
            return step % self._steps == 0
        if distributed.world_size() > 1 and step % _ASKED_STEPS:
            return False
        passed = self._clock() - self._saved
        return bool(distributed.broadcast(passed >= max(APART_SECONDS, self._took / SHARE)))

    @contextlib.contextmanager
    def saving(self) -> Iterator[None]:
        """Around the saving, whose time counts."""
        began = self._clock()
        yield
        self._saved = self._clock()
        self._took = self._saved - began


def save_checkpoint(path: Path, student: Student, optimizer: torch.optim.AdamW, step: int, fingerprint: str) -> None:
    """Writes weights and optimizer state after `step` optimizer steps; all ranks call it.

    fingerprint: of all that decides the study; a checkpoint of another study is never taken up.
    Raises: WorkspaceError on every rank if the disk of one is full, with the checkpoint before it left as it was.
    """
    finished = path / f"step-{step}"
    partial = finished.with_name(finished.name + PARTIAL)
    tensors = _tensors(student, optimizer)
    files = plan_files({key: tensor.numel() * tensor.element_size() for key, tensor in tensors.items()}, FILE_BYTES)
    names = [f"checkpoint-{number:05}-of-{len(files):05}.safetensors" for number in range(1, len(files) + 1)]
    try:
        _together(path, lambda: _begin(path, partial), leader_only=True)
        for first in range(0, len(files), distributed.world_size()):
            _write_files(path, partial, tensors, files[first:], names[first:])
        index = {
            "metadata": {"step": step, "fingerprint": fingerprint},
            "weight_map": {key: name for keys, name in zip(files, names, strict=True) for key in keys},
        }
        _together(path, lambda: _finish(partial, finished, index), leader_only=True)
    except WorkspaceError:
        if distributed.is_leader():
            remove(partial)
        raise


def load_checkpoint(path: Path, student: Student, optimizer: torch.optim.AdamW, fingerprint: str) -> int:
    """Takes up weights and optimizer state; the number of optimizer steps they stand after. All ranks call it.

    It is 0, and nothing is changed, without a sound checkpoint of this very study.
    """
    allocate_state(optimizer)
    tensors = _tensors(student, optimizer)
    for step in distributed.broadcast(_steps(path)):
        with contextlib.ExitStack() as opened:
            places = _open(path / f"step-{step}", tensors, fingerprint, opened)
            if all(distributed.gather(places is not None)) and places is not None:
                _restore(places, tensors, optimizer, step)
                return int(step)
    return 0


def plan_files(size_of: Mapping[str, int], limit: int) -> list[list[str]]:
    """The keys of each file, in their order, of so many bytes at most unless one alone is larger."""
    files: list[list[str]] = []
    held = 0
    for key, size in size_of.items():
        if not files or held + size > limit:
            files.append([])
            held = 0
        files[-1].append(key)
        held += size
    return files


def _tensors(student: Student, optimizer: torch.optim.AdamW) -> dict[str, Held]:
    """What a checkpoint holds. The optimizer counts its steps as the study does, all parameters alike."""

    def held(parameter: nn.Parameter, state: str | None = None) -> Held:
        if is_partitioned(parameter):
            return Partitioned(parameter, state)
        return parameter.detach() if state is None else optimizer.state[parameter][state]

    trained = [(name, one) for name, one in student.model.named_parameters() if one.requires_grad]
    tensors = {f"weight/{name}": held(parameter) for name, parameter in trained}
    for state in _STATES:
        tensors |= {f"{state}/{name}": held(parameter, state) for name, parameter in trained}
    return tensors


def _begin(path: Path, partial: Path) -> None:
    if path.is_file():  # as versions before wrote it
        remove(path)
    remove(partial)
    partial.mkdir(parents=True)


def _write_files(
    path: Path, partial: Path, tensors: Mapping[str, Held], files: Sequence[Sequence[str]], names: Sequence[str]
) -> None:
    """As many files as there are ranks, one each; all ranks put together what lies in shards."""
    own: dict[str, Tensor] = {}
    ranks = distributed.world_size()
    for rank, keys in enumerate(files[:ranks]):
        for key in keys:
            tensor = whole(tensors[key])
            if rank == distributed.rank():
                own[key] = tensor.cpu().contiguous()

    def write() -> None:
        if own:
            file = partial / names[distributed.rank()]
            with safetensors_errors():
                save_file(own, str(file))
            flush(file)

    _together(path, write)


def _finish(partial: Path, finished: Path, index: Mapping[str, Any]) -> None:
    write_json(partial / INDEX, index)
    flush_folder(partial)
    remove(finished)  # one that could not be taken up
    partial.replace(finished)
    flush_folder(finished.parent)
    for other in finished.parent.iterdir():
        if other != finished:
            remove(other)


def _together(path: Path, work: Callable[[], None], leader_only: bool = False) -> None:
    """Does this rank's part of the writing. Raises: WorkspaceError on every rank if one could not."""
    failed = None
    try:
        if distributed.is_leader() or not leader_only:
            work()
    except (OSError, WorkspaceError) as error:
        failed = getattr(error, "strerror", None) or str(error)
    reasons = [reason for reason in distributed.gather(failed) if reason is not None]
    if reasons:
        with disk_errors(path):
            raise OSError(reasons[0])


def _steps(path: Path) -> list[int]:
    """After how many steps there are checkpoints, the latest first."""
    names = [folder.name for folder in path.iterdir()] if path.is_dir() else []
    numbers = [name.removeprefix("step-") for name in names if name.startswith("step-")]
    return sorted((int(number) for number in numbers if number.isdecimal()), reverse=True)


def _open(
    folder: Path, tensors: Mapping[str, Held], fingerprint: str, opened: contextlib.ExitStack
) -> dict[str, Any] | None:
    """The slice of a file that each tensor is in; None if the checkpoint is damaged or of another study."""
    # Whoever damaged it from outside may have left anything.
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError, AttributeError, SafetensorError):
        index = json.loads((folder / INDEX).read_text(encoding="utf-8"))
        if index["metadata"]["fingerprint"] != fingerprint:
            return None
        file_of = index["weight_map"]
        files = {
            name: opened.enter_context(safe_open(str(folder / name), framework="pt")) for name in {*file_of.values()}
        }
        places = {key: files[file_of[key]].get_slice(key) for key in tensors}
        if all(list(tensor.shape) == places[key].get_shape() for key, tensor in tensors.items()):
            return places
    return None


@torch.no_grad()
def _restore(places: Mapping[str, Any], tensors: Mapping[str, Held], optimizer: torch.optim.AdamW, step: int) -> None:
    for key, tensor in tensors.items():
        if isinstance(tensor, Partitioned):
            tensor.restore(places[key])
            continue
        own, rows = own_part(tensor), own_rows(tensor)
        if own.numel():  # of a tensor in shards no more is read than this rank's rows
            own.copy_(places[key][...] if rows is None else places[key][rows])
    for state in optimizer.state.values():
        state["step"].fill_(step)
