"""Files of data sets that are damaged or of another shape: one sentence with the file's name, and what is wrong."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import small_data_sets as layouts
from delineate.core.errors import DelineateError, InputError
from delineate.core.prompt_log import PromptLog
from delineate.core.terminal_text import is_active
from delineate.data.challenge_npz import stored
from delineate.data.check import check_dataset
from delineate.data.coco import short_runs
from delineate.data.layouts import read_dataset
from delineate.data.learned_from import learned_by
from delineate.data.shards import INDEX, stream, write_shards


def shards(root: Path) -> None:
    source = root.with_name("source")
    layouts.nnunet(source)
    write_shards(read_dataset(source)[1], root)


def opened(root: Path) -> None:
    for case in read_dataset(root)[1]:
        case.open()


def learned(root: Path) -> None:
    (root / "model.pt").write_bytes(b"x")
    learned_by([str(root / "model.pt")])


JSON_FILES: dict[str, tuple[Callable[[Path], Any], str, Callable[[Path], Any]]] = {
    "manifest": (layouts.manifest, "manifest.json", opened),
    "nnunet": (layouts.nnunet, "dataset.json", opened),
    "sa-med2d": (layouts.sa_med2d, "SAMed2D_v1.json", opened),
    "sa-med2d-classes": (layouts.sa_med2d, "SAMed2D_v1_class_mapping_id.json", opened),
    "coco": (layouts.coco, "annotations/instances_train2017.json", opened),
    "endovis": (layouts.endovis18, "labels.json", opened),
    "shards": (shards, INDEX, opened),
    "learned-from": (lambda root: root.mkdir(exist_ok=True), "learned_from.json", learned),
    "prompts": (
        lambda root: root.mkdir(exist_ok=True),
        "prompts.json",
        lambda root: PromptLog.read(root / "prompts.json"),
    ),
}
CONTENTS = {
    "cut": b'[{"id": "a"', "nothing": b"", "null": b"null", "number": b"17", "text": b'"x"', "lists": b"[[[]]]",
    "objects": b'{"a": {"b": {}}}',
    "deep": b"[" * 200_000, "no-text": b'{"labels": "\xff\xfe"}', "control": b'["\x1b[2J"]',
    "long-key": b'{"%s": 1}' % (b"\\u001b" * 9000),
}  # fmt: skip


@pytest.mark.parametrize("content", CONTENTS.values(), ids=CONTENTS)
@pytest.mark.parametrize(("make", "name", "use"), JSON_FILES.values(), ids=JSON_FILES)
def test_json_of_another_shape_is_refused(
    make: Callable[[Path], Any], name: str, use: Callable[[Path], Any], content: bytes, tmp_path: Path
) -> None:
    root = tmp_path / "data"
    make(root)
    (root / name).write_bytes(content)
    with pytest.raises(DelineateError) as caught:
        use(root)
    told = str(caught.value)
    assert Path(name).name in told or caught.value.code == "E-DATA-LAYOUT"  # what is no COCO is no layout
    assert len(told) < 1200 and not [c for c in told if is_active(c) and c != "\n"] and caught.value.hint


ITEM = {
    "id": "a", "dataset": "d", "modality": "x", "task": "2d", "image": "a.png", "label": "a_label.png",
    "labels": {"1": "disc"}, "use": "test",
}  # fmt: skip
PICTURE = {"id": 0, "file_name": "slide_000.png"}
OUTLINE = {"image_id": 0, "category_id": 7, "segmentation": [[1, 1, 9, 1, 9, 9]]}
KIND = {"id": 7, "name": "square"}


def coco(**changes: Any) -> dict[str, Any]:
    return {"images": [PICTURE], "annotations": [OUTLINE], "categories": [KIND]} | changes


FIELDS: dict[str, tuple[str, Any, str]] = {
    "manifest-missing": ("manifest", [{k: v for k, v in ITEM.items() if k != "image"}], "0.image is missing"),
    "manifest-type": ("manifest", [ITEM | {"label": 3}], "0.label is 3, where a text is meant"),
    "manifest-value": ("manifest", [ITEM | {"labels": {"one": "x"}}], '"one", where a whole number is meant'),
    "manifest-use": ("manifest", [ITEM | {"use": "train set"}], "'train' or 'test' is meant"),
    "nnunet-labels": ("nnunet", {"labels": {"background": 0, "x": {}}}, "labels.x"),
    "nnunet-ending": ("nnunet", {"labels": {"background": 0}, "file_ending": "/../x"}, "file_ending is wrong"),
    "nnunet-training": ("nnunet", {"labels": {"background": 0}, "training": [{"image": 1}]}, "training.0"),
    "sa-med2d-mask": ("sa-med2d", {"a.png": "b.png"}, "a.png is"),
    "coco-id": ("coco", coco(images=[{"file_name": "a.png"}]), "images.0.id is missing"),
    "coco-name": ("coco", coco(images=[PICTURE | {"file_name": ["a.png"]}]), "images.0.file_name is"),
    "coco-unhashable": ("coco", coco(annotations=[OUTLINE | {"image_id": [0]}]), "annotations.0.image_id"),
    "coco-category": ("coco", coco(categories=[{"id": 7, "name": None}]), "categories.0.name is null"),
    "endovis-color": ("endovis", [{"name": "a", "color": [1, 2]}], "0.color.2 is missing"),
    "endovis-level": ("endovis", [{"name": "a", "color": [1, 2, 300]}], "0.color.2"),
    "shards-format": ("shards", {"format": "delineate-shards/9", "samples": []}, "'delineate-shards/1' is meant"),
    "shards-place": ("shards", {"format": "delineate-shards/1", "samples": [{"shard": "a.tar"}]}, "samples.0"),
    "learned-list": ("learned-from", {"learned": [["x"]]}, "learned"),
    "prompts-extra": ("prompts", {"events": [], "color": 1}, "color is no field of it"),
    "prompts-event": ("prompts", {"events": [{"event": "add_object", "object": 7}]}, "7, where a text is meant"),
}  # fmt: skip


@pytest.mark.parametrize(("which", "content", "says"), FIELDS.values(), ids=FIELDS)
def test_the_field_is_named(which: str, content: Any, says: str, tmp_path: Path) -> None:
    make, name, use = JSON_FILES[which]
    root = tmp_path / "data"
    make(root)
    (root / name).write_text(json.dumps(content))
    with pytest.raises(DelineateError) as caught:
        use(root)
    assert says in caught.value.message and "pydantic" not in str(caught.value)


@pytest.mark.parametrize(
    "name", ["x" * 5000, "a\0b.png", "..", "", "."], ids=["long", "null", "above", "empty", "itself"]
)
@pytest.mark.parametrize("layout", ["manifest", "coco", "sa-med2d"])
def test_names_that_are_no_path_are_problems_of_a_case(layout: str, name: str, tmp_path: Path) -> None:
    make, file, _ = JSON_FILES[layout]
    root = tmp_path / "data"
    make(root)
    content = {
        "manifest": [ITEM | {"image": name}], "coco": coco(images=[PICTURE | {"file_name": name}]),
        "sa-med2d": {name: ["masks/ct--a--b--x_1--0001_000.png"]},
    }[layout]  # fmt: skip
    (root / file).write_text(json.dumps(content))
    assert check_dataset(root).problems


@pytest.mark.parametrize("row", ["a,b,c,d", "a,1,2,300", "a,1,2,-3", '"a', "a,1,2"])
def test_colors_in_a_table_are_levels(row: str, tmp_path: Path) -> None:
    layouts.endovis18(tmp_path)
    (tmp_path / "labels.json").unlink()
    (tmp_path / "class_dict.csv").write_text(f"name,r,g,b\n{row}\n")
    try:
        opened(tmp_path)
    except InputError as error:
        assert error.code == "E-DATA-COLORS"


def bomb(shape: str = "(1125899906842624,)", dtype: str = "|u1", name: str = "gts") -> bytes:
    """An npz whose array says it is 1 PiB, in some hundred bytes."""
    header = f"{{'descr': '{dtype}', 'fortran_order': False, 'shape': {shape}, }}".encode().ljust(117) + b"\n"
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(f"{name}.npy", b"\x93NUMPY\x01\0" + len(header).to_bytes(2, "little") + header + bytes(64))
    return out.getvalue()


@pytest.mark.parametrize(
    ("content", "code"),
    [
        pytest.param(bomb(), "E-VOXELS-LARGE", id="1-PiB"),
        pytest.param(bomb("(1000, 1000)"), "E-NPZ-DAMAGED", id="not-there"),
        pytest.param(bomb("(2,)", "|O"), "E-NPZ-DAMAGED", id="objects"),
        pytest.param(bomb("(2"), "E-NPZ-DAMAGED", id="cut-header"),
        pytest.param(bomb()[:60], "E-NPZ-DAMAGED", id="cut"),
        pytest.param(b"PK", "E-NPZ-DAMAGED", id="no-archive"),
        pytest.param(bomb(name="a/../gts"), "E-NPZ-MEMBERS", id="folders"),
    ],
)
def test_arrays_of_data_sets_are_held_against_the_limits(content: bytes, code: str, tmp_path: Path) -> None:
    (tmp_path / "a.npz").write_bytes(content)
    with pytest.raises(InputError) as caught:
        stored(tmp_path / "a.npz", "gts")
    assert caught.value.code == code


def test_a_cut_shard_is_refused_where_it_is_read_as_a_stream(tmp_path: Path) -> None:
    shards(tmp_path / "data")
    tar = next((tmp_path / "data").glob("*.tar"))
    whole = tar.read_bytes()
    for keep in (len(whole) // 2, 700, 100):
        tar.write_bytes(whole[:keep])
        with pytest.raises(InputError, match=tar.name) as caught:
            list(stream(tmp_path / "data"))
        assert caught.value.code.startswith("E-SHARD-")


@pytest.mark.parametrize("text", ["o" * 600_000, "0" * 7 + "o" * 8 + "0"])
def test_numbers_of_run_lengths_end(text: str) -> None:
    with pytest.raises(ValueError, match="without an end"):
        short_runs(text)
