"""BioSAM 2's released bank of images, against a second writing of its validation loop."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from tiny_networks import tiny_sam2

pytest.importorskip("transformers")

from delineate.compute.engine import Engine, Precision
from delineate.core.errors import ModelError
from delineate.core.frame import Frame
from delineate.core.manifest import ModelRecord
from delineate.core.resolve import FramePrompts
from delineate.memory.policies import CrossImageBank
from delineate.models.sam2 import Sam2, Sam2Version
from delineate.predictors.frame_predictor import Query
from delineate.predictors.sam2 import Sam2Predictor
from delineate.predictors.sam2_series import SeriesPredictor
from delineate.preprocess.profiles import biosam2
from delineate.systems import biosam2 as system
from delineate.systems.registry import build
from delineate.systems.system import BuildOptions

CPU = Engine(torch.device("cpu"), Precision.FP32)
RECORD = ModelRecord(name="tiny", version="test", sha256="", license="")
SIZE, MOST = 3, 5  # of the bank, where the released one holds 16; images
RNG = np.random.default_rng(3)
PICTURES = [RNG.integers(0, 256, (60, 70, 3), dtype=np.uint8) // (n % 3 + 1) for n in range(MOST)]
CLICKS = [np.array([[20.0 + 5 * n, 30.0]]) for n in range(MOST)]


def released(network: Sam2) -> list[Tensor]:
    """Low-resolution logits (1, 1, h, w) of each image: entries are memory, its places and the predicted IoU."""
    entries: list[tuple[Tensor, Tensor, float]] = []
    found = []
    for picture, click in zip(PICTURES, CLICKS, strict=True):
        pixels, _ = biosam2(network.side).prepare(Frame.of(picture))
        maps = network.embed(torch.from_numpy(pixels)[None])
        coarse = maps.coarse
        if entries:
            memory, places = (torch.cat([e[n].float().flatten(2).transpose(1, 2) for e in entries], 1) for n in (0, 1))
            coarse = network.with_memory(maps, memory, places, len(entries), 0)
        place = torch.from_numpy(click.astype(np.float32) / np.array([70, 60], np.float32) * np.float32(network.side))
        sparse, dense = network.host.prompt_encoder(
            place[None, None], torch.ones(1, 1, 1, dtype=torch.int32), None, None
        )
        low, iou, *_ = network.host.mask_decoder(
            image_embeddings=coarse,
            image_positional_embeddings=network._grid(coarse),
            sparse_prompt_embeddings=sparse,
            dense_prompt_embeddings=dense,
            multimask_output=False,
            high_resolution_features=maps.fine,
        )
        low, iou = low[:, 0], float(iou[0, 0, 0])
        found.append(low)
        high = F.interpolate(low, (network.side, network.side), mode="bilinear", align_corners=False)
        encoder = network.host.memory_encoder
        mixed = encoder.feature_projection(coarse) + encoder.mask_downsampler(high.sigmoid() * 20 - 10)
        new = encoder.projection(encoder.memory_fuser(mixed)).to(torch.bfloat16)
        grid = network.memory_places(maps).T.reshape(1, 64, *coarse.shape[-2:]).to(torch.bfloat16)
        if len(entries) < SIZE:
            entries.append((new, grid, iou))
            continue
        flat = F.normalize(torch.stack([e[0].float().reshape(-1) for e in entries]), dim=1)
        own = flat @ flat.T
        own.fill_diagonal_(float("-inf"))
        scores = flat @ F.normalize(new.float().reshape(-1), dim=0)
        least = int(scores.argmin())
        twin = int(own[least].argmax())
        if scores[least] < own[least, twin] and iou > entries[twin][2] - 0.1:
            del entries[twin]
            entries.append((new, grid, iou))
    return found


@pytest.fixture(scope="module")
def network() -> Sam2:
    return tiny_sam2(Sam2Version.V2_0)


def series(network: Sam2) -> SeriesPredictor:
    return SeriesPredictor(network, CPU, RECORD, biosam2, biosam2, bank=CrossImageBank(SIZE))


def test_a_series_is_answered_as_the_released_loop_does(network: Sam2) -> None:
    predictor = series(network)
    with torch.inference_mode():
        wanted = released(network)
    for n, (picture, click) in enumerate(zip(PICTURES, CLICKS, strict=True)):
        query = Query(FramePrompts(click, np.array([True])))
        answer = predictor.decode(predictor.encode(Frame.of(picture)), [query])[0]
        assert answer.logits is not None and answer.logits.shape[0] == 1
        np.testing.assert_allclose(answer.logits[0], wanted[n][0, 0].numpy(), atol=2e-4, err_msg=f"image {n}")
        assert len(predictor.bank.entries) == min(n + 1, SIZE)


def test_the_order_of_images_counts_and_the_paper_s_predictor_forgets(network: Sam2) -> None:
    query = Query(FramePrompts(CLICKS[0], np.array([True])))
    fresh, later, plain = series(network), series(network), Sam2Predictor(network, CPU, RECORD, biosam2, biosam2)
    later.decode(later.encode(Frame.of(PICTURES[1])), [query])
    first, second = (one.decode(one.encode(Frame.of(PICTURES[0])), [query])[0].logits for one in (fresh, later))
    assert first is not None and second is not None and np.abs(first - second).max() > 1e-3
    assert fresh.capabilities.remembers and not plain.capabilities.remembers
    alone = [plain.decode(plain.encode(Frame.of(PICTURES[0])), [query])[0].logits for _ in range(2)]
    assert alone[0] is not None and alone[1] is not None and (alone[0] == alone[1]).all()


def test_volumes_and_videos_are_followed_without_the_bank(network: Sam2) -> None:
    predictor = series(network)
    video = predictor.for_video
    assert type(video) is Sam2Predictor and video.is_video and video.network is network


def test_variants_are_known_by_name() -> None:
    assert set(system.SYSTEMS[0].variants) == {"released"} and system.PARTS.series == "released"
    for name, variant in (("biosam2", "scripts"), ("quill", "released"), ("sam_vit_b", "released")):
        with pytest.raises(ModelError, match="no variant"):
            build(name, BuildOptions(untrained=True, variant=variant))
