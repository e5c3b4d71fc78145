"""MedSAM's text-prompt extension (bowang-lab/MedSAM, extensions/text_prompt; experimental, say its authors).

CLIP's text tower reads the structure's name; its 77 tokens, projected, prompt MedSAM's decoder. Trained on the thirteen
organs of FLARE22, a random synonym a step. The released code means to start from MedSAM's prompt encoder but does not:
position frequencies and the vector for no mask are those saved in its file.
"""

from __future__ import annotations

from dataclasses import replace

from delineate.predictors.capabilities import PromptKind, Propagation
from delineate.predictors.frame_predictor import FramePredictor
from delineate.preprocess.profiles import MEDSAM
from delineate.systems.building import SEED, loaded, needs_torch, record_of, require_weights
from delineate.systems.layout import CheckpointLayout
from delineate.systems.medsam import SYSTEMS as MEDSAM_SYSTEMS
from delineate.systems.system import BuildOptions

NAME = "medsam_text"
ORGANS = (
    "liver, right kidney, spleen, pancreas, aorta, inferior vena cava, right and left adrenal gland, gallbladder, "
    "esophagus, stomach, duodenum, left kidney"
)


def _build(options: BuildOptions) -> FramePredictor:
    """The predictor; its vocabulary is looked for when words are first read."""
    require_weights(NAME, options)
    needs_torch(NAME)
    import torch

    from delineate.checkpoints.key_maps import medsam_text_weights
    from delineate.checkpoints.vocabulary import Vocabulary
    from delineate.compute.engine import Engine
    from delineate.models.medsam_text import MedSamText
    from delineate.predictors.export.image_encoder import Backend, run_exported
    from delineate.predictors.text import TextPredictor

    engine = Engine.chosen(options.device, options.precision, options.threads)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(SEED)
        network = MedSamText()
    _, sha256 = loaded(NAME, options, network, network.host, medsam_text_weights)
    run_exported(network, Backend(options.encoder_backend), f"{NAME}-{sha256[:16]}", engine.precision, options.threads)
    engine.cast_weights(network.host.vision_encoder)
    summary = f"{MEDSAM.summary}; words in CLIP's pieces, padded to {network.text.length}"
    record = record_of(NAME, sha256, _MEDSAM.license, summary, engine, options.encoder_backend)
    vocabulary = Vocabulary(network.text.words, network.text.length, options.vocabulary)
    return TextPredictor(network.to(engine.device), MEDSAM, vocabulary, engine, record)


_MEDSAM = MEDSAM_SYSTEMS[0]
SYSTEMS = (
    replace(
        _MEDSAM,
        name=NAME,
        summary="MedSAM's text-prompt extension: an abdominal organ by its name (experimental, say its authors)",
        build=_build,
        prompts=frozenset({PromptKind.TEXT}),
        propagation=Propagation.WORDS,
        propagation_note="every frame is prompted with the same words",
        training="from MedSAM: decoder and the projection of CLIP's tokens trained, the rest frozen; Dice and cross "
        f"entropy; AdamW 5e-5; batch 16; FLARE22: {ORGANS}",
        reported="",
        parity="against the published layout put together from the host library's modules, tiny network: 0.0 "
        "(tests/models)",
        recipe=None,
        layout=CheckpointLayout(
            "MedSAM with a text encoder",
            holds=("mask_decoder.", "prompt_encoder.text_encoder."),
            file_names=("medsam_text",),
        ),
    ),
)
