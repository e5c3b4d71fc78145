"""How fast the published systems are here, beside the library most people run them with: ratios within one run.

The same weights (random: speed does not depend on them), the same input and the same device on both sides. A GPU is
fast enough for more: both sides in fp32 and bf16, two sizes of SAM 2 at its full 1024 px, the memory whole and pruned.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from time import perf_counter
from typing import Any

import numpy as np
import torch

from delineate.bench import Measure
from delineate.bench_clips import bench_clips
from delineate.checkpoints.store import cached_path
from delineate.compute.engine import Engine, Precision
from delineate.core.frame import Frame
from delineate.core.propagation_options import PropagationOptions
from delineate.core.resolve import FramePrompts
from delineate.demo.phantom import ultrasound_clip
from delineate.memory.policies import EfficientFramePruning, FrameWindow, MemoryPolicy
from delineate.models.linear import linear
from delineate.models.sam import Sam, SamEncoder, SamShape
from delineate.models.sam2 import Sam2, Sam2Shape, Sam2Size
from delineate.predictors.frame_predictor import Query
from delineate.preprocess.profiles import sam2_video
from delineate.systems import BuildOptions, build
from delineate.tracking.guards import GuardSettings
from delineate.tracking.memory_tracker import MemoryTracker

# two operations a multiplication and addition, attention's too; 30 more where what fills windows up is projected
VIT_B_GFLOP = 942.0
BOXES = ((80.0, 70.0, 180.0, 210.0), (60.0, 60.0, 120.0, 120.0), (100.0, 120.0, 190.0, 220.0))
WARM_RUNS, WARM_FRAMES = 3, 12  # before a GPU's time is taken: until its kernels are loaded, and the memory is full
TRACKED = {Sam2Size.TINY: "T", Sam2Size.BASE_PLUS: "B+"}  # on a GPU
DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}


def bench_systems(
    quick: bool = False, device: str = "auto", budget: float | None = None, tell: Callable[[str], None] | None = None
) -> Iterator[Measure]:
    """Each row when it is measured; minutes on two cores, a minute on a GPU.

    quick   fewer repeats, a shorter clip
    device  auto, cpu, cuda, cuda:1, mps. Raises ModelError for one that is not there
    budget  seconds after which no new row is begun; what is left out is the last row
    tell    called with what is measured next
    """
    place, began = Engine.chosen(device, "fp32").device, perf_counter()
    parts = _parts(quick, place)
    if place.type != "cpu":
        yield Measure("device", _name(place))
    for number, (name, part) in enumerate(parts):
        if tell is not None:
            tell(name)
        for line in part():
            yield line
            if budget is not None and perf_counter() - began > budget:
                left = ", ".join([f"the rest of {name}", *(other for other, _ in parts[number + 1 :])])
                yield Measure(f"left out, as {budget:g} s were over", left)
                return


def _parts(quick: bool, place: torch.device) -> list[tuple[str, Callable[[], Iterable[Measure]]]]:
    parts: list[tuple[str, Callable[[], Iterable[Measure]]]]
    if place.type == "cpu":
        frames, repeats = (8, 1) if quick else (16, 2)
        parts = [("video", partial(_video, frames))]
    else:
        frames, repeats = (16, 5) if quick else (64, 20)
        parts = [(f"SAM 2.1 {TRACKED[size]}", partial(_tracking, size, frames, place)) for size in TRACKED]
        parts.append(("preparing a frame", _preparing))
    return [
        ("SAM's encoder", partial(_encoder, repeats, place)),
        *parts,
        ("clicks", partial(_clicks, place)),
        ("what a tracker keeps", partial(_kept, 4 * frames, place)),
        ("frames that see each other", partial(bench_clips, place)),
    ]


def _precisions(device: torch.device) -> list[str]:
    """fp32, and bf16 where ``auto`` would choose it; a GPU is measured in both."""
    low = device.type != "cpu" or Engine.chosen("cpu", "auto").precision is Precision.BF16
    return list(DTYPES) if low else ["fp32"]


def _name(device: torch.device) -> str:
    card = torch.cuda.get_device_name(device) if device.type == "cuda" else device.type
    return f"{card}, torch {torch.__version__}"


def _best(work: Callable[[], Any], repeats: int, device: torch.device) -> float:
    """Seconds of the fastest of some runs; a GPU is warmed up, and waited for."""
    if device.type != "cpu":
        for _ in range(WARM_RUNS):
            work()
    return min(_spent(work, device) for _ in range(repeats))


def _spent(work: Callable[[], Any], device: torch.device) -> float:
    _wait(device)
    began = perf_counter()
    work()
    _wait(device)
    return perf_counter() - began


def _wait(device: torch.device) -> None:
    """Until a GPU has done what it was given."""
    if device.type != "cpu":
        torch.accelerator.synchronize(device)


def _time(seconds: float) -> str:
    return f"{seconds:.2f} s" if seconds >= 0.5 else f"{1000 * seconds:.1f} ms"


def _encoder(repeats: int, device: torch.device) -> Iterator[Measure]:
    """SAM ViT-B at 1024 px against the host library in its default (sdpa; fp32, on a GPU bf16 too)."""
    from transformers import SamModel

    network = Sam(SamShape(SamEncoder.VIT_B)).eval().to(device)
    host = SamModel(network.host.config).eval().to(device)
    host.load_state_dict(network.host.state_dict())
    encoder = network.host.vision_encoder
    processor, unit, scale = ("CPU", "GFLOPS", 1) if device.type == "cpu" else ("GPU", "TFLOPS", 1000)
    pixels = torch.randn(1, 3, 1024, 1024, generator=torch.Generator().manual_seed(0)).to(device)
    theirs: dict[str, tuple[float, torch.Tensor]] = {}
    with torch.inference_mode():
        for precision in ("fp32",) if device.type == "cpu" else DTYPES:
            theirs[precision] = _encoded(
                lambda: host.vision_encoder(pixels)[0], host.vision_encoder, precision, repeats, device
            )
            yield Measure(f"SAM ViT-B encoder, 1024 px: transformers, {precision}", _time(theirs[precision][0]))
        wanted = theirs["fp32"][1]
        for precision in _precisions(device):
            spent, found = _encoded(lambda: network.embed(pixels), encoder, precision, repeats, device)
            times = [f"{base / spent:.1f} x" + f" its {p}" * (len(theirs) > 1) for p, (base, _) in theirs.items()]
            speed, peak = VIT_B_GFLOP / spent / scale, _products_per_second(DTYPES[precision], device) / scale
            yield Measure(
                f"the same here, {precision}",
                f"{_time(spent)}, {', '.join(times)}; relative error {_away(found, wanted):.0e}; {speed:.0f} "
                f"{unit}, {100 * speed / peak:.0f} % of this {processor}'s {peak:.0f} in matrix products",
            )


def _encoded(
    encode: Callable[[], torch.Tensor], encoder: torch.nn.Module, precision: str, repeats: int, device: torch.device
) -> tuple[float, torch.Tensor]:
    """Seconds of an encoder in a precision, and its answer."""
    engine = Engine.chosen(str(device), precision)
    engine.cast_weights(encoder)
    answers: list[torch.Tensor] = []
    with engine.encoding():
        spent = _best(lambda: answers.append(encode()), repeats, device)
    return spent, answers[-1].float()


def _products_per_second(dtype: torch.dtype, device: torch.device) -> float:
    """GFLOPS of a product as large as SAM's, by the faster library; a GPU is given many at a time, as by a network."""
    a, b = (torch.randn(n, 768).to(device, dtype) for n in (4096, 3072))
    count = 1 if device.type == "cpu" else 50

    def work(multiply: Callable[..., torch.Tensor]) -> None:
        for _ in range(count):
            multiply(a, b)

    spent = min(_best(partial(work, one), 20, device) for one in (torch.nn.functional.linear, linear))
    return count * 2 * 4096 * 768 * 3072 / 1e9 / spent


