"""What a person may choose of how structures are followed, and that it is done, recorded and replayed."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy import ndimage

from bright_predictor import BrightPredictor
from tiny_networks import moving_frames, tiny_sam2

pytest.importorskip("transformers")

from delineate.compute.engine import Engine, Precision
from delineate.core.errors import DelineateError, PromptError
from delineate.core.frame import Frame
from delineate.core.manifest import ModelRecord
from delineate.core.prompts import Box, Mask
from delineate.core.propagation_options import Directions, MemoryRule, PropagationOptions
from delineate.core.resolve import FramePrompts
from delineate.core.scan import Scan
from delineate.memory.bank import Memory
from delineate.memory.policies import (
    CrossImage,
    DiverseBank,
    EfficientFramePruning,
    FrameWindow,
    MemoryPolicy,
    Pruning,
    chosen_policy,
)
from delineate.predictors.sam2 import Sam2Predictor
from delineate.session import Session
from delineate.tracking.guards import GuardSettings
from delineate.tracking.memory_tracker import MemoryTracker, TrackerSettings
from delineate.tracking.propagate import territories

CPU = Engine(torch.device("cpu"), Precision.FP32)
RECORD = ModelRecord(name="sam2 tiny", version="test", sha256="", license="")
FRAMES, START = 9, 4
V1 = EfficientFramePruning(version=Pruning.V1)
POLICIES: dict[str, tuple[MemoryPolicy, PropagationOptions, MemoryPolicy]] = {
    "the system's own": (V1, PropagationOptions(), V1),
    "own rule, own version": (V1, PropagationOptions(memory=MemoryRule.PRUNING, stride=2),
                              EfficientFramePruning(stride=2, version=Pruning.V1)),
    "window instead": (V1, PropagationOptions(memory=MemoryRule.WINDOW, memories=4), FrameWindow(length=4)),
    "pruning instead": (FrameWindow(), PropagationOptions(memory=MemoryRule.PRUNING, prompted=2),
                        EfficientFramePruning(most_prompted=2)),
    "cross-image": (FrameWindow(), PropagationOptions(memory=MemoryRule.CROSS_IMAGE, memories=5),
                    CrossImage(length=5, size=5)),
}  # fmt: skip
REFUSED = {
    "stride": ({"stride": 0}, "E-FOLLOW-NUMBER"),
    "memories": ({"memories": 8}, "E-FOLLOW-NUMBER"),
    "fill": ({"fill": -1}, "E-FOLLOW-NUMBER"),
    "chain has no memory": ({"memory": MemoryRule.CHAIN, "stride": 2}, "E-FOLLOW-CHAIN"),
}


@pytest.mark.parametrize("case", POLICIES)
def test_choices_become_a_policy(case: str) -> None:
    own, following, wanted = POLICIES[case]
    assert chosen_policy(own, following) == wanted and type(chosen_policy(own, following)) is type(wanted)


@pytest.mark.parametrize("case", REFUSED)
def test_impossible_choices_are_refused(case: str) -> None:
    fields, code = REFUSED[case]
    with pytest.raises(PromptError) as caught:
        PropagationOptions(**fields)
    assert caught.value.code == code


@pytest.mark.parametrize(
    ("directions", "wanted"),
    [
        (Directions.BOTH, {3: (0, 7), 9: (7, 20)}),
        (Directions.FORWARD, {3: (3, 9), 9: (9, 20)}),
        (Directions.BACKWARD, {3: (0, 4), 9: (4, 10)}),
    ],
)
def test_each_frame_has_one_outline_to_be_followed_from(
    directions: Directions, wanted: dict[int, tuple[int, int]]
) -> None:
    assert territories([9, 3], 0, 20, directions) == wanted


def test_the_diverse_bank_keeps_what_differs() -> None:
    bank = CrossImage(size=2).bank(16, 16, False)
    assert isinstance(bank, DiverseBank)
    for index, tokens in enumerate(([1.0, 0.0], [1.0, 0.1], [0.0, 1.0])):
        bank.store(Memory(index, torch.tensor([tokens]), torch.zeros(256), 1.0, 0.9), prompted=False)
    assert len(bank.diverse.entries) == 2
    slots = CrossImage(size=2).slots(bank, 3, reverse=False)
    assert all(slot is None for slot, _ in slots) and 2 in [memory.index for _, memory in slots]
    bank.forget(2)
    assert 2 not in [memory.index for memory in bank]
    bank.reset()
    assert not list(bank) and not CrossImage(size=2).slots(bank, 3, reverse=False)


@pytest.fixture(scope="module")
def predictor() -> Sam2Predictor:
    return Sam2Predictor(tiny_sam2(), CPU, RECORD)


def session(predictor: object, names: tuple[str, ...] = ("disc",)) -> Session:
    made = Session(Scan.from_frames(np.stack(moving_frames(FRAMES))), predictor)  # type: ignore[arg-type]
    y, x = np.mgrid[:256, :256]
    for n, name in enumerate(names):
        disc = (y - 136) ** 2 + (x - 116 - 40 * n) ** 2 < 42**2
        made.prompt(Mask.from_array(disc, frame=START), name)
    return made


def masks(made: Session, name: str = "disc") -> dict[int, np.ndarray]:
    return {f: made.segmentation.mask(name, f) for f in range(FRAMES)}


def tracked_by_hand(predictor: Sam2Predictor, reset: bool) -> dict[int, np.ndarray]:
    """Forwards from the outline, then backwards; what was seen on the way out is kept, or not."""
    frames = moving_frames(FRAMES)
    tracker = MemoryTracker(
        predictor.network, CPU, predictor.policy, TrackerSettings(frames=FRAMES), predictor.video_profile(256)
    )
    y, x = np.mgrid[:256, :256]
    disc = (y - 136) ** 2 + (x - 116) ** 2 < 42**2
    tracker.look(Frame.of(frames[START], index=START))
    tracker.add("disc", FramePrompts(mask=disc))
    found = {n: tracker.push(Frame.of(frames[n], index=n))["disc"].mask for n in range(START + 1, FRAMES)}
    if reset:
        tracker.reset()
    found |= {
        n: tracker.push(Frame.of(frames[n], index=n), reverse=True)["disc"].mask for n in range(START - 1, -1, -1)
    }
    return found


def test_weights_that_answer_no_number_are_named() -> None:
    broken = Sam2Predictor(tiny_sam2(), CPU, RECORD)
    made = session(broken)
    for weights in broken.network.parameters():
        weights.data.fill_(float("nan"))
    with pytest.raises(DelineateError, match="sam2 tiny answered with scores") as caught:
        made.propagate()
    assert caught.value.code == "E-PREDICTOR-ANSWER"


@pytest.mark.parametrize("reset", [True, False])
def test_both_directions_are_those_of_the_tracker(predictor: Sam2Predictor, reset: bool) -> None:
    """Pixel for pixel what the tracker gives when it is driven by hand, with and without a reset between."""
    made = session(predictor)
    made.propagate(following=PropagationOptions(reset=reset))
    wanted = tracked_by_hand(predictor, reset)
    found = masks(made)
    different = [n for n, mask in wanted.items() if not np.array_equal(mask, found[n])]
    assert not different


def test_the_way_back_remembers_the_way_out_where_there_is_no_reset(predictor: Sam2Predictor) -> None:
    kept, forgotten = (session(predictor) for _ in range(2))
    kept.propagate(following=PropagationOptions(reset=False))
    forgotten.propagate(following=PropagationOptions(reset=True))
    first, second = masks(kept), masks(forgotten)
    assert all(np.array_equal(first[n], second[n]) for n in range(START, FRAMES))
    assert any(not np.array_equal(first[n], second[n]) for n in range(START))


@pytest.mark.parametrize("rule", MemoryRule)
def test_every_memory_follows_and_replays(predictor: Sam2Predictor, rule: MemoryRule) -> None:
    made = session(predictor)
    made.propagate(following=PropagationOptions(memory=rule))
    again = Session.replay(made.scan, made.log, predictor)
    assert made.log.events[-1].following.memory == rule  # type: ignore[union-attr]
    first, second = masks(made), masks(again)
    assert all(np.array_equal(first[n], second[n]) for n in first)


def test_another_way_of_following_is_done_again_the_same_way_is_not(predictor: Sam2Predictor) -> None:
    made = session(predictor)
    made.propagate()
    before = masks(made)
    made.propagate(following=PropagationOptions(memory=MemoryRule.CHAIN))
    assert any(not np.array_equal(one, before[n]) for n, one in masks(made).items())


@pytest.mark.parametrize(("directions", "seen"), [(Directions.FORWARD, range(START, FRAMES)),
                                                  (Directions.BACKWARD, range(START + 1))])  # fmt: skip
def test_one_direction_leaves_the_other_frames_alone(directions: Directions, seen: range) -> None:
    made = Session(Scan.from_frames(np.stack(moving_frames(FRAMES))[..., 0]), BrightPredictor())
    made.prompt(Box(100, 100, 150, 150, frame=START), "disc")
    made.propagate(following=PropagationOptions(directions=directions))
    assert made.segmentation["disc"].frames == tuple(seen)


def test_followed_structures_can_be_kept_apart(predictor: Sam2Predictor) -> None:
    overlaps = {}
    for exclusive in (True, False):
        made = session(predictor, ("disc", "other"))
        made.propagate(following=PropagationOptions(exclusive=exclusive, fill=8))
        others = [n for n in range(FRAMES) if n != START]
        overlaps[exclusive] = sum(int((masks(made)[n] & masks(made, "other")[n]).sum()) for n in others)
    assert overlaps[True] == 0 < overlaps[False]


@pytest.mark.parametrize("kind", ["fill", "specks"])
def test_holes_are_filled_and_specks_removed_each_on_its_own(predictor: Sam2Predictor, kind: str) -> None:
    frames, area, small = moving_frames(2), 64, {}
    for chosen in (0, area):
        tracker = MemoryTracker.of(predictor, PropagationOptions(**{kind: chosen}), 2, GuardSettings())
        tracker.look(Frame.of(frames[0], index=0))
        tracker.add("disc", FramePrompts(mask=frames[0][..., 0] > 120))
        tracker.push(Frame.of(frames[1], index=1))
        inside = tracker.logits("disc").numpy() > 0
        region = ~inside if kind == "fill" else inside
        parts, count = ndimage.label(region, structure=np.ones((3, 3)))
        small[chosen] = sum(1 for size in ndimage.sum_labels(region, parts, range(1, count + 1)) if size <= area)
    assert small[area] == 0 < small[0]


CHOICES = {
    "rule": (["--memory", "elephant"], "E-OPTION"),
    "memory of a system without one": (["--memory", "window"], "E-FOLLOW-NO-MEMORY"),
    "stride of a system without memory": (["--stride", "3"], "E-FOLLOW-NO-MEMORY"),
    "direction": (["--directions", "sideways"], "E-OPTION"),
    "too many": (["--memories", "9"], "E-FOLLOW-NUMBER"),
}


def clip(folder: Path) -> Path:
    from PIL import Image

    (folder / "frames").mkdir()
    for n, frame in enumerate(moving_frames(3, 64)):
        Image.fromarray(frame).save(folder / "frames" / f"{n:02}.png")
    return folder / "frames"


@pytest.mark.parametrize("case", CHOICES)
def test_the_command_line_says_what_is_not_offered(case: str, tmp_path: Path) -> None:
    from typer.testing import CliRunner

    from delineate.cli import app

    options, code = CHOICES[case]
    arguments = ["segment", str(clip(tmp_path)), "--point", "32,32", "-o", str(tmp_path / "out"), *options]
    caught = CliRunner().invoke(app, arguments).exception
    assert isinstance(caught, DelineateError) and caught.code == code


def test_the_command_line_follows_in_one_direction_and_records_it(tmp_path: Path) -> None:
    from typer.testing import CliRunner

    from delineate.cli import app

    arguments = ["segment", str(clip(tmp_path)), "--box", "20,20,44,44", "--frame", "1", "-o", str(tmp_path / "out")]
    run = CliRunner().invoke(app, [*arguments, "--directions", "forward", "--json"])
    assert run.exit_code == 0, run.output
    manifest = json.loads(run.stdout.strip().split("\n")[-1])["manifest"]
    assert manifest["prompts"]["events"][-1]["following"]["directions"] == "forward"
    assert "0" not in manifest["objects"][0]["confidence"]
