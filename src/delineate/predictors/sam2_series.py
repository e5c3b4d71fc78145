"""BioSAM 2's released evaluation: images that are prompted one by one, each compared with a bank of earlier ones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from delineate.core.frame import Frame
from delineate.memory.bank import Memory
from delineate.memory.policies import CrossImageBank
from delineate.models.sam2 import Sam2Maps
from delineate.predictors.capabilities import Capabilities
from delineate.predictors.frame_predictor import Candidates, Query
from delineate.predictors.sam2 import Sam2Features, Sam2Predictor

STORED = torch.bfloat16  # memories, and their places


@dataclass(frozen=True, eq=False)
class SeriesFeatures(Sam2Features):
    """``conditioned``: the coarse map (1, 256, f, f) as it was after it was compared with the bank."""

    conditioned: Tensor


@dataclass(frozen=True, eq=False)
class SeriesPredictor(Sam2Predictor):
    """A Sam2Predictor that remembers the images it answered, and so depends on their order (``func/function.py``).

    Every answer is offered to one bank, whatever structure it is of. The first image is seen without the vector for
    "no memory"; memories are made of the map that was compared with the bank. One mask is made for each prompt.
    Videos and volumes are followed as SAM 2 does.
    """

    bank: CrossImageBank = field(default_factory=CrossImageBank)

    @property
    def capabilities(self) -> Capabilities:
        return replace(super().capabilities, remembers=True)

    @torch.inference_mode()
    def encode(self, frame: Frame) -> SeriesFeatures:
        seen = super().encode(frame)
        return SeriesFeatures(seen.maps, seen.place, self._compared(seen.maps))

    @torch.inference_mode()
    def decode(self, features: Sam2Features, queries: Sequence[Query]) -> list[Candidates]:
        assert isinstance(features, SeriesFeatures)
        return [self._outlined(features, query) for query in queries]

    @property
    def for_video(self) -> Sam2Predictor:
        """As SAM 2, without a bank of images."""
        return self.without_bank.for_video

    @property
    def without_bank(self) -> Sam2Predictor:
        values = {name: getattr(self, name) for name in Sam2Predictor.__dataclass_fields__}
        return Sam2Predictor(**values)

    def _outlined(self, features: SeriesFeatures, query: Query) -> Candidates:
        points, labels, masks = self._asked(features, query)
        answer = self.network.decode(
            features.conditioned, features.maps, points, labels, masks, multimask=False, gated=False
        )
        seen = Sam2Maps(features.conditioned, features.maps.fine, features.maps.places)
        with self.engine.encoding():
            tokens = self.network.remember(seen, answer.best, answer.present, torch.zeros(1, dtype=torch.bool))
        iou = float(answer.iou[0, 0])
        self.bank.offer(Memory(0, tokens[0].to(STORED), answer.pointers[0], float(answer.present[0, 0]), iou))
        return self._candidates(features, answer, 0)

    def _compared(self, maps: Sam2Maps) -> Tensor:
        """The coarse map as the bank makes it, or as it is while the bank is empty."""
        entries = self.bank.entries
        if not entries:
            return maps.coarse
        tokens = torch.cat([entry.tokens.float() for entry in entries if entry.tokens is not None])
        grid = self.network.memory_places(maps).to(STORED).float()
        with self.engine.encoding():
            compared = self.network.with_memory(maps, tokens[None], grid.repeat(len(entries), 1)[None], len(entries), 0)
        return compared.float()
