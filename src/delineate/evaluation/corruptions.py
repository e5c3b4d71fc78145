"""What spoils endoscopic and other medical frames: noise, blur, light, compression, smoke, blood, reflections.

Every corruption takes an RGB or gray frame of floats 0 to 1, a severity of 1 to 5 and random numbers. What should move
slowly over a video (the direction of a blur, where smoke drifts) is drawn once a clip, noise anew on every frame.
After Hendrycks and Dietterich, arXiv 1903.12261, and the surgical findings of arXiv 2408.01648 and 2408.04593; the
strengths are our own, chosen so that severity 1 is hardly seen and 5 still leaves the structures to a human eye.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy.ndimage import gaussian_filter, label, map_coordinates, zoom
from scipy.signal import oaconvolve

from delineate.core.errors import InputError
from delineate.core.scan import FrameSource, Scan, ScanKind
from delineate.data.cases import LabeledScan, rng_of
from delineate.preprocess.display import display_window

Frame = NDArray[np.float32]  # (height, width, channels), 0 to 1
Random = np.random.Generator
SEVERITIES = (1, 2, 3, 4, 5)
BLACK = 0.09  # brighter pixels are no part of the mask round an endoscope's picture
REFERENCE = 512  # pixels: blur, smoke and spots are in shares of the frame's larger side, as on one of this size


@dataclass(frozen=True)
class Corruption:
    """One way to spoil a frame.

    apply    (frame, strength, random numbers of the clip, random numbers of the frame) to a frame
    strength for each severity
    """

    name: str
    about: str
    apply: Callable[[Frame, float, Random, Random], Frame]
    strengths: tuple[float, float, float, float, float]


@dataclass(frozen=True, eq=False)
class CorruptedFrames:
    """Frames of a scan, spoilt when they are read; its data type is kept.

    window  (low, high) intensities taken as black and white
    """

    source: FrameSource
    corruption: Corruption
    severity: int
    seed: int
    name: str
    window: tuple[float, float]

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(self.source.shape)

    @property
    def dtype(self) -> np.dtype[Any]:
        return self.source.dtype

    def read(self, index: int) -> NDArray[Any]:
        pixels = self.source.read(index)
        low, high = self.window
        scaled = np.clip((pixels.astype(np.float32) - low) / (high - low), 0, 1)
        spoilt = corrupted(scaled, self.corruption.name, self.severity, self.seed, self.name, index)
        values = spoilt * (high - low) + low
        if self.dtype.kind in "ui":
            limits = np.iinfo(self.dtype)
            return np.clip(np.round(values), limits.min, limits.max).astype(self.dtype)
        return values.astype(self.dtype)


def corrupted(
    frame: Frame, name: str, severity: int, seed: int = 0, clip: str = "", index: int = 0
) -> NDArray[np.float32]:
    """A frame (height, width[, channels]) of floats 0 to 1, spoilt; the same for the same seed, clip and index.

    Raises InputError for another corruption or severity.
    """
    corruption = corruption_named(name)
    if severity not in SEVERITIES:
        raise InputError("E-SEVERITY", f"There is no severity {severity}.", "Choose 1 to 5.")
    whole = np.asarray(frame, dtype=np.float32)
    plane = whole[..., None] if whole.ndim == 2 else whole
    of_clip, of_frame = rng_of(seed, name, clip), rng_of(seed, name, clip, index)
    spoilt = corruption.apply(plane, corruption.strengths[severity - 1], of_clip, of_frame)
    return np.clip(spoilt, 0, 1).astype(np.float32).reshape(whole.shape)


def corrupted_scan(scan: Scan, name: str, severity: int, seed: int = 0, clip: str = "") -> Scan:
    """A picture or video whose frames are spoilt as they are read.

    Raises InputError for a volume: its slices have neither smoke nor reflections.
    """
    if scan.kind is ScanKind.VOLUME:
        raise InputError(
            "E-CORRUPT-VOLUME",
            "Corruptions are for pictures and video, not for volumes.",
            "Take one of its slices as a picture.",
        )
    corruption = corruption_named(name)
    frames = CorruptedFrames(scan.source, corruption, severity, seed, clip, display_window(scan))
    return replace(scan, source=frames, file=None)


def corrupted_case(case: LabeledScan, name: str, severity: int, seed: int) -> LabeledScan:
    """A labeled picture or video with spoilt frames and its own truth."""
    return replace(case, scan=corrupted_scan(case.scan, name, severity, seed, case.case.id))


def corruption_named(name: str) -> Corruption:
    """A corruption by name; raises InputError naming those there are."""
    if name not in CORRUPTIONS:
        raise InputError("E-CORRUPTION", f'There is no corruption "{name}".', f"Choose from {', '.join(CORRUPTIONS)}.")
    return CORRUPTIONS[name]


# --- noise ------------------------------------------------------------------------------------------------------------


def _gaussian_noise(frame: Frame, strength: float, clip: Random, now: Random) -> Frame:
    return frame + now.normal(0, strength, frame.shape).astype(np.float32)


def _shot_noise(frame: Frame, strength: float, clip: Random, now: Random) -> Frame:
    return (now.poisson(frame * strength) / strength).astype(np.float32)


def _impulse_noise(frame: Frame, strength: float, clip: Random, now: Random) -> Frame:
    drawn = now.random(frame.shape[:2])[..., None]
    return np.where(drawn < strength / 2, 0, np.where(drawn > 1 - strength / 2, 1, frame)).astype(np.float32)


# --- blur -------------------------------------------------------------------------------------------------------------


def _scale(frame: Frame) -> float:
    return max(frame.shape[:2]) / REFERENCE


def _defocus(frame: Frame, strength: float, clip: Random, now: Random) -> Frame:
    """A disk, as an unfocused lens makes it."""
    radius = max(0.6, strength * _scale(frame))
    reach = int(np.ceil(radius))
    away = np.hypot(*np.ogrid[-reach : reach + 1, -reach : reach + 1])
    return _convolved(frame, np.clip(radius + 0.5 - away, 0, 1))


def _motion_blur(frame: Frame, strength: float, clip: Random, now: Random) -> Frame:
    """A line in a direction that the clip keeps, nearly."""
    angle = clip.uniform(0, np.pi) + now.normal(0, 0.1)
    length = max(1.5, strength * _scale(frame))
    reach = int(np.ceil(length / 2)) + 1
    line = np.zeros((2 * reach + 1, 2 * reach + 1))
    for offset in np.linspace(-length / 2, length / 2, 4 * reach + 1):
        y, x = reach + np.sin(angle) * offset, reach + np.cos(angle) * offset
        top, left, down, right = int(y), int(x), y % 1, x % 1
        line[top : top + 2, left : left + 2] += np.outer((1 - down, down), (1 - right, right))
    return _convolved(frame, line)


def _convolved(frame: Frame, kernel: NDArray[np.float64]) -> Frame:
    """A frame under a kernel of odd size, brought to the sum 1; its border is continued."""
    reach = kernel.shape[0] // 2
    padded = np.pad(frame, ((reach, reach), (reach, reach), (0, 0)), mode="edge")
    return np.asarray(oaconvolve(padded, (kernel / kernel.sum())[..., None], mode="valid", axes=(0, 1)), np.float32)


def _zoom_blur(frame: Frame, strength: float, clip: Random, now: Random) -> Frame:
    sizes = np.linspace(1, 1 + strength, 9)
    return np.mean([_enlarged(frame, float(size)) for size in sizes], axis=0, dtype=np.float32)


def _enlarged(frame: Frame, size: float) -> Frame:
    """The middle of a frame, enlarged to fill it."""
    height, width = frame.shape[:2]
    rows = (np.arange(height) - (height - 1) / 2) / size + (height - 1) / 2
    columns = (np.arange(width) - (width - 1) / 2) / size + (width - 1) / 2
    grid = np.meshgrid(rows, columns, indexing="ij")
    return np.stack([map_coordinates(frame[..., c], grid, order=1, mode="nearest") for c in range(frame.shape[2])], -1)


# --- light and files --------------------------------------------------------------------------------------------------


def _brightness(frame: Frame, strength: float, clip: Random, now: Random) -> Frame:
    return frame * strength


def _darkness(frame: Frame, strength: float, clip: Random, now: Random) -> Frame:
    """Little light, and none at the rim, as from a lamp on the tip."""
    height, width = frame.shape[:2]
    y, x = np.ogrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j]
    fall = 1 - 0.6 * strength * np.clip((x**2 + y**2) / 2, 0, 1)
    return np.asarray(frame * (1 - strength) * fall[..., None], dtype=np.float32)


def _contrast(frame: Frame, strength: float, clip: Random, now: Random) -> Frame:
    mean = frame.mean(axis=(0, 1), keepdims=True)
    return (frame - mean) * strength + mean


def _gamma(frame: Frame, strength: float, clip: Random, now: Random) -> Frame:
    return np.asarray(frame**strength, dtype=np.float32)


def _jpeg(frame: Frame, strength: float, clip: Random, now: Random) -> Frame:
    stream = io.BytesIO()
    pixels = (np.clip(frame, 0, 1) * 255).round().astype(np.uint8)
    three = np.repeat(pixels, 3, axis=2) if pixels.shape[2] == 1 else pixels[..., :3]
    Image.fromarray(three).save(stream, format="JPEG", quality=int(strength))
    back = np.asarray(Image.open(stream), dtype=np.float32) / np.float32(255)
    return back[..., :1] if frame.shape[2] == 1 else back


def _pixelate(frame: Frame, strength: float, clip: Random, now: Random) -> Frame:
    height, width = frame.shape[:2]
    small = max(2, round(width * strength)), max(2, round(height * strength))
    planes = []
    for c in range(frame.shape[2]):
        shrunk = Image.fromarray(frame[..., c]).resize(small, Image.Resampling.BOX)
        planes.append(np.asarray(shrunk.resize((width, height), Image.Resampling.NEAREST)))
    return np.stack(planes, axis=-1)


# --- what hangs in front of the tissue --------------------------------------------------------------------------------


def _smoke(frame: Frame, strength: float, clip: Random, now: Random) -> Frame:
    """Billows of gray that drift from frame to frame, denser in places."""
    density = strength * (0.35 + 0.65 * _billows(frame.shape[:2], clip, now, sharp=2.2))[..., None]
    density = density * _scene(frame)
    return np.asarray(frame * (1 - density) + 0.82 * density, np.float32)


def _fog(frame: Frame, strength: float, clip: Random, now: Random) -> Frame:
    """An even veil on the lens: less contrast, less detail."""
    veil = strength * (0.8 + 0.2 * _billows(frame.shape[:2], clip, now, sharp=1.0))[..., None] * _scene(frame)
    soft = gaussian_filter(frame, (2.5 * strength * _scale(frame), 2.5 * strength * _scale(frame), 0))
    return soft * (1 - veil) + (0.6 + 0.25 * soft.mean()) * veil


def _blood(frame: Frame, strength: float, clip: Random, now: Random) -> Frame:
    """A red tint that takes the light, in pools."""
    pools = _billows(frame.shape[:2], clip, now, sharp=1.6)[..., None]
    cover = np.clip(strength * (0.45 + 0.9 * pools), 0, 0.95) * _scene(frame)
    red = np.array([0.45, 0.03, 0.04], dtype=np.float32)
    tint = red if frame.shape[2] == 3 else red.mean(keepdims=True)
    lit = frame.mean(axis=2, keepdims=True)
    return frame * (1 - cover) + tint * (0.35 + 0.9 * lit) * cover


def _specular(frame: Frame, strength: float, clip: Random, now: Random) -> Frame:
    """Wet tissue mirrors the lamp: small burnt-out spots with soft rims, most of them where it is bright already."""
    height, width = frame.shape[:2]
    glow = np.zeros((height, width), dtype=np.float32)
    bright = (gaussian_filter(frame.mean(axis=2), 4 * _scale(frame)) ** 2 + 1e-3).ravel()
    count = round(14 * strength)
    places = clip.choice(height * width, count, p=bright / bright.sum())
    for place in places:
        y, x = divmod(int(place), width)
        y, x = y + now.normal(0, 2 * _scale(frame)), x + now.normal(0, 2 * _scale(frame))
        long = float(np.exp(clip.uniform(0.5, 2.6))) * _scale(frame)
        _add_spot(glow, y, x, long, long * clip.uniform(0.3, 0.9), clip.uniform(0, np.pi))
    glow = np.clip(gaussian_filter(glow, 0.7 * _scale(frame)) * 1.5, 0, 1)[..., None] * _scene(frame)
    return frame * (1 - glow) + glow


def _add_spot(glow: NDArray[np.float32], y: float, x: float, long: float, wide: float, angle: float) -> None:
    reach = int(np.ceil(3 * long)) + 1
    top, left = max(0, int(y) - reach), max(0, int(x) - reach)
    part = glow[top : int(y) + reach + 1, left : int(x) + reach + 1]
    rows, columns = np.ogrid[top : top + part.shape[0], left : left + part.shape[1]]
    dy, dx = rows - y, columns - x
    along, across = dx * np.cos(angle) + dy * np.sin(angle), dy * np.cos(angle) - dx * np.sin(angle)
    np.maximum(part, np.exp(-(((along / long) ** 2 + (across / wide) ** 2) ** 1.5)), out=part)


def _scene(frame: Frame) -> NDArray[np.float32]:
    """1 where the camera sees something, 0 on the black mask round an endoscope's picture (height, width, 1)."""
    dark, _ = label(frame.max(axis=2) < BLACK)
    corners = {int(dark[y, x]) for y in (0, -1) for x in (0, -1)} - {0}
    return np.asarray(~np.isin(dark, list(corners)), dtype=np.float32)[..., None]


