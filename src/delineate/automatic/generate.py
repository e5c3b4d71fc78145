"""Automatic masks: a grid of clicks, the good and stable answers, none of them twice.

As SAM and SAM 2 do it (arXiv 2304.02643 app. B; released mask generators). Crops of crops find small things. Any
predictor that answers many clicks at once can be used.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
from numpy.typing import NDArray

from delineate.automatic.suppression import keep_best, keep_best_masks
from delineate.automatic.tiles import Box, overview, tiles
from delineate.core.errors import PromptError
from delineate.core.frame import Frame
from delineate.core.rle import Rle
from delineate.predictors.answers import clicked
from delineate.predictors.frame_predictor import AutomaticPredictor

TILED_ABOVE = 4096  # pixels of the longer side
RANGES = (  # least and most of settings
    ("points_per_side", 1, 1024), ("points_at_once", 1, 1 << 16), ("pred_iou_thresh", -1e9, 1e9),
    ("stability_score_thresh", -1e9, 1e9), ("offset", 0, 1e9), ("overlap", 0, 1), ("crop_layers", 0, 6),
    ("crop_overlap", 0, 0.99), ("coarser", 1, 1024), ("min_mask_region_area", 0, 1e18), ("tile", 0, 1e9),
)  # fmt: skip
DECODED_BYTES = 4 << 30  # of outlines decoded together; an answer's three take five bytes a pixel each


@dataclass(frozen=True)
class AutomaticSettings:
    """Which answers are kept; the defaults are SAM's (``Capabilities.automatic`` tells each system's).

    points_per_side   clicks along a side of the whole picture
    points_at_once    clicks answered together
    pred_iou_thresh   predicted IoU below which a mask is dropped
    stability_score_thresh  share of an outline that stays when the threshold moves by ``offset`` logits
    overlap           intersection over union of boxes above which the better of two is kept
    crop_layers       0: the picture as a whole; n: also 4^1 ... 4^n parts of it
    crop_overlap      share of the shorter side that neighboring parts share
    coarser           points along a side are divided by this for each layer
    min_mask_region_area  pixels; smaller connected components are removed and smaller holes filled, of SAM's outlines
                      on the picture, of SAM 2's on its low-resolution logits
    tile              pixels; a picture with a side longer than TILED_ABOVE is looked at as a whole, made smaller, and
                      in tiles of this side with ``points_per_side`` clicks each. 0: never
    """

    points_per_side: int = 32
    points_at_once: int = 64
    pred_iou_thresh: float = 0.88
    stability_score_thresh: float = 0.95
    offset: float = 1.0
    overlap: float = 0.7
    crop_layers: int = 0
    crop_overlap: float = 512 / 1500
    coarser: int = 1
    min_mask_region_area: int = 0
    tile: int = 1024

    def __post_init__(self) -> None:
        for name, least, most in RANGES:
            value = getattr(self, name)
            if not least <= value <= most:  # NaN too
                text = f"--{name.replace('_', '-')} {value} is not within {least:g} to {most:g}."
                raise PromptError("E-AUTO-NUMBER", text, "The defaults are those that the system was published with.")


@dataclass(frozen=True, eq=False)
class AutomaticMask:
    """One outline.

    mask       on the whole picture, run-length encoded
    box        around it
    iou        predicted
    stability  0 to 1
    click      (x, y) it answers
    crop       the part of the picture it was found in
    """

    mask: Rle
    box: Box
    iou: float
    stability: float
    click: tuple[float, float]
    crop: Box


def generate_masks(
    predictor: AutomaticPredictor, frame: Frame, settings: AutomaticSettings | None = None
) -> list[AutomaticMask]:
    """Outlines on a frame, the largest first."""
    settings = settings or AutomaticSettings()
    if settings.tile and max(frame.size) > TILED_ABOVE:
        return _in_tiles(predictor, frame, settings)
    found: list[AutomaticMask] = []
    for layer, crop in crops(*frame.size, settings):
        found += _in_crop(predictor, frame, crop, layer, settings)
    if settings.crop_layers:  # what a small part shows is seen better there
        sizes = np.array([(f.crop[2] - f.crop[0]) * (f.crop[3] - f.crop[1]) for f in found], np.float32)
        found = [found[n] for n in keep_best(_corners(found), 1 / sizes, settings.overlap)]
    if settings.min_mask_region_area and not _tidies(predictor):
        found = without_small_regions(found, settings.min_mask_region_area, settings.overlap)
    return sorted(found, key=lambda f: -f.mask.area)


def without_small_regions(found: list[AutomaticMask], min_mask_region_area: int, overlap: float) -> list[AutomaticMask]:
    """Outlines without small holes and parts; of those that became alike, one that was not changed is kept."""
    tidy = [replace(one, mask=Rle.encode(cleaned(one.mask.decode(), min_mask_region_area))) for one in found]
    unchanged = np.array([float(one.mask == old.mask) for one, old in zip(tidy, found, strict=True)], np.float32)
    tidy = [replace(one, box=_box_of(one.mask.decode()) or one.box) for one in tidy]
    return [tidy[n] for n in keep_best(_corners(tidy), unchanged, overlap)]


def _tidies(predictor: AutomaticPredictor) -> bool:
    """Whether small regions are removed from a predictor's logits already."""
    defaults = predictor.capabilities.automatic
    return defaults is not None and defaults.tidies_logits


