"""A second model is asked about every outline; where it differs is told first, recorded and repeated."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
from PIL import Image

from bright_predictor import BrightPredictor
from delineate.cli.segment_report import _doubts
from delineate.core.errors import DelineateError, ModelError
from delineate.core.frame import Frame
from delineate.core.manifest import Manifest, ObjectRecord
from delineate.core.prompts import Box, Mask, Point, Prompt
from delineate.evaluation.baselines import BaselinePredictor
from delineate.predictors.frame_predictor import Predictor
from delineate.predictors.second_opinion import OpinionMap, OpinionPrompt, OpinionTable
from delineate.session.second_opinion import FrameOpinion, with_opinions
from delineate.systems import SYSTEMS, routing
from delineate.systems.routing import Routed
from delineate.verbs import routing as verb_routing
from delineate.verbs import second_opinion as verb_opinion
from delineate.verbs.outcome import Outcome
from delineate.verbs.replay import ReplayRequest, replay
from delineate.verbs.request import ModelChoice, OutputChoice, RunResult
from delineate.verbs.segment import SegmentRequest, SegmentResult, SegmentTarget, segment

BOX = Box(8, 8, 42, 42, frame=0)
MAPS = {
    OpinionPrompt.BOX: OpinionMap(intercept=0, said=0, agreement=0.5),
    OpinionPrompt.OUTLINE: OpinionMap(intercept=0.25, said=0, agreement=0),
}
TABLE = OpinionTable(
    first="bright", second="ellipse", maps=MAPS, disagree_below=0.8, measured={}, models={"bright": "", "ellipse": ""},
    errors={},
)  # fmt: skip


@pytest.fixture(autouse=True)
def models(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two models that are told apart: one finds what is bright, the other one fills the box with an ellipse."""

    def add(name: str, predictor: Predictor) -> None:
        monkeypatch.setitem(SYSTEMS, name, replace(SYSTEMS["lite_medsam"], name=name, build=lambda options: predictor))

    add("bright", BrightPredictor())  # type: ignore[arg-type]
    add("ellipse", BaselinePredictor("ellipse"))
    monkeypatch.setattr(verb_opinion, "opinion_table", lambda: TABLE)


def picture(path: Path, shape: str = "disk") -> Path:
    rows, columns = np.ogrid[:50, :50]
    disk = (rows - 24.5) ** 2 + (columns - 24.5) ** 2 <= 15**2
    cross = (abs(rows - 24.5) <= 3) | (abs(columns - 24.5) <= 3)
    inside = (abs(rows - 24.5) <= 15) & (abs(columns - 24.5) <= 15)
    Image.fromarray(np.where(disk if shape == "disk" else cross & inside, 200, 30).astype(np.uint8)).save(path)
    return path


def volume(path: Path) -> Path:
    """A disk that becomes a cross: the ellipse fits ever less."""
    i, j = np.ogrid[:50, :50]
    planes = []
    for width in (15, 15, 8, 3):
        near = np.maximum(abs(i - 25), abs(j - 25)) <= 15
        planes.append(near & ((abs(i - 25) <= width) | (abs(j - 25) <= width)))
    nib.save(nib.Nifti1Image(np.where(np.stack(planes, 2), 200, 30).astype(np.int16), np.eye(4)), path)
    return path


def asked(
    file: Path,
    *prompts: Prompt,
    second: str | None = "ellipse",
    resume: bool = False,
    progress: Callable[[int, int], None] | None = None,
    **more: Any,
) -> SegmentResult:
    output = OutputChoice(path=file.with_name("out" + (".png" if file.suffix == ".png" else ".nii.gz")))
    target = SegmentTarget(prompts=prompts or (BOX,), **more)
    model = ModelChoice(name="bright")
    about: dict[str, Any] = {"model": model, "output": output, "second_opinion": second, "resume": resume}
    return segment(SegmentRequest(input=file, asked=target, **about), progress)


def test_agreement_becomes_confidence(tmp_path: Path) -> None:
    done = asked(picture(tmp_path / "a.png"), Box(9, 9, 41, 41))
    (one,) = done.manifest.objects
    assert one.agreement[0] > 0.9 and not one.warnings
    assert one.confidence[0] == pytest.approx(one.agreement[0] / 2, abs=1e-3)  # by the map of the same box
    assert done.manifest.second_opinion is not None and done.manifest.second_opinion.name == "ellipse"
    assert done.manifest.run is not None and done.manifest.run.second_opinion == "ellipse"


