"""MedSAM asked in words: the same words on every frame a structure is followed to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from delineate.checkpoints.vocabulary import Vocabulary
from delineate.compute.engine import Engine
from delineate.core.errors import PromptError
from delineate.core.frame import Frame
from delineate.core.manifest import ModelRecord
from delineate.core.resolve import FramePrompts
from delineate.models.medsam_text import MedSamText
from delineate.predictors.capabilities import Capabilities, NetworkKind, PromptKind, Propagation
from delineate.predictors.frame_predictor import Candidates, Query
from delineate.predictors.postprocess import masks_on_frame
from delineate.predictors.sam import SamFeatures
from delineate.preprocess.intensity import WindowRule
from delineate.preprocess.profiles import Profile


@dataclass(frozen=True, eq=False)
class TextPredictor:
    """A FramePredictor that takes words, and words only: points and boxes of this network were never trained."""

    network: MedSamText
    profile: Profile
    vocabulary: Vocabulary
    engine: Engine
    record: ModelRecord

    @property
    def capabilities(self) -> Capabilities:
        words = frozenset({PromptKind.TEXT})
        return Capabilities(words, follows=Propagation.WORDS, network=NetworkKind.SAM_TEXT)

    @property
    def window_rule(self) -> WindowRule:
        return self.profile.window_rule

    @torch.inference_mode()
    def encode(self, frame: Frame) -> SamFeatures:
        """Embed a frame of any data type."""
        pixels, place = self.profile.prepare(frame)
        with self.engine.encoding():
            embedding = self.network.embed(torch.from_numpy(pixels)[None].to(self.engine.device))
        return SamFeatures(embedding.float(), place)

    @torch.inference_mode()
    def decode(self, features: SamFeatures, queries: Sequence[Query]) -> list[Candidates]:
        """Outline what the words name. Raises PromptError for other prompts."""
        return [self._decode(features, query.prompts) for query in queries]

    def _decode(self, features: SamFeatures, prompts: FramePrompts) -> Candidates:
        if prompts.text is None or len(prompts.points) or prompts.box is not None:
            raise PromptError(
                "E-PROMPT-WORDS-ONLY",
                f"{self.record.name} takes words only: its points and boxes were never trained.",
                'Name the structure: --text "liver"; or take another system: delineate systems',
            )
        tokens = self.network.read(self.vocabulary.ids(prompts.text).to(self.engine.device))
        logits, iou = self.network.decode_tokens(features.embedding, tokens, multimask=False)
        masks = masks_on_frame(logits[0], features.place, self.profile.answer).cpu().numpy()
        return Candidates(masks, np.clip(iou[0].float().cpu().numpy(), 0, 1))
