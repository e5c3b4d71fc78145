"""SAM 2-shaped systems: frame predictors that bring a tracker with a memory."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from delineate.adapters.slots import SlotContext
from delineate.compute.engine import Engine
from delineate.core.frame import Frame
from delineate.core.manifest import ModelRecord
from delineate.memory.cleaning import FILLED_SURELY, tidied
from delineate.memory.policies import FrameWindow, MemoryPolicy
from delineate.models.sam2 import FEEDBACK_LIMIT, Sam2, Sam2Decoding, Sam2Maps
from delineate.predictors.capabilities import SAM2_AUTOMATIC, VISUAL_PROMPTS, Capabilities, NetworkKind, Propagation
from delineate.predictors.frame_predictor import Candidates, Query
from delineate.predictors.postprocess import drawn_logits, masks_on_frame, stability, values_on_frame
from delineate.predictors.prompt_encoding import alike, following_corners, placed_points
from delineate.predictors.sam_behavior import SamBehavior
from delineate.preprocess.fitting import Fitted
from delineate.preprocess.intensity import WindowRule
from delineate.preprocess.profiles import Profile, sam2_image, sam2_video

CHAIN_MARGIN = 5.0  # pixels of the input, where a structure is followed without memory


@dataclass(frozen=True, eq=False)
class Sam2Features:
    maps: Sam2Maps
    place: Fitted

    @property
    def nbytes(self) -> int:
        return sum(one.nbytes for one in (self.maps.coarse, *self.maps.fine, self.maps.places))

    @property
    def device(self) -> torch.device:
        return self.maps.coarse.device

    def embedding_map(self) -> NDArray[np.float32]:
        """(C, f, f), of a frame without memories, on the CPU."""
        return np.asarray(self.maps.coarse[0].float().cpu().numpy())


@dataclass(frozen=True, eq=False)
class Sam2Predictor:
    """A FramePredictor; volumes and videos are followed by ``tracking.memory_tracker``, with its network and policy.

    image_profile, video_profile  what is done to a picture on its own, and to a frame of a video or volume
    resets                        whether its authors forget what was followed before they follow the other way
    is_video                      it answers as the authors' video predictor does
    """

    network: Sam2
    engine: Engine
    record: ModelRecord
    image_profile: Callable[[int], Profile] = sam2_image
    video_profile: Callable[[int], Profile] = sam2_video
    policy: MemoryPolicy = field(default_factory=FrameWindow)
    resets: bool = False
    is_video: bool = False

    @cached_property
    def for_video(self) -> Sam2Predictor:
        """The same for frames of a video or volume: what it answers to a click is what its tracker starts from."""
        return replace(self, image_profile=self.video_profile, is_video=True)

    @property
    def capabilities(self) -> Capabilities:
        return Capabilities(
            VISUAL_PROMPTS,
            follows=Propagation.MEMORY,
            multimask=True,
            resets=self.resets,
            automatic=SAM2_AUTOMATIC,
            network=NetworkKind.SAM2,
        )

    @property
    def behavior(self) -> SamBehavior:
        """How it is prompted on a picture, as one of SAM's shape."""
        return SamBehavior(self.profile, margin=CHAIN_MARGIN)

    @property
    def profile(self) -> Profile:
        return self.image_profile(self.network.side)

    @property
    def window_rule(self) -> WindowRule:
        return self.profile.window_rule

    @torch.inference_mode()
    def encode(self, frame: Frame) -> Sam2Features:
        """Embed a frame of any data type."""
        pixels, place = self.profile.prepare(frame)
        with self.engine.encoding():
            maps = self.network.embed(torch.from_numpy(pixels)[None].to(self.engine.device))
        return Sam2Features(maps.float(), place)

    @torch.inference_mode()
    def encode_clip(self, frames: Sequence[Frame]) -> list[Sam2Features]:
        """Embed frames or slices that follow each other, together: adapters between them see their neighbors."""
        prepared = [self.profile.prepare(frame) for frame in frames]
        pixels = torch.from_numpy(np.stack([one for one, _ in prepared])).to(self.engine.device)
        with self.engine.encoding():
            maps = self.network.embed(pixels, SlotContext(depth=len(frames)))
        maps = maps.float()
        return [Sam2Features(maps[slice(n, n + 1)], at) for n, (_, at) in enumerate(prepared)]

    @torch.inference_mode()
    def decode(self, features: Sam2Features, queries: Sequence[Query]) -> list[Candidates]:
        """Outline what the prompts point at, on this frame alone.

        Structures with as many points, and with or without a mask prompt, are decoded together.
        """
        asked = [self._asked(features, query) for query in queries]
        answers: dict[int, Candidates] = {}
        for group in alike([(points.shape[1], masks is None) for points, _, masks in asked]):
            points, labels = torch.cat([asked[n][0] for n in group]), torch.cat([asked[n][1] for n in group])
            drawn = [masks for n in group if (masks := asked[n][2]) is not None]
            masks = torch.cat(drawn) if drawn else None
            answer = self.network.decode(
                self.network.without_memory(features.maps).expand(len(group), -1, -1, -1),
                features.maps,
                points,
                labels,
                masks,
                multimask=self._is_multimask(points.shape[1], masks is not None),
                gated=self.is_video,
            )
            answers |= {n: self._candidates(features, answer, row) for row, n in enumerate(group)}
        return [answers[n] for n in range(len(queries))]

    def _is_multimask(self, points: int, corrected: bool) -> bool:
        """Whether three outlines are made, of which the best counts: for a click, in videos for its correction too."""
        return points <= 1 if self.is_video else points == 1 and not corrected

    def _asked(self, features: Sam2Features, query: Query) -> tuple[Tensor, Tensor, Tensor | None]:
        """Points (1, N, 2) in input pixels, their labels (1, N), and a mask prompt (1, 1, 4 f, 4 f) or None."""
        prompts, place, device = query.prompts, features.place, self.engine.device
        corners = None
        if prompts.box is None and query.reference is not None and not len(prompts.points):
            corners = following_corners(query.reference.mask, place, CHAIN_MARGIN, by_area=False)
        outline = prompts.mask if prompts.mask is not None else query.previous
        masks = None
        if query.feedback is not None:
            masks = torch.from_numpy(query.feedback)[None, None].clamp(-FEEDBACK_LIMIT, FEEDBACK_LIMIT).to(device)
        elif outline is not None and outline.any():
            masks = drawn_logits(outline, place, 4 * features.maps.coarse.shape[-1]).to(device)
        points, labels = (torch.from_numpy(one)[None].to(device) for one in placed_points(prompts, place, corners))
        return points, labels, masks

    def _candidates(self, features: Sam2Features, answer: Sam2Decoding, row: int) -> Candidates:
        """What the network says of one of several structures."""
        profile, logits = self.profile, answer.logits[row]
        outlines = masks_on_frame(logits, features.place, profile.answer).cpu().numpy()
        scores = answer.iou[row].float().clamp(0, 1).cpu().numpy()
        present = float(answer.present[row].sigmoid())
        return Candidates(outlines, scores, present, int(scores.argmax()), logits.float().cpu().numpy())

    @torch.inference_mode()
    def decode_clicks(
        self, features: Sam2Features, points: NDArray[np.float64], offset: float, min_mask_region_area: int = 0
    ) -> tuple[NDArray[np.bool_], NDArray[np.float32], NDArray[np.float32]]:
        """Three outlines for each of many clicks (N, 2): masks (3 N, height, width), predicted IoU, stability."""
        placed = torch.from_numpy(features.place.points(points))[:, None].to(self.engine.device)
        labels = torch.ones(placed.shape[:2], dtype=torch.int32, device=self.engine.device)
        coarse = self.network.without_memory(features.maps)
        answer = self.network.decode(coarse, features.maps, placed, labels, multimask=True, gated=False)
        cut = self.profile.answer
        logits = tidied(
            answer.logits.flatten(0, 1)[:, None], min_mask_region_area, min_mask_region_area, FILLED_SURELY
        )[:, 0]
        values = values_on_frame(logits, features.place, cut)
        stable = stability(values, cut, offset)
        return (values > cut.threshold(0)).cpu().numpy(), answer.iou.flatten().cpu().numpy(), stable.cpu().numpy()
