"""Feature extractors: the image encoder of any promptable system of the house, and others that follow the protocol."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from delineate.core.errors import ModelError
from delineate.core.frame import Frame
from delineate.fewshot.feature_map import FeatureExtractor, FeatureGrid, FeatureMap
from delineate.predictors.frame_predictor import EmbeddingFeatures, FramePredictor


@dataclass(frozen=True, eq=False)
class EncoderExtractor:
    """The image embedding of a promptable system: SAM, MobileSAM, MedSAM, LiteMedSAM, SAM 2 ..., with or without torch.

    predictor  whose encoder is taken
    stride     pixels of its input for each cell
    """

    predictor: FramePredictor
    stride: int = 16

    @property
    def name(self) -> str:
        return self.predictor.record.name

    def features(self, frame: Frame) -> FeatureMap:
        """Describe a frame. Raises ModelError for a system that keeps no embedding of it."""
        return feature_map(self.predictor.encode(frame), self.name)


def feature_map(features: Any, name: str = "This system") -> FeatureMap:
    """The embedding that a predictor's ``encode`` made of a frame, so that it is made once for both uses.

    Raises ModelError where there is none.
    """
    if not isinstance(features, EmbeddingFeatures):
        raise ModelError(
            "E-FEATURES",
            f"{name} keeps no image embedding that frames could be compared by.",
            "Name another model to compare with: quill, lite_medsam, mobile_sam, sam_vit_b, ...",
        )
    embedding, place = features.embedding_map(), features.place
    return FeatureMap(embedding, FeatureGrid.fitted(place, *embedding.shape[1:]))


def extractor_of(predictor: Any) -> FeatureExtractor:
    """What describes frames with the same network that a predictor outlines with."""
    own = getattr(predictor, "feature_extractor", None)
    if own is not None:
        return own
    return predictor if isinstance(predictor, FeatureExtractor) else EncoderExtractor(predictor)