def _corners(found: Sequence[AutomaticMask]) -> NDArray[np.int64]:
    """Boxes (N, 4) from the first to the last pixel, as the authors' suppression has them."""
    return np.array([one.box for one in found], np.int64).reshape(-1, 4) - (0, 0, 1, 1)


def _in_tiles(predictor: AutomaticPredictor, frame: Frame, settings: AutomaticSettings) -> list[AutomaticMask]:
    """What is larger than a tile is found on the picture made smaller, what is smaller in one of the tiles.

    An outline of a tile is preferred to one of the whole, then the one with the higher predicted IoU.
    """
    small, factor = overview(frame.pixels, settings.tile)
    whole = (0, 0, small.shape[1], small.shape[0])
    found = [
        _enlarged(one, factor, frame.size)
        for one in _in_crop(predictor, frame.with_pixels(small), whole, 0, replace(settings, min_mask_region_area=0))
        if one.mask.area * factor**2 >= settings.min_mask_region_area
    ]
    seen_small = len(found)
    for tile in tiles(*frame.size, settings.tile, settings.crop_overlap):
        inside = _in_crop(predictor, frame, tile, 0, settings)
        if settings.min_mask_region_area and not _tidies(predictor):
            inside = without_small_regions(inside, settings.min_mask_region_area, settings.overlap)
        found += inside
    order = np.lexsort((np.array([-one.iou for one in found]), np.arange(len(found)) < seen_small))
    scores = np.empty(len(found))
    scores[order] = -np.arange(len(found), dtype=float)
    boxes = np.array([one.box for one in found]).reshape(-1, 4)
    kept = keep_best_masks([one.mask for one in found], boxes, scores, settings.overlap)
    return sorted((found[n] for n in kept), key=lambda one: -one.mask.area)


def _enlarged(one: AutomaticMask, factor: int, size: tuple[int, int]) -> AutomaticMask:
    """An outline of the picture made smaller, on the picture itself."""
    x0, y0, x1, y1 = (factor * edge for edge in one.box)
    click = (one.click[0] * factor, one.click[1] * factor)
    mask = one.mask.enlarged(factor).placed(0, 0, *size)
    return AutomaticMask(mask, (x0, y0, x1, y1), one.iou, one.stability, click, (0, 0, size[1], size[0]))


