"""EF, volumes and contours from outlines of one or two views; through ``delineate measure``; what is missing, told."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

import small_hearts
from delineate.cli import app
from delineate.core.errors import InputError
from delineate.core.grid import Grid
from delineate.core.rle import Rle
from delineate.core.scan import Scan
from delineate.core.segmentation import Segmentation
from delineate.echo.volumes import ejection_fraction
from delineate.io.saving import save
from delineate.labels.heart import ViewOptions, measure_heart
from delineate.verbs.measure import MeasureRequest, measure

NAMES = {1: "left ventricle", 2: "myocardium", 3: "left atrium"}
MIDDLE = small_hearts.FRAMES // 2
VOLUMES = [small_hearts.volume(72 - 8 * c, 44 * (1 - c / 4), 40 * (1 - c / 4)) for c in (0, 1)]


def outlines(view: str, labels: np.ndarray | None = None) -> Segmentation:
    labels = small_hearts.clip(view) if labels is None else labels
    found = Segmentation.empty(Scan.from_frames(labels))
    for value, name in NAMES.items():
        masks = {n: Rle.encode(frame == value) for n, frame in enumerate(labels) if (frame == value).any()}
        found = found.adding(name, label=value).with_masks(name, masks)
    return found


def both(second: Segmentation | None = None) -> list[tuple[Segmentation, ViewOptions]]:
    return [(outlines("4CH"), ViewOptions("a", 0.6)), (second or outlines("2CH"), ViewOptions("b", 0.6))]


def test_two_views_give_biplane_volumes() -> None:
    found = measure_heart(both())
    assert found.edv == pytest.approx(VOLUMES[0], rel=0.015) and found.esv == pytest.approx(VOLUMES[1], rel=0.015)
    assert found.ef == pytest.approx(ejection_fraction(*VOLUMES), abs=0.6) and not found.notices
    assert found.edv_area_length == pytest.approx(VOLUMES[0], rel=0.02)
    assert {(view.ends.diastole, view.ends.systole) for view in found.views} <= {(0, MIDDLE), (8, MIDDLE)}
    strain = next(one.strain for one in found.views[0].frames if one.phase == "ES")
    assert -20 < strain < -8  # 72 to 64 mm long, 44 to 33 mm wide


def test_views_of_different_spacing_are_put_together_in_millimeters() -> None:
    fine = np.stack([small_hearts.half_ellipse(*small_hearts.shape_at("2CH", c), (0.4, 0.4), side=240) for c in (0, 1)])
    found = measure_heart([(outlines("4CH"), ViewOptions("a", 0.6)), (outlines("2CH", fine), ViewOptions("b", 0.4))])
    assert found.edv == pytest.approx(VOLUMES[0], rel=0.015) and found.ef == pytest.approx(
        ejection_fraction(*VOLUMES), abs=0.7
    )


def test_one_view_without_millimeters() -> None:
    found = measure_heart([(outlines("4CH"), ViewOptions("a"))])
    assert found.edv is None and found.method.startswith("single")
    assert {notice.code for notice in found.notices} == {"W-ECHO-ONE-VIEW", "W-ECHO-PIXELS"}


def test_a_foreshortened_view_is_told() -> None:
    labels = np.stack([small_hearts.half_ellipse(50 - 6 * c, 40 - 10 * c) for c in (0.0, 1.0)])
    assert "W-ECHO-LENGTHS" in {notice.code for notice in measure_heart(both(outlines("2CH", labels))).notices}


def speck(labels: np.ndarray, frame: int, side: int) -> np.ndarray:
    """Something far from the heart is called a ventricle, too."""
    odd = labels.copy()
    odd[frame, 2 : 2 + side, 2 : 2 + side] = 1
    return odd


def test_other_parts_move_no_phase_and_are_told() -> None:
    labels = small_hearts.clip("4CH")
    whole = measure_heart([(outlines("4CH", labels), ViewOptions("a", 0.6))])
    for frame, told in ((1, set()), (MIDDLE, {"W-ECHO-PARTS"})):
        odd = speck(labels, frame, 30)
        found = measure_heart([(outlines("4CH", odd), ViewOptions("a", 0.6))])
        assert found.views[0].ends == whole.views[0].ends and found.ef == whole.ef
        assert {one.code for one in found.notices} == {"W-ECHO-ONE-VIEW"} | told


def test_a_frame_with_a_few_pixels_is_no_phase() -> None:
    labels = small_hearts.clip("4CH")
    lost = speck(np.where((labels == 1) & (np.arange(len(labels)) == 2)[:, None, None], 0, labels), 2, 3)
    found = measure_heart([(outlines("4CH", lost), ViewOptions("a", 0.6))])
    assert found.views[0].ends.systole == MIDDLE
    with pytest.raises(InputError, match="9 pixels"):
        measure_heart([(outlines("4CH", lost), ViewOptions("a", 0.6, diastole=0, systole=2))])


def test_more_than_a_heart_ejects_is_told() -> None:
    labels = small_hearts.clip("4CH")
    lost = speck(np.where((labels == 1) & (np.arange(len(labels)) == MIDDLE)[:, None, None], 0, labels), MIDDLE, 5)
    found = measure_heart([(outlines("4CH", lost), ViewOptions("a", 0.6))])
    assert found.ef > 90 and "W-ECHO-PHASES" in {one.code for one in found.notices}


def still() -> list[tuple[Segmentation, ViewOptions]]:
    return [(outlines("4CH", np.repeat(small_hearts.clip("4CH")[:1], 4, axis=0)), ViewOptions("a"))]


def blank() -> list[tuple[Segmentation, ViewOptions]]:
    return [(outlines("4CH", small_hearts.clip("4CH") * 0), ViewOptions("a"))]


FAULTS = {
    "no beat": (still, "E-ECHO-PHASES", "not seen to beat"),
    "nothing outlined": (blank, "E-ECHO-PHASES", "0 of 9"),
    "a frame without an outline": (
        lambda: [(outlines("4CH"), ViewOptions("a", None, 0, 40))], "E-ECHO-EMPTY", "frame 40",
    ),
    "one view calibrated": (
        lambda: [(outlines("4CH"), ViewOptions("a", 0.6)), (outlines("2CH"), ViewOptions("b"))], "E-ECHO-SPACING", "b",
    ),
    "no ventricle": (
        lambda: [(Segmentation.empty(Scan.from_frames(small_hearts.clip("4CH"))), ViewOptions("a"))],
        "E-ECHO-CLASSES", "left ventricle",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", FAULTS)
def test_what_is_missing_is_told(name: str) -> None:
    make, code, words = FAULTS[name]
    with pytest.raises(InputError, match=words) as told:
        measure_heart(make())
    assert told.value.code == code and told.value.hint


def stacked(folder: Path, view: str) -> Path:
    """Labels of a clip as a stack with 0.6 mm pixels."""
    labels = small_hearts.clip(view).transpose(2, 1, 0)
    scan = Scan.from_volume(labels, Grid(labels.shape, np.diag([0.6, 0.6, 1, 1])), 2)
    found = Segmentation.empty(scan)
    for value, name in NAMES.items():
        masks = {n: Rle.encode(value == labels[..., n].T) for n in range(labels.shape[2])}
        found = found.adding(name, label=value).with_masks(name, masks)
    save(found, folder / f"{view}.nii.gz", scan)
    return folder / f"{view}.nii.gz"


def test_from_the_command_line(tmp_path: Path) -> None:
    files = [str(stacked(tmp_path, view)) for view in ("4CH", "2CH")]
    words = ["measure", files[0], "--second-view", files[1], "--contours", str(tmp_path / "c.csv")]
    done = CliRunner().invoke(app, [*words, "--json"])
    assert done.exit_code == 0, done.output
    heart = json.loads(done.stdout)["heart"]
    assert heart["edv"] == pytest.approx(VOLUMES[0], rel=0.015) and heart["method"] == "biplane Simpson"
    assert len(heart["views"]) == 2 and heart["views"][0]["systole"] == MIDDLE
    with (tmp_path / "c.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 2 * small_hearts.FRAMES * 65 and {row["phase"] for row in rows} == {"ED", "ES", ""}
    plain = CliRunner().invoke(app, ["measure", files[0], "--ed", "0", "--es", str(MIDDLE)])
    assert plain.exit_code == 0 and "EF" in plain.stdout and "single-plane" in plain.stdout
    quiet = CliRunner().invoke(app, ["measure", files[0], "--json"])
    assert quiet.exit_code == 0 and "heart" not in json.loads(quiet.stdout)  # a stack of slices, as far as is known
    for option in (("--ed", "first"), ("--pixel-size", "0.3mm"), ("--pixel-size", "0.3,-1"), ("--pixel-size", "0")):
        wrong = CliRunner().invoke(app, ["measure", files[0], *option])
        assert isinstance(wrong.exception, InputError) and wrong.exception.code == "E-OPTION"


def test_pixels_of_each_view_have_their_size(tmp_path: Path) -> None:
    fine = np.stack([small_hearts.half_ellipse(*small_hearts.shape_at("2CH", c), (0.4, 0.4), side=240) for c in (0, 1)])
    a, b = (tmp_path / f"{view}.npz" for view in "ab")
    for file, view, labels in ((a, "4CH", small_hearts.clip("4CH")), (b, "2CH", fine)):
        save(outlines(view, labels), file, Scan.from_frames(labels))
    found = [
        MeasureRequest(input=a, second_view=b, ed=(0, 0), es=(MIDDLE, 1), pixel_size=sizes, echo=True)
        for sizes in ((0.6, 0.4), (0.6,))
    ]
    hearts = [measure(request).heart for request in found]
    assert hearts[0] is not None and hearts[1] is not None and hearts[1].edv is not None
    assert hearts[0].edv == pytest.approx(VOLUMES[0], rel=0.015) and hearts[1].edv > 1.3 * VOLUMES[0]


def test_a_size_beside_that_of_the_file_is_told(tmp_path: Path) -> None:
    file = stacked(tmp_path, "4CH")
    for size, told in ((0.3, True), (0.6, False)):
        done = measure(MeasureRequest(input=file, pixel_size=(size,), ed=(0,), es=(MIDDLE,)))
        assert ("W-ECHO-SPACING" in {notice.code for notice in done.notices}) is told


def test_phases_the_wrong_way_round_are_told() -> None:
    said = [ViewOptions("a", 0.6, *ends) for ends in ((0, MIDDLE), (MIDDLE, 0))]
    codes = [{notice.code for notice in measure_heart([(outlines("4CH"), one)]).notices} for one in said]
    assert "W-ECHO-PHASES" not in codes[0] and "W-ECHO-PHASES" in codes[1]


def test_steadiness_of_frames_that_are_not_all_outlined_is_not_made_up() -> None:
    labels = small_hearts.clip("4CH")
    whole = measure_heart([(outlines("4CH", labels), ViewOptions("a"))]).views[0].consistency
    later = np.concatenate([np.zeros_like(labels[:2]), labels])
    assert measure_heart([(outlines("4CH", later), ViewOptions("a"))]).views[0].consistency == pytest.approx(whole)
    labels[1:MIDDLE] = 0
    (view,) = measure_heart([(outlines("4CH", labels), ViewOptions("a"))]).views
    assert np.isnan(view.consistency) and view.as_json()["temporal_consistency"] is None


def test_the_left_atrium_is_measured_where_both_phases_show_it() -> None:
    found = measure_heart(both()).atrium
    truth = [small_hearts.volume(22, 44 * (1 - c / 4), 40 * (1 - c / 4)) for c in (1, 0)]  # end-systole first
    assert found is not None
    discs, areas = (found.largest, found.smallest), (found.largest_area_length, found.smallest_area_length)
    assert discs == pytest.approx(truth, rel=0.04) and areas == pytest.approx(truth, rel=0.04)
    assert found.emptying == pytest.approx(ejection_fraction(*discs))
    pixels = measure_heart([(outlines("4CH"), ViewOptions("a"))]).atrium
    assert pixels is not None and pixels.largest is None and np.isfinite(pixels.emptying)
    labels = small_hearts.clip("2CH")
    labels[MIDDLE][labels[MIDDLE] == 3] = 0
    assert measure_heart(both(outlines("2CH", labels))).atrium is None
