"""How well two ways of measuring agree: Bland-Altman limits and correlation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Agreement:
    """Of measured and reference values.

    bias         mean of measured - reference
    low, high    limits of agreement: bias -+ 1.96 standard deviations of the differences
    correlation  Pearson's; NaN where either does not vary
    error        mean absolute difference
    """

    count: int
    bias: float
    low: float
    high: float
    correlation: float
    error: float


def agreement(measured: Sequence[float], reference: Sequence[float]) -> Agreement:
    """Bland and Altman, Lancet 1986; 327: 307-310. Pairs with a value that is not finite are left out.

    Limits and correlation are NaN of fewer than two pairs.
    """
    pairs = np.array([(m, r) for m, r in zip(measured, reference, strict=True) if np.isfinite(m) and np.isfinite(r)])
    nan = float("nan")
    if not len(pairs):
        return Agreement(0, nan, nan, nan, nan, nan)
    apart = pairs[:, 0] - pairs[:, 1]
    bias, error = float(apart.mean()), float(np.abs(apart).mean())
    if len(pairs) < 2:
        return Agreement(1, bias, nan, nan, nan, error)
    spread = 1.96 * float(apart.std(ddof=1))
    varied = bool((np.ptp(pairs, axis=0) > 0).all())
    r = float(np.corrcoef(pairs.T)[0, 1]) if varied else nan
    return Agreement(len(pairs), bias, bias - spread, bias + spread, r, error)