def crops(height: int, width: int, settings: AutomaticSettings) -> Iterator[tuple[int, Box]]:
    """(layer, part) of a picture: all of it, then 2 x 2 parts, 4 x 4 parts and so on, overlapping."""
    yield 0, (0, 0, width, height)
    for layer in range(1, settings.crop_layers + 1):
        count = 2**layer
        shared = int(settings.crop_overlap * min(height, width) * 2 / count)
        wide, high = (int(np.ceil((shared * (count - 1) + n) / count)) for n in (width, height))
        for column in range(count):
            for row in range(count):
                x, y = (wide - shared) * column, (high - shared) * row
                yield layer, (x, y, min(x + wide, width), min(y + high, height))


def _in_crop(
    predictor: AutomaticPredictor, frame: Frame, crop: Box, layer: int, settings: AutomaticSettings
) -> list[AutomaticMask]:
    x0, y0, x1, y1 = crop
    features = predictor.encode(frame.with_pixels(frame.pixels[y0:y1, x0:x1]))
    clicks = grid(settings.points_per_side // settings.coarser**layer) * (x1 - x0, y1 - y0)
    found: list[AutomaticMask] = []
    together = max(1, min(settings.points_at_once, DECODED_BYTES // (15 * (x1 - x0) * (y1 - y0))))
    tidying = (settings.min_mask_region_area,) if settings.min_mask_region_area and _tidies(predictor) else ()
    for start in range(0, len(clicks), together):
        asked = clicks[start : start + together]
        ask = partial(predictor.decode_clicks, features, asked, settings.offset, *tidying)
        masks, iou, stability = clicked(predictor, ask, len(asked), (y1 - y0, x1 - x0))
        each = len(masks) // len(asked)
        for n in np.flatnonzero((iou > settings.pred_iou_thresh) & (stability >= settings.stability_score_thresh)):
            mask = masks[n]
            box = _box_of(mask)
            if box is None or _cut_off(box, crop, frame.size):
                continue
            whole = Rle.encode(mask).placed(x0, y0, *frame.size)
            moved = (box[0] + x0, box[1] + y0, box[2] + x0, box[3] + y0)
            place = asked[n // each]
            click = (float(place[0] + x0), float(place[1] + y0))
            found.append(AutomaticMask(whole, moved, float(iou[n]), float(stability[n]), click, crop))
    return [found[n] for n in keep_best(_corners(found), np.array([f.iou for f in found]), settings.overlap)]


def grid(per_side: int) -> NDArray[np.float64]:
    """Clicks (N², 2) in the middle of N x N fields of a unit square."""
    places = np.linspace(1 / (2 * per_side), 1 - 1 / (2 * per_side), per_side)
    x, y = np.meshgrid(places, places)
    return np.stack([x.ravel(), y.ravel()], axis=1)


def cleaned(mask: NDArray[np.bool_], min_mask_region_area: int) -> NDArray[np.bool_]:
    """Without holes and parts of fewer pixels; the largest part stays whatever its size."""
    if not min_mask_region_area:
        return mask
    from scipy import ndimage

    for wanted in (False, True):
        parts, count = ndimage.label(mask == wanted, structure=np.ones((3, 3)))
        sizes = np.bincount(parts.ravel(), minlength=count + 1)[1:]
        small = [n + 1 for n, size in enumerate(sizes) if size < min_mask_region_area]
        if wanted and len(small) == count and count:
            small.remove(int(sizes.argmax()) + 1)
        mask = mask ^ np.isin(parts, small)
    return mask


def _box_of(mask: NDArray[np.bool_]) -> Box | None:
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if not len(rows):
        return None
    return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1


def _cut_off(box: Box, crop: Box, shape: tuple[int, ...], near: int = 20) -> bool:
    """Whether an outline ends at an edge of a part that is no edge of the picture."""
    whole = (0, 0, shape[1], shape[0])
    moved = (box[0] + crop[0], box[1] + crop[1], box[2] - 1 + crop[0], box[3] - 1 + crop[1])  # to the last pixel
    return any(abs(m - c) <= near < abs(m - w) for m, c, w in zip(moved, crop, whole, strict=True) if c != w)