def _billows(shape: tuple[int, int], clip: Random, now: Random, sharp: float) -> NDArray[np.float32]:
    """Smooth random clouds, 0 to 1 (height, width), a little different on every frame of a clip."""
    total = np.zeros(shape, dtype=np.float32)
    for octave, weight in ((3, 1.0), (6, 0.5), (12, 0.25), (24, 0.12)):
        cells = clip.random((octave, octave)) + 0.15 * now.random((octave, octave))
        size = shape[0] / octave, shape[1] / octave
        fine = zoom(cells, size, order=3, mode="nearest", grid_mode=True)
        total += weight * fine[: shape[0], : shape[1]].astype(np.float32)
    low, high = np.percentile(total, (1, 99))
    return np.asarray(np.clip((total - low) / max(float(high - low), 1e-6), 0, 1) ** sharp, dtype=np.float32)


CORRUPTIONS: Mapping[str, Corruption] = {
    one.name: one
    for one in (
        Corruption("gaussian-noise", "sensor noise", _gaussian_noise, (0.03, 0.06, 0.1, 0.16, 0.25)),
        Corruption("shot-noise", "noise of little light", _shot_noise, (200.0, 80.0, 30.0, 12.0, 5.0)),
        Corruption("impulse-noise", "dead and burnt pixels", _impulse_noise, (0.005, 0.02, 0.05, 0.1, 0.2)),
        Corruption("defocus-blur", "out of focus", _defocus, (2.0, 3.5, 5.5, 8.0, 12.0)),
        Corruption("motion-blur", "the camera moves", _motion_blur, (6.0, 12.0, 20.0, 30.0, 45.0)),
        Corruption("zoom-blur", "the camera advances", _zoom_blur, (0.03, 0.07, 0.12, 0.18, 0.28)),
        Corruption("brightness", "overexposed", _brightness, (1.25, 1.6, 2.1, 2.8, 3.8)),
        Corruption("darkness", "too little light", _darkness, (0.2, 0.38, 0.55, 0.7, 0.82)),
        Corruption("contrast", "flat", _contrast, (0.75, 0.55, 0.4, 0.27, 0.16)),
        Corruption("gamma", "a wrong tone curve", _gamma, (1.3, 1.7, 2.2, 2.9, 3.8)),
        Corruption("jpeg", "compressed", _jpeg, (50.0, 28.0, 15.0, 9.0, 5.0)),
        Corruption("pixelate", "enlarged from few pixels", _pixelate, (0.5, 0.33, 0.22, 0.14, 0.09)),
        Corruption("smoke", "smoke of the diathermy", _smoke, (0.25, 0.4, 0.58, 0.75, 0.9)),
        Corruption("fog", "a fogged lens", _fog, (0.2, 0.35, 0.5, 0.66, 0.8)),
        Corruption("blood", "blood over the field", _blood, (0.2, 0.35, 0.52, 0.7, 0.88)),
        Corruption("specular", "reflections of the lamp", _specular, (1.0, 2.0, 4.0, 7.0, 12.0)),
    )
}
