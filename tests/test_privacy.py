"""No text of a scan's header, and no folder it lies in, is in anything that is written.

Every format that is read is made with a made-up name in every text it has room for, in a folder of that name. Then
every command that writes is run, and every byte of what it wrote is searched, packed or not, home and caches as well.
A scan's own file name is another matter: manifests and COCO keep it.
"""

from __future__ import annotations

import contextlib
import io
import json
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

import delineate
from bright_predictor import BrightPredictor
from byte_search import found_in, holds
from delineate.cli import app
from delineate.cli.guard import EMPTY
from delineate.core.errors import OutputError
from delineate.core.frame import Frame
from delineate.evaluation import runner
from delineate.systems import BuildOptions
from delineate.verbs.request import ModelChoice
from private_files import (
    BOX,
    IMAGES,
    NAME,
    NUMBER,
    VIDEOS,
    VOLUMES,
    Texts,
    frame_folder,
    frames,
    nifti,
    png,
)  # fmt: skip

ALL = VOLUMES | IMAGES | VIDEOS
NIFTI = [name for name in VOLUMES if name.startswith("nifti")]
ENDINGS = {
    **dict.fromkeys(VOLUMES, (".nii.gz", ".nii", ".seg.nrrd", ".npz", ".json")),
    **dict.fromkeys(IMAGES, (".png", ".nii.gz", ".seg.nrrd", ".npz", ".json")),
    **dict.fromkeys(VIDEOS, ("", ".npz", ".json")),
}


class Bright(BrightPredictor):
    """Colors as gray values."""

    def encode(self, frame: Frame) -> np.ndarray:
        pixels = super().encode(frame)
        return pixels if pixels.ndim == 2 else pixels.mean(axis=2)


