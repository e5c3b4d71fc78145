"""MedSAM asked in words: the same words on every frame a structure is followed to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray

from delineate.checkpoints.vocabulary import Vocabulary
from delineate.errors import PromptError
from delineate.following import Following
from delineate.frame import Frame
from delineate.manifest import ModelRecord
from delineate.models.medsam_text import MedSamText
from delineate.placing import FramePrompts
from delineate.preprocess.intensity import WindowRule
from delineate.preprocess.profiles import Profile
from delineate.runtimes.answers import masks_on_frame
from delineate.runtimes.capabilities import Capabilities, NetworkKind, PromptKind, Propagation
from delineate.runtimes.engine import Engine
from delineate.runtimes.frame_predictor import Candidates, Query
from delineate.runtimes.sam import SamFeatures


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

    def tracker(self, frames: int | None = None, following: Following | None = None) -> WordTracker:
        """Asks every frame for the words each structure was named with. ``following`` has nothing to choose here."""
        (following or Following()).require_plain(self.record.name)
        return WordTracker(self)

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


@dataclass(frozen=True, eq=False)
class Named:
    """One structure on one frame: mask bool (height, width), predicted IoU, probability of being there."""

    mask: NDArray[np.bool_]
    score: float
    present: float = 1.0


@dataclass
class WordTracker:
    """A tracker whose memory is what each structure is called."""

    predictor: TextPredictor
    _words: dict[str, str] = field(default_factory=dict)

    def push(self, frame: Frame, reverse: bool = False) -> Mapping[str, Named]:
        """Take a frame and ask it for every structure."""
        if not self._words:
            return {}
        features = self.predictor.encode(frame)
        answers = self.predictor.decode(features, [Query(FramePrompts(text=words)) for words in self._words.values()])
        return {name: Named(one.mask, one.score) for name, one in zip(self._words, answers, strict=True)}

    def add(self, name: str, prompts: FramePrompts | NDArray[np.bool_]) -> Named:
        """Begin with an outline and the words it was asked for with."""
        if not isinstance(prompts, FramePrompts) or prompts.text is None or prompts.mask is None:
            raise PromptError(
                "E-PROMPT-WORDS-ONLY",
                f'{self.predictor.record.name} follows by name, and nothing says what "{name}" is.',
                'Name the structure: --text "liver"',
            )
        self._words[name] = prompts.text
        return Named(prompts.mask, 1.0)

    def remove(self, name: str) -> None:
        """Ask for a structure no more."""
        self._words.pop(name, None)

    rest = remove
