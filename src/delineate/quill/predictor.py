"""Quill, the model that ships with the package, on onnxruntime: no torch, no download, no GPU."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from importlib.resources import files
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from delineate.compute.openvino_model import Run, compiled, computed_precision
from delineate.core import telemetry
from delineate.core.errors import ModelError, PromptError
from delineate.core.frame import Frame
from delineate.core.manifest import ModelRecord
from delineate.fewshot.feature_map import FeatureExtractor
from delineate.predictors.capabilities import VISUAL_PROMPTS, Capabilities, NetworkKind
from delineate.predictors.frame_predictor import Candidates, ChainOptions, Query, ReferenceFrame
from delineate.preprocess.crop import Array, CropWindow
from delineate.preprocess.field_of_view import is_no_view, without_rim
from delineate.preprocess.intensity import WindowRule
from delineate.quill.clicks import (
    CorrectiveClick,
    WindowPrediction,
    click_accuracy,
    clicked_parts,
    wider,
    window_agreement,
    window_trust,
    windows_for,
)
from delineate.quill.dense_features import QuillExtractor
from delineate.quill.finite_pixels import finite_pixels
from delineate.quill.plausibility import bounds, fit, kept_inside
from delineate.quill.prompt_maps import CropPrompts, prompt_maps
from delineate.quill.threshold import dice_cut
from delineate.quill.tiled_refinement import Mosaic, is_worth_it, windows_on

telemetry.silence()  # once more, as on Windows only a call stops onnxruntime, not its variable
SHIPPED = Path(str(files("delineate.quill"))) / "weights" / "quill_v8.onnx"
OLD_SIDE = 128  # of the crop, where a model file does not say it
MARGIN = 1.5  # window side over the longer side of what is known of the structure
CHAIN_MARGIN = 1.9  # the same where it may have moved
MOST_AT_ONCE = 16  # windows in one call of the network, so that memory stays bounded
OUTSIDE = -20.0  # logit beyond the window
BOX, EARLIER = 4, 9  # channels of the maps: see prompt_maps


@dataclass(frozen=True, eq=False)
class QuillFeatures:
    """Quill sees a crop that depends on the prompt, so all there is to keep of a frame is the frame."""

    frame: NDArray[Any]
    device: ClassVar[str] = "cpu"
    costly: ClassVar[bool] = False  # no network was asked: not worth a place in a store while structures are followed

    @property
    def size(self) -> tuple[int, int]:
        return self.frame.shape[0], self.frame.shape[1]

    @property
    def nbytes(self) -> int:
        return self.frame.nbytes


@dataclass(frozen=True, eq=False)
class _View:
    """A window to look through for a structure.

    cuts  logits from which on a pixel belongs to what is followed, and from which on it is confident
    anew  do not tell the network the outline so far
    """

    known: CropPrompts
    window: CropWindow
    objection: CorrectiveClick | None = None
    cuts: tuple[float, float] = (0.0, 0.0)
    anew: bool = False

    @property
    def passed(self) -> CropPrompts:
        """The network's input."""
        return replace(self.known, outline=None) if self.anew else self.known


