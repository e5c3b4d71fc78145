"""One-shot systems against another writing of their pipeline, on shared random weights in the published layouts."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy import ndimage
from torch import Tensor
from torch.nn import functional as F

from dino_reference import hub_layout, written_again
from references.weights import seeded_state

pytest.importorskip("transformers")

from delineate.core.errors import PromptError
from delineate.core.frame import Frame
from delineate.core.prompts import Box, Mask
from delineate.core.resolve import FramePrompts
from delineate.core.scan import Scan
from delineate.fewshot.coarse_to_prompts import KeptComponents
from delineate.fewshot.prototypes import ShotReduction
from delineate.models.deeplab import DeepLabShape
from delineate.models.dino_shapes import DinoShape
from delineate.models.variants import SamEncoder
from delineate.predictors.frame_predictor import Query
from delineate.session import Session
from delineate.systems import SYSTEMS, BuildOptions
from delineate.systems.one_shot import MaskResize, OneShotPredictor, mask_on_grid
from delineate.systems.registry import system_of_tensors
from delineate.systems.token_features import Normalization, normalized

OPTIONS = BuildOptions(untrained=True, device="cpu", precision="fp32", threads=1)
SHAPE = DinoShape(48, 2, 3, side=56)
SIDE = 112  # 8 x 8 tokens, enlarged to 32 x 32
CLOSE = 2e-4  # of scores up to 20


def built(name: str, options: BuildOptions = OPTIONS, **changes: Any) -> OneShotPredictor:
    """A system of tiny networks; its refiner at 256 px."""
    row = getattr(SYSTEMS[name].build, "__self__")  # noqa: B009
    row = replace(row, side=SIDE, size=DeepLabShape((1, 1, 1, 1), 8, 16) if row.encoder is None else SHAPE, **changes)
    if row.refiner is not None:

        def small(refiner: Any) -> Any:
            return replace(refiner, profile=replace(refiner.profile, side=256), encoder=SamEncoder.TINY_VIT)

        refiner = small(row.refiner)
        variants = {
            name: {k: small(v) if k == "refiner" else v for k, v in given.items()}
            for name, given in row.variants.items()
        }
        row = replace(row, refiner=refiner, variants=variants)
    return row.build(options)


def hub_file(folder: Path) -> tuple[Path, dict[str, Tensor]]:
    """DINOv2's layout with random weights, as its authors publish it."""
    native = seeded_state(hub_layout(SHAPE))
    path = folder / "dinov2_vits14_pretrain.pth"
    torch.save(native, path)
    return path, native


def pictures() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A support with two bodies, the outline of one, and a query where both moved; gray, 96 x 96."""
    y, x = np.mgrid[:96, :96]

    def bodies(dy: int, dx: int) -> tuple[np.ndarray, np.ndarray]:
        first = ((y - 40 - dy) / 22) ** 2 + ((x - 44 - dx) / 18) ** 2 < 1
        second = ((y - 76 - dy) / 10) ** 2 + ((x - 80) / 9) ** 2 < 1
        noise = np.random.default_rng(dy).normal(0, 6, first.shape)
        return 30 + 90 * first + 200 * second + noise, first

    support, mask = bodies(0, 0)
    query, _ = bodies(6, 8)
    return support.astype(np.float32), mask, query.astype(np.float32)


# ---- another writing, from the equations ----


def zscored(picture: np.ndarray) -> Tensor:
    values = torch.from_numpy((picture - picture.mean()) / picture.std())
    return values.float()[None, None].expand(1, 3, -1, -1)


def features(native: dict[str, Tensor], picture: np.ndarray) -> Tensor:
    """At the encoder's own size: z-scored, three times the same channel, tokens enlarged to 32 x 32."""
    tokens = written_again(native, SHAPE, zscored(picture))
    return F.interpolate(tokens, size=(32, 32), mode="bilinear", align_corners=False)


def safe(x: Tensor, axis: int) -> Tensor:
    return x / x.norm(dim=axis, keepdim=True).clamp_min(1e-4)


def by_grid(query: Tensor, support: Tensor, mask: Tensor, whole: bool) -> Tensor:
    """Scores of local prototypes: cells of 2 x 2 that the mask fills to more than 0.95."""
    cells = F.avg_pool2d(support, 2)[0].flatten(1).T
    kept = cells[F.avg_pool2d(mask, 2).flatten() > 0.95]
    if whole:
        kept = torch.cat([kept, ((support * mask).sum((2, 3)) / (mask.sum() + 1e-5))])
    d = 20 * torch.einsum("nc,chw->nhw", safe(kept, 1), safe(query, 1)[0])
    return (d.softmax(0) * d).sum(0)


def by_mean(query: Tensor, support: Tensor, mask: Tensor) -> Tensor:
    mean = (support * mask).sum((2, 3)) / (mask.sum() + 1e-5)
    return 20 * F.cosine_similarity(query, mean[:, :, None, None], dim=1, eps=1e-4)[0]


