"""What the numbers of a picture mean that is kept in 16 bit, so that it is seen through the window of its scan."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from delineate.core.frame import Frame, Modality, ModalityName
from delineate.core.intensities import Intensities, IntensityStatistics, IntensityWindow
from delineate.core.picture_text import WHITE, extent_of

Range = tuple[float, float]


class ShownValues(BaseModel):
    """Numbers of a picture, in the units of its scan: Hounsfield units for CT."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    picture: Range = Field(description="What its black and its white stand for.")
    scan: Range = Field(description="Least and greatest number of the scan that the picture is of.")
    robust: Range = Field(description="0.1st and 99.99th percentile of the scan.")
    positive: Range = Field(description="0.5th and 99.5th percentile of those above zero.")
    modality: ModalityName = ModalityName.UNKNOWN
    window: Range | None = Field(default=None, description="The window that a person chose.")
    file_window: Range | None = Field(default=None, description="The window that the file asks for.")

    @classmethod
    def of(cls, frame: Frame) -> Self | None:
        """Those of a frame; None for 8-bit ones, which are pictures already."""
        if frame.pixels.dtype == np.uint8:
            return None
        known = frame.intensities.statistics
        return cls(
            picture=extent_of(frame.pixels),
            scan=(known.minimum, known.maximum),
            robust=known.robust,
            positive=known.positive,
            modality=frame.modality.name,
            window=None if frame.window is None else (frame.window.low, frame.window.high),
            file_window=frame.file_window,
        )

    def frame(self, gray: NDArray[Any]) -> Frame:
        """The frame again, from its picture (height, width) in 16 bit."""
        low, high = self.picture
        pixels = (low + gray.astype(np.float64) * ((high - low) / WHITE)).astype(np.float32)
        return Frame(
            pixels,
            Intensities.known(pixels, IntensityStatistics(*self.scan, self.robust, self.positive)),
            None if self.window is None else IntensityWindow(*self.window),
            Modality(self.modality, "the example says so"),
            file_window=self.file_window,
        )
