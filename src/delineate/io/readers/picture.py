"""Photographs and screen pictures: PNG, JPEG, JPEG 2000, WebP, AVIF, BMP, GIF."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image, ImageCms, ImageOps, UnidentifiedImageError

from delineate.core.errors import InputError, Notice
from delineate.core.grid import Grid, Placement
from delineate.core.reading import reason
from delineate.core.scan import Scan
from delineate.io.grid_record import GRID_KEY, picture_grid
from delineate.io.held_file import HeldFile
from delineate.io.limits import check_frames, check_picture, check_volume, require_plausible
from delineate.io.options import Pages, ReadOptions
from delineate.io.readers import png16
from delineate.io.readers.modality import guess
from delineate.io.readers.palette import label_numbers
from delineate.io.unpacking import DEFLATE_RATIO

ALLOWED = ("PNG", "JPEG", "JPEG2000", "BMP", "GIF", "WEBP", "AVIF", "TIFF")
ALPHA_DROPPED = Notice("W-ALPHA-DROPPED", "The transparency of the picture is ignored.")
ROTATED = Notice(
    "W-EXIF-ROTATED",
    "The picture was turned upright as its EXIF tag says; the outline is saved upright too "
    "(--stored-orientation leaves it as stored).",
)
MOST_PIXELS = {"GIF": 2731, "JPEG": 8192}  # to a byte of a file: the longest runs either format has
MOST_PIXELS["WEBP"] = 32_768  # which has no end of them: a picture of one color alone takes fewer bytes
ALWAYS_PIXELS = 1 << 20  # that a file of any size may say it has
ALWAYS_WEBP = 1 << 24
PART = 1 << 20  # pixels that are taken over from Pillow at a time
KEPT_BYTES = 1 << 27  # of an animation's decoded pictures where it is read backwards


def read(path: Path, options: ReadOptions) -> Scan:
    """A picture as it is meant to be shown, in its own bit depth; an animation as asked for."""
    with _opened(path, options) as picture:
        count = getattr(picture, "n_frames", 1)
        said = str(picture.info.get(GRID_KEY, ""))
    if count > 1 and options.index is None:
        return _animation(path, count, options)
    pixels, notices = read_pixels(path, options)
    grid = picture_grid(said, pixels.shape[1], pixels.shape[0]) if said else None
    return Scan.from_image(pixels, grid, modality=guess(pixels, path), notices=notices)


def read_pixels(path: Path, options: ReadOptions) -> tuple[NDArray[Any], tuple[Notice, ...]]:
    """(height, width) or (height, width, 3) of one picture, and what was done to it."""
    return page_pixels(path, options, options.index)


def page_pixels(path: Path, options: ReadOptions, index: int | None) -> tuple[NDArray[Any], tuple[Notice, ...]]:
    """As ``read_pixels``, of one page or picture of a file that holds several."""
    with _opened(path, options) as picture:
        notices: list[Notice] = []
        try:
            if index is not None:
                count = getattr(picture, "n_frames", 1)
                if not 0 <= index < count:
                    raise InputError(
                        "E-PAGE-RANGE",
                        f"{path.name} has pages 0 to {count - 1}, not {index}.",
                        "Choose one of them with --index, counted from 0.",
                    )
                picture.seek(index)
                check_picture(path, picture.width, picture.height, _pixel_bytes(picture, path), options)
            if picture.format == "PNG" and png16.is_deep_color(path):
                pixels = _deep(picture, path, options, notices)
            else:
                _tell_depth(picture, path, notices)
                pixels = _as_stored(_array(_plain(picture, path, options, notices), notices), picture, path)
        except InputError:
            raise
        except MemoryError:
            raise
        except Exception as error:  # Pillow's decoders raise whatever damaged bytes make them
            raise damaged(path, error) from None
    if min(pixels.shape[:2]) < 2:
        raise InputError(
            "E-PICTURE-TINY",
            f"{path.name} is {pixels.shape[1]} x {pixels.shape[0]} pixels: nothing to outline.",
            "Take a picture of at least 2 x 2 pixels.",
        )
    return np.ascontiguousarray(pixels), tuple(notices)


def _opened(path: Path, options: ReadOptions) -> Image.Image:
    Image.MAX_IMAGE_PIXELS = None  # our own limit below is checked before anything is decoded
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            picture = Image.open(path, formats=ALLOWED)
    except Exception as error:  # Pillow's plugins raise whatever damaged bytes make them
        raise damaged(path, error) from None
    try:
        check_picture(path, picture.width, picture.height, _pixel_bytes(picture, path), options)
        _require_plausible(path, picture)
    except InputError:
        picture.close()
        raise
    return picture


def _require_plausible(path: Path, picture: Image.Image) -> None:
    """That so many pixels can be in a file of its size. Raises InputError."""
    if picture.format == "PNG" and (bits := png16.pixel_bits(path)):
        require_plausible(path, picture.height * (1 + picture.width * bits / 8), DEFLATE_RATIO)
    pixels, size, ratio = picture.width * picture.height, path.stat().st_size, MOST_PIXELS.get(picture.format or "")
    always = ALWAYS_WEBP if picture.format == "WEBP" else ALWAYS_PIXELS
    if ratio is not None and pixels > max(always, ratio * size):
        raise InputError(
            "E-PICTURE-DAMAGED",
            f"{path.name} says it has {picture.width} x {picture.height} pixels, which {size} bytes cannot hold.",
            "Copy or download it again.",
        )


def damaged(path: Path, error: Exception) -> InputError:
    """What is told of a picture that cannot be decoded."""
    unknown = isinstance(error, UnidentifiedImageError)
    why = "it is no picture" if unknown else reason(error)
    return InputError("E-PICTURE-DAMAGED", f"{path.name} is damaged or cut short: {why}.", "Copy or download it again.")


def _deep(picture: Image.Image, path: Path, options: ReadOptions, notices: list[Notice]) -> NDArray[Any]:
    pixels = png16.read(path)
    if png16.has_alpha(path):
        notices.append(ALPHA_DROPPED)
    turn = 1 if options.stored_orientation else _orientation(picture)
    if turn != 1:
        notices.append(ROTATED)
    return upright(pixels, turn)


def _array(picture: Image.Image, notices: list[Notice]) -> NDArray[Any]:
    """Pixels without transparency, some rows at a time: beside what Pillow holds there is one copy, not three.

    Black and white become 0 and 255.
    """
    bands = len(picture.getbands())
    if bands in (2, 4):
        notices.append(ALPHA_DROPPED)
    rows = max(1, PART // max(1, picture.width))
    whole: NDArray[Any] | None = None
    for top in range(0, picture.height, rows):
        part = np.asarray(picture.crop((0, top, picture.width, min(picture.height, top + rows))))
        if part.dtype == bool:
            part = part.astype(np.uint8) * np.uint8(255)
        part = {2: part[..., 0], 4: part[..., :3]}.get(bands, part)
        if whole is None:
            whole = np.empty((picture.height, *part.shape[1:]), part.dtype)
        whole[top : top + len(part)] = part
    return np.asarray(picture) if whole is None else whole


def upright(pixels: NDArray[Any], orientation: int) -> NDArray[Any]:
    """Pixels turned as an EXIF or TIFF orientation, 1 to 8, says."""
    if orientation >= 5:
        pixels = pixels.swapaxes(0, 1)
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    return np.ascontiguousarray(pixels)


def _tell_depth(picture: Image.Image, path: Path, notices: list[Notice]) -> None:
    """That Pillow keeps 8 bits of the colors of a JPEG 2000 or AVIF picture that has more."""
    bits = _avif_bits(path) if picture.format == "AVIF" else _jpeg_2000_bits(picture, path)
    if picture.mode in ("RGB", "RGBA") and bits > 8:
        notices.append(Notice("W-DEPTH-CUT", f"Colors of {bits} bits were cut to 8."))


def _as_stored(pixels: NDArray[Any], picture: Image.Image, path: Path) -> NDArray[Any]:
    """Gray values of a JPEG 2000 picture of 9 to 15 bits, which Pillow stretches to 16."""
    bits = _jpeg_2000_bits(picture, path) if pixels.dtype == np.uint16 else 0
    return pixels >> (16 - bits) if 8 < bits < 16 else pixels


def _jpeg_2000_bits(picture: Image.Image, path: Path) -> int:
    """Bits of a value in the first channel; 0 for pictures of other formats."""
    if picture.format != "JPEG2000":
        return 0
    with path.open("rb") as stream:
        head = stream.read(1 << 16)
    at = head.find(b"\xff\x4f\xff\x51")  # start of the codestream, and the size of the picture after it
    return (head[at + 42] & 0x7F) + 1 if at >= 0 and len(head) > at + 42 else 0


def _avif_bits(path: Path) -> int:
    """Bits of a value, as the settings of its AV1 decoder say; 0 where none are found."""
    with path.open("rb") as stream:
        head = stream.read(1 << 16)
    at = head.find(b"av1C") + 6
    flags = head[at] if 6 <= at < len(head) else 0
    return (8, 8, 10, 12)[flags >> 5 & 3] if at >= 6 else 0


def _pixel_bytes(picture: Image.Image, path: Path) -> int:
    """Bytes of a pixel once it is decoded and its palette is resolved."""
    deep = picture.format == "PNG" and png16.is_deep_color(path)
    each = {"1": 1, "L": 1, "P": 3, "LA": 2, "PA": 4, "I;16": 2, "I;16B": 2, "I;16L": 2, "RGB": 3}.get(picture.mode, 4)
    return 2 * each if deep else each


def _orientation(picture: Image.Image) -> int:
    """The EXIF orientation, 1 (upright) where none can be read."""
    try:
        found = int(picture.getexif().get(ExifTags.Base.Orientation, 1) or 1)
        return found if 1 <= found <= 8 else 1
    except (OSError, SyntaxError, ValueError, TypeError):
        return 1


def _plain(picture: Image.Image, path: Path, options: ReadOptions, notices: list[Notice]) -> Image.Image:
    """Upright, without palette or print colors; bit depth kept."""
    icc = picture.info.get("icc_profile")
    if not options.stored_orientation and _orientation(picture) != 1:
        notices.append(ROTATED)
        picture = ImageOps.exif_transpose(picture) or picture
    if picture.mode in ("CMYK", "YCCK"):
        notices.append(Notice("W-CMYK", "The picture holds print colors (CMYK); they were converted to RGB."))
        return _to_rgb(picture, icc)
    if picture.mode == "P" and options.palette_indices:
        numbers, said = label_numbers(picture)
        notices.extend(said)
        return Image.fromarray(numbers)
    if picture.mode == "P":
        return picture.convert("RGBA" if "transparency" in picture.info else "RGB")
    if picture.mode in ("PA", "La", "RGBa", "HSV", "LAB", "YCbCr", "RGBX"):
        return picture.convert("RGBA" if picture.mode in ("PA", "La", "RGBa") else "RGB")
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
    check_frames(path, count, options)
    frames = AnimationFrames(path, count, options)
    first = frames.read(0)
    if options.pages is Pages.VIDEO:
        return Scan.from_frames(frames, modality=guess(first, path))
    check_volume(path, frames.shape[:3], 1, options)
    stack = np.empty(frames.shape[:3], np.uint8)
    for n in range(count):
        stack[n] = frames.read(n).mean(axis=2).astype(np.uint8)
    voxels = stack.transpose(2, 1, 0)
    grid = Grid(voxels.shape, placement=Placement.PIXELS)
    return Scan.from_volume(voxels, grid, 2, modality=guess(voxels, path, volume=True))


class AnimationFrames(HeldFile):
    """Pictures of an animation, decoded one at a time: forwards each once, elsewhere from the first one on.

    A few are kept, so that reading backwards does not begin anew for each.
    """

    def __init__(self, path: Path, count: int, options: ReadOptions) -> None:
        super().__init__(path)
        self._picture = _opened(path, options)
        self.shape = (count, self._picture.height, self._picture.width, 3)
        self.dtype = np.dtype(np.uint8)
        self._kept: dict[int, NDArray[Any]] = {}

    def _read(self, index: int) -> NDArray[Any]:
        if index in self._kept:
            return self._kept[index]
        room = max(1, KEPT_BYTES // int(np.prod(self.shape[1:])))
        backwards = index < self._picture.tell()
        if not backwards:
            self._kept.clear()
            return self._decoded(index)
        self._kept = {n: self._decoded(n) for n in range(max(0, index - room + 1), index + 1)}
        return self._kept[index]

    def _release(self) -> None:
        self._picture.close()
        self._kept.clear()

    def _decoded(self, index: int) -> NDArray[Any]:
        try:
            self._picture.seek(index)
            if self._picture.size != self.shape[2:0:-1]:
                raise ValueError(f"it is {self._picture.width} x {self._picture.height} pixels")
            return np.asarray(self._picture.convert("RGB"))
        except Exception as error:  # Pillow's decoders raise whatever damaged bytes make them
            raise InputError(
                "E-PICTURE-DAMAGED",
                f"Picture {index} of {self._path.name} is damaged or cut short: {reason(error)}.",
                "Copy it again. To go on without it: --skip-damaged.",
            ) from None
