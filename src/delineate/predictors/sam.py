"""SAM-shaped systems as frame predictors: one embedding a frame, then milliseconds a prompt."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from delineate.adapters.slots import SlotContext
from delineate.compute.engine import Engine
from delineate.core.frame import Frame
from delineate.core.manifest import ModelRecord
from delineate.models.sam import Sam, SamPrompts
from delineate.predictors.capabilities import SAM_AUTOMATIC, VISUAL_PROMPTS, Capabilities, NetworkKind
from delineate.predictors.frame_predictor import Candidates, Query
from delineate.predictors.postprocess import drawn_logits, masks_on_frame, stability, values_on_frame
from delineate.predictors.prompt_encoding import alike, following_corners, truncated
from delineate.predictors.sam_behavior import MaskPrompt, Multimask, SamBehavior
from delineate.preprocess.fitting import Filter, Fitted
from delineate.preprocess.intensity import WindowRule


@dataclass(frozen=True, eq=False)
class SamFeatures:
    """What is kept of a frame: its embedding (1, 256, f, f), and where the frame lies in the input."""

    embedding: Tensor
    place: Fitted

    @property
    def nbytes(self) -> int:
        return self.embedding.nbytes

    @property
    def device(self) -> torch.device:
        return self.embedding.device

    def embedding_map(self) -> NDArray[np.float32]:
        """(C, f, f), on the CPU."""
        return np.asarray(self.embedding[0].cpu().numpy())


@dataclass(frozen=True, eq=False)
class SamPredictor:
    """A FramePredictor."""

    network: Sam
    behavior: SamBehavior
    engine: Engine
    record: ModelRecord

    @property
    def capabilities(self) -> Capabilities:
        several = self.behavior.multimask is not Multimask.NEVER
        return Capabilities(VISUAL_PROMPTS, multimask=several, automatic=SAM_AUTOMATIC, network=NetworkKind.SAM)

    @property
    def window_rule(self) -> WindowRule:
        return self.behavior.profile.window_rule

    @torch.inference_mode()
    def encode(self, frame: Frame) -> SamFeatures:
        """Embed a frame of any data type."""
        pixels, place = self.behavior.profile.prepare(frame)
        with self.engine.encoding():
            embedding = self.network.embed(torch.from_numpy(pixels)[None].to(self.engine.device))
        return SamFeatures(embedding.float(), place)

    @torch.inference_mode()
    def encode_clip(self, frames: Sequence[Frame]) -> list[SamFeatures]:
        """Embed frames or slices that follow each other, together: adapters between them see their neighbors."""
        prepared = [self.behavior.profile.prepare(frame) for frame in frames]
        pixels = torch.from_numpy(np.stack([one for one, _ in prepared])).to(self.engine.device)
        with self.engine.encoding():
            embeddings = self.network.embed(pixels, SlotContext(depth=len(frames)))
        return [SamFeatures(one[None].float(), at) for one, (_, at) in zip(embeddings, prepared, strict=True)]

    @torch.inference_mode()
    def decode(self, features: SamFeatures, queries: Sequence[Query]) -> list[Candidates]:
        """Outline what the prompts point at; a reference alone becomes a box, a little larger.

        Structures with as many prompts of the same kinds are decoded together.
        """
        prompts = [self._prompts(features, query) for query in queries]
        answers: dict[int, Candidates] = {}
        for group in alike([(self._multimask(one), _shape(one)) for one in prompts]):
            together = _joined([prompts[n] for n in group])
            several = len(group)  # of no prompts at all the network gives one answer, for all
            decoded = self.network.decode(features.embedding, together, self._multimask(together))
            for n, logits, iou in zip(group, *(one.expand(several, *one.shape[1:]) for one in decoded), strict=True):
                masks = masks_on_frame(logits, features.place, self.behavior.profile.answer).cpu().numpy()
                scores = np.clip(iou.float().cpu().numpy(), 0, 1)
                answers[n] = Candidates(masks, scores, best=int(scores.argmax()), logits=logits.float().cpu().numpy())
        return [answers[n] for n in range(len(queries))]

    @torch.inference_mode()
    def decode_clicks(
        self, features: SamFeatures, points: NDArray[np.float64], offset: float, min_mask_region_area: int = 0
    ) -> tuple[NDArray[np.bool_], NDArray[np.float32], NDArray[np.float32]]:
        """Three outlines for each of many clicks (N, 2): masks (3 N, height, width), predicted IoU, stability."""
        inside = self.behavior.ordered(features.place.points(points))
        placed = torch.from_numpy(inside)[:, None].to(self.engine.device)
        labels = torch.ones(placed.shape[:2], dtype=torch.int64, device=self.engine.device)
        logits, iou = self.network.decode(features.embedding, SamPrompts(placed, labels), multimask=True)
        cut = self.behavior.profile.answer
        values = values_on_frame(logits.flatten(0, 1), features.place, cut)
        stable = stability(values, cut, offset)
        return (values > cut.threshold(0)).cpu().numpy(), iou.flatten().cpu().numpy(), stable.cpu().numpy()

    def _multimask(self, prompts: SamPrompts) -> bool:
        match self.behavior.multimask:
            case Multimask.ALWAYS:
                return True
            case Multimask.NEVER:
                return False
            case Multimask.AMBIGUOUS:
                single = prompts.points is not None and prompts.points.shape[1] == 1
                return single and prompts.boxes is None and prompts.masks is None

    def _prompts(self, features: SamFeatures, query: Query) -> SamPrompts:
        prompts, reference, feedback = query.prompts, query.reference, query.feedback
        place, device = features.place, self.engine.device
        cells = 4 * features.embedding.shape[-1]
        corners = None if prompts.box is None else place.corners(prompts.box)
        if corners is None and reference is not None and not len(prompts.points):
            by_area = self.behavior.profile.filter is Filter.AREA_8BIT
            corners = following_corners(reference.mask, place, self.behavior.margin, by_area)
        points = labels = boxes = masks = None
        if len(prompts.points):
            placed = self.behavior.ordered(place.points(prompts.points))
            points = torch.from_numpy(placed)[None].to(device)
            labels = torch.from_numpy(prompts.labels.astype(np.int64))[None].to(device)
        if corners is not None:
            corners = truncated(corners) if self.behavior.whole else corners
            boxes = torch.from_numpy(corners.reshape(1, 4)).to(device)
        outline = prompts.mask if prompts.mask is not None else query.previous
        if feedback is not None:
            masks = torch.from_numpy(feedback)[None, None].to(device)
        elif outline is not None and outline.any():
            masks = drawn_logits(outline, place, cells).to(device)
        if masks is not None and self.behavior.mask_prompt is MaskPrompt.PROBABILITY:
            masks = masks.sigmoid()
        return SamPrompts(points, labels, boxes, masks)


def _shape(prompts: SamPrompts) -> tuple[tuple[int, ...] | None, ...]:
    """The kinds of prompts of one structure, and how many there are."""
    return tuple(None if one is None else tuple(one.shape) for one in (prompts.points, prompts.boxes, prompts.masks))


def _joined(prompts: Sequence[SamPrompts]) -> SamPrompts:
    """Prompts of the same kinds of several structures, one after the other."""

    def together(kind: str) -> Tensor | None:
        return None if getattr(prompts[0], kind) is None else torch.cat([getattr(one, kind) for one in prompts])

    return SamPrompts(together("points"), together("labels"), together("boxes"), together("masks"))
