"""The data engine, the prompts it simulates, and a training run that learns, stops and goes on."""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
from PIL import Image
from scipy import ndimage

torch = pytest.importorskip("torch")

pytest.importorskip("accelerate")

from safetensors.torch import load_file  # noqa: E402

from delineate.core.errors import ModelError, OutputError  # noqa: E402
from delineate.data.confined import DataFolder, OutsideError  # noqa: E402
from delineate.data.layouts import read_dataset  # noqa: E402
from delineate.quill.data.prompt_samples import LEAST_PART, _part  # noqa: E402
from delineate.quill.data.real_scenes import LARGEST, RealSource, random_real_scene, real_sources  # noqa: E402
from delineate.quill.data.scene_pool import QueryBatch, query_batch  # noqa: E402
from delineate.quill.data.synthetic import synthetic_scene  # noqa: E402
from delineate.quill.data.synthetic.layout import Style  # noqa: E402
from delineate.quill.data.synthetic.noise import texture  # noqa: E402
from delineate.quill.data.synthetic.packed import Packed  # noqa: E402
from delineate.quill.data.synthetic.scenes import Motion  # noqa: E402
from delineate.quill.data.synthetic.shapes import Blob, Half  # noqa: E402
from delineate.quill.data.training_batch import render_batch  # noqa: E402
from delineate.quill.data.visibility import visible_share  # noqa: E402
from delineate.quill.network import Quill, QuillConfig  # noqa: E402
from delineate.quill.predictor import SHIPPED, QuillPredictor  # noqa: E402
from delineate.quill.prompt_maps import CHANNELS  # noqa: E402
from delineate.quill.train import training as quill_training  # noqa: E402
from delineate.quill.train.start_from_onnx import start_from_export  # noqa: E402
from delineate.quill.train.training import ROUNDS, QuillObjective, QuillTraining, train_quill  # noqa: E402
from delineate.training.losses import quill_loss  # noqa: E402
from delineate.training.prompt_simulation import (  # noqa: E402
    bounding_box,
    click_in,
    clicks_around,
    coarse,
    correcting_click,
    jittered_box,
    spoiled,
)
from delineate.training.run_files import LAST, counts_in  # noqa: E402
from quill.test_training_batch import some_questions  # noqa: E402
from small_data_sets import manifest  # noqa: E402

MASK = np.zeros((60, 80), bool)
MASK[20:41, 30:61] = True


def test_scenes_repeat_with_the_seed_and_differ_without() -> None:
    one, same, other = (synthetic_scene(np.random.default_rng(seed), 96, 2) for seed in (3, 3, 4))
    assert np.array_equal(one.frames, same.frames) and np.array_equal(one.targets, same.targets)
    assert one.frames.shape != other.frames.shape or not np.array_equal(one.frames, other.frames)


def test_scenes_are_what_they_say() -> None:
    rng = np.random.default_rng(0)
    scenes = [synthetic_scene(rng, 128, 1 + n % 2) for n in range(60)]
    assert {s.kind for s in scenes} == {style.value for style in Style}
    for scene in scenes:
        assert scene.frames.dtype == np.float32 and scene.frames.min() >= 0 and scene.frames.max() <= 1
        assert scene.targets[:, 0].reshape(len(scene.targets), -1).sum(axis=1).min() > 25
    shares = np.array([t[0].mean() for s in scenes for t in s.targets])
    assert shares.min() < 0.01 and shares.max() > 0.2, "targets come in very different sizes"


def test_some_structures_end_on_the_next_frame() -> None:
    rng = np.random.default_rng(1)
    pairs = [t for _ in range(40) for t in synthetic_scene(rng, 96, 2).targets]
    assert 0 < sum(not t[1].any() for t in pairs) < len(pairs) / 2


def test_boxes_clicks_and_spoiled_outlines() -> None:
    rng = np.random.default_rng(0)
    assert tuple(bounding_box(MASK)) == (30, 20, 61, 41)
    assert click_in(rng, MASK, central=True) == pytest.approx((45, 30), abs=11)
    for _ in range(50):
        box = jittered_box(rng, MASK, 0.1)
        assert np.abs(np.array(box) - bounding_box(MASK)).max() <= 3.11
        points, labels = clicks_around(rng, MASK)
        assert [bool(MASK[int(y), int(x)]) for x, y in points] == labels.tolist()
        outline = spoiled(rng, MASK)
        assert outline.any() and (outline & MASK).any()
        click = correcting_click(rng, outline, MASK)
        if click is not None:
            (x, y), positive = click[0][0], click[1][0]
            assert MASK[int(y), int(x)] == positive != outline[int(y), int(x)]