def _away(found: torch.Tensor, wanted: torch.Tensor) -> float:
    return float((found - wanted).norm() / wanted.norm())


def _pictures(frames: int) -> list[Frame]:
    clip = ultrasound_clip(frames=frames).scan
    return [Frame.of(np.repeat(clip.pixels(t)[..., None], 3, axis=2), index=t) for t in range(frames)]


def _sam2(shape: Sam2Shape) -> Sam2:
    network = Sam2(shape).eval()
    # random weights might say that nothing is there, and there would be no logits to compare
    torch.nn.init.constant_(network.host.mask_decoder.pred_obj_score_head.proj_out.bias, 10.0)
    return network


def _plain(network: Sam2, device: torch.device) -> Any:
    """The host library's own model with the same weights; a network's ``host`` has our forwards."""
    from transformers import Sam2VideoModel

    host: Any = Sam2VideoModel(network.host.config).eval().to(device)
    host.load_state_dict(network.host.state_dict())
    return host


def _video(frames: int) -> Iterator[Measure]:
    """SAM 2.1 small, three objects: pruned at 512 px against the host library's session at 512 and 1024 px."""
    pictures, cpu = _pictures(frames), torch.device("cpu")
    network = _sam2(Sam2Shape(Sam2Size.SMALL, side=512))
    theirs = _hosted(_plain(network, cpu), 512, pictures, cpu)
    spent: dict[str, float] = {}
    logits: dict[str, list[torch.Tensor]] = {}
    for precision in _precisions(cpu):
        engine = Engine.chosen("cpu", precision)
        engine.cast_weights(network.host.vision_encoder, network.host.memory_attention, network.host.memory_encoder)
        spent[precision], logits[precision] = _followed(network, engine, EfficientFramePruning(), pictures)
        error = f"; {_errors(logits)}" if precision == "bf16" else ""
        yield Measure(
            f"SAM 2.1 S, 512 px, pruned, 3 objects, {frames} frames, {precision}",
            f"{frames / spent[precision]:.2f} frames/s{error}",
        )
    few = max(4, frames // 4)
    for side, count in ((512, frames), (1024, few)):
        if side == 1024:
            theirs = _hosted(_plain(_sam2(Sam2Shape(Sam2Size.SMALL)), cpu), 1024, pictures[:few], cpu)
        ratios = [f"{theirs / count / (s / frames):.1f} x ({p})" for p, s in spent.items()]
        yield Measure(
            f"transformers' session, {side} px, fp32, {count} frames",
            f"{count / theirs:.2f} frames/s; ours is {', '.join(ratios)} as fast",
        )


def _errors(logits: dict[str, list[torch.Tensor]]) -> str:
    """How far logits in bf16 are from those in fp32, frame by frame."""
    away = [_away(low, full) for low, full in zip(logits["bf16"], logits["fp32"], strict=True)]
    return f"relative error of logits {away[0]:.0e} at first, {max(away):.0e} at worst"


def _tracking(size: Sam2Size, frames: int, device: torch.device, side: int = 1024) -> list[Measure]:
    """A size of SAM 2.1 on a GPU, three objects: the memory whole and pruned, and the host library's session.

    Both sides prepare frames on the CPU, within the time. The session runs as its documentation says: in bf16, all of
    its weights are.
    """
    pictures, network = _pictures(frames), _sam2(Sam2Shape(size, side=side)).to(device)
    host = _plain(network, device)
    policies: dict[str, MemoryPolicy] = {"whole memory": FrameWindow(), "pruned": EfficientFramePruning()}
    rates: dict[str, list[float]] = {name: [] for name in (*policies, "session")}
    logits: dict[str, list[torch.Tensor]] = {}
    for precision, dtype in DTYPES.items():
        engine = Engine.chosen(str(device), precision)
        engine.cast_weights(network.host.vision_encoder, network.host.memory_attention, network.host.memory_encoder)
        for name, policy in policies.items():
            _followed(network, engine, policy, pictures[:WARM_FRAMES])
            spent, found = _followed(network, engine, policy, pictures)
            rates[name].append(frames / spent)
            logits.setdefault(precision, found)
        host.to(dtype)
        _hosted(host, side, pictures[:WARM_FRAMES], device, dtype)
        rates["session"].append(frames / _hosted(host, side, pictures, device, dtype))
    what = f"SAM 2.1 {TRACKED[size]}, {side} px, 3 objects, {frames} frames, fp32 / bf16"
    values = {name: f"{full:.1f} / {low:.1f} frames/s" for name, (full, low) in rates.items()}
    ratios = (f"{_over(rates[name], rates['session'])} ({name})" for name in policies)
    return [
        Measure(f"{what}: whole memory", f"{values['whole memory']}; {_errors(logits)}"),
        Measure(f"{what}: pruned", values["pruned"]),
        Measure(f"{what}: transformers' session", f"{values['session']}; ours is {', '.join(ratios)} as fast"),
    ]


def _over(rates: list[float], others: list[float]) -> str:
    return " / ".join(f"{ours / theirs:.1f}" for ours, theirs in zip(rates, others, strict=True)) + " x"


def _preparing() -> list[Measure]:
    picture = _pictures(1)[0]
    seconds = _best(lambda: sam2_video(1024).prepare(picture), 5, torch.device("cpu"))
    return [Measure("of this, preparing a frame on the CPU", _time(seconds))]


def _followed(
    network: Sam2, engine: Engine, policy: MemoryPolicy, pictures: list[Frame]
) -> tuple[float, list[torch.Tensor]]:
    """Seconds, and the logits of all objects on every frame after the first."""
    tracker, logits = MemoryTracker(network, engine, policy), []

    def follow() -> None:
        tracker.look(pictures[0])
        for n, box in enumerate(BOXES):
            tracker.point(str(n), FramePrompts(box=box))
        for picture in pictures[1:]:
            tracker.look(picture)
            tracker.track()
            logits.append(torch.stack([tracker.logits(name) for name in tracker.names]))

    return _spent(follow, engine.device), logits


def _hosted(
    host: Any, side: int, pictures: list[Frame], device: torch.device, dtype: torch.dtype = torch.float32
) -> float:
    """Seconds of the host library's session; outlines of each frame come back to the CPU, as ours do."""
    from transformers import Sam2VideoInferenceSession

    profile = sam2_video(side)
    height, width = pictures[0].size

    def follow() -> None:
        session = Sam2VideoInferenceSession(
            video=torch.stack([torch.from_numpy(profile.prepare(p)[0]) for p in pictures]),
            video_height=height,
            video_width=width,
            inference_device=device,
            inference_state_device=device,
            dtype=dtype,
        )
        scale = side / width
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
            host(session, frame_idx=0)
            for output in host.propagate_in_video_iterator(session, start_frame_idx=0):
                masks = output.pred_masks.float()
                (torch.nn.functional.interpolate(masks, size=(height, width), mode="bilinear") > 0).cpu()

    return _spent(follow, device)


def _clicks(device: torch.device) -> Iterator[Measure]:
    """First and next click of the small systems, by torch, and without it where their weights are on this machine."""
    frame = ultrasound_clip(frames=1).scan.frame(0)
    for name in ("lite_medsam", "mobile_sam"):
        predictor = build(name, BuildOptions(untrained=True, device=str(device), backend="torch"))
        precision = predictor.engine.precision
        yield Measure(f"{name}: first / next box (torch, {precision})", _first_and_next(predictor, frame, device))
        if device.type == "cpu" and cached_path(name) is not None:
            graph = build(name, BuildOptions(device="cpu", precision="fp32", backend="onnx"))
            what = f"{name}: first / next box (shipped graph, ONNX Runtime, fp32)"
            yield Measure(what, _first_and_next(graph, frame, device))


def _first_and_next(predictor: Any, frame: Frame, device: torch.device) -> str:
    predictor.encode(frame)
    first = _best(lambda: predictor.encode(frame), 3, device)
    features = predictor.encode(frame)
    after = _best(lambda: predictor.decode(features, [Query(FramePrompts(box=BOXES[0]))]), 5, device)
    return f"{1000 * (first + after):.0f} / {1000 * after:.0f} ms"


def _kept(frames: int, device: torch.device) -> list[Measure]:
    """Memory the tracker keeps of one object, early and late."""
    clip = ultrasound_clip(frames=8).scan
    predictor: Any = build("efficient_tam_ti_512", BuildOptions(untrained=True, device=str(device)))
    tracker = MemoryTracker.of(predictor, PropagationOptions(), None, GuardSettings())
    tracker.look(clip.frame(0))
    tracker.point("one", FramePrompts(box=BOXES[0]))
    sizes = []
    for t in range(1, frames):
        tracker.look(Frame.of(clip.pixels(t % 8)))
        tracker.track()
        sizes.append(tracker.bytes / 2**20)
    return [
        Measure(f"kept of one object at 512 px after 20 / {frames} frames", f"{sizes[19]:.1f} / {sizes[-1]:.1f} MiB")
    ]
