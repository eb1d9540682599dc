"""The fast forms against the published ones, on the same machine in the same run.

Each contest gives seconds and peak memory of one forward and backward pass of both. On the CPU
the peak is the growth of the resident memory of a fresh process, on a GPU that of the allocator.
"""

from __future__ import annotations

import ctypes
import multiprocessing
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor

from avcore import metrics
from avcore.papers.avs.tpavi import TPAVI, published_form
from avcore.papers.denseav.similarity import pooled_similarity

Step = Callable[[], object]
ROUNDS = 5
M_MMAP_THRESHOLD = -3  # of glibc's malloc.h


class Case(Protocol):
    """Something that is done in two forms, "fast" and "published"."""

    def step(self, form: str, device: str) -> Step:
        """What is measured, ready to be called again and again."""

    def tiny(self) -> Case:
        """The same at a size that needs no memory, to load its code."""


@dataclass(frozen=True)
class Similarity:
    """Pooled similarity of a batch with two heads; the sizes are those of the design's target."""

    batch: int = 32
    channels: int = 256  # of each head
    steps: int = 50
    side: int = 14
    heads: int = 2

    def draw(self, device: str) -> tuple[Tensor, Tensor, Tensor]:
        """Features of as many sounds as pictures, and a mask."""
        generator = torch.Generator().manual_seed(0)
        width = self.heads * self.channels
        audio = torch.randn(self.batch, width, 1, self.steps, generator=generator)
        image = torch.randn(self.batch, width, self.side, self.side, generator=generator)
        mask = torch.ones(self.batch, self.steps, dtype=torch.bool)
        return (
            audio.to(device).requires_grad_(),
            image.to(device).requires_grad_(),
            mask.to(device),
        )

    def tiny(self) -> Similarity:
        return Similarity(2, 4, 3, 2)

    def step(self, form: str, device: str) -> Step:
        """One forward and backward pass of the "fast" or the "published" form."""
        audio, image, mask = self.draw(device)
        function = pooled_similarity if form == "fast" else published_similarity

        def run() -> None:
            audio.grad = image.grad = None
            function(audio, image, mask, self.heads).mean().backward()

        return run


@dataclass(frozen=True)
class Attention:
    """TPAVI of clips of five frames in training; the sizes are those of the design's target."""

    batch: int = 4
    side: int = 28
    channels: int = 256
    frames: int = 5

    def tiny(self) -> Attention:
        return Attention(1, 2, 4)

    def step(self, form: str, device: str) -> Step:
        """One forward and backward pass of the "fast" or the "published" form."""
        generator = torch.Generator().manual_seed(0)
        size = (self.batch, self.channels, self.frames, self.side, self.side)
        x = torch.randn(size, generator=generator).to(device).requires_grad_()
        audio = torch.randn(self.batch, self.frames, 128, generator=generator).to(device)
        above = torch.randn(size, generator=generator).to(device)
        block = TPAVI(self.channels).to(device)
        torch.nn.init.ones_(block.W_z[1].get_parameter("weight"))

        def run() -> None:
            x.grad = None
            z = block(x, audio)[0] if form == "fast" else published_form(block, x, audio)
            z.backward(above)

        return run


@dataclass(frozen=True)
class Thresholds:
    """F-measure of so many frames of 224×224 pixels over 255 thresholds."""

    frames: int = 100
    side: int = 224

    def tiny(self) -> Thresholds:
        return Thresholds(1, 4)

    def step(self, form: str, device: str) -> Step:
        """One evaluation, by the "fast" or the "published" form."""
        generator = torch.Generator().manual_seed(0)
        size = (self.frames, self.side, self.side)
        target = (torch.rand(size, generator=generator) > 0.8).to(device)
        logits = torch.randn(size, generator=generator).to(device) + 2 * target
        function = metrics.f_measure if form == "fast" else published_f_measure
        return lambda: function(logits, target)


