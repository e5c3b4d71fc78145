"""``delineate oneshot``: pictures, a volume, what is not found, what goes on, and what is refused."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from delineate.core.errors import DelineateError
from delineate.core.prompts import Box
from delineate.io.growing_table import GrowingTable
from delineate.labels.reading import open_segmentation
from delineate.oneshot.score_file import read_rows
from delineate.oneshot.targets import SHEET, targets_in
from delineate.quill.predictor import QuillPredictor
from delineate.systems.one_shot import OneShotOptions, OneShotPredictor
from delineate.verbs.batch import BatchRequest, batch
from delineate.verbs.oneshot import SCORES, OneshotRequest, OneshotResult, _supports_sha256, oneshot
from delineate.verbs.records import RECORD
from delineate.verbs.replay import ReplayRequest, replay
from delineate.verbs.request import ModelChoice, OutputChoice
from delineate.verbs.targets import SegmentTarget
from fewshot.example_pictures import blob_picture


def save(picture: np.ndarray, path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(picture.astype(np.uint8)).save(path)
    return path


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("blobs")
    picture, mask = blob_picture(0, 80, 50, 18)
    save(picture, folder / "support.png")
    save(3 * mask, folder / "support_mask.png")
    for n, shown in enumerate((True, False)):
        save(blob_picture(n + 1, 95, 62, 21, shown)[0], folder / "targets" / f"t{n}.png")
    return folder


def request(folder: Path, output: Path, **changes: object) -> OneshotRequest:
    fields = {
        "supports": ((folder / "support.png", folder / "support_mask.png"),),
        "targets": (folder / "targets",),
        "output": output,
        "model": ModelChoice(threads=1),
        "places": 1,
        **changes,
    }
    return OneshotRequest.model_validate(fields)


def test_targets_are_outlined_scored_and_shown_and_a_run_goes_on(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    (folder / "targets" / "broken.png").write_bytes(b"no picture")
    done = oneshot(request(folder, out, targets=(folder / "targets", folder / "targets" / "broken.png")))
    by_name = {row.target: row for row in done.rows}
    assert by_name["t0"].found and not by_name["t1"].found
    assert (
        by_name["broken"].error.startswith("E-FORMAT-UNKNOWN: broken.png is no")
        and "These can:" in by_name["broken"].error
    )
    assert (out / SHEET).is_file()
    with pytest.raises(DelineateError, match="no scan"):
        targets_in([out], False)  # nothing that a run writes is a scan for the next one
    outlines = open_segmentation(out / by_name["t0"].file).segmentation
    truth = blob_picture(1, 95, 62, 21)[1]
    (one,) = outlines.objects
    assert one.label == 3
    mask = one.masks[0].decode()
    assert 2 * (mask & truth).sum() / (mask.sum() + truth.sum()) > 0.9

    (folder / "targets" / "broken.png").unlink()
    save(blob_picture(5, 70, 55, 20)[0], folder / "targets" / "t2.png")
    before = (out / by_name["t0"].file).stat().st_mtime_ns
    again = oneshot(request(folder, out, resume=True))
    assert (out / by_name["t0"].file).stat().st_mtime_ns == before
    assert [row.target for row in again.rows] == ["t0", "t1", "t2"]
    assert [row.target for row in read_rows(out / SCORES)] == ["t0", "t1", "t2"]
    whole = (out / SCORES).read_bytes()
    (out / SCORES).write_bytes(whole[:-30])  # a run that was killed
    assert [row.target for row in oneshot(request(folder, out, resume=True)).rows] == ["t0", "t1", "t2"]
    assert [row.target for row in read_rows(out / SCORES)] == ["t0", "t1", "t2"]
    assert (out / by_name["t0"].file).stat().st_mtime_ns == before
    blank = (folder / "targets" / "t1.png").read_bytes()
    (folder / "targets" / "t2.png").rename(folder / "targets" / "t1.png")  # another scan by a name that is done
    renamed = oneshot(request(folder, out, resume=True))
    assert [(row.target, row.found) for row in renamed.rows] == [("t0", True), ("t1", True)]
    assert (out / by_name["t0"].file).stat().st_mtime_ns == before
    (folder / "targets" / "t1.png").write_bytes(blank)
    with pytest.raises(DelineateError, match="not empty"):
        oneshot(request(folder, out))
    with pytest.raises(DelineateError, match="other supports"):
        oneshot(request(folder, out, resume=True, places=3))


@pytest.mark.parametrize("verb", ["oneshot", "batch"])
def test_a_table_is_not_written_anew_for_each_scan(
    verb: str, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, added = list[int](), list[int]()
    begin, add = GrowingTable.begin, GrowingTable.add

    def counted_begin(self: GrowingTable, rows: Any = ()) -> None:
        begun.append(len(rows := list(rows)))
        begin(self, rows)

    def counted_add(self: GrowingTable, rows: Any) -> None:
        added.append(len(rows := list(rows)))
        add(self, rows)

    monkeypatch.setattr(GrowingTable, "begin", counted_begin)
    monkeypatch.setattr(GrowingTable, "add", counted_add)
    if verb == "oneshot":
        oneshot(request(folder, tmp_path / "out"))
    else:
        model = ModelChoice(threads=1)
        target = SegmentTarget(prompts=(Box(70, 40, 120, 90),))
        batch(BatchRequest(inputs=(folder / "targets",), output=tmp_path / "out", model=model, asked=(target,)))
    assert begun == [0] and added == [1, 1]


BAD = {
    "another grid": (np.zeros((40, 50)), {}, "E-SUPPORT-GRID"),
    "an empty mask": (np.zeros((120, 150)), {}, "E-SUPPORT-EMPTY"),
    "no such label": (np.ones((120, 150)), {"structures": ("7",)}, "E-SUPPORT-LABEL"),
    "no such model": (np.ones((120, 150)), {"model": ModelChoice(name="quilt")}, "E-MODEL-UNKNOWN"),
    "no such features": (np.ones((120, 150)), {"features": ModelChoice(name="quilt")}, "E-MODEL-UNKNOWN"),
    "no target": (np.ones((120, 150)), {"targets": ()}, "E-TARGETS-NONE"),
}


@pytest.mark.parametrize("case", BAD.values(), ids=BAD.keys())
def test_bad_supports_are_refused_before_anything_is_written(folder: Path, tmp_path: Path, case: tuple) -> None:
    mask, changes, code = case
    path = save(mask, tmp_path / "mask.png")
    supports = ((folder / "support.png", path),)
    with pytest.raises(DelineateError) as caught:
        oneshot(request(folder, tmp_path / "out", supports=supports, **changes))
    assert caught.value.code == code
    assert not (tmp_path / "out").exists()


def test_a_run_is_done_again_from_its_record(folder: Path, tmp_path: Path) -> None:
    first = tmp_path / "first"
    done = oneshot(request(folder, first, refine=False))
    for path in (folder / "support.png", folder / "support_mask.png"):
        (first / path.name).write_bytes(path.read_bytes())
    asked = ReplayRequest(
        manifest=first / RECORD, input=folder / "targets", output=OutputChoice(path=tmp_path / "again")
    )
    again = replay(asked).run
    assert isinstance(again, OneshotResult)
    assert [replace(row, seconds=0) for row in again.rows] == [replace(row, seconds=0) for row in done.rows]
    save(blob_picture(9, 70, 50, 20)[0], first / "support.png")
    with pytest.raises(DelineateError, match="supports hold something else"):
        replay(asked.model_copy(update={"output": OutputChoice(path=tmp_path / "third")}))


def test_supports_that_are_folders_count_by_what_is_in_them(tmp_path: Path) -> None:
    (tmp_path / "dicom").mkdir()
    asked = request(tmp_path, tmp_path / "out", supports=((tmp_path / "dicom", tmp_path / "mask.png"),))
    seen = set()
    for content in (b"one", b"two"):
        (tmp_path / "dicom" / "1.dcm").write_bytes(content)
        seen.add(_supports_sha256(asked))
    assert len(seen) == 2


def test_a_model_that_answers_no_boxes_outlines_coarsely(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    quill = QuillPredictor(threads=1)
    finder = OneShotPredictor(quill.feature_extractor, None, OneShotOptions(), quill.record)
    monkeypatch.setattr(ModelChoice, "build", lambda _: finder)
    done = oneshot(request(folder, tmp_path / "out"))
    assert {row.error for row in done.rows} == {""}
    assert [row.found for row in done.rows] == [True, False]