@dataclass(frozen=True)
class QuillPredictor:
    """A FramePredictor.

    path       an exported Quill, the shipped one by default
    threads    0 means all cores
    backend    what computes: ONNX Runtime ("onnx"), or "openvino", which is faster (the ``speed`` extra)
    precision  of OpenVINO: fp32, bf16, or auto, which is bf16 where the CPU has it; ONNX Runtime computes in fp32
    crops      pixels along a side of the crops; 0: those the model was trained on
    """

    path: Path = SHIPPED
    threads: int = 0
    backend: str = "onnx"
    precision: str = "auto"
    crops: int = 0

    @cached_property
    def quick(self) -> QuillPredictor:
        """The same network asked in the smaller crops of a glance: a quarter of the time, for many guesses at once."""
        other = replace(self, crops=self.glance)
        other.__dict__.update(_network=self._network, _answer=self._answer)
        return other

    @cached_property
    def _network(self) -> onnxruntime.InferenceSession:
        if not self.path.is_file():
            raise ModelError(
                "E-MODEL-MISSING", f"There is no model at {self.path}.", "Reinstall delineate, or name another model."
            )
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = self.threads
        options.log_severity_level = 3
        try:
            return onnxruntime.InferenceSession(str(self.path), options, providers=["CPUExecutionProvider"])
        except Exception as error:
            raise ModelError(
                "E-MODEL-DAMAGED", f"{self.path.name} is not a readable ONNX model: {error}", "Reinstall delineate."
            ) from None

    @cached_property
    def _answer(self) -> Run:
        """Maps (B, C, S, S) to what the network says of them."""
        if self.backend != "openvino":
            return lambda maps: self._network.run(None, {"maps": maps})
        return compiled(self.path, self._precision == "bf16", self.threads)

    @cached_property
    def _precision(self) -> str:
        """What it computes in: fp32 or bf16."""
        if self.backend != "openvino":
            return "fp32"
        if self.precision not in ("auto", "fp32", "bf16"):
            hint = "Use --precision fp32 or bf16."
            raise ModelError("E-PRECISION", f'On OpenVINO, Quill does not compute in "{self.precision}".', hint)
        return computed_precision(self.precision)

    @cached_property
    def _side(self) -> int:
        """Pixels along a side of the crops."""
        return self.crops or int(self._network.get_modelmeta().custom_metadata_map.get("side", OLD_SIDE))

    @cached_property
    def glance(self) -> int:
        """Pixels along a side of the crops in which what a first click means is looked for: fewer, and so sooner."""
        return int(self._network.get_modelmeta().custom_metadata_map.get("glance", self._side))

    @cached_property
    def record(self) -> ModelRecord:
        """Name, version, hash, license and preprocessing of the model file."""
        return ModelRecord(
            name="quill",
            version=self._network.get_modelmeta().custom_metadata_map.get("version", "unknown"),
            sha256=hashlib.sha256(self.path.read_bytes()).hexdigest(),
            license="Apache-2.0",
            preprocessing="each crop zoomed to the prompt and scaled to its own 1st to 99th percentile; "
            "grain where it is flat; "
            f"cpu, {self._precision}, {'openvino' if self.backend == 'openvino' else 'onnxruntime'}",
            device="cpu",
            precision=str(self._precision),
            backend=self.backend,
        )

    @property
    def feature_extractor(self) -> FeatureExtractor:
        """What describes frames with the same network, for structures that are shown on other images."""
        return QuillExtractor(self.path, threads=self.threads)

    @property
    def capabilities(self) -> Capabilities:
        return Capabilities(VISUAL_PROMPTS, chain_options=True, multimask=True, network=NetworkKind.QUILL)

    @property
    def window_rule(self) -> WindowRule:
        return WindowRule.CROP

    def encode(self, frame: Frame) -> QuillFeatures:
        """Keep a frame, gray or of three colors.

        Each crop of it is scaled to its own 1st to 99th percentile when it is looked at. Where a person chose an
        intensity window, values are brought into that first, and crops are made of those; else numbers that are not
        finite become the smallest one.
        """
        return QuillFeatures(finite_pixels(frame))

    def decode(self, features: QuillFeatures, queries: Sequence[Query]) -> list[Candidates]:
        """Outline what the prompts point at: zoomed to the box or the outline so far, coarse to fine for clicks.

        What is zoomed to is looked at in one call of the network.
        """
        known = [_known(query) for query in queries]
        views = {n: view for n, one in enumerate(known) if (view := self._view(features, one)) is not None}
        answers = dict(zip(views, self._run(features, list(views.values())), strict=True))
        return [
            self._corrected(features, query, views[n], answers[n])
            if n in views
            else self._from_clicks(features, known[n])
            for n, query in enumerate(queries)
        ]

    def follow(
        self, features: QuillFeatures, references: Sequence[ReferenceFrame], options: ChainOptions
    ) -> list[WindowPrediction]:
        """Outline structures on the next frame, each in a window around where it was, in one call of the network."""
        cuts = (_logit(options.mask_threshold), _logit(options.propagation_threshold))
        views = [self._view(features, _known(Query(reference=one)), options.search) for one in references]
        return self._run(features, [replace(view, cuts=cuts) for view in views if view is not None])

    def _view(self, features: QuillFeatures, known: CropPrompts, search: float = 1.0) -> _View | None:
        """The window to zoom to; None where clicks alone are known."""
        window = _window_of(known, search)
        return None if window is None else _View(known, window.within(*features.size), CorrectiveClick.of(known))

    def _corrected(
        self, features: QuillFeatures, query: Query, view: _View, answer: WindowPrediction
    ) -> WindowPrediction:
        """The answer of a window, looked at again closer or elsewhere where that is called for."""
        if query.reference is not None:
            return answer
        known, objection = view.known, view.objection
        answer = self._finer(features, view, answer)
        if known.box is not None or query.prompts.mask is not None or objection is None or not objection.far_off:
            return answer
        wide = [replace(view, window=window) for window in wider(view.window, *features.size)]
        others = self._run(features, wide)
        if known.labels is not None and known.labels.any():
            others.append(self._from_clicks(features, known, objection))

        def calibrated_iou(one: WindowPrediction) -> float:
            return one.preferred * one.presence * float(np.sqrt(objection.left_alone(one.mask)))

        return max(answer, *others, key=calibrated_iou)

    def _finer(self, features: QuillFeatures, view: _View, answer: WindowPrediction) -> WindowPrediction:
        """The answer for a window; a thin structure that was shown too small is looked at again, closer."""
        known, window = view.known, view.window
        if not is_worth_it(answer.mask, window, self._side):
            return answer
        seen = without_rim(self._maps(features, known, window)[:3]).astype(np.float32)
        inner = window.put_back(seen, features.size, 1.0) > 0.5
        outline = answer.mask & inner
        if not outline.any():
            return answer
        mosaic = Mosaic.empty(features.size)
        closer = CropPrompts(points=known.points, labels=known.labels, outline=outline)
        for part in windows_on(outline, self._side):
            logits, iou, _ = self._answers([self._maps(features, closer, part)])
            mosaic.add(logits[0, int(iou[0].argmax())], part)
        logits = mosaic.logits(OUTSIDE)
        masks = answer.masks.copy()
        masks[answer.best] = (logits > dice_cut(logits[None])[0]) & inner
        return replace(answer, masks=masks)

    def _from_clicks(
        self, features: QuillFeatures, known: CropPrompts, objection: CorrectiveClick | None = None
    ) -> WindowPrediction:
        """Clicks alone do not say how large the structure is: look through several windows, then zoom in.

        The outline judged best decides. Outlines that run out of their window count less, and those that another
        window shows too count more: a structure that is really there is found at more than one size.
        """
        assert known.points is not None and known.labels is not None
        if not known.labels.any():
            raise PromptError(
                "E-PROMPT-ONLY-NEGATIVE",
                "Only negative points: nothing says where the structure is.",
                "Add a point on the structure, or a box around it.",
            )
        side = self._side if objection else self.glance  # anew, a glance finds a little less
        windows = windows_for(known, *features.size)
        looked = self._run(features, [_View(known, window, objection, anew=True) for window in windows], side)
        best, which = divmod(int(window_trust(looked).argmax()), len(looked[0].masks))
        box = bounds(clicked_parts(np.asarray(looked[best].masks[which]), known))
        if box is None:
            return looked[best]
        box = _reaching(box, known.points[known.labels])
        window = CropWindow.around(box, MARGIN * 1.2).within(*features.size)
        answer = self._run(features, [_View(known, window, objection, anew=True)])[0]
        return replace(answer, scores=answer.scores * window_agreement(answer.masks, looked))

    def _run(self, features: QuillFeatures, views: Sequence[_View], side: int = 0) -> list[WindowPrediction]:
        """An answer for each window, all in one call of the network; outlines that clicks speak against count less.

        side  pixels along a side of the crops; 0: as many as the network is for
        """
        looked: list[WindowPrediction] = []
        for start in range(0, len(views), MOST_AT_ONCE):
            part = views[start : start + MOST_AT_ONCE]
            maps = [self._maps(features, view.passed, view.window, side) for view in part]
            looked += [
                _looked(logits, iou, presence, view, features.size, shown)
                for logits, iou, presence, view, shown in zip(*self._answers(maps), part, maps, strict=True)
            ]
        return looked

    def _maps(self, features: QuillFeatures, known: CropPrompts, window: CropWindow, side: int = 0) -> Array:
        channels = self._network.get_inputs()[0].shape[1]  # an older file knows fewer
        return prompt_maps(features.frame, known, window, side or self._side)[:channels]

    def _answers(self, maps: list[Array]) -> tuple[Array, Array, Array]:
        """Logits (B, K, S, S), logits of the IoU (B, K) and of presence (B,)."""
        logits, iou, presence = self._answer(np.ascontiguousarray(np.stack(maps)))
        return logits, iou, presence


