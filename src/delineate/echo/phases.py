"""End-diastole and end-systole from the area of the left ventricle over a clip; how smoothly it changes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from scipy import ndimage, signal

from delineate.core.errors import InputError

LEAST_CHANGE: Final = 0.03  # of the largest area: below it nothing is seen to beat
BEAT: Final = 0.3  # of the range of areas that a beat goes through, at least
CUT_SHORT: Final = 0.1  # of the range of areas, by which a last systole is larger than the one before at most
SMOOTH: Final = 1.0  # frames: flicker from frame to frame begins no beat


@dataclass(frozen=True)
class EndFrames:
    """Frames of one beat: the largest and the smallest ventricle."""

    diastole: int
    systole: int


def end_frames(areas: Sequence[float] | np.ndarray) -> EndFrames:
    """End-diastole and end-systole of the beat with the largest area.

    Parameters
    ----------
    areas
        Of the left ventricle, a frame each; NaN or 0 where it is not outlined.

    Notes
    -----
    Of several beats end-systole is the smallest area after that end-diastole and before the next one; where the clip
    ends before the ventricle is as small as in the beat before, the smallest area of that one.

    Raises
    ------
    InputError
        With fewer than two outlined frames, and where the area does not change by 3 %.
    """
    curve = np.nan_to_num(np.asarray(areas, float))
    seen = np.flatnonzero(curve > 0)
    hint = "Say them yourself (--ed FRAME --es FRAME), or outline more frames."
    if len(seen) < 2:
        raise InputError(
            "E-ECHO-PHASES",
            f"The left ventricle is outlined on {len(seen)} of {len(curve)} frames: end-diastole and end-systole "
            "cannot be found.",
            hint,
        )
    own = curve[seen]
    if np.ptp(own) < LEAST_CHANGE * own.max():
        raise InputError(
            "E-ECHO-PHASES",
            f"The area of the left ventricle changes by {100 * np.ptp(own) / own.max():.1f} % over the clip: it is not "
            "seen to beat.",
            hint,
        )
    diastole = int(own.argmax())
    even = ndimage.gaussian_filter1d(own, SMOOTH) if len(own) > 4 else own
    tops, _ = signal.find_peaks(np.pad(even, 1, constant_values=-np.inf), prominence=BEAT * np.ptp(even))
    tops = tops - 1
    beats = [top for top in tops if np.ptp(even[min(top, diastole) : max(top, diastole) + 1]) >= BEAT * np.ptp(even)]
    later, before = [top for top in beats if top > diastole], [top for top in beats if top < diastole]
    following = own[diastole : later[0] if later else None]
    start = before[-1] if before else 0
    earlier = own[start : diastole + 1]
    seen_through = bool(later) or following.min() <= earlier.min() + CUT_SHORT * np.ptp(own)
    if following.min() <= own.max() - BEAT * np.ptp(own) and seen_through:
        return EndFrames(int(seen[diastole]), int(seen[diastole + int(following.argmin())]))
    return EndFrames(int(seen[diastole]), int(seen[start + int(earlier.argmin())]))


def temporal_consistency(areas: Sequence[float] | np.ndarray) -> float:
    """Mean of |a(t-1) + a(t+1) - 2 a(t)| over the inner frames, over the range of areas; less is smoother.

    The second difference of an attribute over its range, as CARDINAL judges sequences; MediViSTA does not say its
    formula, so this is our reading. NaN of fewer than three frames, and of areas that do not change.
    """
    curve = np.asarray(areas, float)
    if len(curve) < 3 or not np.isfinite(curve).all() or np.ptp(curve) == 0:
        return float("nan")
    return float(np.abs(curve[:-2] + curve[2:] - 2 * curve[1:-1]).mean() / np.ptp(curve))
