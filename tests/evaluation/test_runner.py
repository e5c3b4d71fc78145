"""Whole runs on a tiny collection: numbers, files, resuming, failures, and what is refused."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
from PIL import Image
from scipy.ndimage import label

from delineate.core.errors import DelineateError, ModelError, OutputError, PromptError
from delineate.core.frame import Frame
from delineate.core.manifest import ModelRecord
from delineate.core.resolve import FramePrompts
from delineate.evaluation import runner
from delineate.evaluation.chart import chart, in_steps
from delineate.evaluation.protocols import PROTOCOLS
from delineate.evaluation.report import FOUND, TRUTH
from delineate.evaluation.runner import EvaluateOptions, evaluate, provenance
from delineate.predictors.capabilities import VISUAL_PROMPTS, Capabilities
from delineate.predictors.frame_predictor import Candidates, Query
from delineate.preprocess.intensity import WindowRule


class BrightParts:
    """A predictor that is right on the collection: the bright part under the prompt; it counts what it is asked."""

    record = ModelRecord(name="bright parts", version="1", sha256="", license="")
    window_rule = WindowRule.CROP
    capabilities = Capabilities(VISUAL_PROMPTS)

    def __init__(self) -> None:
        self.asked: list[tuple[FramePrompts, bool]] = []

    def encode(self, frame: Frame) -> np.ndarray:
        return frame.pixels

    def decode(self, features: Any, queries: Sequence[Query]) -> list[Candidates]:
        return [self._outlined(features, query) for query in queries]

    def _outlined(self, features: Any, query: Query) -> Candidates:
        prompts, reference = query.prompts, query.reference
        self.asked.append((prompts, query.previous is not None))
        parts, _ = label(np.asarray(features) > 100)
        if prompts.box is not None:
            x, y = (prompts.box[0] + prompts.box[2]) / 2, (prompts.box[1] + prompts.box[3]) / 2
        elif len(prompts.points):
            x, y = prompts.points[0]
        else:
            assert reference is not None
            y, x = (values.mean() for values in np.nonzero(reference.mask))
        part = parts[int(y), int(x)]
        mask = (parts == part) & (part > 0)
        if len(prompts.points) == 1:
            mask[:, int(x) :] = False  # half right at the first click
        return Candidates(mask[None], np.array([0.9], dtype=np.float32))


class Broken(BrightParts):
    record = ModelRecord(name="broken", version="1", sha256="", license="")

    def decode(
        self, features: Any, prompts: FramePrompts, previous: Any = None, earlier: Any = None, feedback: Any = None
    ) -> Candidates:
        raise ModelError("E-BROKEN", "It is broken.")


@pytest.fixture
def bright(monkeypatch: pytest.MonkeyPatch) -> BrightParts:
    """``bright.onnx`` names the right predictor, ``broken.onnx`` one that fails."""
    predictor = BrightParts()
    real = runner.predictor_named
    named = {"bright.onnx": predictor, "broken.onnx": Broken()}
    monkeypatch.setattr(runner, "predictor_named", lambda name, *how: named.get(name) or real(name, *how))
    return predictor


def options(collection: Path, output: Path, **changes: Any) -> EvaluateOptions:
    return replace(EvaluateOptions(data=collection, predictors=("bright.onnx",), output=output), **changes)


@pytest.mark.parametrize(
    ("protocol", "structures", "expected"),
    [
        pytest.param("box-2d", 4, {"dice": 1, "iou": 1, "nsd": 1, "hd95": 0}, id="box-2d"),
        pytest.param("clicks-2d", 4, {"noc90": 2, "noc80": 2, "iou@3": 1, "iou@20": 1}, id="clicks-2d"),
        pytest.param("volume-box", 1, {"dice": 1, "iou": 1, "nsd": 1, "hd95": 0}, id="volume-box"),
        pytest.param("video-mask", 1, {"j&f": 1, "j": 1, "f": 1}, id="video-mask"),
    ],
)
def test_a_right_predictor_gets_full_marks(
    bright: BrightParts, collection: Path, tmp_path: Path, protocol: str, structures: int, expected: dict[str, float]
) -> None:
    report = evaluate(options(collection, tmp_path, protocol=protocol))
    summary = report.summary("bright.onnx")
    assert (summary.count, summary.missed, report.failures) == (structures, 0, ())
    assert {key: summary.means[key] for key in expected} == pytest.approx(expected)
    assert set(summary.means) == {column.key for column in PROTOCOLS[protocol].columns}


def test_clicks_go_on_from_the_outline_so_far(bright: BrightParts, collection: Path, tmp_path: Path) -> None:
    evaluate(options(collection, tmp_path, protocol="clicks-2d", datasets=("disks",), structures=1))
    assert [(len(prompts.points), corrected) for prompts, corrected in bright.asked] == [(1, False), (2, True)]


def test_a_run_leaves_tables_numbers_and_a_picture(bright: BrightParts, collection: Path, tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    report = evaluate(
        options(collection, tmp_path, predictors=("ellipse", "bright.onnx")), lambda *done: seen.append(done)
    )
    assert seen == [(1, 4), (2, 4), (3, 4), (4, 4)]
    numbers = json.loads((tmp_path / "box-2d.json").read_text())
    lines = report.by_dataset(report.headline)
    assert [line.name for line in lines] == ["disks", "ball", "mean over data sets"]
    assert [line.count for line in lines] == [3, 1, 4]
    ellipse = [line.values["ellipse"] for line in lines]
    assert ellipse[2] == pytest.approx((ellipse[0] + ellipse[1]) / 2) and 0.9 < ellipse[2] < 1
    assert numbers["datasets"]["dice"][2]["values"]["ellipse"] == pytest.approx(ellipse[2], abs=1e-6)
    text = (tmp_path / "box-2d.md").read_text()
    assert f"| mean over data sets | 4 | {ellipse[2]:.3f} | **1.000** |" in text
    assert "| ball: ball | 1 |" in text and "disks: disk" in text
    html = (tmp_path / "box-2d.html").read_text()
    assert (
        html.count("data:image/png;base64,") == 2
        and html.count("<details open>") == 1
        and "<polyline" in html
        and "http" not in html
    )
    with Image.open(tmp_path / "box-2d-worst.png") as sheet:
        colors = {color for _, color in sheet.getcolors(1 << 24)}
    assert {TRUTH, FOUND} <= colors
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "box-2d-worst.png",
        "box-2d.html",
        "box-2d.json",
        "box-2d.jsonl",
        "box-2d.md",
    ]


def test_a_run_goes_on_where_it_stopped(bright: BrightParts, collection: Path, tmp_path: Path) -> None:
    first = evaluate(options(collection, tmp_path))
    asked = len(bright.asked)
    done = (tmp_path / "box-2d.jsonl").read_text().splitlines()
    (tmp_path / "box-2d.jsonl").write_text(f"{done[0]}\n{done[1]}\n{done[2][:50]}\n")
    again = evaluate(options(collection, tmp_path))
    assert len(bright.asked) == asked + 1, "only the ball was asked for again"
    assert [m.outcome.values for m in again.measured] == [m.outcome.values for m in first.measured]
    evaluate(options(collection, tmp_path, seed=1))
    assert len(bright.asked) == 2 * asked + 1, "another seed prompts otherwise"


def small_volume(root: Path, tall: bool) -> None:
    """Volume, label and manifest of one case; the files have the same sizes whatever is labeled."""
    labels = np.zeros((64, 64, 4), np.uint8)
    labels[10:35, 10:30] = 1
    nib.save(nib.Nifti1Image(labels * 200, np.eye(4)), root / "image.nii")
    if tall:
        labels[:, 20:] = 0
    nib.save(nib.Nifti1Image(labels, np.eye(4)), root / "label.nii")
    item = {"id": "c", "dataset": "d", "task": "3d", "modality": "CT", "image": "image.nii", "label": "label.nii"}
    (root / "manifest.json").write_text(json.dumps([{**item, "labels": {"1": "x"}, "use": "test"}]))


def test_a_label_that_was_replaced_is_measured_again(bright: BrightParts, tmp_path: Path) -> None:
    data, output = tmp_path / "data", tmp_path / "out"
    data.mkdir()
    small_volume(data, tall=False)
    before = (data / "label.nii").stat()
    (first,) = evaluate(options(data, output)).measured
    small_volume(data, tall=True)
    os.utime(data / "label.nii", ns=(before.st_atime_ns, before.st_mtime_ns))
    after = (data / "label.nii").stat()
    assert (after.st_size, after.st_mtime_ns) == (before.st_size, before.st_mtime_ns), "neither tells it"
    (second,) = evaluate(options(data, output)).measured
    assert first.outcome.values["dice"] == 1 and second.outcome.values["dice"] < 0.8
    asked = len(bright.asked)
    assert [m.outcome.values for m in evaluate(options(data, output)).measured] == [second.outcome.values]
    assert len(bright.asked) == asked, "what did not change is not measured again"


def better(line: dict) -> None:
    line["outcomes"][0]["values"]["dice"] = 0.999


def longer(line: dict) -> None:
    line["outcomes"].append(line["outcomes"][0])


def other_outline(line: dict) -> None:
    line["outcomes"][0]["outline"][2][0] += 1


@pytest.mark.parametrize("edit", [better, longer, other_outline])
def test_edited_results_are_not_believed(edit: Any, bright: BrightParts, collection: Path, tmp_path: Path) -> None:
    first = evaluate(options(collection, tmp_path))
    kept = tmp_path / "box-2d.jsonl"
    lines = kept.read_text().splitlines()
    changed = json.loads(lines[1])  # after the line that says what file this is
    edit(changed)
    kept.write_text("\n".join([lines[0], json.dumps(changed), *lines[2:]]) + "\n")
    again = evaluate(options(collection, tmp_path))
    assert again.distrusted == 1
    assert [m.outcome.values for m in again.measured] == [m.outcome.values for m in first.measured]
    asked = len(bright.asked)
    assert evaluate(options(collection, tmp_path)).distrusted == 0, "the new line stands for the edited one"
    assert len(bright.asked) == asked


def test_a_run_that_was_stopped_within_a_line_spoils_no_other(
    bright: BrightParts, collection: Path, tmp_path: Path
) -> None:
    evaluate(options(collection, tmp_path))
    kept = tmp_path / "box-2d.jsonl"
    kept.write_text(kept.read_text()[:-30])
    assert evaluate(options(collection, tmp_path)).distrusted == 0
    asked = len(bright.asked)
    evaluate(options(collection, tmp_path))
    assert len(bright.asked) == asked


def test_results_without_a_digest_are_measured_again(bright: BrightParts, collection: Path, tmp_path: Path) -> None:
    evaluate(options(collection, tmp_path))
    kept, asked = tmp_path / "box-2d.jsonl", len(bright.asked)
    lines = [{k: v for k, v in json.loads(line).items() if k != "digest"} for line in kept.read_text().splitlines()]
    kept.write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert evaluate(options(collection, tmp_path)).distrusted == 0
    assert len(bright.asked) == 2 * asked


def test_a_failing_case_is_listed_and_the_others_go_on(bright: BrightParts, collection: Path, tmp_path: Path) -> None:
    report = evaluate(options(collection, tmp_path, predictors=("broken.onnx", "bright.onnx")))
    assert [(f.case, f.reason) for f in report.failures] == [
        ("disks/test", "It is broken."),
        ("ball/test", "It is broken."),
    ]
    assert report.summary("bright.onnx").count == 4
    broken = report.summary("broken.onnx")
    assert (broken.count, broken.missed, broken.failed, broken.means["dice"]) == (4, 4, 4, 0), "it is not left out"
    text = (tmp_path / "box-2d.md").read_text()
    assert "disks/test, broken.onnx: It is broken. (its structures count as missed)" in text
    assert "| 0.000 | **1.000** |" in text and "of these failed" in text
    assert json.loads((tmp_path / "box-2d.json").read_text())["overall"]["broken.onnx"]["failed"] == 4


@pytest.mark.parametrize(
    "error",
    [KeyError("gone"), ZeroDivisionError(), MemoryError("no room"), RecursionError(), OSError(5, "Input/output error")],
    ids=lambda error: type(error).__name__,
)
def test_what_nobody_foresaw_in_one_case_stops_no_other(
    error: Exception, bright: BrightParts, collection: Path, tmp_path: Path
) -> None:
    real = bright.decode

    def decode(features: Any, queries: Sequence[Query]) -> list[Candidates]:
        if features.shape == (80, 100):
            raise error
        return real(features, queries)

    bright.decode = decode  # type: ignore[method-assign]
    report = evaluate(options(collection, tmp_path))
    assert [(f.case, f.counted) for f in report.failures] == [("disks/test", True)]
    assert report.summary("bright.onnx").means["dice"] == 0.5 and report.summary("bright.onnx").failed == 3
    del bright.decode
    assert evaluate(options(collection, tmp_path)).failures == (), "what failed is not kept as measured"


@pytest.mark.parametrize("broken", [b"", b"no picture", None], ids=["empty", "foreign", "gone"])
def test_a_scan_that_cannot_be_read_counts_for_nobody(
    broken: bytes | None, bright: BrightParts, collection: Path, tmp_path: Path
) -> None:
    data = tmp_path / "data"
    shutil.copytree(collection, data)
    (data / "disks.png").unlink()
    if broken is not None:
        (data / "disks.png").write_bytes(broken)
    report = evaluate(options(data, tmp_path / "out"))
    assert [(f.case, f.counted) for f in report.failures] == [("disks/test", False)]
    assert report.summary("bright.onnx").count == 1 and report.summary("bright.onnx").failed == 0
    assert "(not measured)" in (tmp_path / "out" / "box-2d.html").read_text()


def test_names_from_data_sets_are_only_text_in_tables(bright: BrightParts, collection: Path, tmp_path: Path) -> None:
    data = tmp_path / "data"
    shutil.copytree(collection, data)
    name = "a|b <script> ![x](http://y)\n| forged | row | `"
    items = [{**item, "dataset": name} for item in json.loads((data / "manifest.json").read_text())]
    (data / "manifest.json").write_text(json.dumps(items))
    evaluate(options(data, tmp_path / "out"))
    text = (tmp_path / "out" / "box-2d.md").read_text()
    assert "a\\|b &lt;script> !\\[x](http://y) \\| forged \\| row \\| \\`" in text and "\n| forged" not in text


def test_reports_say_when_and_how_they_were_made(bright: BrightParts, collection: Path, tmp_path: Path) -> None:
    evaluate(options(collection, tmp_path, limit=2, seed=3))
    about = json.loads((tmp_path / "box-2d.json").read_text())["about"]
    assert sorted(about) == ["command", "date", "modalities", "version"]
    assert about["command"].endswith("--protocol box-2d --predictors bright.onnx --seed 3 --limit 2 --structures 12")
    assert about["modalities"] == "drawing (2)" and str(collection.parent) not in about["command"]
    for file in ("box-2d.md", "box-2d.html"):
        assert all(words in (tmp_path / file).read_text() for words in about.values())
    asked = options(collection, tmp_path, precision="bf16")
    assert any(line.endswith("--structures 12 --precision bf16") for line in provenance(asked, ()))


def test_no_overall_number_without_every_data_set(bright: BrightParts, collection: Path, tmp_path: Path) -> None:
    real = bright.decode

    def only_images(features: Any, *prompts: Any) -> Candidates:
        if features.shape != (80, 100):
            raise PromptError("E-SIZE", "Images only.")
        return real(features, *prompts)

    bright.decode = only_images  # type: ignore[method-assign]
    report = evaluate(options(collection, tmp_path, predictors=("bright.onnx", "ellipse")))
    assert len(report.failures) == 1
    assert np.isnan(report.summary("bright.onnx").means["dice"]) and report.summary("ellipse").means["dice"] > 0.9


def test_a_run_without_any_outcome_still_reports(bright: BrightParts, collection: Path, tmp_path: Path) -> None:
    report = evaluate(options(collection, tmp_path, predictors=("broken.onnx",)))
    assert len(report.failures) == 2 and "## Failed" in (tmp_path / "box-2d.md").read_text()


def test_a_miss_counts_and_is_listed(bright: BrightParts, collection: Path, tmp_path: Path) -> None:
    bright.encode = lambda frame: frame.pixels * (frame.size != (80, 100))  # type: ignore[method-assign]
    report = evaluate(options(collection, tmp_path))
    summary = report.summary("bright.onnx")
    assert (summary.missed, summary.means["dice"], summary.found) == (3, 0.5, 1.0)
    distances = [line.values["bright.onnx"] for line in report.by_dataset(PROTOCOLS["box-2d"].columns[3])]
    np.testing.assert_equal(distances, [np.nan, 0, np.nan], "no distance to what was not found")
    numbers = json.loads((tmp_path / "box-2d.json").read_text())
    assert [s["values"]["hd95"] for s in numbers["structures"]] == [None, None, None, 0.0]


def test_limits_choose_cases(bright: BrightParts, collection: Path, tmp_path: Path) -> None:
    report = evaluate(options(collection, tmp_path, with_training=True, datasets=("disks",)))
    assert {m.case for m in report.measured} == {"disks/test", "disks/train"}
    report = evaluate(options(collection, tmp_path, with_training=True, datasets=("disks",), limit=1, structures=1))
    assert [m.case for m in report.measured] == ["disks/test"]


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        pytest.param({"protocol": "guess"}, "E-EVAL-PROTOCOL", id="protocol"),
        pytest.param({"predictors": ("oracle",)}, "E-EVAL-PREDICTOR", id="predictor"),
        pytest.param({"protocol": "clicks-2d", "predictors": ("otsu",)}, "E-BASELINE-PROMPT", id="baseline-clicks"),
        pytest.param({"limit": 0}, "E-EVAL-LIMIT", id="limit"),
        pytest.param({"datasets": ("moon",)}, "E-EVAL-NO-CASES", id="data-set"),
        pytest.param({"data": Path("nowhere")}, "E-EVAL-NO-DATA", id="folder"),
        pytest.param({"data": None}, "E-EVAL-NO-DATA", id="no-folder"),
        pytest.param({"predictors": ("missing.onnx",)}, "E-MODEL-MISSING", id="model-file"),
    ],
)
def test_what_cannot_be_measured_is_refused(
    collection: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, changes: dict[str, Any], code: str
) -> None:
    monkeypatch.delenv("DELINEATE_DATA", raising=False)
    with pytest.raises(DelineateError) as raised:
        evaluate(options(collection, tmp_path, **{"predictors": ("ellipse",), **changes}))
    assert raised.value.code == code and raised.value.hint
    assert not list(tmp_path.iterdir())


def test_everybody_takes_part_unless_named() -> None:
    assert EvaluateOptions().names == ("quill", "ellipse", "otsu", "grabcut", "random-walker")
    assert EvaluateOptions(protocol="clicks-2d").names == ("quill",)


def test_data_may_be_named_by_the_environment(monkeypatch: pytest.MonkeyPatch, collection: Path) -> None:
    monkeypatch.setenv("DELINEATE_DATA", str(collection))
    assert EvaluateOptions().root == collection


def test_charts_have_round_numbers_and_count_in_stairs() -> None:
    assert in_steps([(0.2, 0.5), (0.4, 1.0)]) == [(0.2, 0.0), (0.2, 0.0), (0.2, 0.5), (0.4, 0.5), (0.4, 1.0)]
    for reach, labels in ((0.399, ("0.1", "0.4")), (20, ("5", "20")), (7.3, ("2", "8")), (1.0, ("0.2", "0.8", "1"))):
        drawn = chart({"a < b": [(0.0, 0.0), (reach, 1.0)]}, "across", "up", reach)
        assert all(f">{label}</text>" in drawn for label in labels) and "a &lt; b" in drawn


@pytest.mark.parametrize("name", ["box-2d.jsonl", "box-2d.md", "box-2d.json", "box-2d.html", "box-2d-worst.png"])
def test_files_of_others_in_the_folder_stay(name: str, bright: BrightParts, collection: Path, tmp_path: Path) -> None:
    (tmp_path / name).write_text("months of work")
    with pytest.raises(OutputError):
        evaluate(options(collection, tmp_path))
    assert (tmp_path / name).read_text() == "months of work" and len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize("link", [os.link, os.symlink], ids=["hard", "symbolic"])
def test_nothing_is_added_to_a_file_through_a_link(
    link: Any, bright: BrightParts, collection: Path, tmp_path: Path
) -> None:
    manifest = collection / "manifest.json"
    before = manifest.read_text()
    link(manifest, tmp_path / "box-2d.jsonl")
    with pytest.raises(OutputError):
        evaluate(options(collection, tmp_path))
    assert manifest.read_text() == before


def test_a_commented_table_stays(bright: BrightParts, collection: Path, tmp_path: Path) -> None:
    evaluate(options(collection, tmp_path))
    evaluate(options(collection, tmp_path))
    with (tmp_path / "box-2d.md").open("a") as table:
        table.write("My conclusions.")
    with pytest.raises(OutputError):
        evaluate(options(collection, tmp_path))
    assert (tmp_path / "box-2d.md").read_text().endswith("My conclusions.")


@pytest.mark.parametrize("folder", ["", "inside", ".."], ids=["the-data", "in-it", "above-it"])
def test_the_data_set_is_never_written_to(folder: str, bright: BrightParts, collection: Path) -> None:
    with pytest.raises(OutputError) as caught:
        evaluate(options(collection, collection / folder))
    assert caught.value.code == "E-OUTPUT-INPUT" and not (collection / "inside").exists()


def test_a_scan_that_is_gone_when_the_sheet_is_drawn_costs_no_number(
    bright: BrightParts, collection: Path, tmp_path: Path
) -> None:
    data = tmp_path / "data"
    shutil.copytree(collection, data)
    real = bright.decode

    def decode(features: Any, queries: Sequence[Query]) -> list[Candidates]:
        (data / "disks.png").unlink(missing_ok=True)
        return real(features, queries)

    bright.decode = decode  # type: ignore[method-assign]
    report = evaluate(options(data, tmp_path / "out"))
    assert report.summary("bright.onnx").means["dice"] == 1 and (tmp_path / "out" / "box-2d-worst.png").is_file()


def test_what_remembers_earlier_frames_is_measured_as_a_whole(
    bright: BrightParts, collection: Path, tmp_path: Path
) -> None:
    """A bank of earlier images would be empty, where a run goes on with its later cases."""
    bright.capabilities = replace(bright.capabilities, remembers=True)
    first = evaluate(options(collection, tmp_path))
    asked = len(bright.asked)
    again = evaluate(options(collection, tmp_path, datasets=("disks",)))
    assert len(bright.asked) == asked + len(again.measured) < 2 * asked and len(first.measured) > len(again.measured)


def test_cases_of_one_name_are_shown_and_counted_apart(
    bright: BrightParts, collection: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    disks, _, ball, *_ = json.loads((collection / "manifest.json").read_text())
    items = [
        item | {"id": "1"} | {kind: str(collection / item[kind]) for kind in ("image", "label")}
        for item in (disks, ball)
    ]
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "manifest.json").write_text(json.dumps(items))
    shown: list[tuple[str, str]] = []
    real = runner.write_report

    def written(found: Any, cases: Any, *rest: Any) -> None:
        shown.extend((one.dataset, cases[one.key].dataset) for one in found.worst("bright.onnx", 12))
        real(found, cases, *rest)

    monkeypatch.setattr(runner, "write_report", written)
    done = evaluate(options(tmp_path / "data", tmp_path / "out", follow_links=True))
    assert len(done.measured) == 4 and sorted(shown) == [("ball", "ball"), ("disks", "disks")]