def _known(query: Query) -> CropPrompts:
    """What is known of a structure, as it is drawn for the network."""
    prompts, reference = query.prompts, query.reference
    outline = prompts.mask if prompts.mask is not None else query.previous
    first = None if reference is None else reference.prompted
    return CropPrompts(
        points=prompts.points,
        labels=prompts.labels,
        box=prompts.box,
        outline=outline if outline is not None and outline.any() else None,
        earlier=reference.features.frame if reference else None,
        earlier_outline=reference.mask if reference else None,
        pointed=first.features.frame if first else None,
        pointed_outline=first.mask if first else None,
    )


def _looked(
    logits: Array, iou: Array, presence: Any, view: _View, size: tuple[int, int], maps: Array
) -> WindowPrediction:
    """What the network says of a window, on the frame."""
    window, known, objection, cuts = view.window, view.known, view.objection, view.cuts
    followed = maps[EARLIER].any()  # which would grow from frame to frame if it were cut low
    logits = logits - (cuts[0] if followed else dice_cut(logits)[:, None, None])
    masks, scores = np.stack([_outline(one, window, size) for one in logits]), _sigmoid(iou)
    plausible = kept_inside(logits, window, size) * is_no_view(logits > 0, maps[:3]) * fit(logits, maps[BOX])
    heard = [click_accuracy(mask, known) * (objection.explained_by(mask) if objection else 1.0) for mask in masks]
    preference = (scores * plausible * heard).astype(np.float32)
    best = int(preference.argmax())
    confident = _outline(logits[best] + (cuts[0] - cuts[1]), window, size) if followed else None
    present = float(_sigmoid(np.asarray(presence)))
    return WindowPrediction(masks, scores, present, best, confident=confident, preference=preference)


