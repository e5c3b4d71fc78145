"""MedSAM asked in words, against the published layout put together by hand from the host library's modules."""

from __future__ import annotations

import gzip
import re
from pathlib import Path

import numpy as np
import pytest
import torch

from tiny_networks import TINY_VIT_SIZE, lively

pytest.importorskip("transformers")

from transformers import CLIPTextConfig, CLIPTextModel, SamModel

from delineate.checkpoints.key_maps import medsam_text_weights
from delineate.checkpoints.loading import load_all
from delineate.checkpoints.store import cached_path
from delineate.checkpoints.vocabulary import NAME, Vocabulary
from delineate.compute.engine import Engine, Precision
from delineate.core.errors import ModelError, PromptError
from delineate.core.manifest import ModelRecord
from delineate.core.prompts import Box, Text
from delineate.core.propagation_options import MemoryRule, PropagationOptions
from delineate.core.resolve import FramePrompts
from delineate.core.scan import Scan
from delineate.models.medsam_text import MedSamText, MedSamTextShape, TextTower
from delineate.models.sam import Sam, SamEncoder, SamShape
from delineate.predictors.frame_predictor import Query
from delineate.predictors.text import TextPredictor
from delineate.preprocess.profiles import MEDSAM
from delineate.session import Session
from delineate.systems.registry import system_of_tensors, systems_with_layout

PAIRS = ("l i", "v e", "li ve", "live r</w>", "k i", "d n", "ki dn", "e y</w>", "kidn ey</w>")
WORDS = 512 + len(PAIRS) + 2
TOWER = TextTower(width=64, depth=2, heads=2, words=WORDS, length=12)
SHAPE = MedSamTextShape(SamShape(SamEncoder.VIT_B, 256, TINY_VIT_SIZE), TOWER)
RECORD = ModelRecord(name="medsam_text", version="test", sha256="", license="")
BACK = (  # the host's names to the authors'
    (r"^vision_encoder\.patch_embed\.projection\.", "image_encoder.patch_embed.proj."),
    (r"^vision_encoder\.neck\.conv1\.", "image_encoder.neck.0."),
    (r"^vision_encoder\.neck\.layer_norm1\.", "image_encoder.neck.1."),
    (r"^vision_encoder\.neck\.conv2\.", "image_encoder.neck.2."),
    (r"^vision_encoder\.neck\.layer_norm2\.", "image_encoder.neck.3."),
    (r"^vision_encoder\.layers\.(\d+)\.layer_norm(\d)\.", r"image_encoder.blocks.\1.norm\2."),
    (r"^vision_encoder\.layers\.", "image_encoder.blocks."),
    (r"^vision_encoder\.", "image_encoder."),
    (r"^prompt_encoder\.shared_embedding\.positional_embedding",
     "prompt_encoder.pe_layer.positional_encoding_gaussian_matrix"),
    (r"^prompt_encoder\.point_embed\.", "prompt_encoder.point_embeddings."),
    (r"transformer\.layer_norm_final_attn\.", "transformer.norm_final_attn."),
    (r"(transformer\.layers\.\d)\.layer_norm(\d)\.", r"\1.norm\2."),
    (r"mask_decoder\.upscale_conv1\.", "mask_decoder.output_upscaling.0."),
    (r"mask_decoder\.upscale_layer_norm\.", "mask_decoder.output_upscaling.1."),
    (r"mask_decoder\.upscale_conv2\.", "mask_decoder.output_upscaling.3."),
    (r"(output_hypernetworks_mlps\.\d|iou_prediction_head)\.layers\.0\.", r"\1.layers.1."),
    (r"(output_hypernetworks_mlps\.\d|iou_prediction_head)\.proj_in\.", r"\1.layers.0."),
    (r"(output_hypernetworks_mlps\.\d|iou_prediction_head)\.proj_out\.", r"\1.layers.2."),
)  # fmt: skip


