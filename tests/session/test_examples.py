"""Another picture's outline as a prompt: looked for, recorded whole in the log, undone and replayed."""

from __future__ import annotations

import numpy as np
import pytest

from delineate.core.errors import PromptError
from delineate.core.frame import Frame, Modality, ModalityName
from delineate.core.grid import Grid
from delineate.core.intensities import IntensityWindow
from delineate.core.picture_text import LONGEST, pixels_of, text_of
from delineate.core.prompt_log import PromptLog
from delineate.core.prompts import Example, Point
from delineate.core.scan import Scan
from delineate.fewshot.candidates import Origin
from delineate.fewshot.matcher import Match, Matcher
from delineate.preprocess.intensity import WindowRule, eight_bit
from delineate.quill.predictor import QuillPredictor
from delineate.session import Session
from delineate.session.examples import laid
from fewshot.example_pictures import blob_picture

SHOWN, OUTLINE = blob_picture(0, 80, 50, 18)


def test_an_example_is_found_recorded_and_replayed_without_its_file() -> None:
    pixels, truth = blob_picture(1, 95, 62, 21)
    scan, quill = Scan.from_frames(np.stack([pixels, pixels[::-1]])), QuillPredictor(threads=1)
    session = Session(scan, quill)
    result = session.prompt(Example.of(SHOWN, OUTLINE, frame=0), "blob")
    assert 2 * (result.mask & truth).sum() / (result.mask.sum() + truth.sum()) > 0.9
    assert 0.3 < result.score < 1
    log = PromptLog.model_validate_json(session.log.model_dump_json())
    again = Session.replay(scan, log, quill)
    assert np.array_equal(again.segmentation.mask("blob", 0), result.mask)
    assert again.segmentation["blob"].scores == session.segmentation["blob"].scores
    session.prompt(Point(95, 62, frame=0), "blob")
    assert session.undo() and session.undo()
    assert session.segmentation.names == ()


def test_an_example_is_looked_for_the_way_the_scan_lies(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []

    def match(self: Matcher, frame: Frame) -> dict[str, Match]:
        (support,) = self.supports
        seen.append((support.frame.pixels, support.masks[""]))
        return {"": Match(frame.pixels > 100, 0.7, Origin.COARSE, frame.pixels > 100)}

    monkeypatch.setattr(Matcher, "match", match)
    shown = Scan.from_volume(SHOWN.T[..., None], Grid((150, 120, 1), np.diag([1.0, 1, 1, 1])), 2)
    assert shown.frame_directions == ("R", "A")
    turned = SHOWN[::-1, ::-1]
    lying = Scan.from_volume(
        turned[..., None],
        Grid((120, 150, 1), np.array([[0.0, -1, 0, 0], [-1, 0, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]])),
        2,
    )  # x to the back, y to the left
    example = Example.of(shown.pixels(0), OUTLINE, frame=0, axes=shown.frame_directions)
    Session(lying, QuillPredictor(threads=1)).prompt(Example.model_validate_json(example.model_dump_json()), "blob")
    assert np.array_equal(seen[0][0], lying.pixels(0)) and np.array_equal(seen[0][1], OUTLINE[::-1, ::-1].T)
    Session(Scan.from_frames(SHOWN[None]), QuillPredictor(threads=1)).prompt(example, "blob")
    assert np.array_equal(seen[1][0], SHOWN), "what does not say how it lies is taken as it is"


@pytest.mark.parametrize("axes", [("L", "P"), ("P", "R"), ("A", "L")])
def test_a_picture_is_laid_as_wanted(axes: tuple[str, str]) -> None:
    values = np.arange(6).reshape(2, 3)  # x to the right, y to the front
    found = laid(values, ("R", "A"), axes)
    assert np.array_equal(laid(found, axes, ("R", "A")), values)
    assert np.array_equal(laid(values, ("R", "A"), ("R", "S")), values), "another plane"


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        pytest.param({"picture": "bm8="}, "E-EXAMPLE-PICTURE", id="no-picture"),
        pytest.param({"picture": "not base64"}, "E-EXAMPLE-PICTURE", id="no-base64"),
        pytest.param({"picture": text_of(SHOWN[:50])}, "E-EXAMPLE-ARRAYS", id="mask-of-another-size"),
        pytest.param({"picture": text_of(np.zeros((1100, 1000), np.uint8))}, "E-EXAMPLE-PICTURE", id="large"),
        pytest.param({"counts": (120 * 150,)}, "E-MASK-EMPTY", id="empty"),
    ],
)
def test_what_is_no_example_is_refused(fields: dict, code: str) -> None:
    whole = Example.of(SHOWN, OUTLINE).model_dump()
    with pytest.raises(PromptError) as raised:
        Example(**(whole | fields))
    assert raised.value.code == code


