"""Questions about scenes, drawn as prompt maps in torch: the same as in use, corrected, and followed on."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from delineate.core.errors import ModelError  # noqa: E402
from delineate.preprocess.crop import CropWindow  # noqa: E402
from delineate.quill.data.prompt_samples import QUESTIONS, PromptSample, prompt_sample, prompt_samples  # noqa: E402
from delineate.quill.data.scene import Scene  # noqa: E402
from delineate.quill.data.scene_pool import FRAMES, SampleBuffer, ScenePool, SceneSample, query_batch  # noqa: E402
from delineate.quill.data.synthetic import synthetic_scene  # noqa: E402
from delineate.quill.data.training_batch import IntensityAugmentation, TrainingBatch, next_frame_batch, render_batch  # noqa: E402
from delineate.quill.prompt_maps import CHANNELS, CropPrompts, prompt_maps  # noqa: E402
from delineate.quill.train.corrections import clicks_on, corrected, corrected_batch  # noqa: E402

SIDE = 96


def some_questions(
    count: int, frames: int, seed: int = 0, wanted: Callable[[PromptSample], bool] = lambda _: True
) -> list[tuple[Scene, PromptSample]]:
    """Questions about made-up scenes, each about another one."""
    rng, found = np.random.default_rng(seed), list[tuple[Scene, PromptSample]]()
    while len(found) < count:
        scene = synthetic_scene(rng, 128, frames)
        one = prompt_sample(rng, scene)
        if one is not None and wanted(one):
            found.append((scene, one))
    return found


def in_use(scene: Scene, one: PromptSample, number: int, prompts: CropPrompts, side: int = SIDE) -> np.ndarray:
    """What the predictor would see of a frame."""
    return prompt_maps(scene.frames[number], prompts, one.window, side)


@pytest.mark.parametrize("frames", [1, 2])
def test_prompt_maps_are_those_of_use(frames: int) -> None:
    """Mean differences of values in -1.5 to 1.5 (measured in nine of ten under 0.03, medians under 0.023): gray values
    have 256 steps, percentiles come from every fourth pixel, which can tell where a scene has few values."""
    pairs = some_questions(16, frames)
    maps = render_batch(query_batch(pairs), SIDE).maps.numpy()
    assert maps.shape == (16, CHANNELS, SIDE, SIDE)
    gaps = np.array([
        np.abs(in_use(scene, one, int(one.follows), one.prompts) - found).mean(axis=(1, 2))
        for (scene, one), found in zip(pairs, maps, strict=True)
    ])  # fmt: skip
    assert np.quantile(gaps, 0.9, axis=0).max() < 0.06
    assert np.median(gaps, axis=0).max() < 0.03
    prompted = gaps[:, [4, 5, 6, 7, 9]]
    assert prompted.max() < 5e-3, "what is drawn of a prompt is the same"


def test_each_kind_of_prompt_is_drawn() -> None:
    rng, pairs = np.random.default_rng(0), list[tuple[Scene, PromptSample]]()
    for frames in (1, 1, 1, 2, 2):
        scene = synthetic_scene(rng, 128, frames)
        pairs += [(scene, one) for one in prompt_samples(rng, scene)]
    drawn = render_batch(query_batch(pairs), 64).maps[:, [4, 5, 6, 7, 9]].flatten(2).amax(2) > 0.5
    assert drawn.any(0).all() and drawn.any(1).float().mean() > 0.9, "a window on a part may hold none"


def test_turned_and_mirrored_all_is_turned_and_mirrored_alike() -> None:
    questions = query_batch(some_questions(6, 2))
    straight, turned = render_batch(questions, 64), render_batch(questions, 64, turns=1, mirrored=True)
    for one, other in ((straight.maps, turned.maps), (straight.truth, turned.truth)):
        apart = (torch.rot90(one, 1, (-2, -1)).flip(-1) - other).abs()
        assert apart.mean() < 1e-2, "percentiles come from every fourth pixel"
    drawn = [4, 5, 6, 7, 9]
    assert torch.allclose(torch.rot90(straight.maps[:, drawn], 1, (-2, -1)).flip(-1), turned.maps[:, drawn], atol=1e-5)


def test_a_look_changes_gray_values_alone() -> None:
    torch.manual_seed(0)
    questions = query_batch(some_questions(6, 2))
    plain, other = (
        render_batch(questions, 64),
        render_batch(questions, 64, IntensityAugmentation.drawn(6, torch.device("cpu"))),
    )
    assert not torch.equal(plain.maps[:, :3], other.maps[:, :3])
    assert torch.equal(plain.maps[:, [4, 5, 6, 7, 9]], other.maps[:, [4, 5, 6, 7, 9]])
    values = torch.linspace(-1, 1, 64 * 64).reshape(1, 1, 64, 64)
    one = torch.ones(1, 1, 1, 1)
    assert torch.allclose(IntensityAugmentation(one, one, 0 * one)(values), values, atol=1e-6)
    bent = IntensityAugmentation(-one, 2 * one, 0 * one)(values).flatten()
    assert bent[0] == pytest.approx(1) and bent[-1] == pytest.approx(-1) and (bent.diff() <= 0).all()


Batch = tuple[list[tuple[Scene, PromptSample]], TrainingBatch]


@pytest.fixture(scope="module")
def onwards() -> Batch:
    """Structures that are followed, of four scenes."""
    rng, pairs = np.random.default_rng(2), list[tuple[Scene, PromptSample]]()
    while len(pairs) < 16:
        scene = synthetic_scene(rng, 128, FRAMES)
        pairs += [(scene, one) for one in prompt_samples(rng, scene) if one.follows][:5]
    return pairs, render_batch(query_batch(pairs), SIDE)


def test_the_next_frame_is_asked_for_as_it_will_be_in_use(onwards: Batch) -> None:
    pairs, batch = onwards
    outlines = (batch.truth > 0.5).float()
    maps, truth = next_frame_batch(batch, torch.arange(len(pairs)), outlines)
    for n, (scene, one) in enumerate(pairs):
        before = np.zeros(scene.targets.shape[2:], bool)
        known = CropPrompts(
            earlier=scene.frames[1], earlier_outline=before, pointed=scene.frames[0],
            pointed_outline=one.prompts.earlier_outline,
        )  # fmt: skip
        wanted = in_use(scene, one, 2, known)
        for channel in (0, 1, 2, 8, 11):
            assert np.abs(wanted[channel] - maps[n, channel].numpy()).mean() < 0.04
        assert torch.equal(maps[n, 9], outlines[n]) and not maps[n, 4:8].any(), (
            "nothing but the outline before is known"
        )
        assert np.abs(truth[n].numpy() - one.window.cut(one.truth[2], SIDE)).mean() < 2e-3


def test_what_was_pointed_at_keeps_its_say() -> None:
    """Likeness from the last outline and from the frame that was prompted, as in use."""
    rng = np.random.default_rng(0)
    frames, targets = rng.random((3, 64, 64, 3)).astype(np.float32), np.zeros((1, 3, 64, 64), bool)
    targets[:, 0, 20:40, 24:44] = targets[:, 1, 24:44, 24:44] = targets[:, 2, 28:48, 24:44] = True
    frames[:, ..., 1:] = frames[..., :1]
    frames[0][targets[0, 0]] *= 0.3
    frames[2][targets[0, 2]] *= 0.3
    first = CropPrompts(earlier=frames[0], earlier_outline=targets[0, 0])
    one = PromptSample(targets[0], first, CropWindow(0, 0, 64), True)
    batch = render_batch(query_batch([(Scene(frames, targets, "squares"), one)]), 64)
    maps, _ = next_frame_batch(batch, torch.arange(1), torch.from_numpy(targets[:, 1]).float())
    known = CropPrompts(
        earlier=frames[1], earlier_outline=targets[0, 1], pointed=frames[0], pointed_outline=targets[0, 0]
    )
    wanted = prompt_maps(frames[2], known, one.window, 64)
    assert np.abs(wanted - maps[0].numpy())[[3, 10]].mean(axis=(1, 2)).max() < 0.05
    unknown = prompt_maps(frames[2], CropPrompts(earlier=frames[1], earlier_outline=targets[0, 1]), one.window, 64)
    assert np.abs(unknown[10] - maps[0, 10].numpy()).mean() > 0.1


def test_most_are_followed_on_and_the_rest_corrected(onwards: Batch) -> None:
    torch.manual_seed(0)
    pairs, batch = onwards
    outlines = batch.truth > 0.5
    once = corrected_batch(batch, outlines)
    went = (once.left > once.after).nonzero()[:, 0].tolist()
    assert len(pairs) / 3 < len(went) < len(pairs)
    for n in set(range(len(pairs))) - set(went):
        assert torch.equal(once.maps[n, :3], batch.maps[n, :3]) and torch.equal(once.truth[n], batch.truth[n])
    assert any(torch.equal(once.maps[n, 9] > 0.5, outlines[n]) for n in went)
    twice = corrected_batch(once, once.truth > 0.5)
    assert all(not torch.equal(twice.maps[n, :3], once.maps[n, :3]) for n in range(len(pairs)) if twice.left[n] > 0)
    assert all(torch.equal(twice.maps[n, :3], batch.maps[n, :3]) for n in range(len(pairs)) if once.left[n] == 0)
    for _ in range(FRAMES):
        twice = corrected_batch(twice, torch.ones_like(outlines))
    assert not (twice.left > twice.after).any(), "at the end of a scene nothing follows"


def square(side: int = 64) -> torch.Tensor:
    truth = torch.zeros(1, side, side, dtype=torch.bool)
    truth[:, 10:50, 10:50] = True
    return truth


def empty_maps(truth: torch.Tensor) -> torch.Tensor:
    maps = torch.zeros(len(truth), CHANNELS, *truth.shape[1:])
    maps[:, :3] = truth[:, None].float()
    return maps


def test_the_next_round_has_the_outline_and_a_click_where_it_is_wrong() -> None:
    torch.manual_seed(0)
    truth = square().repeat(2, 1, 1)
    outlines = truth.clone()
    outlines[0, 10:50, 40:50] = False  # too little
    outlines[1, 50:60, 10:50] = True  # too much
    maps = empty_maps(truth)
    maps[:, 4, 10:50, 10:50] = 1
    after = corrected(maps, outlines, truth)
    assert torch.equal(after[:, 7] > 0.5, outlines) and not maps[:, 7].any()
    positive, negative = after[0, 5] > 0.9, after[1, 6] > 0.9
    assert positive.any() and (truth[0] & ~outlines[0])[positive].all() and not after[0, 6].any()
    assert negative.any() and (outlines[1] & ~truth[1])[negative].all() and not after[1, 5].any()


def test_several_errors_are_clicked_once_each() -> None:
    truth = square()
    outlines = truth.clone()
    outlines[0, 12:20, 12:20] = outlines[0, 40:46, 30:42] = False
    counts = []
    for seed in range(40):
        torch.manual_seed(seed)
        clicked = corrected(empty_maps(truth), outlines, truth)[0, 5] > 0.9
        assert clicked.any() and (truth[0] & ~outlines[0])[clicked].all()
        counts.append(int(clicked[12:20, 12:20].any()) + int(clicked[40:46, 30:42].any()))
    assert set(counts) == {1, 2}


def test_clicks_lie_mostly_where_an_error_is_deepest() -> None:
    torch.manual_seed(0)
    errors = torch.zeros(200, 64, 64, dtype=torch.bool)
    errors[:, 8:40, 20:52] = True
    errors[:, 50:54, 4:60] = True
    places, settled = clicks_on(errors)
    middle = ((places - torch.tensor([36, 24])).abs() <= 3).all(1)
    assert 0.6 < middle.float().mean() < 0.85
    assert errors[torch.arange(200), places[:, 1], places[:, 0]].all()
    assert (
        torch.equal(settled[middle][:, 8:40, 20:52], errors[middle][:, 8:40, 20:52])
        and not settled[middle][:, 50:].any()
    )


def test_the_pool_keeps_the_latest_scenes() -> None:
    pool = ScenePool(12, 0, None)
    try:
        pool.fill(12)
        drawn = pool.draw(50)
    finally:
        pool.close()
    assert pool.made >= 12 and len(drawn.window) == 50 and (drawn.window[:, 2] > 0).all()
    assert drawn.truth.flatten(1).any(1).all() and set(drawn.length.tolist()) <= {1, FRAMES}
    assert len({one.numpy().tobytes() for one in drawn.window}) > 20, "questions differ"


def test_a_worker_that_dies_is_told_within_seconds() -> None:
    pool, began = ScenePool(4, 0, None, workers=2), time.monotonic()
    try:
        pool._workers[1].kill()  # as a system that is out of memory does
        with pytest.raises(ModelError, match=r"exit code -9") as caught:
            pool.fill(4)
        assert caught.value.code == "E-TRAIN-WORKER" and "--workers" in caught.value.hint
    finally:
        pool.close()
    assert time.monotonic() - began < 60  # the machine may be busy


def test_a_place_is_given_to_another_scene() -> None:
    """What is left of a larger scene with more questions does not show."""
    rng = np.random.default_rng(0)
    large, small = synthetic_scene(rng, 192, 2), synthetic_scene(rng, 96, 1)
    places = SampleBuffer(1, QUESTIONS)
    for scene in (large, small):
        about = (
            prompt_samples(rng, scene)
            or [q for q in [prompt_sample(rng, scene) for _ in range(40)] if q is not None][:1]
        )
        places.put(0, SceneSample.of(scene, about))
    drawn = places.drawn(np.zeros(len(about), int), np.arange(len(about)))
    assert torch.equal(
        render_batch(drawn, 64).maps, render_batch(query_batch([(small, one) for one in about]), 64).maps
    )
