"""Nothing outside a data set's folder is read for it, however an entry leads there, unless a person allows it."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from typer.testing import CliRunner

from delineate.cli import app
from delineate.core.errors import DelineateError, InputError
from delineate.data.cases import Case, refuse_outside
from delineate.data.check import check_dataset
from delineate.data.confined import DataFolder, OutsideError
from delineate.data.layouts import read_dataset
from delineate.data.shards import INDEX, stream, write_shards
from delineate.evaluation.runner import EvaluateOptions, evaluate
from small_data_sets import (
    BLUE,
    DISC,
    camus,
    challenge,
    coco,
    endovis17,
    endovis18,
    folders,
    manifest,
    nnunet,
    npz,
    picture,
    sa_med2d,
    vos,
)

LINKED: list[tuple[Callable[[Path], object], str]] = [
    (manifest, "a.png"),
    (manifest, "a_label.png"),
    (nnunet, "imagesTr/heart_000_0000.nii.gz"),
    (nnunet, "labelsTr/heart_001.nii.gz"),
    (nnunet, "imagesTr"),
    (nnunet, "labelsTr"),
    (vos, "JPEGImages/clip/00001.jpg"),
    (vos, "JPEGImages/clip"),
    (vos, "JPEGImages"),
    (vos, "Annotations/clip/00002.png"),
    (vos, "Annotations/clip"),
    (sa_med2d, "images"),
    (sa_med2d, "masks"),
    (sa_med2d, "masks/ct_00--AbdomenCT1K--Case_00011--x_0041--0002_000.png"),
    (coco, "train2017/slide_000.png"),
    (coco, "train2017"),
    (endovis17, "instrument_dataset_1"),
    (endovis17, "instrument_dataset_1/left_frames/frame001.png"),
    (endovis17, "instrument_dataset_1/ground_truth/Left_Prograsp_Forceps_labels"),
    (endovis17, "instrument_dataset_1/ground_truth/Left_Prograsp_Forceps_labels/frame000.png"),
    (endovis18, "seq_2/labels"),
    (challenge, "imgs/2D_a.npz"),
    (challenge, "gts/2D_a.npz"),
    (challenge, "gts"),
    (camus, "patient0001/patient0001_2CH_ED.nii.gz"),
    (camus, "patient0001/patient0001_2CH_ED_gt.nii.gz"),
    (folders, "images/0.png"),
    (folders, "masks/2_mask.png"),
    (folders, "images"),
    (folders, "masks"),
]
linked = pytest.mark.parametrize(
    ("make", "entry"), [pytest.param(make, entry, id=f"{make.__name__}-{entry}") for make, entry in LINKED]
)
INDICES: list[tuple[Callable[[Path], object], str]] = [
    (manifest, "manifest.json"),
    (nnunet, "dataset.json"),
    (sa_med2d, "SAMed2D_v1.json"),
    (sa_med2d, "SAMed2D_v1_class_mapping_id.json"),
    (coco, "annotations/instances_train2017.json"),
    (coco, "annotations"),
    (endovis18, "labels.json"),
]


def stored(path: Path, store: Path) -> Path:
    """Keep a file or folder in a store, under a number as DVC and git-annex do, and leave a link."""
    store.mkdir(parents=True, exist_ok=True)
    target = store / str(len(list(store.iterdir())))
    path.rename(target)
    path.symlink_to(target)
    return target


def refusals(cases: list[Case]) -> list[OutsideError]:
    """What is said of cases that lead outside; the others open."""
    found = []
    for case in cases:
        try:
            case.open().targets(9, 0)
        except OutsideError as error:
            found.append(error)
    return found


@linked
def test_links_that_lead_outside_are_refused_unless_allowed(
    make: Callable[[Path], object], entry: str, tmp_path: Path
) -> None:
    root, target = tmp_path / "ds", tmp_path / "store" / "0"
    make(root)
    whole = len(read_dataset(root)[1])
    stored(root / entry, tmp_path / "store")
    layout, cases = read_dataset(root)
    refused = refusals(cases)
    assert len(cases) == whole and refused
    for error in refused:
        assert error.code == "E-DATA-OUTSIDE" and error.target.is_relative_to(target) and "--follow-links" in error.hint
        assert error.entry.startswith(entry) and str(error.target) in error.message
    card = check_dataset(root)
    outside = [problem for problem in card.problems if "outside" in problem.what]
    assert len(outside) == len(refused) == len(card.problems) and sum(card.sizes.values()) == whole - len(refused)
    assert {problem.detail for problem in outside} == {error.where for error in refused}
    with pytest.raises(OutsideError):
        write_shards(cases, tmp_path / "out")
    assert not (tmp_path / "out").exists(), "nothing was packed"
    found, allowed = read_dataset(root, follow_links=True)
    assert (found, len(allowed), refusals(allowed)) == (layout, whole, [])
    assert not check_dataset(root, follow_links=True).problems


@linked
def test_links_within_a_data_set_are_followed(make: Callable[[Path], object], entry: str, tmp_path: Path) -> None:
    root = tmp_path / "ds"
    make(root)
    stored(root / entry, root / ".store")
    (tmp_path / "link").symlink_to(root)
    for place in (root, tmp_path / "link"):
        assert not check_dataset(place).problems, "a link to the data set itself is no matter"


@pytest.mark.parametrize(
    ("make", "entry"), [pytest.param(make, entry, id=f"{make.__name__}-{entry}") for make, entry in INDICES]
)
def test_an_index_lies_in_the_data_set(make: Callable[[Path], object], entry: str, tmp_path: Path) -> None:
    make(tmp_path / "ds")
    stored(tmp_path / "ds" / entry, tmp_path / "store")
    with pytest.raises(OutsideError, match=entry):
        read_dataset(tmp_path / "ds")
    assert not refusals(read_dataset(tmp_path / "ds", follow_links=True)[1])


def named_in_manifest(root: Path, name: str) -> None:
    manifest(root)
    change(root / "manifest.json", lambda items: items[0].update(image=name))


def labels_named_in_manifest(root: Path, name: str) -> None:
    manifest(root)
    change(root / "manifest.json", lambda items: items[0].update(label=name))


def named_in_coco(root: Path, name: str) -> None:
    coco(root)
    change(root / "annotations/instances_train2017.json", lambda content: content["images"][0].update(file_name=name))


def named_in_sa_med2d(root: Path, name: str) -> None:
    sa_med2d(root)
    change(root / "SAMed2D_v1.json", lambda listed: listed.update({name: listed.popitem()[1]}))


def named_in_shards(root: Path, name: str) -> None:
    manifest(root.parent / "cases")
    write_shards(read_dataset(root.parent / "cases")[1], root)
    (root / "test-000000.tar").rename(root.parent / "scan.png")
    change(root / INDEX, lambda index: index["samples"][0].update(shard=name))


def change(path: Path, by: Callable) -> None:
    content = json.loads(path.read_text())
    by(content)
    path.write_text(json.dumps(content))


@pytest.mark.parametrize(
    "make", [named_in_manifest, labels_named_in_manifest, named_in_coco, named_in_sa_med2d, named_in_shards]
)
@pytest.mark.parametrize("spelling", ["{0}/scan.png", "../scan.png", "../ds/../scan.png", "/{0}/ds/../scan.png"])
def test_names_that_lead_outside_are_refused(make: Callable, spelling: str, tmp_path: Path) -> None:
    picture(tmp_path / "scan.png", DISC)
    make(tmp_path / "ds", spelling.format(tmp_path))
    (error, *_) = refusals(read_dataset(tmp_path / "ds")[1])
    assert error.target == tmp_path / "scan.png"
    assert not refusals(read_dataset(tmp_path / "ds", follow_links=True)[1])


def test_a_copy_in_the_data_set_is_preferred_to_the_original_elsewhere(tmp_path: Path) -> None:
    picture(tmp_path / "slide_000.png", BLUE)
    named_in_coco(tmp_path / "ds", f"{tmp_path}/slide_000.png")
    (tmp_path / "ds" / "train2017" / "slide_000.png").rename(tmp_path / "ds" / "slide_000.png")
    (case,) = read_dataset(tmp_path / "ds")[1]
    assert case.image == tmp_path / "ds" / "slide_000.png" and not refusals([case])


def test_shards_that_are_streamed_are_in_their_folder(tmp_path: Path) -> None:
    named_in_shards(tmp_path / "ds", "../scan.png")
    with pytest.raises(OutsideError):
        list(stream(tmp_path / "ds", "test"))
    assert len(list(stream(tmp_path / "ds", "test", follow_links=True))) == 1


def chain(root: Path) -> None:
    (root / "b.png").symlink_to(stored(root / "a.png", root.parent / "store"))
    (root / "a.png").unlink()
    (root / "a.png").symlink_to("b.png")


def fetched_later(root: Path) -> None:
    stored(root / "a.png", root.parent / "store").unlink()


def neighbor(root: Path) -> None:
    """A folder whose name begins as the data set's."""
    stored(root / "a.png", root.with_name(f"{root.name}-private"))


