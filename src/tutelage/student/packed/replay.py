"""Packed passes on a CUDA GPU: layers compiled once, one captured CUDA graph for each size of pack.

Packs are filled up to a few sizes, and their tensors stay where they are in memory, so nothing is compiled or
captured for a new batch, and a step of a small student costs the GPU's time and not that of launching kernels.

Shapes: N tokens of a pack, M predictions, K whole triplets, all filled up.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import torch
import torch._dynamo
from torch import Tensor

from tutelage import distributed
from tutelage.student.loss.losses import joint_loss
from tutelage.student.loss.separate import JointSums, LessonSample
from tutelage.student.model.attention import exchanged_attention
from tutelage.student.model.gradient_checkpointing import checkpoints_activations
from tutelage.student.model.memory import is_out_of_memory
from tutelage.student.model.student import Student, autocast
from tutelage.student.packed.attention import BLOCK_TREE, Sight, masks_by_layer
from tutelage.student.packed.blocks import BLOCK, Copies, TreeBlockMask, copied_sight, copies_for, tables_of
from tutelage.student.packed.sums import Pack, chunk_for, cross_entropy, packed_sums
from tutelage.student.packed.tree import Tree, plant
from tutelage.student.ranks.sharding import Root, layers_of


def _copy(kept: Tensor, column: Tensor) -> None:
    kept.copy_(column.pin_memory() if kept.is_cuda else column, non_blocking=True)


LAUNCH_BOUND = 1_000_000_000
"""Parameters below which launching kernels takes longer than running them; at 1.7 billion it does not."""


KEPT_BUFFERS = 16
"""Sizes whose buffers are kept where there are many sizes; to make them anew costs a few milliseconds."""


class Size(NamedTuple):
    """What packs are filled up to. copies: of the root. longest: tokens of the longest path."""

    tokens: int
    copies: Copies
    predictions: int
    triplets: int
    longest: int


def size_for(tree: Tree, windowed: bool = False, sizes_are_dear: bool = True) -> Size:
    """The smallest size that holds a tree: a sixteenth or a block of tokens more than it needs at most.

    windowed: whether the model has a window that paths may be longer than. sizes_are_dear: a graph is captured for
    each; if not, two blocks of tokens too many at most.
    """
    grain = max(BLOCK, 1 << max(0, len(tree.token_N).bit_length() - 5)) if sizes_are_dear else 2 * BLOCK
    tokens = _up(len(tree.token_N), grain)
    return Size(
        tokens,
        copies_for(tree, tokens),
        predictions=_up(len(tree.source_M), 1024),
        triplets=_up(len(tree.state_K3), 16),
        longest=1 << (tree.longest - 1).bit_length() if windowed else 0,
    )


def _up(number: int, grain: int) -> int:
    return max(1, -(-number // grain)) * grain


class Filled(NamedTuple):
    """A tree on the host, filled up to a size: what is copied into the `Buffers` of that size, in their order."""

    size: Size
    columns: list[Tensor]


def fill(tree: Tree, size: Size, pad_id: int, windows: Sequence[int | None]) -> Filled:
    """A tree, filled up to a size that holds it. windows: those of the model's masks."""
    seen = copied_sight(tree, size.tokens, size.copies)
    columns = [
        *seen,
        _filled(tree.token_N, size.tokens, pad_id)[None],
        seen.position_N.long()[None],  # what fills up is one more branch of the root, and counts no further
        _filled(tree.source_M, size.predictions),
        _filled(tree.target_M, size.predictions),
        _filled(tree.weight_M, size.predictions),
        _filled(tree.state_K3, size.triplets),
        _filled(torch.ones(len(tree.state_K3)), size.triplets),
        *(table for window in windows for table in tables_of(seen, window)),
    ]
    return Filled(size, columns)


def _filled(column: Tensor, length: int, value: int = 0) -> Tensor:
    whole = column.new_full((length, *column.shape[1:]), value)
    whole[: len(column)] = column
    return whole


