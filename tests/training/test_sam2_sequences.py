"""Clips are frames in a row with objects on the first, changed alike; SAM 2's losses count what they should."""

from __future__ import annotations

import numpy as np
import pytest
import torch

pytest.importorskip("transformers")

from delineate.core.errors import ModelError
from delineate.preprocess.profiles import sam2_video
from delineate.training.losses import dice_and_cross_entropy, heavy_cross_entropy, sam2_losses
from delineate.training.sequences import SequenceAugmentation, SequenceOptions, SequenceSource
from training_clips import SIDE, disc_video

PROFILE = sam2_video(SIDE)


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> SequenceSource:
    """Nine frames of two objects; the second one is gone on frames 3 to 5."""
    return SequenceSource(disc_video(tmp_path_factory.mktemp("discs"), "one", frames=9, objects=2), 0)


def test_objects_are_on_the_first_frame_and_may_leave(source: SequenceSource) -> None:
    assert [len(seen) for seen in source.visible] == [2, 2, 2, 1, 1, 1, 2, 2, 2]
    rng = np.random.default_rng(0)
    clips = [source.drawn(rng, SequenceOptions(frames=4, stride=2), PROFILE, pixels=False) for _ in range(60)]
    steps = {int(np.diff(clip.positions)[0]) for clip in clips}
    assert steps == {-2, -1, 1, 2}
    for clip in clips:
        assert len(set(np.diff(clip.positions).tolist())) == 1 and clip.truth.shape[1:] == (4, SIDE, SIDE)
        assert clip.truth[:, 0].any((1, 2)).all() and set(clip.positions) <= set(range(9))
    assert any(not clip.truth[-1, 1:].any((1, 2)).all() for clip in clips)


def test_short_scans_make_short_clips(source: SequenceSource) -> None:
    clip = source.drawn(np.random.default_rng(0), SequenceOptions(frames=50, objects=1, reverse=0.0), PROFILE)
    assert clip.positions == tuple(range(9)) and clip.pixels is not None and clip.pixels.shape == (9, 3, SIDE, SIDE)
    assert len(clip.truth) == 1


def test_backwards_is_the_same_clip_turned_round(source: SequenceSource) -> None:
    forward = source.clip(range(4), [1], PROFILE)
    backward = source.clip(range(3, -1, -1), [1], PROFILE)
    assert forward.pixels is not None and backward.pixels is not None
    assert torch.equal(forward.pixels, backward.pixels.flip(0))
    assert np.array_equal(forward.truth, backward.truth[:, ::-1])


def test_frames_and_masks_are_changed_alike(source: SequenceSource) -> None:
    augment, rng = SequenceAugmentation(), np.random.default_rng(1)
    moved = 0
    for _ in range(8):
        clip = source.clip(range(2), [1], PROFILE, rng=rng, augment=augment)
        plain = source.clip(range(2), [1], PROFILE)
        assert clip.pixels is not None
        bright = clip.pixels.mean(1).numpy()
        for t in range(2):
            inside, outside = bright[t][clip.truth[0, t]], bright[t][~clip.truth[0, t]]
            assert np.median(inside) > np.median(outside) + 0.5
        moved += not np.array_equal(clip.truth, plain.truth)
    assert moved >= 6


def test_held_out_clips_begin_where_the_structure_does(source: SequenceSource) -> None:
    clip = source.held_out(4, PROFILE, 2)
    assert clip.positions == (0, 1, 2, 3) and len(clip.truth) == 2


def test_impossible_clips_are_refused() -> None:
    with pytest.raises(ModelError):
        SequenceOptions(frames=0)
    with pytest.raises(ModelError):
        SequenceOptions(reverse=1.5)


def answer(best: int = 1) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """Three outlines of one object of which ``best`` is right: logits, IoU, presence, truth."""
    truth = torch.zeros(1, 1, 32, 32)
    truth[..., 8:24, 8:24] = 1
    logits = torch.full((1, 3, 32, 32), -4.0)
    logits[:, best] = truth[:, 0] * 8 - 4
    return logits.requires_grad_(), torch.full((1, 3), 0.5).requires_grad_(), torch.tensor([[3.0]]), truth


def test_only_the_best_outline_is_trained_and_every_iou() -> None:
    logits, iou, present, truth = answer()
    parts = sam2_losses(logits, iou, present, truth)
    parts["total"].backward()
    assert logits.grad is not None and iou.grad is not None
    assert logits.grad[:, 1].abs().sum() > 0 and not logits.grad[:, [0, 2]].any()
    assert iou.grad[0].sign().tolist() == [1, -1, 1]
    p = torch.tensor(4.0).sigmoid()
    focal = (0.25 * 256 + 0.75 * 768) / 1024 * (1 - p) ** 2 * -p.log()
    dice = 1 - (2 * 256 * p + 1) / (256 * p + 768 * (1 - p) + 256 + 1)
    total = 20 * focal + dice + 0.5 + torch.nn.functional.softplus(torch.tensor(-3.0))
    assert float(parts["total"].detach()) == pytest.approx(float(total), rel=1e-4)


@pytest.mark.parametrize("hidden", ["in truth", "by the network"])
def test_what_is_not_there_trains_the_object_score_alone(hidden: str) -> None:
    logits, iou, present, truth = answer()
    if hidden == "in truth":
        truth = torch.zeros_like(truth)
    else:
        present = -present
    present.requires_grad_()
    parts = sam2_losses(logits, iou, present, truth)
    parts["total"].backward()
    assert logits.grad is None or not logits.grad.any()
    assert present.grad is not None and abs(float(present.grad)) > 0.9
    assert float(parts["focal"]) == float(parts["dice"]) == 0


def test_losses_of_one_outline() -> None:
    logits, iou, present, truth = answer(0)
    found = dice_and_cross_entropy(logits[:, :1], iou[:, :1], present, truth)
    assert found["total"] == found["dice"] + found["cross_entropy"]
    entropy = torch.nn.functional.softplus(torch.tensor(-4.0))
    heavy = heavy_cross_entropy(logits[:, :1], iou[:, :1], present, truth)["total"]
    assert float(heavy.detach()) == pytest.approx(float(entropy * (2 * 256 + 768) / 1024), rel=1e-4)
