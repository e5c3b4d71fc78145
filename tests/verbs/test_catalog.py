"""Every command is a verb of the catalog, and every request is JSON as well, with a schema."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from typer.main import get_command

from delineate.cli import app
from delineate.core.errors import DelineateError, InputError
from delineate.core.prompt_log import PromptLog
from delineate.verbs.catalog import VERBS
from delineate.verbs.repeat import formats
from every_verb import verbs
from training_discs import discs

LOG = PromptLog(scan_sha256="0" * 64, model="quill").model_dump(mode="json")
MASK = {"type": "mask", "height": 2, "width": 3, "counts": [1, 2, 3], "frame": 4}
REQUESTS: dict[str, tuple[dict[str, Any], ...]] = {
    "segment": (
        {
            "input": "ct.nii.gz",
            "reading": {"affine": "qform", "slice_axis": 1, "window": "lung"},
            "model": {"name": "sam2.1_tiny", "untrained": True, "threads": 2, "adapter": "mine.safetensors"},
            "asked": {
                "name": "liver",
                "prompts": [
                    {"type": "box", "corners": [1, 2, 3, 4], "frame": 3},
                    {"type": "point", "at": [1, 2, 3], "positive": False, "space": "RAS"},
                    {"type": "text", "words": "liver"},
                    MASK,
                ],
                "following": {"memory": "window", "stride": 2},
            },
            "guards": {"presence": 0.9},
            "output": {"path": "o.nii.gz", "split": True},
        },
        {"input": "ct.nii.gz", "asked": {"mask": "m.nii.gz", "frame": 3, "propagate": False}},
        {"input": "ct.nii.gz", "asked": LOG, "force": True},
    ),
    "auto": ({"input": "a.png", "settings": {"points_per_side": 8}, "frame": 2, "output": {"overwrite": True}},),
    "oneshot": (
        {
            "supports": [["a.png", "a_mask.png"], ["b.png", "b_mask.png"]],
            "targets": ["scans"],
            "output": "outlined",
            "structures": ["2", "liver"],
            "features": {"name": "lite_medsam"},
            "threshold": 0.4,
        },
    ),
    "replay": ({"manifest": "a.manifest.json", "input": "a.png", "output": {"path": "b.png"}, "force": True},),
    "batch": (
        {
            "inputs": ["a.png", "scans"],
            "listing": "list.csv",
            "asked": [{"prompts": [{"type": "box", "corners": [1, 2, 3, 4]}]}],
            "output": "outlined",
            "ending": ".seg.nrrd",
        },
    ),
    "inspect": ({"input": "a.tif", "reading": {"pages": "video"}},),
    "clean": ({"input": "a.nii.gz", "label": ["liver"], "largest": True, "grow": 2.5, "inside": "body"},),
    "combine": ({"inputs": ["a.nii.gz", "b.mha"], "how": "minus", "make": ["w = a - b"], "rename": ["a = c"]},),
    "fill-between": ({"input": "a.nii.gz", "label": ["liver"], "axis": "S", "largest_gap": 4},),
    "measure": ({"input": "a.nii.gz", "scan": "ct.nii.gz", "space": "LPS", "output": "t.csv", "slices": "s.csv"},),
    "compare": ({"first": "a.nii.gz", "second": "b.nii.gz", "tolerance": 1.5, "picture": "d.png"},),
    "convert": ({"input": "a.nii.gz", "reading": {"index": 2}, "like": "ct.nrrd", "output": "a.seg.nrrd"},),
    "demo": ({"output": "here"},),
    "doctor": ({},),
    "systems": ({}, {"name": "medsam"}),
    "evaluate": (
        {
            "data": "scans",
            "protocol": "clicks-2d",
            "predictors": ["quill", "medsam=a/m.pt"],
            "datasets": ["CT"],
            "limit": 3,
        },
    ),
    "distill": ({"data": "scans", "teacher": "medsam", "recipe": "kd_sam", "steps": 5, "rate": 1e-4},),
    "train quill": ({"output": "mine", "minutes": 1.5, "start": "a.onnx", "keep": 0.5},),
    "train finetune": ({"data": "scans", "model": "medsam", "peft": "lora", "memory": "8GB", "flips": 0.0},),
    "train recipes": ({},),
    "bench": ({"suite": "systems", "quick": True, "budget": 30.0},),
    "bench reproduce": ({"name": "medsam", "data": "scans", "predictors": ["quill"]},),
    "bench corruptions": ({"image": "a.png", "output": "sheet.png", "seed": 3},),
    "bench compare": ({"data": "scans", "models": ["quill", "sam_vit_b"], "without": ["clips"], "limit": 2},),
    "dataset check": ({"folder": "scans", "sheet": "sheet.png"},),
    "dataset prepare": ({"kind": "chaos", "folder": "a", "output": "b", "size": 672, "superpixels": "slic"},),
    "dataset shard": ({"folder": "scans", "output": "shards", "size": "2GB", "split": [0.8, 0.2], "seed": 1},),
    "dataset synthesize": ({"output": "scenes", "count": 8, "seed": 1},),
    "serve": ({"host": "127.0.0.1", "port": 0, "token": "key", "root": "scans", "model": {"name": "medsam"}},),
    "open": ({"scan": "ct.nii.gz", "state": "kept", "smoke": True},),
    "models list": ({},),
    "models pull": ({"name": "medsam", "offline": True},),
    "models import": ({"file": "m.pt", "system": "medsam"},),
    "models export": ({"model": "medsam", "output": "onnx", "check": False},),
    "models verify": ({},),
}
CASES = [pytest.param(name, data, id=f"{name} {n}") for name, many in REQUESTS.items() for n, data in enumerate(many)]
PRINTED = {"json", "quiet", "debug"}  # options that say how to print, not what to do
BY_GROUPS = {
    "segment",
    "batch",
    "auto",
    "replay",
    "inspect",
    "convert",
    "oneshot",
    "serve",
    "open",
}  # options are not fields of their requests one by one


def test_every_command_is_in_the_catalog_and_nothing_else() -> None:
    assert set(verbs()) == set(VERBS) == set(REQUESTS)


@pytest.mark.parametrize(("name", "data"), CASES)
def test_a_request_is_json_and_back(name: str, data: dict[str, Any]) -> None:
    request = VERBS[name].request_of(data)
    text = request.model_dump_json()
    assert VERBS[name].request_of(json.loads(text)) == request
    assert type(request).model_validate_json(text) == request
    plain = json.loads(text)
    assert all(_holds(plain[field], value) for field, value in data.items())


def _holds(there: Any, said: Any) -> bool:
    """Whether a value has all that was said, and may have defaults beside it."""
    if isinstance(said, dict):
        return all(_holds(there[key], value) for key, value in said.items())
    if isinstance(said, list):
        return len(there) == len(said) and all(map(_holds, there, said))
    return bool(there == said)


@pytest.mark.parametrize("name", VERBS)
def test_a_request_has_a_schema(name: str) -> None:
    verb = VERBS[name]
    schema = json.loads(json.dumps(verb.schema))
    assert schema["type"] == "object" and schema["additionalProperties"] is False
    assert schema["properties"].keys() == verb.request.model_fields.keys() if verb.request.model_fields else True
    assert set(schema.get("required", ())) == {n for n, f in verb.request.model_fields.items() if f.is_required()}


@pytest.mark.parametrize("name", VERBS)
def test_a_verb_is_a_typed_function_with_a_line_about_it(name: str) -> None:
    verb = VERBS[name]
    hints = verb.function.__annotations__
    assert (hints["request"], hints["return"]) == (verb.request.__name__, verb.result.__name__)
    assert callable(verb.result.as_json) and 20 < len(verb.summary) < 120 and verb.summary[-1] in ".;"


@pytest.mark.parametrize("name", [name for name in VERBS if name not in BY_GROUPS | {"bench", "systems"}])
def test_options_are_the_fields_of_the_request(name: str) -> None:
    command: Any = get_command(app)
    for word in name.split():
        command = command.commands[word]
    assert {parameter.name for parameter in command.params} - PRINTED == set(VERBS[name].request.model_fields)


@pytest.mark.parametrize(
    ("name", "data", "code", "says"),
    [
        pytest.param("inspect", {"input": "a.png", "inptu": 1}, "E-REQUEST", "inptu", id="unknown-field"),
        pytest.param("inspect", {}, "E-REQUEST", "input", id="missing-field"),
        pytest.param("train quill", {"batch": "many"}, "E-REQUEST", "batch", id="no-number"),
        pytest.param(
            "segment",
            {"input": "a", "asked": {"propagate": "perhaps"}},
            "E-REQUEST",
            "asked.SegmentTarget.propagate",
            id="deep",
        ),
        pytest.param(
            "segment", {"input": "a", "asked": {"prompts": [{"type": "box"}]}}, "E-PROMPT-FIELD", "corners", id="prompt"
        ),
        pytest.param("inspect", {"input": "a.png", "reading": {"pages": "wall"}}, "E-REQUEST", "pages", id="no-choice"),
        pytest.param("dataset shard", {"folder": "a", "output": "b", "split": [0.5]}, "E-OPTION", "0.5", id="shares"),
        pytest.param("train quill", {"keep": 2}, "E-REQUEST", "keep", id="no-share"),
        pytest.param("train finetune", {"data": "a", "steps": 0}, "E-REQUEST", "steps", id="no-steps"),
        pytest.param("evaluate", {"seed": -1}, "E-REQUEST", "seed", id="no-seed"),
        pytest.param("evaluate", {"limit": 0}, "E-EVAL-LIMIT", "at least 1", id="limit"),
        pytest.param("evaluate", {"predictors": ["nobody"]}, "E-EVAL-PREDICTOR", "nobody", id="predictor"),
    ],
)
def test_a_request_that_is_none_is_refused(name: str, data: dict[str, Any], code: str, says: str) -> None:
    with pytest.raises(DelineateError) as caught:
        VERBS[name].request_of(data)
    assert caught.value.code == code and says in str(caught.value)


def test_a_request_cannot_be_changed() -> None:
    request = VERBS["demo"].request_of({})
    with pytest.raises(ValueError, match="frozen"):
        request.output = Path("elsewhere")  # type: ignore[attr-defined]


def test_a_schema_says_which_fields_name_files() -> None:
    assert formats(VERBS["train finetune"].request) == {
        "data": "path", "model": "model", "output": "path", "teacher": "model", "embeddings": "path",
        "adapter": "path",
    }  # fmt: skip
    assert formats(VERBS["evaluate"].request) == {"data": "path", "predictors": "model", "output": "path"}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Labeled pictures."""
    folder = tmp_path_factory.mktemp("of") / "data"
    discs(folder, 4, side=64)
    return folder


