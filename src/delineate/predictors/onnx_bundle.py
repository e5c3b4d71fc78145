"""Exported systems run again from their ONNX files, without torch: single frames of SAM's and SAM 2's families."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import ClassVar

import numpy as np
import onnxruntime
from numpy.typing import NDArray
from scipy.special import expit

from delineate.compute.onnx_session import opened
from delineate.compute.openvino_model import compiled
from delineate.core.errors import ModelError
from delineate.core.frame import Frame
from delineate.core.hashing import sha256_of
from delineate.core.manifest import ModelRecord
from delineate.predictors.bundle_card import (
    CARD,
    DECODER_OUTPUTS,
    FRAME_INPUTS,
    BundleCard,
    Family,
    PromptingCard,
    checked_part,
    read_card,
)
from delineate.predictors.capabilities import SAM2_AUTOMATIC, SAM_AUTOMATIC, VISUAL_PROMPTS, Capabilities
from delineate.predictors.frame_predictor import Candidates, Query
from delineate.predictors.numpy_postprocess import drawn_logits, masks_on_frame, stability, tidied, values_on_frame
from delineate.predictors.prompt_encoding import CORNERS, alike, following_corners, truncated
from delineate.predictors.sam_behavior import MaskPrompt, Multimask
from delineate.preprocess.fitting import Array, Filter, Fitted
from delineate.preprocess.intensity import WindowRule
from delineate.preprocess.profiles import Profile

ON, PADDING = 1, -1  # labels of points, beside CORNERS
FILLED_SURELY = 10.0  # logit of holes that SAM 2's image predictor fills
SINGLE, SEVERAL = slice(0, 1), slice(1, 4)  # of the decoder's four masks


class BundleBackend(StrEnum):
    """What computes the image encoder."""

    ONNX = "onnx"  # ONNX Runtime
    OPENVINO = "openvino"


Encoder = Callable[[Array], dict[str, Array]]  # pixels (1, 3, side, side) -> outputs by name


@dataclass(frozen=True, eq=False)
class BundleFeatures:
    """What is kept of a frame: what the decoder takes of it, and where the frame lies in the input."""

    maps: dict[str, Array]
    place: Fitted
    device: ClassVar[str] = "cpu"

    @property
    def nbytes(self) -> int:
        return sum(one.nbytes for one in self.maps.values())

    def embedding_map(self) -> Array:
        """(C, rows, columns)."""
        return np.asarray(self.maps["image_embeddings"][0])


@dataclass(frozen=True, eq=False)
class DecoderPrompts:
    """The prompts of one structure as the decoder takes them.

    points  (N, 2), x and y in pixels of the input, with their labels (N,): see ``CORNERS`` and ``PADDING``
    mask    (4 f, 4 f), or None
    """

    points: Array
    labels: Array
    mask: Array | None

    @property
    def clicks(self) -> int:
        """How many points there are without padding; a box counts for two."""
        return int((self.labels != PADDING).sum())


@dataclass(frozen=True, eq=False)
class OnnxBundlePredictor:
    """A FramePredictor on the files of an exported system; structures are followed from frame to frame by a box."""

    card: BundleCard
    encoder: Encoder
    decoder: onnxruntime.InferenceSession
    record: ModelRecord

    @property
    def profile(self) -> Profile:
        return self.card.preprocessing["image"]

    @property
    def prompting(self) -> PromptingCard:
        assert self.card.prompting is not None  # only systems that read have none
        return self.card.prompting

    @property
    def capabilities(self) -> Capabilities:
        automatic = SAM_AUTOMATIC if self.card.family is Family.SAM else SAM2_AUTOMATIC
        several = self.prompting.multimask is not Multimask.NEVER
        return Capabilities(VISUAL_PROMPTS, multimask=several, automatic=automatic)

    @property
    def window_rule(self) -> WindowRule:
        return self.profile.window_rule

    def encode(self, frame: Frame) -> BundleFeatures:
        """Embed a frame of any data type."""
        pixels, place = self.profile.prepare(frame)
        outputs = self.encoder(pixels[None])
        return BundleFeatures({name: outputs[output] for name, output in FRAME_INPUTS[self.card.family].items()}, place)

    def decode(self, features: BundleFeatures, queries: Sequence[Query]) -> list[Candidates]:
        """Outline what the prompts point at; a reference alone becomes a box, a little larger.

        Structures with as many points are decoded together.
        """
        prompts = [self._prompts(features, query) for query in queries]
        answers: dict[int, Candidates] = {}
        for group in alike([len(one.points) for one in prompts]):
            outputs = self._outputs(features, [prompts[n] for n in group])
            for n, *output in zip(group, *outputs, strict=True):
                answers[n] = self._candidates(features, self._is_multimask(prompts[n]), *output)
        return [answers[n] for n in range(len(queries))]

    def _candidates(
        self, features: BundleFeatures, multimask: bool, logits: Array, iou: Array, present: Array | None = None
    ) -> Candidates:
        """The masks that count of those the decoder gives of one structure."""
        taken = SEVERAL if multimask else SINGLE
        masks = masks_on_frame(logits[taken], features.place, self.profile.answer)
        scores = np.clip(iou[taken], 0, 1)
        presence = 1.0 if present is None else float(expit(present[0]))
        return Candidates(masks, scores, presence, int(scores.argmax()), logits[taken])

    def decode_clicks(
        self, features: BundleFeatures, points: NDArray[np.float64], offset: float, min_mask_region_area: int = 0
    ) -> tuple[NDArray[np.bool_], NDArray[np.float32], NDArray[np.float32]]:
        """Three masks for each of many clicks (N, 2): masks (3 N, height, width), predicted IoU, stability."""
        clicks = [self._padded(place[None], np.array([ON], np.float32)) for place in features.place.points(points)]
        logits, iou, *_ = self._outputs(features, [DecoderPrompts(*click, None) for click in clicks])
        several = logits[:, SEVERAL].reshape(-1, *logits.shape[2:])
        if self.card.family is Family.SAM2:
            several = tidied(several, min_mask_region_area, FILLED_SURELY)
        cut = self.profile.answer
        values = values_on_frame(several, features.place, cut)
        return values > cut.threshold(0), iou[:, SEVERAL].reshape(-1), stability(values, cut, offset)

    def _outputs(self, features: BundleFeatures, prompts: list[DecoderPrompts]) -> list[Array]:
        """What the decoder says of structures with as many points each: ``DECODER_OUTPUTS``, structures first."""
        cells = self._mask_cells
        masks = np.zeros((len(prompts), 1, cells, cells), np.float32)
        for n, one in enumerate(prompts):
            if one.mask is not None:
                masks[n, 0] = one.mask
        inputs = {
            **features.maps,
            "point_coords": np.stack([one.points for one in prompts]),
            "point_labels": np.stack([one.labels for one in prompts]),
            "mask_input": masks,
            "has_mask_input": np.array([one.mask is not None for one in prompts], np.float32),
        }
        return list(self.decoder.run(DECODER_OUTPUTS[self.card.family], inputs))

    @property
    def _mask_cells(self) -> int:
        """Cells along a side of a mask prompt."""
        return int(self.card.parts["decoder"].inputs["mask_input"].shape[-1])

    def _is_multimask(self, prompts: DecoderPrompts) -> bool:
        match self.prompting.multimask:
            case Multimask.ALWAYS:
                return True
            case Multimask.NEVER:
                return False
            case Multimask.AMBIGUOUS:
                return prompts.clicks == 1 and prompts.mask is None

    def _prompts(self, features: BundleFeatures, query: Query) -> DecoderPrompts:
        prompts, place = query.prompts, features.place
        corners = None if prompts.box is None else place.corners(prompts.box)
        if corners is None and query.reference is not None and not len(prompts.points):
            by_area = self.profile.filter is Filter.AREA_8BIT
            corners = following_corners(query.reference.mask, place, self.prompting.margin, by_area)
        points, labels = place.points(prompts.points), prompts.labels.astype(np.float32)
        if corners is not None:
            corners = truncated(corners) if self.prompting.whole_pixels else corners
        outline = prompts.mask if prompts.mask is not None else query.previous
        mask = None
        if query.feedback is not None:
            limit = self.prompting.feedback_limit or np.inf
            mask = np.clip(query.feedback, -limit, limit)
        elif outline is not None and outline.any():
            mask = drawn_logits(outline, place, self._mask_cells)
        if mask is not None and self.prompting.mask_prompt is MaskPrompt.PROBABILITY:
            mask = expit(mask)
        return DecoderPrompts(*self._padded(points, labels, corners), mask)

    def _padded(self, points: Array, labels: Array, corners: Array | None = None) -> tuple[Array, Array]:
        """Points, the corners of a box and padding in the order the family was trained with, and their labels."""
        padding, pad = np.zeros((1, 2), np.float32), np.array([PADDING], np.float32)
        box, kinds = (corners, np.array(CORNERS, np.float32)) if corners is not None else (points[:0], labels[:0])
        if self.card.family is Family.SAM2:
            if not len(points) and not len(box):
                return points, labels
            return np.concatenate([box, points, padding]), np.concatenate([kinds, labels, pad])
        if len(points) and not len(box):
            return np.concatenate([points, padding]), np.concatenate([labels, pad])
        return np.concatenate([points, box]), np.concatenate([labels, kinds])


def open_bundle(
    path: Path, threads: int = 0, backend: BundleBackend = BundleBackend.ONNX, precision: str = "fp32"
) -> OnnxBundlePredictor:
    """The predictor for the folder of an exported system, or for its ``model.json``.

    threads    0: all cores
    backend    what computes the image encoder; the decoder is always run by ONNX Runtime, in fp32
    precision  of the image encoder: fp32, or bf16 on OpenVINO
    Raises ModelError for files that are missing or were changed, and for systems that are asked in words.
    """
    folder = path.parent if path.name == CARD else path
    card = read_card(folder)
    if card.family is Family.SAM_TEXT:
        raise ModelError(
            "E-BUNDLE-WORDS",
            f"{card.system} is asked in words, which exported systems do not read here.",
            f"Run it with torch: -m {card.system}",
        )
    encoder, decoder = (checked_part(folder, card.system, card.parts[name], name) for name in ("encoder", "decoder"))
    record = ModelRecord(
        name=card.system,
        version=f"exported, weights {card.weights_sha256}",
        sha256=sha256_of(folder / CARD),  # which holds the sha256 of every other file
        license=card.license,
        preprocessing=f"{card.preprocessing['image'].summary}; cpu, encoder in {precision}, {backend}",
        device="cpu",
        precision=precision,
        backend=backend,
    )
    key = f"bundle-{card.parts['encoder'].sha256[:16]}"
    run = opened_encoder(encoder, card, backend, threads, precision, key)
    return OnnxBundlePredictor(card, run, opened(decoder, threads), record)


def opened_encoder(
    path: Path, card: BundleCard, backend: BundleBackend, threads: int, precision: str, key: str
) -> Encoder:
    """The image encoder, ready to run. What OpenVINO compiles is kept under ``key`` for the next run."""
    names = list(card.parts["encoder"].outputs)
    if backend is BundleBackend.OPENVINO:
        answer = compiled(path, precision == "bf16", threads, cache=key)
        return lambda pixels: dict(zip(names, answer(pixels), strict=True))
    session = opened(path, threads)
    return lambda pixels: dict(zip(names, session.run(names, {"pixels": pixels}), strict=True))
