"""Shards: what goes in comes out, lazily, for any number of workers, and webdataset can read them."""

from __future__ import annotations

import json
import pickle
import tarfile
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from PIL import Image

import small_hearts
from delineate.cli import app
from delineate.core.errors import DelineateError, InputError, OutputError
from delineate.data.cases import Case, Task, Use
from delineate.data.layouts import read_dataset
from delineate.data.shards import bytes_of, stream, write_shards
from delineate.data.subjects import subject_of

RNG = np.random.default_rng(3)
DISC = (np.hypot(*(np.mgrid[:40, :50] - 20)) < 10).astype(np.uint8)


def picture(path: Path, values: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(values).save(path)


@pytest.fixture
def mixed(tmp_path: Path) -> list[Case]:
    """Six pictures of three subjects, a 16-bit one, a volume and a video."""
    root = tmp_path / "in"
    cases = []

    def add(name: str, task: Task, image: str, label: str, use: Use = Use.TRAIN) -> None:
        cases.append(Case(name, "mixed", "MR", task, root / image, root / label, {1: "disc"}, use))

    for subject in range(3):
        for frame in range(2):
            name = f"patient{subject}_frame{frame}"
            picture(root / f"{name}.png", RNG.integers(0, 255, (40, 50, 3), dtype=np.uint8))
            picture(root / f"{name}_label.png", DISC)
            add(name, Task.IMAGE, f"{name}.png", f"{name}_label.png", Use.TEST if subject == 2 else Use.TRAIN)
    picture(root / "deep.png", RNG.integers(0, 60000, (40, 50), dtype=np.uint16))
    picture(root / "deep_label.png", DISC.astype(np.uint16) * 900)
    add("deep7", Task.IMAGE, "deep.png", "deep_label.png")
    affine = np.array([[0.0, -1, 0, 5], [2, 0, 0, 6], [0, 0, 3, 7], [0, 0, 0, 1]])
    for name, dtype in (("volume", np.int16), ("volume_label", np.uint8)):
        voxels = np.repeat(DISC.T[..., None], 4, axis=2).astype(dtype)
        nib.save(nib.Nifti1Image(voxels, affine), root / f"{name}.nii.gz")
    add("volume8", Task.VOLUME, "volume.nii.gz", "volume_label.nii.gz")
    for n in range(4):
        picture(root / "clip" / f"{n:05}.png", RNG.integers(0, 255, (40, 50, 3), dtype=np.uint8))
        if n % 2:
            picture(root / "clip_label" / f"{n:05}.png", DISC)
    add("clip9", Task.VIDEO, "clip", "clip_label")
    return cases


def same(one: Case, other: Case) -> bool:
    a, b = one.open(), other.open()
    frames = all((a.scan.pixels(n) == b.scan.pixels(n)).all() for n in range(len(a.scan)))
    labels = all((a.labels.pixels(n) == b.labels.pixels(n)).all() for n in range(len(a.labels)))
    return (
        frames and labels and a.frames == b.frames and a.scan.grid.same_as(b.scan.grid) and a.scan.kind == b.scan.kind
    )


def test_every_case_comes_back_as_it_was(mixed: list[Case], tmp_path: Path) -> None:
    written = write_shards(mixed, tmp_path / "out", size=20_000)
    assert written.samples == {"train": 7, "test": 2} and written.shards["train"] > 1
    layout, cases = read_dataset(tmp_path / "out")
    assert layout == "shards" and len(cases) == len(mixed)
    before = {case.id: case for case in mixed}
    for case in pickle.loads(pickle.dumps(cases)):
        assert same(case, before[case.id]) and case.structures == {1: "disc"} and case.use is before[case.id].use
        assert subject_of(case) == subject_of(before[case.id])


def test_members_of_a_sample_share_a_key(mixed: list[Case], tmp_path: Path) -> None:
    write_shards(mixed, tmp_path / "out")
    with tarfile.open(tmp_path / "out" / "train-000000.tar") as tar:
        names = tar.getnames()
    keys = [name.split(".", 1)[0] for name in names]
    assert keys == sorted(keys) and names[0].endswith(".json")
    assert {name.split(".", 1)[1] for name in names} >= {
        "json",
        "image.png",
        "label.png",
        "image.npz",
        "000001.label.png",
    }


@pytest.mark.parametrize("workers", [1, 2, 7])
@pytest.mark.parametrize("buffer", [0, 3])
def test_workers_share_the_samples(mixed: list[Case], tmp_path: Path, workers: int, buffer: int) -> None:
    write_shards(mixed, tmp_path / "out", size=20_000)
    seen = [
        scan.case.id
        for worker in range(workers)
        for scan in stream(tmp_path / "out", worker=worker, workers=workers, buffer=buffer)
    ]
    assert sorted(seen) == sorted(case.id for case in mixed if case.use is Use.TRAIN)


def test_epochs_have_their_own_order(mixed: list[Case], tmp_path: Path) -> None:
    write_shards(mixed, tmp_path / "out", size=20_000)
    orders = [[s.case.id for s in stream(tmp_path / "out", buffer=4, epoch=epoch)] for epoch in (0, 1, 0)]
    assert orders[0] == orders[2] != orders[1]


def test_streamed_scans_are_whole(mixed: list[Case], tmp_path: Path) -> None:
    write_shards(mixed, tmp_path / "out")
    found = {scan.case.id: scan for scan in stream(tmp_path / "out")}
    before = {case.id: case.open() for case in mixed}
    assert (found["clip9"].scan.pixels(3) == before["clip9"].scan.pixels(3)).all() and found["clip9"].frames == (1, 3)
    assert found["volume8"].targets(9, 0) == before["volume8"].targets(9, 0)


def test_a_split_keeps_subjects_whole(mixed: list[Case], tmp_path: Path) -> None:
    write_shards(mixed, tmp_path / "out", shares=(0.5, 0.25, 0.25), seed=2)
    entries = json.loads((tmp_path / "out" / "shards.json").read_text())["samples"]
    parts: dict[str, set[str]] = {}
    for entry in entries:
        parts.setdefault(entry["about"]["subject"], set()).add(entry["part"])
    assert len(entries) == len(mixed) and all(len(part) == 1 for part in parts.values())
    assert {part for found in parts.values() for part in found} == {"train", "val", "test"}


def test_webdataset_reads_them(mixed: list[Case], tmp_path: Path) -> None:
    webdataset = pytest.importorskip("webdataset")
    write_shards(mixed, tmp_path / "out")
    samples = list(webdataset.WebDataset(str(tmp_path / "out" / "train-000000.tar"), shardshuffle=False))
    about = {json.loads(sample["json"])["id"]: sample for sample in samples}
    assert len(samples) == 7 and "image.png" in about["deep7"] and "000003.image.png" in about["clip9"]


def test_a_failing_case_leaves_nothing(mixed: list[Case], tmp_path: Path) -> None:
    mixed[3].label.unlink()
    with pytest.raises(InputError):
        write_shards(mixed, tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["in"]


def test_what_cannot_be_is_refused(mixed: list[Case], tmp_path: Path) -> None:
    write_shards(mixed, tmp_path / "out")
    with pytest.raises(OutputError):
        write_shards(mixed, tmp_path / "out")
    with pytest.raises(InputError, match="no shards of val"):
        next(stream(tmp_path / "out", "val"))
    (tmp_path / "out" / "train-000000.tar").write_bytes(b"")
    with pytest.raises(InputError, match="cut short"):
        read_dataset(tmp_path / "out")[1][0].open()
    (tmp_path / "out" / "shards.json").write_text("[]")
    with pytest.raises(InputError, match="index"):
        read_dataset(tmp_path / "out")


def test_sizes() -> None:
    assert [bytes_of(text) for text in ("500MB", "2 GB", "1.5KiB", "77")] == [500_000_000, 2_000_000_000, 1536, 77]
    for text in ("", "much", "-3MB", "0"):
        with pytest.raises(InputError):
            bytes_of(text)


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for n in range(4):
        picture(tmp_path / "in" / "images" / f"case{n}.png", RNG.integers(0, 255, (40, 50), dtype=np.uint8))
        picture(tmp_path / "in" / "masks" / f"case{n}.png", DISC)
    folder, output = str(tmp_path / "in"), str(tmp_path / "out")
    app(["dataset", "shard", folder, "-o", output, "--split", "0.5,0.25,0.25"], standalone_mode=False)
    assert "train  2 samples in 1 file" in capsys.readouterr().out
    with pytest.raises(DelineateError):
        app(["dataset", "shard", folder, "-o", str(tmp_path / "b"), "--split", "0.5,0.6"], standalone_mode=False)


def test_clips_of_the_heart_keep_view_phases_and_millimeters(tmp_path: Path) -> None:
    small_hearts.camus(tmp_path / "camus", patients=1)
    before = {case.id: case.open() for case in read_dataset(tmp_path / "camus")[1]}
    write_shards(read_dataset(tmp_path / "camus")[1], tmp_path / "out")
    cases = read_dataset(tmp_path / "out")[1]
    streamed = list(stream(tmp_path / "out", "train" if cases[0].use is Use.TRAIN else "test"))
    assert len(cases) == len(streamed) == len(before) and any(one.echo is not None for one in before.values())
    for found in [*(case.open() for case in cases), *streamed]:
        known = before[found.case.id]
        assert found.echo == known.echo and found.frames == known.frames
        assert found.scan.grid.same_as(known.scan.grid) and found.scan.frame_spacing == known.scan.frame_spacing
