"""A whole system as ONNX files, with what another program needs to know to run them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch

from delineate.core.errors import ModelError
from delineate.core.hashing import sha256_of
from delineate.io.atomic import write_bytes
from delineate.models.medsam_text import MedSamText
from delineate.models.sam import Sam
from delineate.models.sam2 import FEEDBACK_LIMIT, Sam2
from delineate.predictors.bundle_card import CARD, BundleCard, Family, PartCard, PromptingCard, TensorCard
from delineate.predictors.capabilities import NetworkKind
from delineate.predictors.export.image_encoder import OPSET, encoder_part, write_part
from delineate.predictors.export.parts import NetworkPart, parts_of
from delineate.predictors.sam import SamPredictor
from delineate.predictors.sam2 import CHAIN_MARGIN, Sam2Predictor
from delineate.predictors.sam_behavior import MaskPrompt, Multimask
from delineate.predictors.text import TextPredictor
from delineate.preprocess.profiles import Profile

DTYPES = {torch.float32: "float32", torch.int64: "int64", torch.bool: "bool"}
POINTS = (
    "point_coords are x, y in pixels of the prepared input; labels: 1 on the structure, 0 not on it, 2 and 3 the upper "
    "left and lower right corner of a box (after the points for SAM, before them for SAM 2), -1 padding. {padding} "
    "has_mask_input: 0 or 1 for each object."
)
SAM_NOTES = (
    POINTS.format(padding="Points without a box end with the point (0, 0) of label -1; a mask alone has no points."),
    "low_res_masks are logits: number 0 is the single answer, 1 to 3 those for an ambiguous prompt.",
)
SAM2_NOTES = (
    POINTS.format(padding="End with the point (0, 0) of label -1; without prompts give it alone, twice."),
    "decoder: image_embeddings is without_memory where nothing is remembered, else what memory_attention gives.",
    "low_res_masks and object_pointers: number 0 is the single answer, then the three for an ambiguous prompt, and the "
    "pointer of the best of the three.",
    "memory_attention: memory_slots are 0 for prompted frames, else how many frames away (1 to 6); "
    "pointer_times are frames away divided by 15 (by one less than the number of frames in shorter videos).",
    "memory_encoder: pointed_at is true for outlines on prompted frames.",
)
RUNTIME_NOTE = (
    "onnxruntime 1.29 and later reports its use to its makers, unless ORT_DISABLE_TELEMETRY=1 is in the environment "
    "before it is loaded."
)
WORD_NOTES = ("token_ids are CLIP's word pieces with start and end marks, padded with the end mark.",)


def export_system(
    predictor: SamPredictor | Sam2Predictor | TextPredictor, folder: Path, check: bool = True
) -> dict[str, Any]:
    """Write ``encoder.onnx``, ``decoder.onnx``, what else the system has, and ``model.json``; returns the latter.

    check  run every part with ONNX Runtime on other inputs than it was traced with, free axes one longer, and note
           the largest absolute difference from torch and the largest value
    Raises ModelError for predictors that are no torch network on the CPU.
    """
    if predictor.capabilities.network in (None, NetworkKind.QUILL, NetworkKind.CLASSES, NetworkKind.SLICES):
        raise ModelError(
            "E-EXPORT-KIND",
            f"{predictor.record.name} is no torch network; its file is ONNX already, or has no parts.",
            "Export a system that runs on torch: delineate systems",
        )
    network = predictor.network
    folder.mkdir(parents=True, exist_ok=True)
    network.requires_grad_(False)
    cards = {}
    for part in (encoder_part(network), *parts_of(network)):
        path = folder / f"{part.name}.onnx"
        write_part(part, path)
        cards[part.name] = part_card(part, path, compared(part, path) if check else {})
    card = BundleCard(parts=cards, weights_sha256=predictor.record.sha256, **system_facts(predictor))
    text = card.model_dump_json(indent=1, exclude_none=True) + "\n"
    write_bytes(folder / CARD, text.encode())
    return dict(json.loads(text))


def system_facts(predictor: SamPredictor | Sam2Predictor | TextPredictor) -> dict[str, Any]:
    """What a card says of a system, whatever its weights."""
    network = predictor.network
    return {
        "system": predictor.record.name,
        "family": _family(network),
        "license": predictor.record.license,
        "opset": OPSET,
        "side": network.shape.side,
        "preprocessing": _profiles(predictor),
        "prompting": _prompting(predictor),
        "notes": _notes(network),
    }


@torch.no_grad()
def compared(part: NetworkPart, path: Path) -> dict[str, dict[str, float]]:
    """Largest absolute differences from torch, and largest values, by output."""
    import onnxruntime

    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    inputs = part.changed()
    wanted = part.module(*inputs)
    found = session.run(None, {name: value.numpy() for name, value in zip(part.inputs, inputs, strict=True)})
    right = dict(zip(part.outputs, wanted if isinstance(wanted, tuple) else (wanted,), strict=True))
    got = dict(zip(part.outputs, found, strict=True))
    return {
        "max_difference": {name: float(np.abs(got[name] - value.numpy()).max()) for name, value in right.items()},
        "max_value": {name: float(value.abs().max()) for name, value in right.items()},
    }


def part_card(part: NetworkPart, path: Path, comparison: dict[str, dict[str, float]]) -> PartCard:
    dtypes = [DTYPES[value.dtype] for value in part.example]
    return PartCard(
        file=path.name,
        sha256=sha256_of(path),
        inputs={
            name: TensorCard(shape=axes, dtype=dtype)
            for (name, axes), dtype in zip(part.inputs.items(), dtypes, strict=True)
        },
        outputs={name: TensorCard(shape=axes, dtype="float32") for name, axes in part.outputs.items()},
        **comparison,
    )


def _family(network: Sam | Sam2) -> Family:
    if isinstance(network, MedSamText):
        return Family.SAM_TEXT
    return Family.SAM if isinstance(network, Sam) else Family.SAM2


def _profiles(predictor: SamPredictor | Sam2Predictor | TextPredictor) -> dict[str, Profile]:
    if isinstance(predictor, Sam2Predictor):
        side = predictor.network.side
        return {"image": predictor.image_profile(side), "video": predictor.video_profile(side)}
    return {"image": predictor.profile if isinstance(predictor, TextPredictor) else predictor.behavior.profile}


def _prompting(predictor: SamPredictor | Sam2Predictor | TextPredictor) -> PromptingCard | None:
    if isinstance(predictor, TextPredictor):
        return None
    if isinstance(predictor, Sam2Predictor):
        return PromptingCard(
            multimask=Multimask.AMBIGUOUS,
            mask_prompt=MaskPrompt.LOGITS,
            margin=CHAIN_MARGIN,
            whole_pixels=False,
            feedback_limit=FEEDBACK_LIMIT,
        )
    return PromptingCard.of(predictor.behavior)


def _notes(network: Sam | Sam2) -> tuple[str, ...]:
    if isinstance(network, MedSamText):
        return (*WORD_NOTES, RUNTIME_NOTE)
    return (*(SAM_NOTES if isinstance(network, Sam) else SAM2_NOTES), RUNTIME_NOTE)