class Buffers:
    """A pack of one size and the masks of its attention, in the same memory for every tree that fits."""

    def __init__(self, student: Student, filled: Filled) -> None:
        """filled: any of the size; what it holds is taken up."""
        size = filled.size
        kept = [column.to(student.device) for column in filled.columns]
        seen = Sight(*kept[:4])
        masks: list[TreeBlockMask] = []

        def mask(window: int | None) -> Any:
            masks.append(TreeBlockMask(seen, window))
            return masks[-1].mask

        by_layer = masks_by_layer(student.model, size.longest, mask)
        token_1N, position_1N, source_M, target_M, weight_M, state_K3, whole_K = kept[4:11]
        hints = {"tree_root": size.copies.length, "tree_copies": size.copies.number}
        self.pack = Pack(token_1N, position_1N, by_layer, hints, source_M, target_M, weight_M, state_K3, whole_K)
        self._columns = [*kept[:11], *(table for one in masks for table in one.tables)]
        self.factor_2 = torch.zeros(2, device=student.device)

    def load(self, filled: Filled, factors: tuple[float, float]) -> None:
        """Takes up another tree. factors: what each part of the loss is multiplied with."""
        for kept, column in zip(self._columns, filled.columns, strict=True):
            _copy(kept, column)
        _copy(self.factor_2, torch.tensor(factors))