@pytest.fixture(scope="module")
def outputs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Where everything is written: outputs, home, caches and temporary files."""
    folder = tmp_path_factory.mktemp("outputs")
    with pytest.MonkeyPatch.context() as patch:
        for name in ("HOME", "XDG_CACHE_HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME", "TMPDIR"):
            (folder / name).mkdir()
            patch.setenv(name, str(folder / name))
        patch.setattr(tempfile, "tempdir", None)
        patch.chdir(folder)
        yield folder


@pytest.fixture(scope="module")
def private(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("of") / NAME


@pytest.fixture(scope="module")
def scans(private: Path) -> dict[str, Path]:
    """A scan of every format, each seen to hold all that was put into it."""
    paths = {}
    for name, (make, _) in ALL.items():
        folder, texts = private / name, Texts()
        folder.mkdir(parents=True)
        paths[name] = make(folder, texts)
        missing = [
            text
            for text in set(texts.said)
            if not any(holds(p.read_bytes(), text) for p in folder.rglob("*") if p.is_file())
        ]
        assert texts.said and not missing, f"{name}: {missing}"
    return paths


def run(*words: object, code: int = 0, may_be_empty: bool = False, stdout: Path | None = None) -> str:
    """A command, in this process; what it writes on standard output goes into a file as well."""
    caught = io.StringIO()
    with contextlib.redirect_stdout(caught), contextlib.redirect_stderr(io.StringIO()):
        ended = app([str(word) for word in words], standalone_mode=False)
    assert (ended or 0) in {code, EMPTY if may_be_empty else code}
    if stdout is not None:
        stdout.write_text(caught.getvalue())
    return caught.getvalue()


def assert_clean(folder: Path) -> None:
    assert [file for file in folder.rglob("*") if file.is_file()]
    assert found_in(folder, NAME) == []
    assert found_in(folder, NUMBER) == []


SPLIT = ("nifti", "dicom series", "png", "mp4")
WAYS = [
    *(pytest.param(name, False, id=f"{name}-one file") for name in ALL),
    *(pytest.param(name, True, id=f"{name}-split") for name in SPLIT),
]


@pytest.mark.parametrize(("name", "split"), WAYS)
def test_outlines(
    outputs: Path, scans: dict[str, Path], monkeypatch: pytest.MonkeyPatch, name: str, split: bool
) -> None:
    monkeypatch.setattr(ModelChoice, "build", lambda _: Bright())
    folder = outputs / "segment" / name / ("split" if split else "whole")
    folder.mkdir(parents=True)
    words = ["--box", BOX, *ALL[name][1], "--label", "block", "--json", *(["--split"] if split else [])]
    words += ["--frame", 1] if name not in IMAGES else []
    words += ["--film"] if name in VIDEOS else []
    for ending in ENDINGS[name][: 1 if split else None]:
        stem = f"out{ending.replace('.', '_')}"
        text = run("segment", scans[name], *words, "-o", folder / (stem + ending), stdout=folder / f"{stem}.stdout")
        assert json.loads(text)["manifest"]["objects"][0]["pixels"] > 50
    manifests = sorted(folder.glob("*.manifest.json"))
    assert len(manifests) == len(ENDINGS[name][: 1 if split else None])
    run("replay", manifests[0], "--input", scans[name], "-o", folder / f"again{ENDINGS[name][0]}")
    assert bool(list(folder.rglob("*.mp4"))) == (name in VIDEOS)
    assert_clean(folder)


@pytest.mark.parametrize("name", NIFTI)
def test_a_kept_header_is_found_by_this_search(
    outputs: Path, scans: dict[str, Path], monkeypatch: pytest.MonkeyPatch, name: str, tmp_path: Path
) -> None:
    monkeypatch.setattr(ModelChoice, "build", lambda _: Bright())
    output = tmp_path / "out.nii.gz"
    run("segment", scans[name], "--box", BOX, "--frame", 1, "--keep-header", "-o", output)
    assert found_in(tmp_path, NAME) == [str(output)]
    manifest = json.loads((tmp_path / "out.manifest.json").read_text())
    assert [n for n in manifest["notices"] if "header was copied with its texts" in n]


@pytest.mark.parametrize(("name", "ending"), [("nrrd", ".nii.gz"), ("dicom series", ".nii.gz"), ("nifti", ".seg.nrrd")])
def test_no_other_header_can_be_kept(scans: dict[str, Path], tmp_path: Path, name: str, ending: str) -> None:
    with pytest.raises(OutputError, match="header"):
        run("segment", scans[name], "--box", BOX, "--frame", 1, "--keep-header", "-o", tmp_path / f"out{ending}")
    assert not list(tmp_path.iterdir())


# --- data sets: reports, shards, training ---------------------------------------------------------------------------


def item(case: str, task: str, image: object, label: object, use: str = "test") -> dict[str, Any]:
    about = {"id": case, "dataset": "made up", "modality": "CT", "labels": {"1": "block"}, "use": use}
    return about | {"task": task, "image": str(image), "label": str(label)}


def dataset(folder: Path, items: list[dict[str, Any]]) -> Path:
    (folder / "manifest.json").write_text(json.dumps(items))
    return folder


def labels(folder: Path) -> None:
    """``label.png``, ``label.nii.gz`` and ``labels/N.png``, with as many texts as scans have."""
    marked = (frames() > 100).astype(np.uint8)
    info = PngInfo()
    info.add_text("Author", NAME)
    Image.fromarray(marked[0]).save(folder / "label.png", pnginfo=info)
    image = nib.Nifti1Image(marked.transpose(2, 1, 0), np.diag([1.0, 1, 3, 1]))
    image.header["descrip"] = NAME.encode()
    nib.save(image, folder / "label.nii.gz")
    (folder / "labels").mkdir()
    for n, one in enumerate(marked):
        Image.fromarray(one).save(folder / "labels" / f"{n}.png", pnginfo=info)


@pytest.fixture(scope="module")
def labeled(private: Path) -> Path:
    """A data set without faults, below a folder of a patient's name and with one in it."""
    folder = private / "labeled"
    (folder / NAME).mkdir(parents=True)
    labels(folder)
    png(folder / NAME, Texts()), nifti(folder / NAME, Texts()), frame_folder(folder / NAME, Texts())
    return dataset(
        folder,
        [
            item("picture", "2d", f"{NAME}/scan.png", "label.png"),
            item("volume", "3d", f"{NAME}/scan.nii.gz", "label.nii.gz"),
            item("clip", "video", f"{NAME}/clip", "labels"),
            item(str(folder / "ninth"), "2d", f"{NAME}/scan.png", "label.png"),
        ],
    )