def _outline(logits: Array, window: CropWindow, size: tuple[int, int]) -> NDArray[np.bool_]:
    return np.asarray(window.put_back(logits, size, OUTSIDE) > 0)


def _window_of(known: CropPrompts, search: float = 1.0) -> CropWindow | None:
    """The window to zoom to, or None where only clicks are known."""
    if known.box is not None:
        return CropWindow.around(known.box, MARGIN)
    for outline, margin in ((known.outline, MARGIN), (known.earlier_outline, CHAIN_MARGIN * search)):
        box = None if outline is None else bounds(outline)
        if box is not None:
            return CropWindow.around(_reaching(box, known.points), margin)
    return None


def _reaching(
    box: tuple[float, float, float, float], points: NDArray[np.float64] | None
) -> tuple[float, float, float, float]:
    """The box grown so that every click is in it."""
    if points is None or not len(points):
        return box
    low, high = points.min(axis=0), points.max(axis=0) + 1
    return min(box[0], low[0]), min(box[1], low[1]), max(box[2], high[0]), max(box[3], high[1])


def _logit(chance: float) -> float:
    return float(np.log(chance / (1 - chance)))


def _sigmoid(x: NDArray[np.float32]) -> NDArray[np.float32]:
    return (1 / (1 + np.exp(-x))).astype(np.float32)