@pytest.mark.parametrize(
    ("prompts", "confidence"),
    [
        pytest.param((Point(24, 24),), 0.25, id="click: asked with the outline's box"),
        pytest.param((BOX, Point(24, 24)), 0.25, id="box and click: asked with the outline's box"),
        pytest.param((Mask.from_array(np.ones((50, 50), bool)),), 1.0, id="drawn by a person: not asked"),
    ],
)
def test_what_the_second_model_is_given(tmp_path: Path, prompts: tuple[Prompt, ...], confidence: float) -> None:
    (one,) = asked(picture(tmp_path / "a.png"), *prompts).manifest.objects
    assert one.confidence[0] == pytest.approx(confidence) and (0 in one.agreement) == (confidence < 1)


def test_where_they_differ_heads_the_list(tmp_path: Path) -> None:
    done = asked(volume(tmp_path / "v.nii.gz"))
    (one,) = done.manifest.objects
    apart = [frame for frame, value in one.agreement.items() if value < 0.8]
    assert len(one.agreement) == one.frames == 4 and apart == [3]
    assert next(iter(one.warnings)) == 3 and one.warnings[3].startswith("ellipse outlines it otherwise")
    assert _doubts(one).startswith("; look at 3 (ellipse outlines it otherwise")
    kept = Manifest.read(done.manifest_file)
    assert kept is not None and kept.objects[0].agreement == one.agreement
    assert next(iter(kept.objects[0].warnings)) == 3


def test_worst_first_and_other_doubts_are_kept() -> None:
    record = ObjectRecord(name="a", label=1, frames=4, pixels=9, confidence={0: 0.9, 1: 0.8}, warnings={1: "x", 2: "y"})
    found = {n: FrameOpinion(agree, 0.5, agree < 0.8) for n, agree in enumerate((0.7, 0.2, 0.9))}
    warnings = with_opinions(record, found, "b").warnings
    assert list(warnings.items()) == [(1, "b outlines it otherwise; x"), (0, "b outlines it otherwise"), (2, "y")]


def test_replay_asks_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    first = asked(volume(tmp_path / "v.nii.gz"))
    done = replay(ReplayRequest(manifest=first.manifest_file, output=OutputChoice(path=tmp_path / "again.nii.gz")))
    assert isinstance(done.run, RunResult) and done.same
    assert done.run.manifest.objects == first.manifest.objects
    assert done.run.manifest.second_opinion == first.manifest.second_opinion


def test_replay_refuses_another_second_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = asked(picture(tmp_path / "a.png"))
    other = BaselinePredictor("ellipse")
    record = other.record.model_copy(update={"sha256": "1" * 64})
    monkeypatch.setattr(BaselinePredictor, "record", property(lambda self: record))
    with pytest.raises(ModelError) as caught:
        replay(ReplayRequest(manifest=first.manifest_file, output=OutputChoice(path=tmp_path / "b.png")))
    assert caught.value.code == "E-REPLAY-DIFFERS" and "sha256" in caught.value.message


def test_outlines_stay_the_first_models(tmp_path: Path) -> None:
    file = volume(tmp_path / "v.nii.gz")
    with_it = asked(file).session.segmentation
    (tmp_path / "out.nii.gz").unlink()
    for left in tmp_path.glob("out.*"):
        left.unlink()
    alone = asked(file, second=None)
    name = with_it.names[0]
    assert all((with_it.mask(name, n) == alone.session.segmentation.mask(name, n)).all() for n in range(4))
    assert alone.manifest.second_opinion is None and not alone.manifest.objects[0].agreement


def test_a_pair_that_was_not_measured_keeps_its_confidence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verb_opinion, "opinion_table", lambda: TABLE.model_copy(update={"second": "another"}))
    done = asked(picture(tmp_path / "a.png"))
    assert done.manifest.objects[0].confidence[0] == pytest.approx(0.9, abs=1e-3)
    assert any("was not measured" in notice for notice in done.manifest.notices)
    assert [one.code for one in done.notices] == ["W-SECOND-OPINION"]


@pytest.mark.parametrize(
    ("second", "code", "says"),
    [
        pytest.param("bright", "E-SECOND-OPINION", "on itself", id="the same model"),
        pytest.param("", "E-MODEL-WEIGHTS", "delineate models pull lite_medsam", id="not on this machine"),
        pytest.param("nobody", "E-MODEL-UNKNOWN", "nobody", id="unknown"),
    ],
)
def test_what_cannot_be_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, second: str, code: str, says: str
) -> None:
    monkeypatch.setenv("DELINEATE_MODELS", str(tmp_path / "empty"))
    with pytest.raises(DelineateError) as caught:
        asked(picture(tmp_path / "a.png"), second=second)
    assert caught.value.code == code and says in str(caught.value)
    assert not list(tmp_path.glob("out*"))