def test_what_cannot_be_seen_is_told_from_what_can() -> None:
    y, x = np.mgrid[:96, :96]
    disc = (y - 48) ** 2 + (x - 48) ** 2 < 25**2
    noise = np.random.default_rng(0).normal(0, 0.1, (3, 96, 96)).astype(np.float32)
    noise[1:] = noise[0]
    assert visible_share((noise + disc).astype(np.float32), disc) > 0.95
    assert visible_share(noise, disc) < 0.2
    half = disc & (x < 48)  # the border within the disc is not seen
    assert 0.4 < visible_share((noise + disc).astype(np.float32), half) < 0.85


def test_a_coarse_outline_loses_what_is_thin() -> None:
    rng, truth = np.random.default_rng(0), np.zeros((90, 120), bool)
    truth[20:60, 20:70] = True
    thin = np.zeros_like(truth)
    thin[:, 100] = True
    some = [coarse(rng, truth | thin) for _ in range(40)]
    assert all(
        (one & truth).sum() > 0.8 * truth.sum() and (one & ~truth & ~thin).sum() < 0.6 * truth.sum() for one in some
    )
    assert any(not one[:, 95:].any() for one in some) and any(one[:, 100].all() for one in some)


def test_parts_are_seen_with_the_outline_of_all() -> None:
    rng, truth = np.random.default_rng(0), np.zeros((160, 160), bool)
    truth[20:140, 30:130] = True
    parts = [_part(rng, truth) for _ in range(40)]
    assert all(LEAST_PART <= window.size <= 0.8 * 120 + 1e-6 for _, window in parts)
    assert all(known.outline is not None and known.outline.any() and known.box is None for known, _ in parts)
    clicked = [(known, window) for known, window in parts if known.points is not None]
    assert clicked
    for known, window in clicked:
        x, y = known.points[0]
        assert window.x - 1 <= x <= window.x + window.size + 1 and window.y - 1 <= y <= window.y + window.size + 1
        assert truth[int(y), int(x)] == known.labels[0] != known.outline[int(y), int(x)]


def test_solids_taper_to_their_ends() -> None:
    blobs = [Blob(np.random.default_rng(seed), 128, 30.0, np.array([64.0, 64.0])) for seed in range(60)]
    solid = [blob for blob in blobs if blob._reach is not None and blob.until == np.inf and blob.since == -np.inf]
    assert 20 < len(solid) < 50
    for blob in solid:
        areas = [int((blob.level(t) < 0).sum()) for t in np.linspace(0, (1 - blob._place) * blob._reach, 9)]
        assert areas[0] > 0 and areas[-1] == 0 and areas[-2] < max(areas)


def test_a_half_is_a_part_of_its_blob_and_goes_on_changing() -> None:
    shares, changes = [], []
    for seed in range(30):
        rng = np.random.default_rng(seed)
        blob = Blob(rng, 96, 30.0, np.array([48.0, 48.0]))
        half = Half(rng, blob)
        whole, now, later = blob.level(0) < 0, half.level(0) < 0, half.level(0.5) < 0
        if not whole.any():  # it begins later
            continue
        assert not (now & ~whole).any()
        shares.append(now.sum() / whole.sum())
        changes.append((now ^ later).sum() / whole.sum())
    assert 0.3 < np.mean(shares) < 0.7 and min(shares) > 0 and max(shares) < 1
    assert 0.02 < np.mean(changes) < 0.6


def test_frames_are_most_like_the_ones_beside_them() -> None:
    near, far, leaps = [], [], []
    field, none = texture(np.random.default_rng(0), 96), np.zeros((0, 96, 96), bool)
    for seed in range(40):
        rng = np.random.default_rng(seed)
        motion = Motion(rng, 96)
        frames = [motion(rng, field, none, 0.5 * n)[0] for n in range(6)]
        apart = [float(np.abs(a - b).mean()) for a, b in pairwise(frames)]
        near.append(np.median(apart))
        far.append(float(np.abs(frames[0] - frames[-1]).mean()))
        leaps.append(motion._jumps > 0)
    calm = ~np.array(leaps)
    assert 5 < sum(leaps) < 25 and np.mean(np.array(near)[calm]) < 0.9 * np.mean(np.array(far)[calm])