@pytest.mark.parametrize(
    ("name", "request_data", "answer"),
    [
        pytest.param("inspect", {"input": "{data}/images/case0.png"}, "histogram", id="inspect"),
        pytest.param(
            "segment",
            {"input": "{data}/images/case0.png", "output": {"path": "o.png"},
             "asked": {"prompts": [{"type": "box", "corners": [10, 10, 50, 50]}]}},
            "manifest",
            id="segment",
        ),
        pytest.param("dataset check", {"folder": "{data}"}, "layout", id="dataset-check"),
        pytest.param("dataset shard", {"folder": "{data}", "output": "shards"}, "samples", id="dataset-shard"),
        pytest.param("bench corruptions", {"image": "{data}/images/case0.png", "output": "s.png"}, "file", id="sheet"),
        pytest.param(
            "evaluate", {"data": "{data}", "predictors": ["ellipse"], "limit": 1}, "overall", id="evaluate"
        ),
        pytest.param("bench reproduce", {"name": "box-2d"}, "protocol", id="reproduce-card"),
        pytest.param("doctor", {}, "healthy", id="doctor"),
    ],
)  # fmt: skip
def test_json_in_json_out(
    name: str,
    request_data: dict[str, Any],
    answer: str,
    data: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """As a server does it: nothing is printed."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DELINEATE_DATA", raising=False)
    verb = VERBS[name]
    said = json.loads(json.dumps(request_data).replace("{data}", str(data)))
    assert answer in json.loads(json.dumps(verb.run(verb.request_of(said)).as_json(), default=float))
    assert capfd.readouterr() == ("", "")


def test_lists_are_json_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DELINEATE_MODELS", str(tmp_path))
    for name in ("systems", "models list", "models verify", "bench reproduce"):
        rows = VERBS[name].run(VERBS[name].request_of({})).as_json()
        assert isinstance(json.loads(json.dumps(rows)), list) and (rows or name == "models verify")


def test_progress_goes_where_there_is_any(data: Path) -> None:
    seen: list[tuple[int, int]] = []
    check = VERBS["dataset check"]
    check.run(check.request_of({"folder": str(data)}), lambda *done: seen.append(done))
    assert seen == [(n, 4) for n in range(4)]


def test_a_file_that_is_missing_is_an_error_of_the_library(tmp_path: Path) -> None:
    Image.new("L", (8, 8)).save(tmp_path / "a.png")
    with pytest.raises(InputError):
        VERBS["inspect"].run(VERBS["inspect"].request_of({"input": str(tmp_path / "b.png")}))
