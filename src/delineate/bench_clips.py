"""Systems whose frames look at each other, beside their host without a paper's parts: frames/s, peak memory, overhead.

Random weights (speed does not depend on them), the same clip on both sides. On a CPU each is measured in a process of
its own, as a process's peak of memory never falls, by the time that its threads computed: other work beside it
lengthens neither side.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from time import perf_counter, process_time
from typing import Any

import torch

from delineate.adapters.slots import SlotContext
from delineate.bench import Measure, peak_memory
from delineate.models.class_sam import ClassSam
from delineate.models.medivista import MediVista, MediVistaSam
from delineate.models.sam import Sam, SamEncoder, SamShape, VitSize
from delineate.models.sizes import VitSizes
from delineate.systems.medical_sam_adapter import adapt

RUNS = 2  # the faster one counts
CLASSES = 3


@dataclass(frozen=True)
class Clip:
    """Frames that are seen together, and their size."""

    title: str
    frames: int
    side: int
    channels: int = 3


CLIPS = {
    "medivista_sam": Clip("MediViSTA-SAM (2023)", 8, 128, channels=1),
    "medivista": Clip("MediViSTA (2025)", 10, 256),
    "medical_sam_adapter_3d": Clip("Medical SAM Adapter 3D, encoder", 4, 512),
}


def bench_clips(device: torch.device, size: VitSizes | None = None) -> Iterator[Measure]:
    """A row a system. ``size``: of another ViT than SAM's ViT-B."""
    for name, clip in CLIPS.items():
        own, plain = (_measured(name, adapted, device, size) for adapted in (True, False))
        more = 100 * (own["seconds"] / plain["seconds"] - 1)
        yield Measure(
            f"{clip.title}, {clip.frames} frames at {clip.side} px",
            f"{clip.frames / own['seconds']:.2f} frames/s, peak {own['peak']:.0f} MiB; without its parts "
            f"{clip.frames / plain['seconds']:.2f} frames/s, {plain['peak']:.0f} MiB: {more:+.0f} % time",
        )


def _measured(name: str, adapted: bool, device: torch.device, size: VitSizes | None) -> dict[str, float]:
    """Seconds of a clip and MiB at the peak."""
    if device.type != "cpu":
        return of_clip(name, adapted, str(device), size)
    asked = json.dumps([name, adapted, str(device), size and size.model_dump(), torch.get_num_threads()])
    done = subprocess.run([sys.executable, "-m", __name__, asked], capture_output=True, text=True, check=True)
    return dict(json.loads(done.stdout.splitlines()[-1]))


def of_clip(name: str, adapted: bool, device: str = "cpu", size: VitSizes | None = None) -> dict[str, float]:
    """The same, in this process."""
    clip, place = CLIPS[name], torch.device(device)
    torch.manual_seed(0)
    work = _work(name, adapted, clip, place, size)
    seconds = []
    if place.type == "cuda":
        torch.cuda.reset_peak_memory_stats(place)
    with torch.inference_mode():
        for _ in range(RUNS):
            began = _now(place)
            work()
            seconds.append(_now(place) - began)
    peak = torch.cuda.max_memory_allocated(place) / 2**20 if place.type == "cuda" else peak_memory()
    return {"seconds": min(seconds), "peak": peak}


def _now(place: torch.device) -> float:
    """Seconds on a GPU, once it has done what it was given; of a CPU what its threads computed, each."""
    if place.type == "cpu":
        return process_time() / torch.get_num_threads()
    torch.accelerator.synchronize(place)
    return perf_counter()


def _work(name: str, adapted: bool, clip: Clip, place: torch.device, size: VitSizes | None) -> Callable[[], Any]:
    """What is timed: a clip's classes, or its embedding."""
    vit = None if size is None else VitSize(size.width, size.depth, size.heads, size.global_blocks)
    shape = SamShape(SamEncoder.VIT_B, clip.side, vit)
    pixels = torch.randn(clip.frames, clip.channels, clip.side, clip.side).to(place)
    network: Any
    if name == "medical_sam_adapter_3d":
        network = Sam(shape)
        if adapted:
            adapt(network.host, volumes=True)
        network = network.eval().to(place)
        return lambda: network.embed(pixels, SlotContext(depth=clip.frames))
    if not adapted:
        network, pixels = ClassSam(shape, CLASSES, sixteen=True), pixels.expand(-1, 3, -1, -1)
    else:
        network = (MediVistaSam if name == "medivista_sam" else MediVista)(shape, CLASSES)
    network = network.eval().to(place)
    return lambda: network.classify(pixels, clip.frames)


def _child(asked: str) -> None:
    name, adapted, device, size, threads = json.loads(asked)
    torch.set_num_threads(threads)
    found = of_clip(name, adapted, device, None if size is None else VitSizes(**size))
    sys.stdout.write(json.dumps(found) + "\n")


if __name__ == "__main__":
    _child(sys.argv[1])