def test_packed_tissues_share_borders_have_rims_and_change_with_time() -> None:
    together, filled, changed = 0, 0, []
    for seed in range(20):
        packed = Packed(np.random.default_rng(seed), 96)
        first, again, later = packed.paint(0), packed.paint(0), packed.paint(0.5)
        whole = packed.count // 2
        assert (first == again).all() and first.max() <= packed.count
        rimmed = {pair[0] for pair in packed.together}
        assert {n - whole for n in np.unique(first) if n > whole} <= rimmed
        filled += bool((first > 0).all())
        changed.append(float((first != later).mean()))
        for tissue, rim in packed.together:
            if (first == tissue).sum() < 100 or (first == rim).sum() < 100:
                continue
            together += 1
            inner, both = first == tissue, np.isin(first, (tissue, rim))
            depth = ndimage.distance_transform_edt(np.pad(both, 1, mode="edge"))[1:-1, 1:-1]
            assert depth[inner].mean() > 1.5 * depth[first == rim].mean(), "a rim lies along the border"
    assert together > 15 and 3 < filled < 15 and 0.02 < np.mean(changed) < 0.5


def test_training_begins_from_the_model_that_ships() -> None:
    torch.manual_seed(0)
    crops = [torch.randn(2, CHANNELS, 64, 64) / 2 for _ in range(3)]
    network = Quill()
    start_from_export(network, SHIPPED, crops)
    shipped = onnxruntime.InferenceSession(str(SHIPPED)).run(None, {"maps": torch.cat(crops).numpy()})
    for training, bound in ((False, 1e-4), (True, 1e-2)):  # the norms hold what they would measure on these crops
        network.train(training)
        with torch.no_grad():
            answered = network(torch.cat(crops))
        assert all(np.abs(a.numpy() - b).max() < bound for a, b in zip(answered, shipped, strict=True))
    with pytest.raises(ModelError, match="not an exported Quill of this shape"):
        start_from_export(Quill(QuillConfig(detail=16)), SHIPPED, crops)


def test_a_deeper_network_begins_as_what_the_file_is() -> None:
    torch.manual_seed(0)
    crops = [torch.randn(2, CHANNELS, 64, 64) / 2 for _ in range(3)]
    deeper = Quill(QuillConfig(depths=(2, 3, 5, 5), heights=(1, 2, 1)))
    start_from_export(deeper, SHIPPED, crops)
    shipped = onnxruntime.InferenceSession(str(SHIPPED)).run(None, {"maps": torch.cat(crops).numpy()})
    with torch.no_grad():
        answered = deeper.eval()(torch.cat(crops))
    assert all(np.abs(a.numpy() - b).max() < 1e-4 for a, b in zip(answered, shipped, strict=True))
    masks, *_ = deeper.train()(torch.cat(crops))
    masks.square().mean().backward()
    for new in (deeper.down[0][-1], deeper.up[1][-1]):
        assert new.norm2.weight.grad.abs().max() > 0, "what is new can learn"


def test_only_items_marked_for_training_are_read(data_root: Path, data_items: list[dict]) -> None:
    sources = real_sources(DataFolder(data_root))
    marked = {i["dataset"] for i in data_items if i["use"] == "train" and i.get("label")}
    assert {s.dataset for s in sources} == marked
    scene = random_real_scene(np.random.default_rng(0), sources, 2)
    assert scene.kind in marked and scene.targets[:, 0].any()


def test_pictures_are_learned_from_as_they_are_seen_in_use(tmp_path: Path) -> None:
    manifest(tmp_path)
    items = json.loads((tmp_path / "manifest.json").read_text())
    for item in items:
        item["use"] = "train"
        shape = np.asarray(Image.open(tmp_path / item["image"])).shape[:2]
        ramp = np.linspace(0, 40000, shape[1])[None].repeat(shape[0], axis=0).astype(np.uint16)  # far beyond 8 bits
        Image.fromarray(ramp).save(tmp_path / item["image"])
    (tmp_path / "manifest.json").write_text(json.dumps(items))
    for source in real_sources(DataFolder(tmp_path)):
        assert (np.diff(source.pixels[:, :, 0].astype(int), axis=1) >= 0).all() and source.pixels.max() > 250


def test_scans_outside_the_data_set_are_not_learned_from(tmp_path: Path) -> None:
    pytest.importorskip("transformers")
    from delineate.training.frames import trainable_frames

    manifest(tmp_path / "data")
    kept = tmp_path / "data" / "manifest.json"
    kept.write_text(kept.read_text().replace('"test"', '"train"').replace("a.png", "../a.png"))
    (tmp_path / "data" / "a.png").rename(tmp_path / "a.png")
    with pytest.raises(OutsideError):
        real_sources(DataFolder(tmp_path / "data"))
    with pytest.raises(OutsideError):
        trainable_frames(read_dataset(tmp_path / "data")[1])
    recipe = QuillTraining(tmp_path / "out", minutes=0.01, data=tmp_path / "data", device="cpu")
    with pytest.raises(OutsideError):
        train_quill(recipe)
    assert len(real_sources(replace(recipe, follow_links=True).scans)) == 1
    assert len(trainable_frames(read_dataset(tmp_path / "data", follow_links=True)[1])) == 1