def published_f_measure(logits: Tensor, target: Tensor, beta2: float = 0.3) -> float:
    """The straightforward form: 255 passes over every frame."""
    limits = torch.linspace(0, 1 - 1e-10, 255, device=logits.device)
    curve = torch.zeros(255, device=logits.device)
    for score, truth in zip(logits.sigmoid(), target.float(), strict=True):
        for number, limit in enumerate(limits):
            marked = (score >= limit).float()
            hits = (marked * truth).sum()
            precision, recall = hits / (marked.sum() + 1e-20), hits / (truth.sum() + 1e-20)
            f = (1 + beta2) * precision * recall / (beta2 * precision + recall)
            curve[number] += f.nan_to_num()
    return (curve / len(target)).max().item()


def published_similarity(audio: Tensor, image: Tensor, mask: Tensor, heads: int) -> Tensor:
    """The straightforward form: the whole volume by one einsum, then one reduction after another.

    Maximum over heads, width and height, mean over frequency, masked mean over time.
    """
    volume = torch.einsum(
        "akcft,vkchw->avkhwft", audio.unflatten(1, (heads, -1)), image.unflatten(1, (heads, -1))
    )
    best = volume.amax(2).amax(-3).amax(-3).mean(-2)  # (A, V, T)
    weight = mask[:, None].to(best.dtype)
    return (best * weight).sum(-1) / weight.sum(-1)


def contest(case: Case, device: str = "cpu") -> dict[str, float]:
    """How many times faster, and how many times smaller at its peak, the fast form is."""
    seconds: dict[str, list[float]] = {form: [] for form in ("fast", "published")}
    steps = {form: case.step(form, device) for form in seconds}
    for _ in range(ROUNDS + 1):  # in turns, so that both meet the same disturbances
        for form, step in steps.items():
            began = time.perf_counter()
            step()
            if device != "cpu":
                torch.cuda.synchronize()
            seconds[form].append(time.perf_counter() - began)
    medians = {form: statistics.median(values[1:]) for form, values in seconds.items()}
    peak = {form: peak_memory(case, form, device) for form in seconds}
    return {
        "speedup": medians["published"] / medians["fast"],
        "memory_ratio": peak["published"] / peak["fast"],
    }


def peak_memory(case: Case, form: str, device: str = "cpu") -> float:
    """Bytes that one pass needs at its peak, its inputs and their gradients included."""
    if device != "cpu":
        torch.cuda.empty_cache()
        before = torch.cuda.memory_allocated()
        torch.cuda.reset_peak_memory_stats()
        case.step(form, device)()
        return torch.cuda.max_memory_allocated() - before
    with multiprocessing.get_context("spawn").Pool(1) as pool:  # a process with a clean peak
        return pool.apply(_grown, (case, form))


def _grown(case: Case, form: str) -> float:
    """Growth of the process's peak resident memory, after a tiny pass has loaded all code."""
    _give_back_at_once()
    case.tiny().step(form, "cpu")()
    before = _peak()
    case.step(form, "cpu")()
    return _peak() - before


def _give_back_at_once() -> None:
    """Have freed tensors leave the process: what glibc would keep differs from run to run."""
    if sys.platform == "linux":
        mallopt = getattr(ctypes.CDLL(None), "mallopt", None)  # other C libraries have none
        if mallopt is not None:
            mallopt(M_MMAP_THRESHOLD, 2**20)


def _peak() -> float:
    """Bytes of resident memory that this process had at its peak."""
    status = Path("/proc/self/status")
    if status.is_file():  # Linux, where the other way counts the parent's memory too
        line = next(row for row in status.read_text().splitlines() if row.startswith("VmHWM"))
        return 1024 * float(line.split()[1])
    import resource

    unit = 1 if sys.platform == "darwin" else 1024
    return unit * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def largest_batch(case: Similarity, form: str, device: str = "cuda", most: int = 4096) -> int:
    """The largest batch (a power of two) of which one pass fits into the GPU's memory."""
    size = 8
    while size < most:
        try:
            larger = Similarity(2 * size, case.channels, case.steps, case.side, case.heads)
            larger.step(form, device)()
        except torch.OutOfMemoryError:
            break
        finally:
            torch.cuda.empty_cache()
        size *= 2
    return size
