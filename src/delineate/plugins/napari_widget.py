"""Outlining in napari: points in, labels out, in the layers of the viewer; and a small panel with the buttons.

``Annotation`` works on a viewer's layers alone and needs no window; ``annotator`` is the panel.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from delineate.core.errors import DelineateError, InputError, MissingExtraError
from delineate.core.grid import Grid
from delineate.core.prompts import Point
from delineate.core.scan import Scan
from delineate.predictors.frame_predictor import Predictor
from delineate.session import Session
from delineate.systems import shipped_predictor

POINTS, NOT_POINTS, LABELS = "points on it", "points beside it", "outlines"
SIZE = 6  # px of a point


class Annotation:
    """One image layer that is outlined, with its layers of points and labels.

    viewer  a ``napari.Viewer`` or ``ViewerModel``
    image   the layer of the picture (y, x) or volume (z, y, x); its scale is taken as the spacing
    """

    def __init__(self, viewer: Any, image: Any, predictor: Predictor | None = None) -> None:
        self._image = image
        self.session = Session(scan_of(image), predictor or shipped_predictor())
        options = {"ndim": image.ndim, "scale": image.scale, "translate": image.translate}
        self.positive = viewer.add_points(name=POINTS, face_color="lime", size=SIZE, **options)
        self.negative = viewer.add_points(name=NOT_POINTS, face_color="red", size=SIZE, **options)
        shape = image.data.shape[:-1] if image.rgb else image.data.shape
        del options["ndim"]  # that of the data
        self.labels = viewer.add_labels(np.zeros(shape, np.uint16), name=LABELS, **options)
        self._answered = {id(self.positive): 0, id(self.negative): 0}

    def answer(self, structure: str = "structure") -> bool:
        """Outline what the new points say; whether there were any. Raises PromptError for points outside."""
        new: list[Point] = []
        for layer, positive in ((self.positive, True), (self.negative, False)):
            known = self._answered[id(layer)]
            new += [self._point(place, layer, positive) for place in layer.data[known:]]
        if not new:
            return False
        self.session.prompt_all(new, structure)
        for layer in (self.positive, self.negative):
            self._answered[id(layer)] = len(layer.data)
        self._show()
        return True

    def follow(self, progress: Callable[[int, int], None] | None = None) -> None:
        """Follow all structures through the other slices."""
        for frame in self.session.propagating():
            if progress is not None:
                progress(frame.done, frame.total)
        self._show()

    def undo(self) -> bool:
        """Take the last answer back; its points stay, and count as answered."""
        done = self.session.undo()
        self._show()
        return done

    def _point(self, place: NDArray[np.float64], layer: Any, positive: bool) -> Point:
        """A point of a layer as a voxel of the image; the layer may have been moved since."""
        world = np.asarray(layer.data_to_world(place))
        at = np.asarray(self._image.world_to_data(world))
        return Point(*(float(value) for value in at[::-1]), positive=positive)

    def _show(self) -> None:
        found = self.session.segmentation
        frames = [found.frame_labels(n) for n in range(len(found))]
        if self.labels.ndim == 2:
            self.labels.data = frames[0].astype(np.uint16)
            return
        scan = self.session.scan
        stack = np.moveaxis(np.stack(frames), 0, 2 - scan.slice_axis)  # (k, j, i), as the layer
        self.labels.data = stack.astype(np.uint16)


def scan_of(image: Any) -> Scan:
    """The scan of an image layer. Raises InputError for what is neither a picture nor a volume."""
    data = np.asarray(image.data[0] if image.multiscale else image.data)
    if image.rgb and data.ndim == 3:
        return Scan.from_image(data)
    if data.ndim == 2:
        return Scan.from_image(data)
    if data.ndim == 3 and not image.rgb:
        return Scan.from_volume(data.transpose(2, 1, 0), Grid.scaled(data.shape[::-1], np.abs(image.scale)[::-1]))
    text = f"The layer {image.name} has {data.ndim} axes{' and colors' if image.rgb else ''}."
    raise InputError("E-NAPARI-LAYER", text, "Take a picture (y, x), with or without colors, or a volume (z, y, x).")


def annotator(napari_viewer: Any) -> Any:
    """The panel: which image, the structure's name, and three buttons. Raises MissingExtraError without napari."""
    try:
        from magicgui import widgets
        from napari.layers import Image
        from napari.utils.notifications import show_error
    except ImportError as error:
        raise MissingExtraError(f"The panel in napari ({error.name})", "napari") from error
    known: dict[int, Annotation] = {}
    structure = widgets.LineEdit(label="structure", value="structure")
    buttons = {name: widgets.PushButton(text=name) for name in ("Outline", "Follow", "Undo")}

    def current() -> Annotation:
        image = next((one for one in napari_viewer.layers.selection if isinstance(one, Image)), None)
        image = image or next((one for one in napari_viewer.layers if isinstance(one, Image)), None)
        if image is None:
            raise InputError("E-NAPARI-LAYER", "There is no image.", "Open one, then point at a structure in it.")
        if id(image) not in known:
            known[id(image)] = Annotation(napari_viewer, image)
        return known[id(image)]

    def press(do: Callable[[Annotation], Any]) -> Callable[[], None]:
        def pressed() -> None:
            try:
                do(current())
            except DelineateError as error:
                show_error(str(error))

        return pressed

    buttons["Outline"].changed.connect(press(lambda one: one.answer(structure.value.strip() or "structure")))
    buttons["Follow"].changed.connect(press(lambda one: one.follow()))
    buttons["Undo"].changed.connect(press(lambda one: one.undo()))
    return widgets.Container(widgets=[structure, *buttons.values()])