def circle(root: Path) -> None:
    (root / "a.png").unlink()
    (root / "a.png").symlink_to("a.png")


def pipe(root: Path) -> None:
    (root / "a.png").unlink()
    os.mkfifo(root / "a.png")


def null_byte(root: Path) -> None:
    change(root / "manifest.json", lambda items: items[0].update(image="a\0.png"))


def circle_of_folders(root: Path) -> None:
    """A link to the folder it lies in: all of it is inside, and walked once."""
    change(root / "manifest.json", lambda items: items[0].update(image="frames"))
    (root / "frames").mkdir()
    (root / "a.png").rename(root / "frames" / "a.png")
    (root / "frames" / "again").symlink_to(root / "frames")


def hard_link(root: Path) -> None:
    (root / "a.png").rename(root.parent / "a.png")
    os.link(root.parent / "a.png", root / "a.png")


@pytest.mark.parametrize(
    ("spoil", "code"),
    [
        pytest.param(chain, "E-DATA-OUTSIDE", id="a-link-to-a-link"),
        pytest.param(fetched_later, "E-DATA-OUTSIDE", id="a-link-to-what-is-not-there"),
        pytest.param(neighbor, "E-DATA-OUTSIDE", id="a-neighbor-of-a-longer-name"),
        pytest.param(circle, "E-DATA-PATH", id="a-circle"),
        pytest.param(null_byte, "E-DATA-PATH", id="no-path"),
        pytest.param(pipe, "E-DATA-FILE", id="a-pipe"),
        pytest.param(circle_of_folders, None, id="a-circle-of-folders"),
        pytest.param(hard_link, None, id="a-hard-link"),
    ],
)
def test_kinds_of_entries(spoil: Callable[[Path], None], code: str | None, tmp_path: Path) -> None:
    manifest(tmp_path / "ds")
    spoil(tmp_path / "ds")
    (case,) = read_dataset(tmp_path / "ds")[1]
    if code is None:
        assert case.open().targets(9, 0)
        return
    with pytest.raises(InputError) as raised:
        refuse_outside([case])
    assert raised.value.code == code
    assert len(check_dataset(tmp_path / "ds").problems) == 1


