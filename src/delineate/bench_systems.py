"""How fast the published systems are here, beside the library most people run them with: ratios within one run.

The same weights (random: speed does not depend on them) and the same input on both sides.
"""

from __future__ import annotations

from collections.abc import Callable
from time import perf_counter
from typing import Any

import numpy as np
import torch

from delineate.bench import Measure, Progress
from delineate.demo.phantom import ultrasound_clip
from delineate.memory.policies import EfficientFramePruning
from delineate.memory.tracker import MemoryTracker
from delineate.models.sam import Sam, SamEncoder, SamShape
from delineate.models.sam2 import Sam2, Sam2Shape, Sam2Size
from delineate.placing import FramePrompts
from delineate.preprocess.profiles import sam2_video
from delineate.runtimes.engine import Engine
from delineate.systems import BuildOptions, build

VIT_B_GFLOP = 742.0  # two operations a multiplication and addition
BOXES = ((80.0, 70.0, 180.0, 210.0), (60.0, 60.0, 120.0, 120.0), (100.0, 120.0, 190.0, 220.0))


def bench_systems(frames: int = 16, repeats: int = 2, progress: Progress | None = None) -> list[Measure]:
    """Measure everything once; minutes on two cores."""
    parts: tuple[Callable[[], list[Measure]], ...] = (
        lambda: _encoder(repeats),
        lambda: _video(frames),
        _clicks,
        lambda: _kept(4 * frames),
    )
    lines: list[Measure] = []
    for number, part in enumerate(parts):
        if progress is not None:
            progress(number, len(parts))
        lines += part()
    return lines


def _best(work: Callable[[], Any], repeats: int) -> float:
    """Seconds of the fastest of some runs."""
    times = []
    for _ in range(repeats):
        began = perf_counter()
        work()
        times.append(perf_counter() - began)
    return min(times)


def _encoder(repeats: int) -> list[Measure]:
    """SAM ViT-B at 1024 px against the host library in its default (fp32, sdpa)."""
    from transformers import SamModel

    network = Sam(SamShape(SamEncoder.VIT_B)).eval()
    host = SamModel(network.host.config).eval()
    host.load_state_dict(network.host.state_dict())
    pixels = torch.randn(1, 3, 1024, 1024, generator=torch.Generator().manual_seed(0))
    lines = []
    with torch.inference_mode():
        answers: list[torch.Tensor] = []
        base = _best(lambda: answers.append(host.vision_encoder(pixels)[0]), repeats)
        wanted = answers[-1]
        lines.append(Measure("SAM ViT-B encoder, 1024 px: transformers, fp32", f"{base:.2f} s"))
        for precision in ("fp32", "bf16"):
            engine = Engine.chosen("cpu", precision)
            engine.settle(network.host.vision_encoder)
            with engine.encoding():
                spent = _best(lambda: answers.append(network.embed(pixels)), repeats)
            found = answers[-1].float()
            speed = VIT_B_GFLOP / spent
            peak = _products_per_second(torch.bfloat16 if precision == "bf16" else torch.float32)
            lines.append(
                Measure(
                    f"the same here, {precision}",
                    f"{spent:.2f} s, {base / spent:.1f} x; relative error {_away(found, wanted):.0e}; {speed:.0f} "
                    f"GFLOPS, {100 * speed / peak:.0f} % of this CPU's {peak:.0f} in matrix products",
                )
            )
    return lines


def _products_per_second(dtype: torch.dtype) -> float:
    """GFLOPS of a product as large as SAM's."""
    a, b = torch.randn(4096, 768).to(dtype), torch.randn(3072, 768).to(dtype)
    return 2 * 4096 * 768 * 3072 / 1e9 / _best(lambda: torch.nn.functional.linear(a, b), 20)


def _away(found: torch.Tensor, wanted: torch.Tensor) -> float:
    return float((found - wanted).norm() / wanted.norm())


