"""Training from superpixels: the head with gradients, episodes, losses, and a small run."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("skimage")

from torch.nn import functional as F  # noqa: E402

from delineate.core.errors import InputError, ModelError  # noqa: E402
from delineate.core.scan import Scan  # noqa: E402
from delineate.data.cases import Case, OpenedFiles, Task, Use  # noqa: E402
from delineate.data.superpixels import Method, Superpixels  # noqa: E402
from delineate.fewshot.prototypes import PrototypeOptions, Shot, ShotReduction, coarse_logits  # noqa: E402
from delineate.models.deeplab import DeepLabShape  # noqa: E402
from delineate.models.dino_shapes import DinoShape  # noqa: E402
from delineate.models.variants import SamEncoder  # noqa: E402
from delineate.systems import SYSTEMS, BuildOptions, build  # noqa: E402
from delineate.training.alp_head import alp_logits  # noqa: E402
from delineate.training.alpnet import (  # noqa: E402
    AlpnetTraining,
    EmptyPolicy,
    objective_for,
    preparation_of,
    train_alpnet,
)
from delineate.training.encoder_adapters import AdapterOptions  # noqa: E402
from delineate.training.episodes import STRONGER, Augmentation, EpisodeOptions, Slices  # noqa: E402
from delineate.training.loop import LoopOptions  # noqa: E402
from delineate.training.recipes import recipe_for  # noqa: E402
from delineate.training.recipes.recipe import RecipeOverrides  # noqa: E402
from training_discs import tiny_predictor  # noqa: E402

SHAPE = DeepLabShape((1, 1, 1, 1), 8, 16)
C, Y, X = np.mgrid[:8, :8, :8].astype(np.float64)
SUPPORT = np.sin(0.3 * C + 0.7 * Y + 0.2 * X * (C + 1)).astype(np.float32)
QUERY = np.sin(0.3 * C + 0.6 * Y + 0.25 * X * (C + 1) + 0.1).astype(np.float32)
MASK = np.zeros((8, 8), np.float32)
MASK[2:6, 2:7] = 1


def test_the_head_gives_the_golden_values() -> None:
    given = (torch.from_numpy(one) for one in (QUERY, SUPPORT[None], MASK[None]))
    background, foreground = alp_logits(*given, PrototypeOptions(proto_grid=4))
    for scores, golden in ((background, (15.61699, 14.33104, 9.54237)), (foreground, (4.24449, 16.44358, 2.23221))):
        assert [float(scores[y, x]) for y, x in ((0, 0), (3, 4), (7, 7))] == pytest.approx(golden, abs=1e-4)


@pytest.mark.parametrize("reduction", ShotReduction)
@pytest.mark.parametrize("shots", [1, 3])
@pytest.mark.parametrize("kind", ["large", "small", "everywhere"])
def test_the_head_equals_the_one_without_torch(kind: str, shots: int, reduction: ShotReduction) -> None:
    rng = np.random.default_rng(shots)
    supports, query = rng.normal(size=(shots, 6, 32, 32)).astype(np.float32), rng.normal(size=(6, 32, 32))
    masks = np.zeros((shots, 32, 32), np.float32)
    where = {"large": slice(4, 20), "small": slice(10, 12), "everywhere": slice(0, 32)}[kind]
    masks[:, where, where] = 1
    options = PrototypeOptions(reduction=reduction)
    found = alp_logits(torch.from_numpy(query).float(), torch.from_numpy(supports), torch.from_numpy(masks), options)
    shown = [Shot(s, m) for s, m in zip(supports, masks, strict=True)]
    wanted = coarse_logits(query.astype(np.float32), shown, options)
    assert float(np.abs(found.numpy() - wanted).max()) < 2e-4


def test_the_head_lets_gradients_through() -> None:
    support = torch.from_numpy(SUPPORT).requires_grad_(True)
    alp_logits(
        torch.from_numpy(QUERY), support[None], torch.from_numpy(MASK)[None], PrototypeOptions(4)
    ).sum().backward()
    assert support.grad is not None and support.grad.abs().sum() > 0


class Bodies:
    """A reader: slices with a round bright body and a square gray one, elsewhere in every subject."""

    def __call__(self, case: Case) -> OpenedFiles:
        rng = np.random.default_rng(int(case.subject))
        y, x = np.mgrid[:48, :48]
        dy, dx = rng.integers(-5, 6, 2)
        ball = (y - 18 - dy) ** 2 + (x - 18 - dx) ** 2 < 64
        box = (abs(y - 36 - dx) < 6) & (abs(x - 34 - dy) < 6)
        slices = [60 + 80 * ball + 140 * box + rng.normal(0, 4, ball.shape) for _ in range(3)]
        labels = np.stack([ball + 2 * box] * 3).astype(np.uint8)
        volume = np.stack(slices).transpose(2, 1, 0).astype(np.float32)
        return OpenedFiles(
            Scan.from_volume(volume, slice_axis=2), Scan.from_volume(labels.transpose(2, 1, 0), slice_axis=2)
        )


def cases(count: int = 5) -> list[Case]:
    path = Path(__file__)
    names = {1: "ball", 2: "box"}
    return [
        Case(str(n), "bodies", "MR", Task.VOLUME, path, path, names, Use.TEST, str(n), Bodies()) for n in range(count)
    ]


def predictor(name: str = "alpnet"):
    row = getattr(SYSTEMS[name].build, "__self__")  # noqa: B009
    size = SHAPE if name == "alpnet" else DinoShape(48, 2, 3, side=56)
    options = BuildOptions(untrained=True, device="cpu", precision="fp32", threads=1)
    return replace(row, side=70 if name != "alpnet" else 64, size=size).build(options)


def recipe(output: Path, **more: object) -> AlpnetTraining:
    episodes = EpisodeOptions(slices=2, superpixels=Superpixels(min_size=60))
    loop = LoopOptions(output, steps=2, rate=1e-3, every=2, tensorboard=False)
    return AlpnetTraining(loop, **{"episodes": episodes, "held_out": 0.4, **more})  # type: ignore[arg-type]


@pytest.mark.parametrize("volume", [False, True])
def test_an_episode_shows_one_superpixel_twice(volume: bool, tmp_path: Path) -> None:
    divided = Superpixels(Method.SLIC, size=300) if volume else Superpixels(min_size=60)
    options = EpisodeOptions(slices=3, superpixels=divided, volume=volume)
    objective = objective_for(predictor(), cases(), recipe(tmp_path, episodes=options))
    episode = objective.training.episode(np.random.default_rng(0))
    assert episode.pixels.shape == (2, 3, 64, 64) and episode.masks.shape == (2, 64, 64)
    assert episode.masks.flatten(1).sum(1).min() > 0 and set(episode.masks.unique().tolist()) <= {0, 1}
    assert not torch.equal(episode.masks[0], episode.masks[1])


class Cells:
    """A reader: three slices, the middle one labeled: two cells of one kind, and no more."""

    def __call__(self, case: Case) -> OpenedFiles:
        labels = np.zeros((3, 48, 48), np.uint8)
        labels[1, 5:15, 5:15], labels[1, 25:40, 25:40] = 1, 2
        voxels = np.random.default_rng(0).normal(50, 9, labels.shape).astype(np.float32)
        return OpenedFiles(*(Scan.from_volume(one.transpose(2, 1, 0), slice_axis=2) for one in (voxels, labels)))


def test_labels_are_not_looked_at_where_it_learns_and_cells_are_one_structure_where_it_measures() -> None:
    path = Path(__file__)
    case = Case("1", "cells", "microscopy", Task.VOLUME, path, path, {0: "cell"}, Use.TEST, "1", Cells())
    options, prepare = EpisodeOptions(superpixels=Superpixels(min_size=60)), preparation_of(predictor())
    learned, measured = (Slices([case], prepare, replace(options, labeled=how)).of_case(0) for how in (False, True))
    assert [one.masks for one in learned] == [{}, {}, {}]
    (one,) = measured
    assert list(one.masks) == ["cell"]
    assert one.masks["cell"].sum() == pytest.approx((10 * 10 + 15 * 15) * (64 / 48) ** 2, rel=0.1)


@pytest.mark.parametrize("adapter", [None, AdapterOptions(rank=2)])
def test_statistics_of_a_published_encoder_stay_and_so_do_those_beside_an_adapter(
    adapter: AdapterOptions | None, tmp_path: Path
) -> None:
    """What is measured is then what the small file of an adapter gives."""
    small = tiny_predictor(SamEncoder.TINY_VIT, side=64)
    before = {name: one.clone() for name, one in small.network.host.named_buffers() if "running" in name}
    train_alpnet(small, cases(), recipe(tmp_path / "out", adapter=adapter))
    after = dict(small.network.host.named_buffers())
    assert before and all(torch.equal(one, after[name]) for name, one in before.items())


def test_slices_that_show_an_excluded_structure_are_left_out(tmp_path: Path) -> None:
    options = EpisodeOptions(slices=3, superpixels=Superpixels(min_size=60), excluded=("ball",))
    objective = objective_for(predictor(), cases(), recipe(tmp_path, episodes=options))
    with pytest.raises(InputError, match="No slice is left"):  # each of them shows one
        objective.training.episode(np.random.default_rng(0))
    assert objective.scored()  # but they are measured on


@pytest.mark.parametrize("how", [Augmentation(), STRONGER])
def test_slice_and_mask_are_moved_alike(how: Augmentation) -> None:
    mask = torch.zeros(64, 64)
    mask[20:44, 16:40] = 1
    still = replace(how, gamma=(1.0, 1.0))
    pixels, moved = still.drawn(np.random.default_rng(3), mask.expand(3, -1, -1), mask)
    assert float(((pixels[0] > 0.5).float() - moved).abs().mean()) < 0.02
    assert 0.3 < float(moved.sum() / mask.sum()) < 3


def test_losses_are_those_of_the_paper(tmp_path: Path) -> None:
    """Weighted cross entropy of the query, plain cross entropy of the support predicted back."""
    objective = objective_for(predictor(), cases(), recipe(tmp_path))
    episode = objective.training.episode(np.random.default_rng(1))
    with torch.no_grad():
        first, align = objective.of_episode(episode)
        support, query = objective.features(episode.pixels)
        mask = F.interpolate(episode.masks[None, :1], size=support.shape[1:], mode="bilinear")[0]
        scores = alp_logits(query, support[None], mask, window=(4, 4))
        logits = F.interpolate(scores[None], size=(64, 64), mode="bilinear")[0]
        log = logits.log_softmax(0)
        truth = episode.masks[1]
        weight = torch.where(truth > 0, 1.0, 0.05)
        picked = torch.where(truth > 0, log[1], log[0])
        assert float(first) == pytest.approx(float(-(weight * picked).sum() / weight.sum()), rel=1e-4)
        back = alp_logits(support, query[None], scores.argmax(0)[None].float(), window=(4, 4), large=(4, 4))
        back = F.interpolate(back[None], size=(64, 64), mode="bilinear")[0].log_softmax(0)
        wanted = -torch.where(episode.masks[0] > 0, back[1], back[0]).mean()
        assert float(align) == pytest.approx(float(wanted), rel=1e-4)


@pytest.mark.parametrize("policy", EmptyPolicy)
def test_an_empty_answer_of_the_query(policy: EmptyPolicy, tmp_path: Path) -> None:
    objective = objective_for(predictor(), cases(), recipe(tmp_path, empty=policy))
    support, query = torch.rand(2, 16, 32, 32)
    nothing = torch.stack([torch.ones(32, 32), -torch.ones(32, 32)])
    loss = float(objective.alignment(nothing, support, query, torch.zeros(64, 64), (4, 4)))
    assert (loss == 0) is (policy is EmptyPolicy.SKIP)


def test_a_run_leaves_a_file_that_the_system_opens(tmp_path: Path) -> None:
    made = predictor()
    assert recipe_for("alpnet", made).name == recipe_for(None, made).name == "alpnet"
    outcome = train_alpnet(made, cases(), recipe(tmp_path / "run"))
    assert 0 < outcome.before <= outcome.best <= 1
    from delineate.training.run_files import save_arrays

    save_arrays(tmp_path / "kept.safetensors", made.host.state_dict())
    options = BuildOptions(device="cpu", precision="fp32", threads=1)
    again = build(str(tmp_path / "kept.safetensors"), options, "alpnet")
    frame = cases()[0].open().scan.frame(0)
    small = replace(again.feature_extractor, side=64)
    wanted, found = made.feature_extractor.features(frame).values, small.features(frame).values
    assert np.abs(wanted - found).max() < 1e-4


def test_lora_beside_dinov2(tmp_path: Path) -> None:
    made = predictor("dinov2_ssl")
    objective = objective_for(made, cases(), recipe(tmp_path, adapter=AdapterOptions(rank=4, alpha=4.0)))
    names = {name for name, p in objective.host.named_parameters() if p.requires_grad}
    assert names and all(".lora_" in name for name in names)
    loss = objective.loss(np.random.default_rng(0), 0)["total"]
    loss.backward()
    assert any(p.grad is not None and p.grad.abs().sum() > 0 for p in objective.adapter.parameters())
    weights = objective.weights()
    assert weights.keys() == predictor("dinov2_ssl").host.state_dict().keys()


def test_other_options_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="no parts and no flips"):
        recipe_for("alpnet", predictor()).options(RecipeOverrides(tmp_path, flips=0.5))
