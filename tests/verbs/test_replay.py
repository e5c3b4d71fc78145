"""A manifest repeats its run to the last bit, or the reason why not is reported."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from PIL import Image

from delineate.automatic import AutomaticSettings
from delineate.core.errors import DelineateError
from delineate.core.manifest import Manifest
from delineate.core.prompts import Box, Mask, Point
from delineate.io.options import ReadOptions
from delineate.tracking.guards import GuardSettings
from delineate.verbs.auto import AutoRequest, auto
from delineate.verbs.replay import ReplayRequest, replay, request_from
from delineate.verbs.request import ModelChoice, OutputChoice, RunResult
from delineate.verbs.segment import SegmentRequest, SegmentTarget, segment

BOX = Box(16, 16, 48, 40)


def picture(path: Path) -> Path:
    pixels = np.random.default_rng(0).integers(20, 60, (64, 64)).astype(np.uint8)
    pixels[16:40, 16:48] += 120
    Image.fromarray(pixels).save(path)
    return path


def volume(path: Path) -> Path:
    """A volume whose two affines disagree about where it lies."""
    voxels = np.random.default_rng(0).normal(0, 4, (40, 36, 8)).astype(np.int16)
    voxels[10:25, 8:24, 2:6] += 200
    image = nib.Nifti1Image(voxels, np.diag([1.0, 1, 3, 1]))
    image.set_sform(np.diag([1.0, 1, 3, 1]), 1)
    moved = np.diag([1.0, 1, 3, 1])
    moved[:3, 3] = 6, 4, 0
    image.set_qform(moved, 1)
    nib.save(image, path)
    return path


def run_again(manifest: Path, output: OutputChoice, force: bool = False) -> tuple[RunResult, bool | None]:
    done = replay(ReplayRequest(manifest=manifest, output=output, force=force))
    assert isinstance(done.run, RunResult)
    return done.run, done.same


def outline(file: Path) -> bytes:
    return file.read_bytes()


CASES: dict[str, SegmentRequest] = {
    "modality": SegmentRequest(
        input=Path("a.png"),
        reading=ReadOptions(modality="ULTRASOUND"),  # type: ignore[arg-type]
        asked=SegmentTarget(prompts=(BOX,)),
        output=OutputChoice(path=Path("o.png")),
    ),
    "picture": SegmentRequest(
        input=Path("a.png"), asked=SegmentTarget(prompts=(BOX,)), output=OutputChoice(path=Path("o.png"))
    ),
    "click-then-split": SegmentRequest(
        input=Path("a.png"),
        asked=SegmentTarget(name="cyst", prompts=(Point(30, 30), Point(5, 5, positive=False))),
        output=OutputChoice(path=Path("o.nii.gz"), split=True),
    ),
    "volume": SegmentRequest(
        input=Path("v.nii.gz"),
        reading=ReadOptions(affine="sform"),  # type: ignore[arg-type]
        asked=SegmentTarget(prompts=(Box(10, 8, 25, 24, frame=4),)),
        output=OutputChoice(path=Path("o.nii.gz")),
    ),
    "other-affine-millimeters": SegmentRequest(
        input=Path("v.nii.gz"),
        reading=ReadOptions(affine="qform"),  # type: ignore[arg-type]
        asked=SegmentTarget(prompts=(Box(16, 12, 12, 31, 28, 13, space="RAS"),)),
        output=OutputChoice(path=Path("o.seg.nrrd")),
    ),
    "other-slice-axis": SegmentRequest(
        input=Path("v.nii.gz"),
        reading=ReadOptions(affine="sform", slice_axis="i"),  # type: ignore[arg-type]
        asked=SegmentTarget(prompts=(Box(8, 2, 24, 6, frame=15),)),
        output=OutputChoice(path=Path("o.nii.gz")),
    ),
    "guards": SegmentRequest(
        input=Path("v.nii.gz"),
        reading=ReadOptions(affine="sform"),  # type: ignore[arg-type]
        asked=SegmentTarget(prompts=(Box(10, 8, 25, 24, frame=4),)),
        guards=GuardSettings(presence=0.99),
        output=OutputChoice(path=Path("o.nii.gz")),
    ),
    "published-system": SegmentRequest(
        input=Path("a.png"),
        model=ModelChoice(name="mobile_sam", untrained=True, device="cpu", precision="fp32"),
        asked=SegmentTarget(prompts=(BOX,)),
        output=OutputChoice(path=Path("o.png")),
    ),
}  # fmt: skip


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    picture(tmp_path / "a.png")
    volume(tmp_path / "v.nii.gz")
    return tmp_path


@pytest.mark.parametrize("name", CASES)
def test_a_run_is_repeated_to_the_last_bit(here: Path, name: str) -> None:
    if CASES[name].model.name != "quill":
        pytest.importorskip("transformers")
    first = segment(CASES[name])
    again, same = run_again(first.manifest_file, OutputChoice())
    assert same is True
    assert [outline(f) for f in again.files[: len(first.manifest.outputs)]] == [
        outline(f) for f in first.files[: len(first.manifest.outputs)]
    ]
    assert first.manifest.run == again.manifest.run and first.manifest.model == again.manifest.model


def test_the_guards_and_the_affine_change_what_is_found(here: Path) -> None:
    """The cases above could not fail otherwise."""
    plain, guarded = segment(CASES["volume"]), segment(CASES["guards"].model_copy(
        update={"output": OutputChoice(path=Path("g.nii.gz"))}))  # fmt: skip
    assert plain.manifest.outputs[0].sha256 != guarded.manifest.outputs[0].sha256
    other = CASES["other-affine-millimeters"].model_copy(update={"output": OutputChoice(path=Path("q.nii.gz"))})
    reading, output = ReadOptions(affine="sform"), OutputChoice(path=Path("s.nii.gz"))  # type: ignore[arg-type]
    sform = other.model_copy(update={"reading": reading, "output": output})
    masks = [segment(one).session.segmentation.voxels("structure") for one in (other, sform)]
    assert (masks[0] != masks[1]).any()


def test_a_mask_file_is_repeated_without_the_file(here: Path) -> None:
    drawn = np.zeros((64, 64), np.uint8)
    drawn[16:40, 16:48] = 1
    Image.fromarray(drawn).save(here / "m.png")
    first = segment(SegmentRequest(input=Path("a.png"), asked=SegmentTarget(mask=Path("m.png")),
                                   output=OutputChoice(path=Path("o.png"))))  # fmt: skip
    (here / "m.png").unlink()
    assert run_again(first.manifest_file, OutputChoice())[1] is True


def changed_scan(here: Path, manifest: Path) -> None:
    with Image.open(here / "a.png") as image:
        pixels = np.array(image)
    pixels[0, 0] += 1
    Image.fromarray(pixels).save(here / "a.png")


def edited(**changes: object):  # type: ignore[no-untyped-def]
    def change(here: Path, manifest: Path) -> None:
        content = json.loads(manifest.read_text())
        for path, value in changes.items():
            *way, last = path.split("__")
            place = content
            for part in way:
                place = place[int(part) if part.isdigit() else part]
            place[last] = value
        manifest.write_text(json.dumps(content))

    return change


@pytest.mark.parametrize(
    ("change", "code", "says"),
    [
        pytest.param(changed_scan, "E-PROMPTS-OTHER-SCAN", "another file", id="scan"),
        pytest.param(lambda d, m: (d / "a.png").unlink(), "E-REPLAY-FILE", "--input", id="scan-gone"),
        pytest.param(edited(model__sha256="0" * 64), "E-REPLAY-DIFFERS", "sha256", id="weights"),
        pytest.param(edited(model__version="v1"), "E-REPLAY-DIFFERS", "quill v1", id="model-version"),
        pytest.param(edited(software="delineate 0.0.1"), "E-REPLAY-DIFFERS", "delineate 0.0.1", id="software"),
        pytest.param(edited(run__model="mine.onnx"), "E-REPLAY-FILE", "--model", id="model-file-gone"),
        pytest.param(edited(run__adapter="mine.safetensors"), "E-REPLAY-FILE", "--adapter", id="adapter-gone"),
        pytest.param(edited(objects=3), "E-MANIFEST", "objects", id="damaged"),
        pytest.param(edited(outputs__0__name="../evil.png"), "E-MANIFEST", "plain file name", id="output-elsewhere"),
        pytest.param(edited(input__name="/etc/passwd"), "E-MANIFEST", "plain file name", id="scan-elsewhere"),
        pytest.param(edited(run__model="..\\\\m.onnx"), "E-MANIFEST", "plain file name", id="model-elsewhere"),
    ],
)
def test_what_differs_is_named(here: Path, change, code: str, says: str) -> None:  # type: ignore[no-untyped-def]
    first = segment(CASES["picture"])
    change(here, first.manifest_file)
    with pytest.raises(DelineateError) as caught:
        run_again(first.manifest_file, OutputChoice())
    assert caught.value.code == code and says in str(caught.value)
    assert not (here / "again_o.png").exists()


def test_force_goes_on_and_says_whether_it_is_the_same(here: Path) -> None:
    first = segment(CASES["picture"])
    edited(software="delineate 0.0.1")(here, first.manifest_file)
    assert run_again(first.manifest_file, OutputChoice(), force=True)[1] is True
    changed_scan(here, first.manifest_file)
    again, same = run_again(first.manifest_file, OutputChoice(path=Path("b.nii.gz")), force=True)
    assert same is None and again.files[0] == Path("b.nii.gz")


def test_manifests_of_earlier_releases_are_replayed(here: Path) -> None:
    first = segment(CASES["picture"])
    content = json.loads(first.manifest_file.read_text())
    del content["run"]
    content["format"] = "delineate-manifest/1"
    for field in ("device", "precision", "backend"):
        del content["model"][field]
    first.manifest_file.write_text(json.dumps(content))
    assert run_again(first.manifest_file, OutputChoice())[1] is True


def test_automatic_outlines_are_repeated(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("transformers")
    from delineate.systems import SYSTEMS
    from training_discs import tiny_predictor

    tiny = replace(SYSTEMS["sam_vit_b"], name="tiny_sam", build=lambda options: tiny_predictor(side=128))
    monkeypatch.setitem(SYSTEMS, "tiny_sam", tiny)  # type: ignore[arg-type]
    request = AutoRequest(
        input=Path("v.nii.gz"),
        reading=ReadOptions(affine="sform"),  # type: ignore[arg-type]
        model=ModelChoice(name="tiny_sam", untrained=True),
        frame=3,
        settings=AutomaticSettings(points_per_side=3, stability_score_thresh=0.0),
        pred_iou_thresh=0.0,
        output=OutputChoice(path=Path("o.png")),
    )
    first = auto(request)
    assert first.found and first.manifest.run is not None and first.manifest.run.frame == 3
    again, same = run_again(first.manifest_file, OutputChoice())
    assert same is True and outline(again.files[0]) == outline(first.files[0])
    voxels = np.asarray(nib.load(here / "v.nii.gz").dataobj).copy()
    voxels[0, 0, 0] += 1
    nib.save(nib.Nifti1Image(voxels, nib.load(here / "v.nii.gz").affine), here / "v.nii.gz")
    with pytest.raises(DelineateError) as caught:
        run_again(first.manifest_file, OutputChoice(overwrite=True))
    assert caught.value.code == "E-PROMPTS-OTHER-SCAN"


def test_a_series_is_recorded_by_its_place_and_not_by_its_description(here: Path) -> None:
    from bad_inputs.dicom import series, setting

    (here / "study").mkdir()
    series(here / "study")
    series(here / "study", (0, 3, 6), setting(SeriesInstanceUID="1.2.3", SeriesNumber=5,
                                              SeriesDescription="MADEUPJANE"), "b")  # fmt: skip
    first = segment(
        SegmentRequest(
            input=Path("study"),
            reading=ReadOptions(series="madeupjane"),
            asked=SegmentTarget(prompts=(Box(2, 2, 6, 6, frame=1),), propagate=False),
            output=OutputChoice(path=Path("o.nii.gz")),
        )
    )
    assert "madeupjane" not in first.manifest_file.read_text().lower()
    assert first.manifest.run is not None and first.manifest.run.reading == {"series": "#2"}
    assert run_again(first.manifest_file, OutputChoice())[1] is True


def test_a_manifest_keeps_no_folder(here: Path) -> None:
    request = CASES["picture"].model_copy(update={"input": here / "a.png", "output": OutputChoice(path=here / "o.png")})
    text = segment(request).manifest_file.read_text()
    assert str(here) not in text
    manifest = Manifest.read(here / "o.manifest.json")
    assert manifest is not None and manifest.run is not None and manifest.model.device == "cpu"


def test_prompts_of_a_mask_are_runs(here: Path) -> None:
    asked = SegmentTarget(prompts=(Mask.from_array(np.pad(np.ones((8, 8), bool), 28)),))
    first = segment(SegmentRequest(input=Path("a.png"), asked=asked, output=OutputChoice(path=Path("o.json"))))
    assert run_again(first.manifest_file, OutputChoice())[1] is True


def test_what_a_manifest_or_a_log_says_is_done_to_a_file(here: Path) -> None:
    first = segment(CASES["picture"])
    request, check = request_from(first.manifest_file, Path("a.png"), OutputChoice(path=Path("b.png")))
    assert check is not None
    assert outline(segment(request, check=check).files[0]) == outline(first.files[0])
    log = Path("log.json")
    log.write_text(first.manifest.prompts.model_dump_json())
    request, check = request_from(log, Path("a.png"), OutputChoice(path=Path("c.png")))
    assert check is None and outline(segment(request).files[0]) == outline(first.files[0])


def test_what_is_given_counts_more_than_what_is_recorded(here: Path) -> None:
    first = segment(CASES["volume"])
    model, reading = ModelChoice(name="sam_vit_b", untrained=True), ReadOptions(window="bone")
    request, check = request_from(first.manifest_file, Path("v.nii.gz"), OutputChoice(), model, reading)
    assert check is None and (request.model, request.reading) == (model, reading)
    request, check = request_from(first.manifest_file, Path("v.nii.gz"), OutputChoice(), force=True)
    assert check is None and request.force and request.reading == CASES["volume"].reading