def test_large_and_small_scans_fit_the_canvas() -> None:
    rng = np.random.default_rng(0)
    for shape in ((700, 500, 30), (20, 30, 25)):
        labels = np.zeros(shape, np.uint16)
        labels[tuple(slice(n // 4, 3 * n // 4) for n in shape)] = 1
        volume = RealSource("volume", rng.integers(0, 256, shape).astype(np.uint8), labels)
        scenes = [one for _ in range(12) if (one := volume.scene(rng, 2)) is not None]
        assert scenes and all(max(one.targets.shape[2:]) <= LARGEST for one in scenes)
    labels = np.zeros((479, 400), np.uint16)
    labels[100:300, 100:300] = 1
    picture = RealSource("picture", np.zeros((479, 400, 3), np.uint8), labels)
    assert all(max(picture.scene(rng).targets.shape[2:]) <= LARGEST for _ in range(12))


def test_a_right_answer_costs_less_than_a_wrong_one() -> None:
    truth = torch.zeros(2, 32, 32)
    truth[:, 8:20, 8:20] = 1
    right = (truth * 16 - 8)[:, None].repeat(1, 3, 1, 1)
    sure, there = torch.full((2, 3), 4.0), torch.full((2,), 4.0)
    for ambiguous in (torch.tensor([True, True]), torch.tensor([False, False])):
        good = quill_loss(right, sure, there, truth, ambiguous)
        bad = quill_loss(-right, sure, there, truth, ambiguous)
        assert good.total < 0.1 < 2 < bad.total
        assert good.iou_chosen == pytest.approx(1) and bad.iou_chosen == 0


def test_what_a_network_is_blind_to_makes_no_difference() -> None:
    network, maps = Quill().eval(), torch.rand(1, CHANNELS, 64, 64)
    network.hide_channels((3, 11))
    other = maps.clone()
    other[:, [3, 11]] = 0
    with torch.no_grad():
        assert torch.equal(network(maps)[0], network(other)[0])
        other[:, 10] = 0
        assert not torch.equal(network(maps)[0], network(other)[0])


def test_steps_instead_of_minutes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quill_training, "POOL", 8)
    monkeypatch.setattr(quill_training, "HELD_OUT", 4)
    monkeypatch.setattr(quill_training, "MEASURED", 2)
    lines: list[dict] = []
    recipe = QuillTraining(tmp_path, batch=4, threads=1, steps=9, sides=((0.5, 32), (0.5, 64)), blind=(11,), every=1,
                           precision="fp32")  # fmt: skip
    model = train_quill(recipe, lines.append)
    assert lines[-1]["step"] == 9 and {line["side"] for line in lines} == {32, 64}
    assert (QuillPredictor(model)._side, QuillPredictor(model).glance) == (64, 32)
    assert not load_file(tmp_path / "average.safetensors")["stem.0.weight"][:, 11 * 16 :].any()


def test_a_run_keeps_what_it_began_from(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quill_training, "POOL", 8)
    monkeypatch.setattr(quill_training, "HELD_OUT", 4)
    monkeypatch.setattr(quill_training, "MEASURED", 2)
    found = {}
    for keep in (0.0, 0.75, 1.0):
        recipe = QuillTraining(
            tmp_path / str(keep), start=SHIPPED, batch=4, threads=1, steps=3, sides=((1.0, 64),), keep=keep,
            precision="fp32", rate=0.1,
        )  # fmt: skip
        train_quill(recipe)
        found[keep] = load_file(recipe.output / "average.safetensors")
    begun, all_of_it = (load_file(tmp_path / keep / "start.safetensors") for keep in ("0.75", "1.0"))
    ends = load_file(tmp_path / "0.75" / LAST)
    for name in ("stem.0.weight", "up.0.0.1.bias"):
        assert torch.allclose(found[0.75][name], 0.75 * begun[name] + 0.25 * ends[f"ema/{name}"], atol=1e-6)
        assert torch.equal(found[1.0][name], all_of_it[name])
        assert not torch.allclose(found[0.0][name], begun[name], atol=1e-3)
    norm = "stem.1.running_mean"
    assert not torch.equal(found[1.0][norm], all_of_it[norm]), "measured anew"
    with pytest.raises(ModelError, match="nothing to keep"):
        train_quill(QuillTraining(tmp_path / "none", keep=0.5))
    with pytest.raises(ModelError, match="nothing to keep"):  # told before the run, not at its end
        train_quill(QuillTraining(tmp_path / "0.0", start=SHIPPED, keep=0.5, resume=True))
    resumed = QuillTraining(
        tmp_path / "0.75", keep=0.75, batch=4, threads=1, steps=4, sides=((1.0, 64),), precision="fp32", resume=True
    )
    train_quill(resumed)
    again = load_file(tmp_path / "0.75" / "average.safetensors")["stem.0.weight"]
    assert torch.allclose(again, begun["stem.0.weight"], atol=0.1) and not torch.equal(
        again, found[0.75]["stem.0.weight"]
    )


def test_a_run_learns_and_can_be_resumed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quill_training, "POOL", 16)
    monkeypatch.setattr(quill_training, "HELD_OUT", 8)
    monkeypatch.setattr(quill_training, "MEASURED", 2)
    recipe = {"output": tmp_path, "batch": 8, "seed": 0, "threads": 1, "correct": 1.0, "sides": ((0.5, 64), (0.5, 128))}
    lines: list[dict] = []
    model = train_quill(QuillTraining(minutes=0.06, **recipe), lines.append)
    assert model.is_file() and (tmp_path / "average.safetensors").is_file()
    assert lines[-1]["minutes"] >= 0.06 and 0 <= lines[-1]["quality"] <= 1
    before = counts_in(tmp_path / LAST)
    longer = before["minutes"] + 0.01  # a slow machine spends more than it was given
    train_quill(QuillTraining(minutes=longer, resume=True, **recipe))
    after = counts_in(tmp_path / LAST)
    assert after["step"] > before["step"] > 0 and after["minutes"] >= longer and after["before"] == before["before"]
    logged = [json.loads(line)["step"] for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert logged == [before["step"], after["step"]]
    average, state = (load_file(tmp_path / name) for name in ("average.safetensors", LAST))
    assert average.keys() == Quill().state_dict().keys()
    assert torch.equal(average["stem.1.bias"], state["ema/stem.1.bias"])
    assert not torch.equal(average["stem.1.running_mean"], state["ema/stem.1.running_mean"]), "measured anew"
    assert not torch.equal(average["stem.0.weight"], state["param/stem.0.weight"])
    with pytest.raises(OutputError):
        train_quill(QuillTraining(minutes=0.1, **recipe))
    with pytest.raises(ModelError, match="resume"):
        train_quill(QuillTraining(tmp_path / "none", minutes=0.1, resume=True))


def test_crops_have_several_sizes_and_are_shown_again_corrected() -> None:
    class Pool:
        def draw(self, batch: int) -> QueryBatch:
            return query_batch(some_questions(batch, 1))

    recipe = QuillTraining(Path(), batch=2, correct=1.0, device="cpu")
    objective = QuillObjective(Quill(), Pool(), (), recipe)  # type: ignore[arg-type]
    assert {objective._drawn(np.random.default_rng(n)).maps.shape[-1] for n in range(12)} == {128, 192, 256}
    assert {maps.shape[-1] for maps in objective.some_maps()} == {256}, "what the model is for"
    first = objective.loss(np.random.default_rng(1), 1)
    assert objective.again is not None and objective.again.maps.shape[-1] == first["side"]
    assert not objective.again.ambiguous.any()
    assert objective.again.maps[:, 5:8].any()  # a click, an outline
    for n in range(ROUNDS):
        assert objective.again is not None and objective.again.after == n + 1
        objective.loss(np.random.default_rng(0), 2 + n)
    assert objective.again is None


def test_the_network_can_learn_one_batch() -> None:
    """Sixty steps on eight fixed samples more than halve the loss: gradients reach what they should."""
    torch.manual_seed(0)
    batch = render_batch(query_batch(some_questions(8, 1)), 64)
    maps, truth, ambiguous = batch.maps, batch.truth, batch.ambiguous
    network = Quill(QuillConfig(widths=(16, 24, 32, 48), depths=(1, 1, 1, 1))).train()
    optimizer = torch.optim.AdamW(network.parameters(), 4e-3)
    losses = []
    for _ in range(60):
        loss = quill_loss(*network(maps), truth, ambiguous)
        optimizer.zero_grad()
        loss.total.backward()
        optimizer.step()
        losses.append(float(loss.total.detach()))
    assert losses[-1] < 0.5 * losses[0]
    assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in network.parameters())
