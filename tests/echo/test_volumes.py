"""Volumes and phases of shapes whose numbers are known; contours for strain; agreement against formulas."""

from __future__ import annotations

import numpy as np
import pytest

from delineate.core.errors import InputError
from delineate.echo.agreement import agreement
from delineate.echo.chamber import CONTOUR_POINTS, Chamber, chamber_of
from delineate.echo.phases import EndFrames, end_frames, temporal_consistency
from delineate.echo.record import View, structure_meant, view_named
from delineate.echo.volumes import area_length, ejection_fraction, lengths_differ, simpson
from small_hearts import half_ellipse, volume

SPACINGS = [(0.5, 0.5), (0.6, 0.45)]
KNOWN = ("neighbors", "wall", "atrium", "alone")


def measured(length: float, width: float, spacing: tuple[float, float], turn: float, known: str) -> Chamber:
    labels = half_ellipse(length, width, spacing, turn, side=260)
    wall = labels == 2 if known in ("neighbors", "wall") else None
    beyond = labels == 3 if known in ("neighbors", "atrium") else None
    return chamber_of(labels == 1, spacing, wall, beyond)


@pytest.mark.parametrize("known", KNOWN)
@pytest.mark.parametrize("shape", [(80, (48, 44), 0), (70, (40, 46), 25), (62, (38, 33), -35)], ids=str)
def test_half_an_ellipsoid_within_a_percent(shape: tuple[float, tuple[float, float], float], known: str) -> None:
    length, widths, turn = shape
    for spacing in SPACINGS:
        one, other = (measured(length, width, spacing, turn, known) for width in widths)
        truth = volume(length, *widths)
        assert simpson(one, other) == pytest.approx(truth, rel=0.01)
        assert area_length(one, other) == pytest.approx(truth, rel=0.01)
        assert simpson(one) == pytest.approx(volume(length, widths[0], widths[0]), rel=0.012)
        assert one.length == pytest.approx(length, abs=0.8) and not lengths_differ(one, other)


@pytest.mark.parametrize("depth", [14, 22, 40])
def test_a_chamber_wider_than_twice_its_depth_has_its_apex_over_the_base(depth: float) -> None:
    """An atrium in part: the ends of its base are farther from the middle of the base than its far wall."""
    for turn in (0, 15, 40):
        labels = half_ellipse(depth, 44, (0.6, 0.6), turn)
        one = chamber_of(labels == 1, (0.6, 0.6), beyond=labels == 3)
        assert simpson(one) == pytest.approx(volume(depth, 44, 44), rel=0.04)
        assert one.length == pytest.approx(depth, abs=0.8)


@pytest.mark.parametrize("known", ("neighbors", "wall"))
@pytest.mark.parametrize("lost", ("lateral", "lateral and half the atrium", "apex", "septum in part"))
def test_a_wall_that_is_cut_off_is_no_base(lost: str, known: str) -> None:
    """The edge of the sector, and drop-out: the wall is missing beside the chamber, longer than the annulus is."""
    labels = half_ellipse(80, 36, (0.5, 0.5), side=260)
    whole = chamber_of(labels == 1, (0.5, 0.5))
    y, x = np.mgrid[:260, :260]
    if lost.startswith("lateral"):
        labels[x > 130 + 32] = 0  # 2 mm of the cavity, too
    if "atrium" in lost:
        labels[(labels == 3) & (x < 130)] = 0
    if lost == "apex":
        labels[(labels == 2) & (y < 110)] = 0
    if lost.startswith("septum"):
        labels[(labels == 2) & (x < 130) & (y < 165)] = 0
    beyond = labels == 3 if known == "neighbors" else None
    one = chamber_of(labels == 1, (0.5, 0.5), labels == 2, beyond)
    assert one.length == pytest.approx(80, abs=1.2)
    assert simpson(one) == pytest.approx(simpson(whole) * (0.94 if "lateral" in lost else 1), rel=0.025)


def test_discs_beside_a_sum_over_columns() -> None:
    """An independent way: a shape that stands upright is turned about its middle line, row by row of pixels."""
    labels = half_ellipse(70, 42, (0.5, 0.5), side=260)
    rows = (labels == 1).sum(axis=1) * 0.5
    turned = float((np.pi / 4 * rows**2).sum() * 0.5) / 1000
    assert simpson(chamber_of(labels == 1, (0.5, 0.5), labels == 2)) == pytest.approx(turned, rel=0.006)


def test_ejection_fraction() -> None:
    assert ejection_fraction(100, 40) == 60 and ejection_fraction(3.0, 3.0) == 0
    with pytest.raises(InputError, match="end-diastolic") as told:
        ejection_fraction(0, 0)
    assert told.value.code == "E-ECHO-EMPTY"
    first, last = (measured(72, 44, (0.5, 0.5), 10, "neighbors"), measured(63, 33, (0.5, 0.5), 10, "neighbors"))
    truth = 100 * (1 - volume(63, 33, 33) / volume(72, 44, 44))
    assert ejection_fraction(simpson(first), simpson(last)) == pytest.approx(truth, abs=0.5)