def test_arrays_that_do_not_match_are_refused_and_large_ones_made_smaller() -> None:
    with pytest.raises(PromptError) as raised:
        Example.of(SHOWN, OUTLINE[1:])
    assert raised.value.code == "E-EXAMPLE-ARRAYS"
    mask = np.zeros((2500, 1000), bool)
    mask[500:900, 300:600] = True
    small = Example.of(np.zeros(mask.shape, np.float32), mask)
    assert max(small.pixels.shape) <= LONGEST
    assert small.mask.sum() == pytest.approx(mask.sum() / 9, rel=0.05)


@pytest.mark.parametrize("kind", [np.uint8, np.int16, np.float32])
def test_a_picture_as_text_keeps_the_order_of_its_values(kind: type) -> None:
    values = np.random.default_rng(0).integers(0, 200, (9, 7)).astype(kind)
    again = pixels_of(text_of(values))
    assert np.array_equal(np.argsort(again, axis=None, kind="stable"), np.argsort(values, axis=None, kind="stable"))


def _ct() -> np.ndarray:
    """Air, fat, liver and bone, in HU."""
    return np.random.default_rng(0).normal([[[-1000]], [[-100]], [[60]], [[900]]], 30, (4, 40, 30)).reshape(40, 30, 4)


def _mr() -> np.ndarray:
    """A dim slice of a bright volume."""
    return np.random.default_rng(1).uniform(0, [100, 3000, 3000, 3000], (40, 30, 4))


@pytest.mark.parametrize("rule", [WindowRule.MEDSAM, WindowRule.MEDSAM2])
@pytest.mark.parametrize(
    "scan",
    [
        pytest.param(Scan.from_volume(_ct().astype(np.int16), modality=Modality(ModalityName.CT)), id="ct"),
        pytest.param(Scan.from_volume(_ct().astype(np.float32)), id="looks-like-ct"),
        pytest.param(Scan.from_volume(_ct(), modality=Modality(ModalityName.CT), window=(-200.0, 300.0)), id="of-file"),
        pytest.param(Scan.from_volume(_ct().astype(np.int16)).with_window(IntensityWindow(0, 80)), id="chosen"),
        pytest.param(Scan.from_volume(_mr().astype(np.uint16)), id="dim-slice"),
        pytest.param(Scan.from_volume(_mr().astype(np.uint8)), id="8-bit"),
    ],
)
def test_an_example_is_seen_through_the_window_of_its_scan(scan: Scan, rule: WindowRule) -> None:
    frame = scan.frame(0)
    outline = np.ones(frame.size, bool)
    example = Example.model_validate_json(Example.of(frame, outline).model_dump_json())
    seen, wanted = (eight_bit(one, rule).astype(int) for one in (example.shown, frame))
    assert np.abs(seen - wanted).max() <= 1 and np.ptp(wanted) > 5


def test_the_window_of_an_example_reaches_the_matcher(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []

    def match(self: Matcher, frame: Frame) -> dict[str, Match]:
        seen.extend(eight_bit(support.frame) for support in self.supports)
        return {"": Match(frame.pixels > 100, 0.7, Origin.COARSE, frame.pixels > 100)}

    monkeypatch.setattr(Matcher, "match", match)
    scan = Scan.from_volume(_ct().astype(np.int16), modality=Modality(ModalityName.CT))
    example = Example.of(scan.frame(1), np.ones((30, 40), bool), frame=3)
    Session(scan, QuillPredictor(threads=1)).prompt(example, "liver")
    assert np.abs(seen[0].astype(int) - eight_bit(scan.frame(1))).max() <= 1


def test_an_example_of_an_earlier_log_means_light_and_dark() -> None:
    earlier = Example.of(_mr()[..., 0], np.ones((40, 30), bool)).model_dump(exclude={"values"})
    assert np.array_equal(Example(**earlier).shown.pixels, pixels_of(earlier["picture"]))


def test_an_example_on_no_frame_is_refused() -> None:
    session = Session(Scan.from_frames(np.stack([SHOWN])), QuillPredictor(threads=1))
    with pytest.raises(PromptError) as raised:
        session.prompt(Example.of(SHOWN, OUTLINE, frame=3), "blob")
    assert raised.value.code == "E-PROMPT-FRAME"
    assert session.segmentation.names == ()