@pytest.mark.parametrize("link", ["img", "hdr"])
def test_voxels_beside_a_header_are_inside_too(link: str, tmp_path: Path) -> None:
    root = tmp_path / "ds"
    manifest(root)
    nib.save(nib.Nifti1Pair(np.repeat(DISC.T[..., None] * 90, 2, axis=2), np.eye(4)), root / "a.hdr")
    change(root / "manifest.json", lambda items: items[0].update(image="a.hdr"))
    assert {path.name for path in read_dataset(root)[1][0].files()} == {"a.hdr", "a.img", "a_label.png"}
    stored(root / f"a.{link}", tmp_path / "store")
    with pytest.raises(OutsideError, match=rf"a\.{link}"):
        read_dataset(root)[1][0].open()


def whole_cases(root: Path) -> None:
    npz(root / "CT_0001.npz", imgs=BLUE, gts=DISC)


@pytest.mark.parametrize("make", [camus, whole_cases])
def test_linked_folders_of_layouts_that_search_all_of_them(make: Callable, tmp_path: Path) -> None:
    root = tmp_path / "ds"
    make(root / "part")
    stored(root / "part", tmp_path / "store")
    with pytest.raises(InputError, match="--follow-links"):
        read_dataset(root)
    assert not refusals(read_dataset(root, follow_links=True)[1])


def test_a_search_enters_a_folder_once(tmp_path: Path) -> None:
    picture(tmp_path / "one" / "a.png")
    (tmp_path / "again").symlink_to(tmp_path / "one")
    (tmp_path / "one" / "up").symlink_to(tmp_path)
    os.mkfifo(tmp_path / "pipe.png")
    assert len(DataFolder(tmp_path).search("*.png")) == 1


def test_a_case_outside_fails_by_name_and_the_others_are_measured(tmp_path: Path) -> None:
    folders(tmp_path / "ds")
    stored(tmp_path / "ds" / "images" / "1.png", tmp_path / "store")
    options = {"data": tmp_path / "ds", "predictors": ("ellipse",), "output": tmp_path / "out"}
    report = evaluate(EvaluateOptions(**options))
    assert [failure.case for failure in report.failures] == ["1_mask"]
    assert {measured.case for measured in report.measured} == {"0_mask", "2_mask"}
    assert not evaluate(EvaluateOptions(**options, follow_links=True)).failures


@pytest.mark.parametrize(
    "verb",
    [
        pytest.param("dataset check {data}", id="check"),
        pytest.param("dataset shard {data} -o {out}", id="shard"),
        pytest.param("evaluate --data {data} --predictors ellipse -o {out}", id="evaluate"),
        pytest.param("bench reproduce box-2d --data {data} --predictors ellipse -o {out}", id="reproduce"),
    ],
)
def test_verbs_take_the_option(verb: str, tmp_path: Path) -> None:
    manifest(tmp_path / "ds")
    stored(tmp_path / "ds" / "a.png", tmp_path / "store")
    words = verb.format(data=tmp_path / "ds", out=tmp_path / "out").split()
    refused = CliRunner().invoke(app, words)
    assert refused.exit_code and (isinstance(refused.exception, (DelineateError, SystemExit)))
    assert CliRunner().invoke(app, [*words, "--follow-links"]).exit_code == 0


@pytest.mark.parametrize("verb", ["dataset check", "dataset shard", "evaluate", "bench reproduce", "train quill",
                                  "train finetune", "distill"])  # fmt: skip
def test_one_spelling_for_every_verb_that_takes_a_data_set(verb: str) -> None:
    assert "--follow-links" in CliRunner().invoke(app, [*verb.split(), "--help"], env={"COLUMNS": "200"}).output