@pytest.fixture
def vocabulary(tmp_path: Path) -> Vocabulary:
    file = tmp_path / "pieces.txt.gz"
    file.write_bytes(gzip.compress("\n".join(["a heading", *PAIRS, ""]).encode()))
    return Vocabulary(WORDS, TOWER.length, file)


def parts() -> tuple[SamModel, CLIPTextModel, torch.nn.Linear]:
    """SAM, CLIP's text tower and the projection, each by itself, with random weights."""
    sam = lively(Sam(SHAPE.sam), 1).host
    clip = CLIPTextModel(
        CLIPTextConfig(
            hidden_size=64,
            intermediate_size=256,
            num_hidden_layers=2,
            num_attention_heads=2,
            vocab_size=WORDS,
            max_position_embeddings=12,
        )
    )
    return sam, lively(clip, 2), lively(torch.nn.Linear(64, 256), 3)  # type: ignore[return-value]


def published(sam: SamModel, clip: CLIPTextModel, head: torch.nn.Linear) -> dict[str, torch.Tensor]:
    """The arrays as the authors' file names them, with those it holds for nothing."""
    out: dict[str, torch.Tensor] = {}
    for key, value in sam.state_dict().items():
        if key.startswith(("shared_image_embedding", "prompt_encoder.mask_embed.")):
            continue
        for pattern, replacement in BACK:
            key = re.sub(pattern, replacement, key)
        out[key] = value
    prefix = "prompt_encoder.text_encoder"
    out |= {f"{prefix}.text_model.{key}": value for key, value in clip.state_dict().items()}
    out |= {f"{prefix}_head.{key}": value for key, value in head.state_dict().items()}
    out[f"{prefix}.text_model.embeddings.position_ids"] = torch.arange(12)[None]
    shapes = {"0.weight": (0, 1, 2, 2), "0.bias": (0,), "3.weight": (1, 0, 2, 2), "3.bias": (1,), "6.bias": (256,)}
    out |= {f"prompt_encoder.mask_downscaling.{key}": torch.zeros(shape) for key, shape in shapes.items()}
    return out


def loaded(weights: dict[str, torch.Tensor]) -> MedSamText:
    network = MedSamText(SHAPE)
    load_all(network.host, medsam_text_weights(weights), "medsam_text_prompt_flare22.pth")
    return network.eval()  # type: ignore[return-value]


@torch.inference_mode()
def test_words_give_what_the_parts_give(vocabulary: Vocabulary) -> None:
    """No array is missing or left over, and the same logits come out."""
    sam, clip, head = parts()
    network = loaded(published(sam, clip, head))
    ids = vocabulary.ids("Liver kidney")
    pixels = torch.rand(1, 3, 256, 256, generator=torch.Generator().manual_seed(0))
    embedding = sam.vision_encoder(pixels)[0]
    wanted, wanted_iou = sam.mask_decoder(
        image_embeddings=embedding,
        image_positional_embeddings=sam.get_image_wide_positional_embeddings(),
        sparse_prompt_embeddings=head(clip(ids).last_hidden_state)[:, None],
        dense_prompt_embeddings=sam.prompt_encoder.no_mask_embed.weight.reshape(1, -1, 1, 1).expand(1, -1, 16, 16),
        multimask_output=False,
    )
    found, iou = network.decode_tokens(network.embed(pixels), network.read(ids), multimask=False)
    difference = float((found - wanted[:, 0]).abs().max())
    print(f"MedSAM in words: max abs difference {difference:.1e} of {float(wanted.abs().max()):.2g}")
    assert difference < 2e-4 * float(wanted.abs().max()) and torch.allclose(iou, wanted_iou[:, 0], atol=1e-4)


def test_the_layout_is_recognized() -> None:
    weights = published(*parts())
    shapes = {name: tuple(tensor.shape) for name, tensor in weights.items()}
    assert [system.name for system, _ in systems_with_layout(shapes)] == ["medsam_text"]
    assert system_of_tensors(shapes, "medsam_text_prompt_flare22.pth") == "medsam_text"