@pytest.fixture(scope="module")
def faulty(private: Path) -> Path:
    """A data set of which every case fails, in another way each."""
    folder = private / "faulty"
    folder.mkdir(parents=True)
    labels(folder)
    png(folder, Texts()), nifti(folder, Texts())
    (folder / "cut.nii.gz").write_bytes((folder / "scan.nii.gz").read_bytes()[:300])
    (folder / "cut.png").write_bytes((folder / "scan.png").read_bytes()[:400])
    (folder / "other.png").write_bytes(b"no picture")
    Image.fromarray(np.ones((9, 9), np.uint8)).save(folder / "small.png")
    shutil.copytree(folder / "labels", private / "elsewhere")
    return dataset(
        folder,
        [
            item("missing", "2d", "missing.png", "label.png"),
            item("missing with the whole path", "2d", folder / "missing.png", folder / "label.png"),
            item("missing elsewhere", "2d", private / "elsewhere" / "missing.png", "label.png"),
            item("missing above", "2d", "../elsewhere/missing.png", "label.png"),
            item("cut", "2d", "cut.png", "label.png"),
            item("cut volume", "2d", "cut.nii.gz", "label.png"),
            item("no picture", "2d", "other.png", "label.png"),
            item("label missing", "2d", "scan.png", "gone/label.png"),
            item("label of another size", "2d", "scan.png", "small.png"),
            item("labels of other frames", "2d", "scan.png", folder / "labels"),
            item("empty folder", "2d", "empty", "label.png"),
        ],
    )


@pytest.mark.parametrize("spelled", ["absolute", "relative", "link"])
@pytest.mark.parametrize(
    ("which", "protocol", "failing"),
    [("labeled", "box-2d", 0), ("labeled", "volume-box", 0), ("labeled", "video-mask", 0), ("faulty", "box-2d", 11)],
)
def test_reports(
    outputs: Path, labeled: Path, faulty: Path, monkeypatch: pytest.MonkeyPatch, which: str, protocol: str,
    failing: int, spelled: str, tmp_path: Path,
) -> None:  # fmt: skip
    monkeypatch.setattr(runner, "predictor_named", lambda *_: Bright())
    data = labeled if which == "labeled" else faulty
    if spelled == "relative":
        monkeypatch.chdir(data.parent.parent)
        data = Path(NAME) / data.name
    elif spelled == "link":
        (tmp_path / f"link to {NAME}").symlink_to(data.parent)
        data = tmp_path / f"link to {NAME}" / data.name
    folder = outputs / "reports" / f"{which} {protocol} {spelled}"
    model = data.absolute().parent / "models" / "mine.onnx"
    words = ("--predictors", f"{model},quill", "--protocol", protocol, "-o", folder, "--json")
    text = run("evaluate", "--data", data, *words, code=int(failing > 0), stdout=outputs / "evaluate.stdout")
    report = json.loads(text)
    assert len(report["failures"]) == 2 * failing and bool(report["structures"]) == (not failing)
    assert set(report["predictors"]) == {"mine.onnx", "quill"}
    names = {path.name for path in folder.iterdir()}
    assert names >= {f"{protocol}.{ending}" for ending in ("json", "md", "html")}
    assert (f"{protocol}-worst.png" in names) == (not failing)
    assert_clean(folder)
    if failing:
        assert all(str(data.absolute().parent) not in f["reason"] for f in report["failures"])


