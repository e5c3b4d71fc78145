"""How runs end: done, with nothing found, or stopped on the way with what was outlined until then."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
import tifffile
from PIL import Image
from pydicom.encaps import encapsulate
from pydicom.uid import JPEGBaseline8Bit

from bright_predictor import BrightPredictor
from delineate.cli import guard
from delineate.cli.guard import EMPTY, PARTIAL, STOPPED
from delineate.core.errors import DelineateError
from delineate.core.manifest import Manifest
from delineate.core.prompts import Box
from delineate.core.scan import Scan
from delineate.io.opening import open_scan
from delineate.predictors.frame_predictor import Candidates, Query
from delineate.systems import SYSTEMS
from delineate.verbs.outcome import Outcome
from delineate.verbs.replay import ReplayRequest, replay, request_from
from delineate.verbs.request import ModelChoice, OutputChoice
from delineate.verbs.segment import SegmentRequest, SegmentTarget, segment
from fuzz.seeds import dicom
from scan_predictors import TwoThresholds

COUNT, BAD = 8, 5
BOX = Box(10, 10, 30, 30, frame=1)
MOVING = np.full((COUNT, 48, 64), 20, np.uint8)
for number, one in enumerate(MOVING):
    one[12:28, 12 + number : 28 + number] = 180


class FailsLater(BrightPredictor):
    """One that fails when it is asked for the sixth time."""

    def decode(self, features: Any, queries: Sequence[Query]) -> list[Candidates]:
        if self.encoded > BAD:
            raise ZeroDivisionError("no more")
        return super().decode(features, queries)


@pytest.fixture(autouse=True)
def systems(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    kinds = {"bright": BrightPredictor, "fails": FailsLater, "two": TwoThresholds, "two-fails": FailsOnAFrame}
    for name, made in kinds.items():
        monkeypatch.setitem(SYSTEMS, name, replace(SYSTEMS["quill"], name=name, build=lambda _, made=made: made()))
    monkeypatch.chdir(tmp_path)


def whole() -> Path:
    Path("clip").mkdir()
    for n, pixels in enumerate(MOVING):
        Image.fromarray(pixels).save(f"clip/{n}.png")
    return Path("clip")


def frames() -> Path:
    whole()
    bad = Path(f"clip/{BAD}.png")
    bad.write_bytes(bad.read_bytes()[:90])
    return Path("clip")


def tiff() -> Path:
    tifffile.imwrite("a.tif", MOVING, compression="zlib", metadata={"axes": "TYX"}, ome=True)
    with tifffile.TiffFile("a.tif") as file:
        start, size = (v[0] for v in (file.series[0].pages[BAD].dataoffsets, file.series[0].pages[BAD].databytecounts))
    data = bytearray(Path("a.tif").read_bytes())
    data[start : start + size] = b"\xff" * size
    Path("a.tif").write_bytes(data)
    return Path("a.tif")


def dicom_clip() -> Path:
    packed = []
    for pixels in MOVING:
        stream = io.BytesIO()
        Image.fromarray(pixels).save(stream, "JPEG", quality=95)
        packed.append(stream.getvalue())
    packed[BAD] = packed[BAD][:30]
    tags = {"NumberOfFrames": COUNT, "FrameTime": "40", "Modality": "US", "PixelData": encapsulate(packed)}
    Path("a.dcm").write_bytes(dicom(MOVING, None, syntax=JPEGBaseline8Bit, jpeg=packed[0], **tags))
    return Path("a.dcm")


def request(file: Path, model: str = "bright", **more: Any) -> SegmentRequest:
    asked = SegmentTarget(prompts=(BOX,))
    output = OutputChoice(path=Path("out.npz"), film=True)
    return SegmentRequest(input=file, model=ModelChoice(name=model), asked=asked, output=output, **more)


@pytest.mark.parametrize(
    ("made", "model", "says"),
    [(frames, "bright", "5.png"), (tiff, "bright", "Frame 5"), (dicom_clip, "bright", "Frame 5: The pixels of a.dcm"),
     (whole, "fails", "no more")],
    ids=["folder", "TIFF", "DICOM", "model"],
)  # fmt: skip
def test_what_was_followed_before_something_failed_is_kept(made: Callable[[], Path], model: str, says: str) -> None:
    done = segment(request(made(), model))
    assert done.outcome is Outcome.PARTIAL and done.as_json()["outcome"] == "partial"
    assert all(file.exists() for file in done.files) and done.files[-1].suffix == ".mp4"
    manifest = Manifest.read(done.manifest_file)
    assert manifest is not None and manifest.stopped is not None
    assert says in manifest.stopped.message and 0 < manifest.stopped.done < manifest.stopped.total
    kept = [frame for frame in range(COUNT) if np.load("out.npz")["segs"][frame].any()]
    assert kept == list(range(1, max(kept) + 1)) and 3 <= max(kept) < COUNT - 1
    if model == "bright":
        assert "--skip-damaged" in manifest.stopped.hint and max(kept) == BAD - 1


class FailsOnAFrame(TwoThresholds):
    """A model with classes of its own that cannot do one frame."""

    def predict(self, scan: Scan) -> Iterator[tuple[int, np.ndarray]]:
        for frame, labels in super().predict(scan):
            if frame == BAD:
                raise ZeroDivisionError("no more")
            yield frame, labels


@pytest.mark.parametrize(
    ("made", "model", "says"), [(frames, "two", "5.png"), (whole, "two-fails", "no more")], ids=["frame", "model"]
)
def test_what_a_class_model_outlined_before_something_failed_is_kept(
    made: Callable[[], Path], model: str, says: str
) -> None:
    asked = request(made(), model).model_copy(update={"asked": (SegmentTarget(),)})
    ended = segment(asked)
    stopped = ended.manifest.stopped
    assert ended.outcome is Outcome.PARTIAL and stopped is not None and says in stopped.message
    assert stopped.done == BAD and sorted(ended.session.segmentation["bright"].masks) == list(range(BAD))
    again = asked.model_copy(update={"asked": ended.session.log, "output": OutputChoice(path=Path("again.npz"))})
    assert segment(again).session.segmentation["bright"].masks == ended.session.segmentation["bright"].masks


def test_the_rest_of_a_log_is_not_done_and_a_partial_run_is_done_again_as_far() -> None:
    first = segment(request(frames()))
    log = first.session.log
    assert log.current[-1].stopped_after == BAD - 1  # type: ignore[union-attr]
    again = replay(ReplayRequest(manifest=first.manifest_file, output=OutputChoice(path=Path("again.npz"))))
    assert again.same and Path("again.npz").read_bytes() == Path("out.npz").read_bytes()
    whole_way = log.model_copy(
        update={"events": (*log.events[:-1], log.events[-1].model_copy(update={"stopped_after": None}))}
    )
    Path("log.json").write_text(whole_way.to_json())
    asked, check = request_from(
        Path("log.json"), Path("clip"), OutputChoice(path=Path("third.npz")), ModelChoice(name="bright")
    )
    third = segment(asked, check=check)
    assert third.outcome is Outcome.PARTIAL and third.session.log.current == log.current
    assert Path("third.npz").read_bytes() == Path("out.npz").read_bytes()


def test_a_session_goes_on_from_there() -> None:
    first = segment(request(frames()))
    first.session.propagate(stop=BAD)  # backwards, as well
    assert first.session.segmentation["structure"].frames == tuple(range(BAD))


def test_nothing_is_written_where_nothing_was_done() -> None:
    file = frames()
    for asked in (
        SegmentTarget(prompts=(BOX.model_copy(update={"frame": BAD}),)),
        SegmentTarget(prompts=(BOX,), following={"memory": "pruning"}),
    ):
        with pytest.raises(DelineateError):
            segment(request(file).model_copy(update={"asked": asked}))
    assert not [path for path in Path().glob("*") if path.name != "clip"]


@pytest.mark.parametrize("kind", ["frames", "volume"])
def test_a_window_is_decided_without_the_damaged_frame(kind: str) -> None:
    """It is needed for the preview, and by systems that see a scan through one window."""
    scan = open_scan(frames(), pages="video" if kind == "frames" else "stack", skip_damaged=kind == "volume")
    assert scan.intensities.extent == (20, 180) and scan.intensities.statistics.maximum == 180


def ran(capfd: pytest.CaptureFixture[str], *words: object) -> tuple[int, str, str]:
    code = guard.run(_app(), [str(word) for word in words])
    told = capfd.readouterr()
    return code, told.out, told.err


def _app() -> Any:
    from delineate.cli import app

    return app


def test_the_command_line_says_how_it_ended(capfd: pytest.CaptureFixture[str]) -> None:
    file = frames()
    bright = ("-m", "bright", "--box", "10,10,30,30", "--frame", "1")
    code, out, err = ran(capfd, "segment", file, *bright, "-o", "o.npz")
    assert code == PARTIAL and "structure on 4 of 8 frames" in out
    last = err.strip().splitlines()[-1]
    assert last.startswith("Partial: ") and "5.png" in last and "o.manifest.json" in last and "--skip-damaged" in last
    code, out, _ = ran(capfd, "segment", file, *bright, "-o", "p.npz", "--json")
    assert code == PARTIAL and json.loads(out)["outcome"] == "partial"
    assert json.loads(out)["manifest"]["stopped"]["code"] == "E-PICTURE-DAMAGED"
    code, _, _ = ran(capfd, "segment", file, *bright, "-o", "q.npz", "--skip-damaged")
    assert code == 0
    code, _, err = ran(capfd, "segment", file, "-m", "bright", "--box", "10,10,30,30", "--frame", BAD, "-o", "r.npz")
    assert code == STOPPED and not list(Path().glob("r.*"))


def dark_volume() -> Path:
    nib.save(nib.Nifti1Image(np.full((32, 40, 6), 20, np.int16), np.eye(4)), "dark.nii.gz")
    return Path("dark.nii.gz")


def dark_picture() -> Path:
    Image.fromarray(np.full((40, 32), 20, np.uint8)).save("dark.png")
    return Path("dark.png")


def dark_clip() -> Path:
    tifffile.imwrite("dark.tif", np.full((4, 40, 32), 20, np.uint8), photometric="minisblack")
    return Path("dark.tif")


@pytest.mark.parametrize(
    ("made", "more"),
    [(dark_picture, ("-o", "o.png")), (dark_volume, ("--frame", 2, "-o", "o.nii.gz")),
     (dark_volume, ("--frame", 2, "--frame-only", "-o", "o.seg.nrrd")),
     (dark_clip, ("--pages", "video", "--frame", 1, "-o", "o.json"))],
    ids=["picture", "volume", "slice", "clip"],
)  # fmt: skip
def test_an_empty_result_is_written_and_has_a_code_of_its_own(
    made: Callable[[], Path], more: tuple[object, ...], capfd: pytest.CaptureFixture[str]
) -> None:
    words = ("segment", made(), "-m", "bright", "--box", "5,5,20,20", *more)
    code, out, err = ran(capfd, *words)
    assert code == EMPTY and "structure: nothing found" in out
    assert err.strip().splitlines()[-1].startswith("Nothing was outlined")
    assert Path("o.manifest.json").is_file() and Path("o.preview.png").is_file()
    code, out, err = ran(capfd, *words, "--overwrite", "--json")
    assert code == EMPTY and json.loads(out)["outcome"] == "empty"
    code, _, err = ran(capfd, "replay", "o.manifest.json")
    assert code == EMPTY and "to the last bit" in err


def test_an_empty_class_model_and_an_empty_log_are_empty_too(capfd: pytest.CaptureFixture[str]) -> None:
    Path("log.json").write_text('{"events": []}')
    code, out, _ = ran(capfd, "segment", dark_picture(), "--prompts", "log.json", "-o", "o.png")
    assert code == EMPTY and "nothing was asked for" in out
