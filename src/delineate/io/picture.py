"""Photographs and screen pictures: PNG, JPEG, BMP, GIF."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image, ImageCms, ImageOps, UnidentifiedImageError

from delineate.errors import InputError, Notice
from delineate.io import png16
from delineate.io.modality import guess
from delineate.io.options import Pages, ReadOptions
from delineate.scan import ArrayFrames, Scan

ALLOWED = ("PNG", "JPEG", "BMP", "GIF", "WEBP", "TIFF")


def read(path: Path, options: ReadOptions) -> Scan:
    """A picture as it is meant to be shown, in its own bit depth; an animation as asked for."""
    with _opened(path, options) as picture:
        count = getattr(picture, "n_frames", 1)
    if count > 1 and options.index is None:
        return _animation(path, count, options)
    pixels, notices = read_pixels(path, options)
    return Scan.from_image(pixels, modality=guess(pixels, path), notices=notices)


def read_pixels(path: Path, options: ReadOptions) -> tuple[NDArray[Any], tuple[Notice, ...]]:
    """(height, width) or (height, width, 3) of one picture, and what was done to it."""
    with _opened(path, options) as picture:
        if options.index is not None:
            count = getattr(picture, "n_frames", 1)
            if not 0 <= options.index < count:
                raise InputError("E-PAGE-RANGE", f"{path.name} has pages 0 to {count - 1}, not {options.index}.")
            picture.seek(options.index)
        notices: list[Notice] = []
        try:
            if picture.format == "PNG" and png16.is_deep_colour(path):
                pixels = png16.read(path)
            else:
                pixels = np.asarray(_plain(picture, path, options, notices))
        except (OSError, SyntaxError, ValueError, EOFError) as error:
            raise InputError(
                "E-PICTURE-DAMAGED", f"{path.name} is damaged or cut short: {error}.", "Copy or download it again."
            ) from None
    if pixels.dtype == bool:
        pixels = pixels.astype(np.uint8) * 255
    if pixels.ndim == 3 and pixels.shape[2] in (2, 4):
        notices.append(Notice("W-ALPHA-DROPPED", "The transparency of the picture is ignored."))
        pixels = pixels[..., 0] if pixels.shape[2] == 2 else pixels[..., :3]
    if min(pixels.shape[:2]) < 2:
        raise InputError(
            "E-PICTURE-TINY", f"{path.name} is {pixels.shape[1]} x {pixels.shape[0]} pixels: nothing to outline."
        )
    return np.ascontiguousarray(pixels), tuple(notices)


def _opened(path: Path, options: ReadOptions) -> Image.Image:
    Image.MAX_IMAGE_PIXELS = None  # our own limit below is checked before anything is decoded
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            picture = Image.open(path, formats=ALLOWED)
    except (UnidentifiedImageError, OSError, SyntaxError, ValueError) as error:
        raise InputError(
            "E-PICTURE-DAMAGED", f"{path.name} is damaged or cut short: {error}.", "Copy or download it again."
        ) from None
    if picture.width * picture.height > options.max_pixels:
        picture.close()
        raise InputError(
            "E-PICTURE-LARGE",
            f"{path.name} would unpack to {picture.width} x {picture.height} pixels, more than {options.max_pixels}.",
            "If you trust the file, raise the limit with --max-pixels.",
        )
    return picture


def _orientation(picture: Image.Image) -> int:
    """The EXIF orientation, 1 (upright) where none can be read."""
    try:
        return int(picture.getexif().get(ExifTags.Base.Orientation, 1) or 1)
    except (OSError, SyntaxError, ValueError):
        return 1


def _plain(picture: Image.Image, path: Path, options: ReadOptions, notices: list[Notice]) -> Image.Image:
    """Upright, without palette or print colours; bit depth kept."""
    icc = picture.info.get("icc_profile")
    if not options.stored_orientation and _orientation(picture) != 1:
        notices.append(
            Notice(
                "W-EXIF-ROTATED",
                "The picture was turned upright as its EXIF tag says; the outline is saved upright too "
                "(--stored-orientation leaves it as stored).",
            )
        )
        picture = ImageOps.exif_transpose(picture) or picture
    if picture.mode in ("CMYK", "YCCK"):
        notices.append(Notice("W-CMYK", "The picture holds print colours (CMYK); they were converted to RGB."))
        return _to_rgb(picture, icc)
    if picture.mode == "P":
        return picture.convert("RGBA" if "transparency" in picture.info else "RGB")
    if picture.mode in ("PA", "La", "RGBa", "HSV", "LAB", "YCbCr", "RGBX"):
        return picture.convert("RGBA" if "a" in picture.mode.lower() else "RGB")
    return picture


def _to_rgb(picture: Image.Image, icc: bytes | None) -> Image.Image:
    if icc:
        import io

        try:
            source = ImageCms.ImageCmsProfile(io.BytesIO(icc))
            converted = ImageCms.profileToProfile(picture, source, ImageCms.createProfile("sRGB"), outputMode="RGB")
            if converted is not None:
                return converted
        except ImageCms.PyCMSError:
            pass  # an unusable profile: the plain conversion below is what viewers do
    return picture.convert("RGB")


def _animation(path: Path, count: int, options: ReadOptions) -> Scan:
    if options.pages is None:
        raise InputError(
            "E-PAGES",
            f"{path.name} holds {count} pictures.",
            "Say what they are: --index N for one of them, --pages video, or --pages stack.",
        )
    if count > options.max_frames:
        raise InputError("E-FRAMES-LARGE", f"{path.name} holds {count} frames, more than {options.max_frames}.")
    with _opened(path, options) as picture:
        frames = []
        for n in range(count):
            picture.seek(n)
            frames.append(np.asarray(picture.convert("RGB")))
    stack = np.stack(frames)
    if options.pages is Pages.VIDEO:
        return Scan.from_frames(ArrayFrames(stack), modality=guess(stack[0], path))
    from delineate.grid import Grid

    voxels = stack.mean(axis=3).astype(np.uint8).transpose(2, 1, 0)
    return Scan.from_volume(voxels, Grid.scaled(voxels.shape, (1, 1, 1)), 2, modality=guess(voxels, path, volume=True))