def _video(frames: int) -> list[Measure]:
    """SAM 2.1 small, three objects: pruned at 512 px against the host library's session at 512 and 1024 px."""
    clip = ultrasound_clip(frames=frames).scan
    pictures = [np.repeat(np.asarray(clip.frame(t))[..., None], 3, axis=2) for t in range(frames)]
    network = Sam2(Sam2Shape(Sam2Size.SMALL, side=512)).eval()
    # random weights might say that nothing is there, and there would be no logits to compare
    torch.nn.init.constant_(network.host.mask_decoder.pred_obj_score_head.proj_out.bias, 10.0)
    hosted = {512: (_hosted(network, pictures), frames)}
    spent, logits = {}, {}
    for precision in ("fp32", "bf16"):
        engine = Engine.chosen("cpu", precision)
        engine.settle(network.host.vision_encoder, network.host.memory_attention, network.host.memory_encoder)
        spent[precision], logits[precision] = _followed(network, engine, pictures)
    few = max(4, frames // 4)
    hosted[1024] = _hosted(Sam2(Sam2Shape(Sam2Size.SMALL)).eval(), pictures[:few]), few
    away = [_away(low, full) for low, full in zip(logits["bf16"], logits["fp32"], strict=True)]
    errors = {"fp32": "", "bf16": f"; relative error of logits {away[0]:.0e} at first, {max(away):.0e} at worst"}
    lines = [
        Measure(f"SAM 2.1 S, 512 px, pruned, 3 objects, {frames} frames, {p}", f"{frames / s:.2f} frames/s{errors[p]}")
        for p, s in spent.items()
    ]
    for side, (seconds, count) in hosted.items():
        ratios = [f"{seconds / count / (s / frames):.1f} x ({p})" for p, s in spent.items()]
        lines.append(
            Measure(
                f"transformers' session, {side} px, fp32, {count} frames",
                f"{count / seconds:.2f} frames/s; ours is {', '.join(ratios)} as fast",
            )
        )
    return lines


def _followed(network: Sam2, engine: Engine, pictures: list[np.ndarray]) -> tuple[float, list[torch.Tensor]]:
    """Seconds, and the logits of all objects on every frame after the first."""
    tracker = MemoryTracker(network, engine, EfficientFramePruning())
    began = perf_counter()
    tracker.look(pictures[0], 0)
    for n, box in enumerate(BOXES):
        tracker.add(str(n), FramePrompts(box=box))
    found = [tracker.push(picture) for picture in pictures[1:]]
    spent = perf_counter() - began
    return spent, [torch.stack([one.logits for one in frame.values()]) for frame in found]


def _hosted(network: Sam2, pictures: list[np.ndarray]) -> float:
    from transformers import Sam2VideoInferenceSession

    profile = sam2_video(network.side)
    began = perf_counter()
    pixels = torch.stack([torch.from_numpy(profile.prepare(p)[0]) for p in pictures])
    height, width = pictures[0].shape[:2]
    session = Sam2VideoInferenceSession(video=pixels, video_height=height, video_width=width, dtype=torch.float32)
    scale = network.side / width
    for n, box in enumerate(BOXES):
        session.add_point_inputs(
            session.obj_id_to_idx(n),
            0,
            {
                "point_coords": scale * torch.tensor(box).reshape(1, 1, 2, 2),
                "point_labels": torch.tensor([[[2, 3]]], dtype=torch.int32),
            },
        )
    session.obj_with_new_inputs = list(range(len(BOXES)))
    with torch.inference_mode():
        network.host(session, frame_idx=0)
        for output in network.host.propagate_in_video_iterator(session, start_frame_idx=0):
            torch.nn.functional.interpolate(output.pred_masks.float(), size=(height, width), mode="bilinear")
    return perf_counter() - began


def _clicks() -> list[Measure]:
    """First and next click of the small systems, by the engine a user gets."""
    frame = ultrasound_clip(frames=1).scan.frame(0)
    lines = []
    for name in ("lite_medsam", "mobile_sam"):
        predictor = build(name, BuildOptions(untrained=True))
        predictor.encode(frame)
        first = _best(lambda: predictor.encode(frame), 3)  # noqa: B023
        features = predictor.encode(frame)
        after = _best(lambda: predictor.decode(features, FramePrompts(box=BOXES[0])), 5)  # noqa: B023
        engine: Engine = predictor.engine  # type: ignore[attr-defined]
        times = f"{1000 * (first + after):.0f} / {1000 * after:.0f} ms"
        lines.append(Measure(f"{name}: first / next box ({engine.precision}, as auto chooses)", times))
    return lines


def _kept(frames: int) -> list[Measure]:
    """Memory the tracker keeps of one object, early and late."""
    clip = ultrasound_clip(frames=8).scan
    predictor: Any = build("efficient_tam_ti_512", BuildOptions(untrained=True))
    tracker = predictor.tracker()
    tracker.look(clip.frame(0), 0)
    tracker.add("one", FramePrompts(box=BOXES[0]))
    sizes = []
    for t in range(1, frames):
        tracker.push(clip.frame(t % 8))
        sizes.append(tracker.bytes / 2**20)
    return [
        Measure(f"kept of one object at 512 px after 20 / {frames} frames", f"{sizes[19]:.1f} / {sizes[-1]:.1f} MiB")
    ]