class Replay:
    """Packed passes with FlexAttention and compiled layers, for a CUDA GPU with Triton (see passes.Passes).

    Of a small student the first pack of a size runs as it is, the second is captured, and the others are replayed.
    Nothing is captured of a large one, which is not bound by launches, nor under gradient checkpointing. Its gradients
    need not stay in place then, and take the memory that the activations give back during the backward pass.
    Nor is anything captured in shards, which have a root.
    """

    most_samples: int | None = None

    def __init__(self, student: Student, margin: float, lambda_: float, root: Root | None = None) -> None:
        self._student, self._margin, self._lambda, self._root = student, margin, lambda_, root
        parameters = sum(parameter.numel() for parameter in student.model.parameters())
        self._small = root is None and parameters < LAUNCH_BOUND
        self._captures: bool | None = None  # not known before the first pass
        self._buffers: dict[Size, Buffers] = {}
        self._graphs: dict[Size, torch.cuda.CUDAGraph] = {}
        self._stream = torch.cuda.Stream(student.device)
        self._pool = torch.cuda.graph_pool_handle()
        self._parts_2 = torch.zeros(2, device=student.device)
        self._weighted_loss = torch.compile(cross_entropy, dynamic=True)

    @property
    def keeps_gradients(self) -> bool:
        """As Passes: a captured graph adds to the tensors that it was captured with."""
        if self._captures is None:
            self._captures = self._small and not checkpoints_activations(self._student.model)
        return self._captures

    @property
    def captured(self) -> int:
        """How many graphs there are."""
        return len(self._graphs)

    def running(self) -> contextlib.AbstractContextManager[None]:
        """With FlexAttention and compiled layers."""
        return compiled(self._student, around_hooks=self._root is None)

    def prepare(self, samples: Sequence[LessonSample]) -> Filled:
        """The samples as a tree, filled up, on the host."""
        tree = plant(samples)
        model, windows = self._student.model, list[int | None]()
        windowed = getattr(model.config.get_text_config(), "sliding_window", None) is not None
        size = size_for(tree, windowed, sizes_are_dear=self._small)
        masks_by_layer(model, size.longest, windows.append)
        return fill(tree, size, self._student.pad_id, windows)

    def backward(self, prepared: Filled, weight: float, triplets: int) -> Tensor:
        """Adds a pack's part of the gradients; its parts of both losses, [2]."""
        size = prepared.size
        warm = size in self._buffers
        if not warm:
            if not self._small and len(self._buffers) >= KEPT_BUFFERS:
                del self._buffers[next(iter(self._buffers))]
            self._buffers[size] = Buffers(self._student, prepared)
        buffers = self._buffers[size]
        buffers.load(prepared, (1 / weight, 1 / max(triplets, 1)))
        if not self.keeps_gradients:
            self._pass(buffers)
        elif not warm:
            self._warm_up(buffers)
        elif size in self._graphs or self._capture(size, buffers):
            self._graphs[size].replay()
        else:
            self._pass(buffers)
        return self._parts_2.clone()

    def forget(self) -> None:
        """Gives back the graphs' and the packs' memory; what is compiled stays."""
        self._graphs.clear()
        self._buffers.clear()
        self._pool = torch.cuda.graph_pool_handle()
        self._captures = None

    def _warm_up(self, buffers: Buffers) -> None:
        current = torch.cuda.current_stream(self._student.device)
        self._stream.wait_stream(current)
        try:
            # On the stream that captures: autograd remembers where a gradient was first added to.
            with torch.cuda.stream(self._stream):
                self._pass(buffers)
        finally:
            current.wait_stream(self._stream)

    def _capture(self, size: Size, buffers: Buffers) -> bool:
        """Captures the pass; False if the model cannot be captured, and nothing is from here on."""
        torch.cuda.empty_cache()  # a graph has memory of its own, and cannot take what the passes before it left
        graph, current = torch.cuda.CUDAGraph(), torch.cuda.current_stream(self._student.device)
        # With other ranks there is a thread of NCCL's that looks at its events, which may not spoil the capture.
        mode = "global" if distributed.world_size() == 1 else "thread_local"
        try:
            with torch.cuda.graph(graph, pool=self._pool, stream=self._stream, capture_error_mode=mode):
                self._pass(buffers)
        # A forward that looks at the device's numbers on the host cannot be captured, and says so in its own way.
        except Exception as error:
            if is_out_of_memory(error):
                raise
            self._small, self._captures = False, False
            self._graphs.clear()
            return False
        finally:
            torch.cuda.set_stream(current)  # which a capture that fails leaves undone
        self._graphs[size] = graph
        return True

    def _pass(self, buffers: Buffers) -> None:
        # Without autocast's cache: cast weights would outlive the capture they were made in.
        with autocast(self._student.device, cache=False):
            sums = self._sums(buffers) if self._root is None else self._root(lambda: self._sums(buffers))
        parts_2 = torch.stack([sums.language_model.total, sums.triplet.total]) * buffers.factor_2
        joint_loss(parts_2[0], parts_2[1], self._lambda).backward()
        self._parts_2.copy_(parts_2.detach())

    def _sums(self, buffers: Buffers) -> JointSums:
        chunk = chunk_for(self._student)
        return packed_sums(self._student, buffers.pack, self._margin, chunk, self._weighted_loss)


@contextlib.contextmanager
def compiled(student: Student, around_hooks: bool = True) -> Iterator[None]:
    """The student with FlexAttention and its layers compiled, one compilation for all of them; afterwards as before.

    around_hooks: a layer with its hooks; without, only what is in between, as layers in shards need it.
    """
    layers = decoder_layers(student)
    # All modules share one code object, so all compiled models of a process share its limit, which is eight.
    limit = torch._dynamo.config.patch(recompile_limit=64)
    with exchanged_attention(student.model, BLOCK_TREE), limit:
        for layer in layers:  # whole: in parts, FlexAttention would run uncompiled
            if around_hooks:
                layer.compile(dynamic=True, fullgraph=True)
            else:
                layer.forward = torch.compile(layer.forward, dynamic=True, fullgraph=True)
        try:
            yield
        finally:
            for layer in layers:
                layer._compiled_call_impl = None
                layer.__dict__.pop("forward", None)


def decoder_layers(student: Student) -> list[torch.nn.Module]:
    """The repeated blocks of the model, as the library marks them. Raises: NotImplementedError if there are none."""
    layers = layers_of(student.model.base_model)
    if not layers:
        raise NotImplementedError("the model has no layers that can be compiled one by one")
    return layers
