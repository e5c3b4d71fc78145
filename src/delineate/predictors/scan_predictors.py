"""What a model that outlines whole scans must do: prompted structures in 3D, or all its classes without a prompt."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Protocol

from numpy.typing import NDArray

from delineate.core.scan import Scan
from delineate.core.volume_prompts import VolumePrompts
from delineate.predictors.frame_predictor import Candidates, Predictor


class VolumePredictor(Predictor, Protocol):
    """A promptable model of whole scans: a box stays three-dimensional, a scribble may cross slices."""

    def segment(self, scan: Scan, queries: Mapping[str, VolumePrompts]) -> Mapping[str, Mapping[int, Candidates]]:
        """Outline every structure asked for, by name, on every frame that shows it.

        Parameters
        ----------
        scan
            The whole volume or clip.
        queries
            All prompts of each structure.

        Returns
        -------
        outlines
            By name and frame; a frame that is missing does not show the structure.
        """
        ...


class DensePredictor(Predictor, Protocol):
    """A model that outlines its classes without a prompt."""

    @property
    def classes(self) -> tuple[str, ...]:
        """The structures it knows, in the order of its labels; background is none of them."""
        ...

    def predict(self, scan: Scan) -> Iterator[tuple[int, NDArray[Any]]]:
        """Frames of the scan with what each pixel is, one at a time, in any order.

        Each comes as whole numbers (height, width), 0 for background and n for class number n - 1, or as logits, float
        (1 + classes, height, width), background first.
        """
        ...