def test_a_missing_projection_is_named() -> None:
    weights = published(*parts())
    del weights["prompt_encoder.text_encoder_head.bias"]
    with pytest.raises(ModelError, match=r"1 missing keys: prompt_encoder\.text_encoder_head\.bias"):
        loaded(weights)


def test_words_become_pieces(vocabulary: Vocabulary) -> None:
    start, end, whole = WORDS - 2, WORDS - 1, 512
    liver, kidney = whole + 3, whole + 8
    wanted = [start, liver, kidney, *[end] * 9]
    assert vocabulary.ids(" LIVER   kidney").tolist() == [wanted]
    with pytest.raises(PromptError) as caught:
        vocabulary.ids("zyx zyx zyx zyx zyx")
    assert caught.value.code == "E-TEXT-LONG"


def test_a_missing_or_other_vocabulary_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DELINEATE_MODELS", str(tmp_path))
    with pytest.raises(ModelError) as caught:
        Vocabulary(WORDS, 12).ids("liver")
    assert caught.value.code == "E-TEXT-VOCABULARY" and "models pull clip_vocabulary" in caught.value.hint
    (tmp_path / "merges.txt").write_text("heading\nl i\n")
    with pytest.raises(ModelError, match="makes a vocabulary of 515 pieces"):
        Vocabulary(WORDS, 12, tmp_path / "merges.txt").ids("liver")


def predictor(vocabulary: Vocabulary) -> TextPredictor:
    engine = Engine(torch.device("cpu"), Precision.FP32)
    network = loaded(published(*parts()))
    return TextPredictor(network, MEDSAM.__class__(**{**MEDSAM.__dict__, "side": 256}), vocabulary, engine, RECORD)


def volume() -> Scan:
    return Scan.from_volume(np.random.default_rng(0).integers(0, 900, (40, 50, 5)).astype(np.int16))


def test_a_named_structure_is_asked_for_on_every_slice_and_replays(vocabulary: Vocabulary) -> None:
    asked = predictor(vocabulary)
    session = Session(volume(), asked)
    session.prompt(Text("liver", frame=2), "liver")
    session.propagate()
    assert session.segmentation["liver"].frames
    for index in session.segmentation["liver"].frames:
        alone = asked.decode(asked.encode(session.scan.frame(index)), [Query(FramePrompts(text="liver"))])[0]
        assert np.array_equal(session.segmentation.mask("liver", index), alone.mask)
    again = Session.replay(volume(), session.log, asked)
    assert dict(again.segmentation["liver"].masks) == dict(session.segmentation["liver"].masks)
    assert '"words":"liver"' in session.manifest().model_dump_json()


def test_points_and_memories_are_refused(vocabulary: Vocabulary) -> None:
    session = Session(volume(), predictor(vocabulary))
    with pytest.raises(PromptError, match="takes words only"):
        session.prompt(Box(5, 5, 30, 30, frame=2), "liver")
    session.prompt(Text("liver", frame=2), "liver")
    with pytest.raises(PromptError, match="keeps no memory of frames"):
        session.propagate(following=PropagationOptions(memory=MemoryRule.WINDOW))


@pytest.mark.skipif(
    cached_path(NAME) is None, reason="needs the published vocabulary: delineate models pull clip_vocabulary"
)
def test_the_published_vocabulary_gives_the_published_numbers() -> None:
    ids = Vocabulary(49408, 77).ids("A photo of a cat")[0].tolist()
    assert ids[:8] == [49406, 320, 1125, 539, 320, 2368, 49407, 49407] and len(ids) == 77


def test_a_vocabulary_is_cut_where_the_published_one_is(tmp_path: Path) -> None:
    """The published file goes on after the pairs that are used."""
    file = tmp_path / "merges.txt"
    file.write_text("\n".join(["a heading", *PAIRS, "x x</w>", "y y</w>"]))
    assert Vocabulary(WORDS, 12, file).ids("liver")[0, 1] == 515