def test_checks_and_shards(outputs: Path, labeled: Path, faulty: Path) -> None:
    folder = outputs / "data"
    run("dataset", "check", labeled, "--sheet", folder / "sheet.png")
    run("dataset", "check", faulty, "--sheet", folder / "faulty.png", code=1)
    run("dataset", "shard", labeled, "-o", folder / "shards", "--json", stdout=folder / "shard.stdout")
    assert (folder / "sheet.png").is_file()
    entries = json.loads((folder / "shards" / "shards.json").read_text())["samples"]
    assert {one["about"]["id"] for one in entries} == {"picture", "volume", "clip", "ninth"}
    assert_clean(folder)


@pytest.fixture
def tiny_sam(monkeypatch: pytest.MonkeyPatch) -> str:
    """The name of a tiny system that is built as all are."""
    pytest.importorskip("transformers")
    pytest.importorskip("accelerate")
    from delineate.checkpoints import key_maps
    from delineate.systems.building import loaded, record_of
    from delineate.systems.registry import SYSTEMS
    from training_discs import tiny_predictor

    def built(options: BuildOptions) -> Any:
        one = tiny_predictor()
        _, sha256 = loaded("tiny_sam", options, one.network, one.network.host, key_maps.sam_weights)
        return replace(one, record=record_of("tiny_sam", sha256, "Apache-2.0", "", one.engine))

    monkeypatch.setitem(SYSTEMS, "tiny_sam", replace(SYSTEMS["sam_vit_b"], name="tiny_sam", build=built))
    return "tiny_sam"


def test_training_and_what_is_made_of_it(outputs: Path, private: Path, tiny_sam: str) -> None:
    from training_discs import discs

    data, folder = private / "discs", outputs / "training"
    discs(data, 4, 96)
    info = PngInfo()
    info.add_text("Author", NAME)
    for path in data.rglob("*.png"):  # every subject is named, too
        Image.open(path).save(path.with_name(f"{NAME}_{path.name.removeprefix('case')}"), pnginfo=info)
        path.unlink()
    run(
        "train", "finetune", data, "-m", tiny_sam, "--untrained", "--recipe", "medsam", "--peft", "lora", "--rank", "2",
        "--steps", "2", "--every", "1", "--batch", "2", "--rate", "1e-2", "-o", folder / "run", "--json",
        stdout=outputs / "train.stdout",
    )  # fmt: skip
    names = {path.name for path in (folder / "run").iterdir()}
    assert names >= {"log.jsonl", "last.safetensors", "learned_from.json"}
    shutil.copytree(folder / "run", private / "run")
    weights = private / "run" / "best.safetensors"
    if not weights.is_file():
        pytest.fail(f"nothing was kept: {names}")
    run("models", "import", weights, "--system", tiny_sam)
    run("models", "export", weights, "--system", tiny_sam, "-o", folder / "export", "--json")
    picture = folder / "picture.png"
    words = ("--points-per-side", 2, "--untrained", "--json")
    picture_of = png(private, Texts())
    run("auto", picture_of, "-m", tiny_sam, *words, "-o", picture, may_be_empty=True, stdout=folder / "auto.stdout")
    assert (folder / "export" / "model.json").is_file() and picture.is_file()
    assert_clean(folder)
    for path in (folder / "export").iterdir():
        assert not holds(path.read_bytes(), str(Path(delineate.__file__).parent)), (
            f"{path} says where this is installed"
        )


def test_a_corrupted_picture(outputs: Path, scans: dict[str, Path]) -> None:
    (outputs / "corruptions").mkdir()
    run("bench", "corruptions", scans["png"], "-o", outputs / "corruptions" / "sheet.png")
    assert_clean(outputs / "corruptions")


def test_nothing_is_left_in_the_home_folder_or_caches(outputs: Path) -> None:
    """Comes last: whatever the tests above made there."""
    for name in ("HOME", "XDG_CACHE_HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME", "TMPDIR"):
        assert found_in(outputs / name, NAME) == []
        assert found_in(outputs / name, NUMBER) == []
    assert found_in(outputs, NAME) == []