def test_the_contour_goes_from_annulus_over_apex_to_annulus() -> None:
    labels = half_ellipse(72, 44, (0.5, 0.5), 20, side=260)
    one = chamber_of(labels == 1, (0.5, 0.5), labels == 2, labels == 3)
    assert one.contour.shape == (CONTOUR_POINTS, 2)
    steps = np.linalg.norm(np.diff(one.contour, axis=0), axis=1)
    assert steps.std() / steps.mean() < 0.05 and one.contour[0, 0] < one.contour[-1, 0]
    ends = np.linalg.norm(one.contour[0] - one.contour[-1]) * 0.5
    assert ends == pytest.approx(44, abs=1.5)
    middle = (one.contour[0] + one.contour[-1]) / 2
    farthest = np.linalg.norm(one.contour - middle, axis=1).argmax()
    assert abs(int(farthest) - CONTOUR_POINTS // 2) <= 1
    assert np.linalg.norm(one.contour[farthest] - np.array(one.apex)) < 3
    angles = np.linspace(0, np.pi, 2000)  # of half an ellipse
    arc = np.linalg.norm(np.diff(np.column_stack([22 * np.cos(angles), 72 * np.sin(angles)]), axis=0), axis=1).sum()
    assert one.arc == pytest.approx(arc, rel=0.012)


def test_holes_and_specks_do_not_count() -> None:
    labels = half_ellipse(70, 42)
    mask = labels == 1
    odd = mask.copy()
    odd[70, 80] = False
    odd[:3, :3] = True
    assert simpson(chamber_of(odd)) == pytest.approx(simpson(chamber_of(mask)))


def test_what_cannot_be_measured_is_told() -> None:
    for mask, code in ((np.zeros((40, 40), bool), "E-ECHO-EMPTY"), (np.eye(40, dtype=bool), "E-ECHO-SMALL")):
        with pytest.raises(InputError) as told:
            chamber_of(mask)
        assert told.value.code == code and told.value.hint


def test_odd_shapes_end_in_numbers() -> None:
    rng = np.random.default_rng(0)
    for _ in range(6):
        noise = rng.random((40, 50)) < 0.62
        one = chamber_of(noise, (0.5, 0.7))
        assert np.isfinite(one.diameters).all() and one.length > 0 and np.isfinite(one.contour).all()
    whole = chamber_of(np.ones((30, 40), bool))
    assert np.isfinite(whole.diameters).all()


CURVES = {
    "one beat": ([9, 8, 5, 3, 4, 7, 8.5], EndFrames(0, 3)),
    "a half, backwards": ([3, 4, 6, 8], EndFrames(3, 0)),
    "two beats": ([8, 6, 4, 6, 9, 6, 3.9, 6, 8.9, 6, 3.8], EndFrames(4, 6)),
    "a last beat that is cut off": ([8, 6, 3, 6, 8, 6, 3.5, 6, 8.5, 7, 6], EndFrames(8, 6)),
    "the end of a last beat": ([8, 6, 3, 6, 8, 6, 3.5, 6, 8.5, 6, 3.6], EndFrames(8, 10)),
    "end-diastole last": ([8, 6, 3, 6, 8, 6, 3.5, 6, 8.5], EndFrames(8, 6)),
    "unlabeled between": ([0, 9, 0, 0, 4, 0], EndFrames(1, 4)),
}


@pytest.mark.parametrize("name", CURVES)
def test_end_frames_of_a_curve(name: str) -> None:
    areas, wanted = CURVES[name]
    assert end_frames(areas) == wanted


FLAT = [([0, 5, 0], "on 1 of 3"), ([100, 101, 100.5], "not seen to beat"), ([], "on 0 of 0")]


@pytest.mark.parametrize(("areas", "words"), FLAT)
def test_curves_that_show_no_beat_are_told(areas: list[float], words: str) -> None:
    with pytest.raises(InputError, match=words) as told:
        end_frames(areas)
    assert told.value.code == "E-ECHO-PHASES" and "--ed" in told.value.hint


def test_temporal_consistency() -> None:
    assert temporal_consistency([1, 2, 3, 4]) == 0
    assert temporal_consistency([0, 1, 0, 1]) == 2
    assert temporal_consistency([0, 2, 2]) == pytest.approx(1)
    assert np.isnan(temporal_consistency([3, 3, 3])) and np.isnan(temporal_consistency([1, 2]))


def test_agreement_by_hand() -> None:
    one = agreement([11, 19, 33, float("nan")], [10, 20, 30, 5])
    apart = np.array([1, -1, 3.0])
    assert one.count == 3 and one.bias == pytest.approx(1) and one.error == pytest.approx(5 / 3)
    assert (one.low, one.high) == pytest.approx((1 - 1.96 * apart.std(ddof=1), 1 + 1.96 * apart.std(ddof=1)))
    assert one.correlation == pytest.approx(np.corrcoef([11, 19, 33], [10, 20, 30])[0, 1])
    assert agreement([], []).count == 0 and np.isnan(agreement([1], [2]).low)


def test_names() -> None:
    assert view_named("4CH") is View.A4C and view_named(" a2c") is View.A2C and view_named("long") is View.UNKNOWN
    assert structure_meant("LV_endo") == "left ventricle" and structure_meant("right ventricle") is None