def alp(query: Tensor, support: Tensor, mask: Tensor) -> Tensor:
    """Background and foreground (2, h, w); the training window is a cell of the 8 x 8 grid: 4 x 4."""
    large = F.avg_pool2d(mask, mask.shape[-1] // 8).max() >= 0.95
    foreground = by_grid(query, support, mask, True) if large else by_mean(query, support, mask)
    return torch.stack([by_grid(query, support, 1 - mask, False), foreground])


def enlarged(values: Tensor, size: tuple[int, int]) -> Tensor:
    return F.interpolate(values[None], size=size, mode="bilinear", align_corners=False)[0]


@pytest.mark.parametrize("body", ["large", "small"])
def test_coarse_scores_of_dinov2_ssl(body: str, tmp_path: Path) -> None:
    """From the file to the scores on the frame; a small structure is compared by its mean alone."""
    file, native = hub_file(tmp_path)
    support, mask, query = (np.kron(p, np.ones((2, 2), p.dtype))[:SIDE, :SIDE] for p in pictures())
    if body == "small":
        mask = np.zeros_like(mask)
        mask[60:66, 40:46] = True
    predictor = built("dinov2_ssl", replace(OPTIONS, checkpoint=file))
    known, asked = (predictor.encode(Frame.of(one)) for one in (support, query))
    found = predictor.coarse(asked.map, [predictor.shot(known.map, mask)])
    on_grid = F.interpolate(torch.from_numpy(mask)[None, None].float(), size=(32, 32), mode="nearest")
    wanted = alp(features(native, query), features(native, support), on_grid)
    apart = float(np.abs(found - wanted.numpy()).max())
    print(f"coarse scores, {body}: max abs difference {apart:.1e}")
    assert apart <= CLOSE
    on_frame = asked.map.grid.to_frame(found)
    assert np.abs(on_frame - enlarged(wanted, (SIDE, SIDE)).numpy()).max() <= CLOSE


def prompts_of(logits: Tensor, most_confident: bool) -> list[tuple[np.ndarray, list[tuple[float, float]]]]:
    """Boxes and points on the square of 1024: components by corners too, the best pixel and the centroid."""
    probability = enlarged(logits, (1024, 1024)).softmax(0)[1].numpy()
    parts, count = ndimage.label(probability > 0.5, np.ones((3, 3)))
    found = []
    for number in range(1, count + 1):
        rows, columns = np.nonzero(parts == number)
        inside = probability[rows, columns]
        top = int(inside.argmax())
        box = np.array([columns.min(), rows.min(), columns.max() + 1, rows.max() + 1])
        points = [(columns[top], rows[top]), (columns.mean(), rows.mean())]
        found.append((float(inside.sum()), box, points))
    found.sort(key=lambda one: -one[0])
    return [(box, points) for _, box, points in (found[:1] if most_confident else found)]


@pytest.mark.parametrize("variant", ["", "released", "best_iou"])
def test_protosam_outlines_what_its_steps_give(variant: str, tmp_path: Path) -> None:
    """Scores, components, prompts, SAM, union: the masks are equal."""
    file, native = hub_file(tmp_path)
    support, mask, query = (np.kron(p, np.ones((2, 2), p.dtype))[:SIDE, :SIDE] for p in pictures())
    predictor = built("protosam_sam_b", replace(OPTIONS, checkpoint=file, variant=variant))
    known, asked = (predictor.encode(Frame.of(one)) for one in (support, query))
    answer = predictor.found(asked, [predictor.shot(known.map, mask)])

    on_grid = F.interpolate(torch.from_numpy(mask)[None, None].float(), size=(32, 32), mode="nearest")
    scores = alp(features(native, query), features(native, support), on_grid)
    logits = enlarged(scores, (SIDE, SIDE))
    scale = SIDE / 1024
    union = np.zeros((SIDE, SIDE), bool)
    components = prompts_of(logits, most_confident=not variant)
    assert components
    for box, points in components:
        given = FramePrompts(np.array(points) * scale, np.ones(2, bool), tuple(box * scale))
        said = predictor.refiner.decode(asked.refiner, [Query(given)])[0]
        assert len(said.masks) == (3 if variant else 1)
        union |= said.masks[0 if variant != "best_iou" else int(said.scores.argmax())]
    differing = int((union != answer.mask).sum())
    print(f"ProtoSAM {variant or 'paper'}: {len(components)} components, {differing} of {union.size} pixels differ")
    assert differing <= union.size * 1e-3  # a point may move by rounding


def test_a_file_in_the_layout_of_ssl_alpnet(tmp_path: Path) -> None:
    """The encoder's own names, with the pooling pyramid that is not used; the mean of shots, bilinear masks."""
    from delineate.models.deeplab import DeepLabEncoder

    encoder = DeepLabEncoder(DeepLabShape((1, 1, 1, 1), 8, 16))
    shapes = {f"encoder.{k}": tuple(v.shape) for k, v in encoder.state_dict().items()}
    native = seeded_state(shapes) | {
        "encoder.aspp_out.0.weight": torch.zeros(3),
        "encoder.asppconv.0.weight": torch.zeros(2),
    }
    torch.save(native, tmp_path / "alpnet.pth")
    predictor = built("alpnet", replace(OPTIONS, checkpoint=tmp_path / "alpnet.pth"))
    assert predictor.options.prototypes.reduction is ShotReduction.MEAN
    assert predictor.options.mask_resize is MaskResize.BILINEAR
    assert predictor.feature_extractor.features(Frame.of(pictures()[0])).values.shape == (16, 32, 32)
    assert predictor.record.sha256 != "random weights"


def test_layouts_are_recognized() -> None:
    assert system_of_tensors(hub_layout(DinoShape(1024, 24, 16)), "dinov2_vitl14_pretrain.pth") == "dinov2_ssl"
    alpnet = {"encoder.backbone.conv1.weight": (64, 3, 7, 7), "encoder.localconv.weight": (256, 2048, 1, 1)}
    assert system_of_tensors(alpnet, "40000.pth") == "alpnet"


@pytest.mark.parametrize("name", ["alpnet", "dinov2_ssl"])
def test_without_a_promptable_model_only_outlines_are_taken(name: str) -> None:
    predictor = built(name)
    session = Session(Scan.from_image(pictures()[0].astype(np.uint8)), predictor)
    with pytest.raises(PromptError, match="takes mask only"):
        session.prompt(Box(10, 10, 50, 50), "body")
    with pytest.raises(PromptError, match="no clicks and no boxes") as refused:
        predictor.decode(predictor.encode(Frame.of(pictures()[0])), [Query(FramePrompts(box=(1, 1, 9, 9)))])
    assert "--support" in str(refused.value.hint)


@pytest.mark.parametrize("name", ["alpnet", "dinov2_ssl", "protosam_sam_b", "protosam_medsam"])
def test_an_outline_on_one_slice_is_the_support_for_all(name: str) -> None:
    support, mask, query = (one[:, :90] for one in pictures())
    slices = np.stack([query, support, query]).transpose(2, 1, 0)
    session = Session(Scan.from_volume(slices, slice_axis=2), built(name))
    session.prompt(Mask.from_array(mask, frame=1), "body")
    session.propagate()
    if name in ("alpnet", "dinov2_ssl"):  # random features still tell bright from dark
        assert session.segmentation.mask("body", 0).any()
    assert (session.segmentation.mask("body", 1) == mask).all()


def test_nothing_predicted_is_an_empty_outline() -> None:
    predictor = built("protosam_sam_b")
    asked = predictor.encode(Frame.of(pictures()[0]))
    answer = predictor.outlined(asked, np.stack([np.ones((96, 96)), -np.ones((96, 96))]).astype(np.float32))
    assert not answer.mask.any() and answer.score == 0 and answer.presence == 0


def test_intensities_are_seen_as_each_switch_says() -> None:
    picture = pictures()[0]
    zscore = normalized(Frame.of(picture), Normalization.ZSCORE)
    assert zscore.shape == (96, 96, 3) and abs(zscore.mean()) < 1e-5 and abs(zscore.std() - 1) < 1e-4
    assert (normalized(Frame.of(picture), Normalization.NONE)[..., 0] == picture).all()
    color = np.full((4, 4, 3), 255, np.uint8)
    white = (255 - np.array([123.675, 116.28, 103.53])) / np.array([58.395, 57.12, 57.375])
    for how in (Normalization.ZSCORE, Normalization.IMAGENET):
        np.testing.assert_allclose(normalized(Frame.of(color), how)[0, 0], white, rtol=1e-5)
    broken = picture.copy()
    broken[0, 0] = np.nan
    assert normalized(Frame.of(broken), Normalization.ZSCORE)[0, 0, 0] == 0


def test_masks_are_resized_as_papers_do() -> None:
    mask = np.zeros((8, 8), bool)
    mask[:, 3:] = True
    assert mask_on_grid(mask, (4, 4), MaskResize.NEAREST)[0].tolist() == [0, 0, 1, 1]
    assert mask_on_grid(mask, (4, 4), MaskResize.BILINEAR)[0].tolist() == [0, 0.5, 1, 1]


def test_cca_is_the_most_confident_component() -> None:
    predictor = built("protosam_sam_b")
    assert predictor.options.prompts.components is KeptComponents.MOST_CONFIDENT
    assert (
        built("protosam_sam_b", replace(OPTIONS, variant="released")).options.prompts.components is KeptComponents.ALL
    )