def test_a_chosen_model_is_recorded_and_repeated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    chosen = Routed(model="bright", reason="better here")
    monkeypatch.setattr(verb_routing, "choose_model", lambda *_: chosen)
    request = SegmentRequest(
        input=picture(tmp_path / "a.png"), model=ModelChoice(name=routing.AUTO), asked=SegmentTarget(prompts=(BOX,)),
        output=OutputChoice(path=tmp_path / "out.png"),
    )  # fmt: skip
    first = segment(request)
    assert first.manifest.run is not None and (first.manifest.run.model, first.manifest.run.routed) == tuple(
        chosen.model_dump().values()
    )
    assert first.manifest.model.name == "bright"
    monkeypatch.setattr(verb_routing, "choose_model", lambda *_: Routed(model="ellipse", reason="changed since"))
    done = replay(ReplayRequest(manifest=first.manifest_file, output=OutputChoice(path=tmp_path / "again.png")))
    assert isinstance(done.run, RunResult) and done.same and done.run.manifest.model.name == "bright"


@pytest.mark.parametrize(
    ("target", "kinds", "followed"),
    [
        (SegmentTarget(prompts=(BOX, Point(1, 1))), {"box", "point"}, True),
        (SegmentTarget(prompts=(Point(1, 1),), propagate=False), {"point"}, False),
        (SegmentTarget(mask=Path("m.png")), {"mask"}, True),
        (SegmentTarget(markers=Path("m.nii.gz"), prompts=(BOX,)), {"box"}, True),
    ],
    ids=["box-and-point", "frame-only", "mask-file", "markers"],
)
def test_what_a_choice_goes_by(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, target: SegmentTarget, kinds: set[str], followed: bool
) -> None:
    seen: list[Any] = []
    monkeypatch.setattr(verb_routing, "choose_model", lambda *a: seen.append(a[1:]) or Routed(model="quill", reason=""))
    request = SegmentRequest(input=tmp_path / "a.png", model=ModelChoice(name="auto"), asked=target)
    assert verb_routing.routed(request, None)[0].model.name == "quill"  # type: ignore[arg-type]
    assert seen == [(kinds, followed)]


class Breaks(BaselinePredictor):
    """Fails, or is stopped by a person, at the third frame it looks at."""

    looks = 0

    def __init__(self, error: BaseException) -> None:
        super().__init__("ellipse")
        self.error = error

    def encode(self, frame: Frame) -> Any:
        self.looks += 1
        if self.looks == 3:
            raise self.error
        return super().encode(frame)


@pytest.mark.parametrize("error", [MemoryError(), ModelError("E-X", "Broken.", "Mend it."), KeyboardInterrupt("TERM")])
def test_outlines_stay_where_the_second_model_breaks_and_are_asked_about_again(
    error: BaseException, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = replace(SYSTEMS["ellipse"], build=lambda options: Breaks(error))
    with monkeypatch.context() as patched:
        patched.setitem(SYSTEMS, "ellipse", broken)
        stopped = asked(volume(tmp_path / "v.nii.gz"))
    (one,) = stopped.manifest.objects
    assert stopped.outcome is Outcome.PARTIAL and one.frames == 4 and not one.agreement
    kept = Manifest.read(stopped.manifest_file)
    assert kept is not None and kept.stopped is not None and "ellipse" in kept.stopped.message
    assert (kept.stopped.done, kept.stopped.total) == (2, 4)
    whole = asked(tmp_path / "v.nii.gz", resume=True)
    assert whole.outcome is Outcome.DONE and len(whole.manifest.objects[0].agreement) == 4
    assert whole.manifest.outputs == stopped.manifest.outputs
    assert not list(tmp_path.glob("*.resume.json"))


def test_following_that_was_stopped_is_kept_without_an_opinion(tmp_path: Path) -> None:
    def stop(done: int, total: int) -> None:
        if done >= 2:
            raise KeyboardInterrupt("Ctrl+C")  # as the command line does, at every frame from then on

    stopped = asked(volume(tmp_path / "v.nii.gz"), progress=stop)
    assert stopped.manifest.stopped is not None and "The run was interrupted" in stopped.manifest.stopped.message
    assert stopped.files[0].is_file() and not stopped.manifest.objects[0].agreement
    assert len(asked(tmp_path / "v.nii.gz", resume=True).manifest.objects[0].agreement) == 4
