"""``delineate train finetune`` as a person types it, with tiny systems in the table, and what it wrote used again."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch
from torch import nn

pytest.importorskip("transformers")
pytest.importorskip("accelerate")

from delineate.checkpoints import key_maps
from delineate.cli import app
from delineate.core.errors import InputError, ModelError, OutputError
from delineate.data.learned_from import LearnedFrom
from delineate.predictors.frame_predictor import FramePredictor
from delineate.predictors.sam import SamPredictor
from delineate.predictors.sam2 import Sam2Predictor
from delineate.systems.building import loaded, record_of
from delineate.systems.registry import SYSTEMS, build
from delineate.systems.system import BuildOptions
from delineate.training.recipes import RECIPES
from delineate.verbs.finetune import FinetuneRequest, finetune
from training_clips import tiny_sam2_predictor
from training_discs import discs, tiny_predictor

SIDE, SLICES = 96, 4


@pytest.fixture(autouse=True, scope="module")
def tiny_table(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """``tiny_sam`` and ``tiny_sam2``, built as all systems are; none has weights in the store, as it may elsewhere."""

    def built(name: str, make: Callable[[], SamPredictor | Sam2Predictor], named: Callable) -> FramePredictor:
        def made(options: BuildOptions) -> FramePredictor:
            one = make()
            network: nn.Module = one.network
            _, sha256 = loaded(name, options, network, one.network.host, named)
            return replace(one, record=record_of(name, sha256, "Apache-2.0", "", one.engine))

        return made

    kinds = {
        "tiny_sam": ("sam_vit_b", tiny_predictor, key_maps.sam_weights),
        "tiny_sam2": ("sam2.1_tiny", tiny_sam2_predictor, key_maps.sam2_weights),
    }
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DELINEATE_MODELS", str(tmp_path_factory.mktemp("models")))
        for name, (like, make, named) in kinds.items():
            patch.setitem(SYSTEMS, name, replace(SYSTEMS[like], name=name, build=built(name, make, named)))
        yield


@pytest.fixture(scope="module")
def volumes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of four volumes with a bright tube, and its labels."""
    root = tmp_path_factory.mktemp("volumes")
    rng = np.random.default_rng(0)
    x, y = np.mgrid[:SIDE, :SIDE]
    for folder in ("images", "masks"):
        (root / folder).mkdir()
    for n in range(4):
        cx, cy = rng.uniform(0.4, 0.6, 2) * SIDE
        tube = np.stack([(x - cx - k) ** 2 + (y - cy) ** 2 < 15**2 for k in range(SLICES)], axis=2)
        gray = (60 + 120 * tube + rng.normal(0, 8, tube.shape)).astype(np.float32)
        for folder, voxels in (("images", gray), ("masks", tube.astype(np.uint8))):
            nib.save(nib.Nifti1Image(voxels, np.diag([1.0, 1, 3, 1])), root / folder / f"case{n}.nii.gz")
    return root


@pytest.mark.parametrize(
    ("options", "encoder", "rest"),
    [((), True, False), (("--part", "all"), True, True), (("--recipe", "sam2", "--part", "decoder"), None, None)],
)
def test_what_learns_is_said_before_the_first_step(
    options: tuple[str, ...],
    encoder: bool | None,
    rest: bool | None,
    volumes: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Part by part, where a system's own parts do; another recipe says it in its summary."""
    delineate(
        "train", "finetune", volumes, "-m", "medical_sam_adapter_sam2", "--untrained", "--narrow", "--steps", "1",
        "--batch", "1", "--device", "cpu", "-o", tmp_path / "mine", *options,
    )  # fmt: skip
    said = "".join(capsys.readouterr())
    rows = {words[0]: words[1:] for line in said.splitlines() if len(words := line.split()) == 3}
    learned = {part: int(row[0].replace(",", "")) for part, row in rows.items() if row[0].replace(",", "").isdigit()}
    assert bool(learned) is (encoder is not None)
    if learned:
        assert learned["vision_encoder"] and learned["mask_decoder"] and bool(learned["memory_attention"]) is rest
        assert learned.pop("all") == sum(learned.values())


@pytest.fixture(scope="module")
def learned(tmp_path_factory: pytest.TempPathFactory, tiny_table: None) -> Path:
    """A folder with what adapters of ``tiny_sam`` learned: adapter.safetensors, best.safetensors."""
    root = tmp_path_factory.mktemp("learned")
    discs(root / "data", 4)
    delineate(
        "train", "finetune", root / "data", "-m", "tiny_sam", "--untrained", "--recipe", "medsam", "--peft", "dora",
        "--rank", "4", "--steps", "12", "--every", "6", "--batch", "2", "--rate", "1e-3", "-o", root / "mine",
    )  # fmt: skip
    return root / "mine"


def delineate(*words: object) -> None:
    app([str(word) for word in words], standalone_mode=False)


def test_a_sam2_learns_from_volumes_goes_on_and_its_file_opens(
    volumes: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    train = (
        "train", "finetune", volumes, "-m", "tiny_sam2", "--untrained", "--recipe", "sam2", "-o", tmp_path / "mine",
        "--batch", "1", "--rate", "3e-3", "--every", "4", "--ema", "0.2", "--precision", "fp32", "--json",
    )  # fmt: skip
    delineate(*train, "--steps", "8")
    first = json.loads(capsys.readouterr().out)
    delineate(*train, "--steps", "12", "--resume")
    then = json.loads(capsys.readouterr().out)
    assert then["before"] == first["before"] and then["best"] >= first["best"] > first["before"]
    lines = [json.loads(line) for line in (tmp_path / "mine" / "log.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines if "step" in line] == [4, 8, 12] and "sensitivity" in lines[-1]
    outline = tmp_path / "outline.nii.gz"
    delineate(
        "segment", volumes / "images" / "case0.nii.gz", "--box", "25,25,75,75", "--frame", "1", "-m", then["weights"],
        "--system", "tiny_sam2", "-o", outline,
    )  # fmt: skip
    found = nib.load(outline)
    assert found.shape == (SIDE, SIDE, SLICES) and np.asarray(found.dataobj).any()


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("-m", "tiny_sam2", "--recipe", "sam2", "--memory", "100MB"), "E-TRAIN-MEMORY"),
        (("-m", "tiny_sam2", "--recipe", "sam2", "--part", "decoder", "--peft", "lora"), "E-TRAIN-PART"),
        (("-m", "tiny_sam2", "--recipe", "sam2", "--teacher", "tiny_sam"), "E-TRAIN-TEACHER"),
        (("-m", "tiny_sam2", "--recipe", "quick"), "E-TRAIN-SYSTEM"),
        (("-m", "tiny_sam", "--recipe", "biosam2"), "E-TRAIN-SYSTEM"),
        (("-m", "quill", "--recipe", "medsam"), "E-TRAIN-SYSTEM"),
        (("-m", "quill", "--peft", "lora"), "E-TRAIN-PART"),
        (("-m", "quill", "--memory", "8GB"), "E-TRAIN-MEMORY"),
        (("-m", "tiny_sam", "--recipe", "sam9"), "E-TRAIN-RECIPE"),
        (("-m", "tiny_sam", "--narrow"), "E-MODEL-BEGUN"),
        (("-m", "medical_sam_adapter", "--variant", "lorra"), "E-VARIANT"),
        (("-m", "sam_unet", "--class", "liver"), "E-MODEL-BEGUN"),
        (("-m", "sam_adapter", "--class", "liver", "--class", "spleen"), "E-MODEL-BEGUN"),
        (("-m", "medical_sam_adapter_lite_medsam", "--narrow"), "E-MODEL-BEGUN"),
        (("-m", "tiny_sam", "--prompt", "tap"), "E-TRAIN-PROMPT"),
        (("-m", "tiny_sam", "--recipe", "sam_med2d", "--prompt", "box"), "E-TRAIN-PROMPT"),
        (("-m", "tiny_sam2", "--recipe", "sam2", "--prompt", "point"), "E-TRAIN-PROMPT"),
        (("-m", "quill", "--prompt", "point"), "E-TRAIN-PROMPT"),
        (("-m", "tiny_sam", "--recipe", "quick", "--teacher", "tiny_sam"), "E-TRAIN-TEACHER"),
    ],
    ids=lambda value: value if isinstance(value, str) else " ".join(value),
)
def test_wishes_that_cannot_be_fulfilled_are_refused(
    words: tuple[str, ...], code: str, volumes: Path, tmp_path: Path
) -> None:
    with pytest.raises(ModelError) as caught:
        delineate("train", "finetune", volumes, *words, "--untrained", "-o", tmp_path / "out")
    assert caught.value.code == code and caught.value.hint
    assert not (tmp_path / "out").exists()


def test_a_sam2_learns_adapters_within_a_memory_and_segment_takes_them(
    volumes: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    mine, scan = tmp_path / "mine", volumes / "images" / "case0.nii.gz"
    delineate(
        "train", "finetune", volumes, "-m", "tiny_sam2", "--untrained", "--recipe", "sam2", "--memory", "0.95GB",
        "--peft", "lora", "--rank", "4", "--rate", "5e-3", "--steps", "12", "--every", "4", "-o", mine,
    )  # fmt: skip
    said = capsys.readouterr()
    assert "together" in said.err and "activations computed again" in said.err
    assert "box error %" in said.err and "adapter.safetensors" in said.out
    outlines = []
    for name, words in (
        ("a", ("-m", "tiny_sam2", "--untrained", "--adapter", mine / "adapter.safetensors")),
        ("b", ("-m", mine / "best.safetensors", "--system", "tiny_sam2")),
        ("c", ("-m", "tiny_sam2", "--untrained")),
    ):
        at = tmp_path / f"{name}.nii.gz"
        delineate("segment", scan, "--box", "25,25,75,75", "--frame", "1", *words, "-o", at)
        outlines.append(np.asarray(nib.load(at).dataobj))
    assert np.array_equal(outlines[0], outlines[1]) and not np.array_equal(outlines[0], outlines[2])


def test_an_adapter_on_its_base_is_the_merged_system(learned: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "peft", None)  # only training needs it
    adapter = learned / "adapter.safetensors"
    base, adapted, merged = (
        build("tiny_sam", BuildOptions(untrained=True)),
        build("tiny_sam", BuildOptions(untrained=True, adapter=adapter)),
        build(str(learned / "best.safetensors"), BuildOptions(), "tiny_sam"),
    )
    wanted, first = merged.network.host.state_dict(), base.network.host.state_dict()
    found = adapted.network.host.state_dict()
    assert found.keys() == wanted.keys() and all(torch.equal(found[key], wanted[key]) for key in wanted)
    changed = {key.split(".")[0] for key in wanted if not torch.equal(found[key], first[key])}
    assert changed == {"vision_encoder", "mask_decoder"}
    assert len({one.record.sha256 for one in (base, adapted, merged)}) == 3


def test_segment_takes_an_adapter(learned: Path, tmp_path: Path) -> None:
    picture = learned.parent / "data" / "images" / "case0.png"
    at = ("segment", picture, "--box", "60,60,190,190")
    delineate(
        *at, "-m", "tiny_sam", "--untrained", "--adapter", learned / "adapter.safetensors", "-o", tmp_path / "a.png"
    )
    delineate(*at, "-m", learned / "best.safetensors", "--system", "tiny_sam", "-o", tmp_path / "b.png")
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()


@pytest.mark.parametrize(
    ("model", "adapter", "says"),
    [
        ("tiny_sam2", "adapter.safetensors", "another network.*trained on tiny_sam"),
        ("best.safetensors", "adapter.safetensors", "other weights"),
        ("tiny_sam", "best.safetensors", "is no adapter"),
        ("tiny_sam", "log.jsonl", "cannot be read"),
        ("tiny_sam", "nothing.safetensors", "There is no adapter"),
        ("quill", "adapter.safetensors", "no place"),
    ],
)
def test_adapters_of_something_else_are_refused(learned: Path, model: str, adapter: str, says: str) -> None:
    system = "tiny_sam" if model == "best.safetensors" else None
    named = str(learned / model) if system else model
    with pytest.raises(ModelError, match=says) as caught:
        build(named, BuildOptions(untrained=True, adapter=learned / adapter), system)
    assert caught.value.code == "E-ADAPTER" and caught.value.hint


def test_recipes_are_listed_and_documented(capsys: pytest.CaptureFixture[str]) -> None:
    delineate("train", "recipes", "--json")
    names = [row["name"] for row in json.loads(capsys.readouterr().out)]
    assert names == list(RECIPES)
    rows = (Path(__file__).parents[2] / "docs" / "reference" / "training.md").read_text()
    assert all(f"| `{name}` |" in rows for name in names)


def test_a_run_stopped_before_its_first_measurement_goes_on_as_the_same_run(tmp_path: Path, learned: Path) -> None:
    other = learned / "best.safetensors"
    discs(tmp_path / "data", 4)
    about = {"data": tmp_path / "data", "model": "tiny_sam", "recipe": "quick", "output": tmp_path / "mine"}
    request = FinetuneRequest(**about, untrained=True, steps=2, batch=2, every=2)

    def stop(step: int, steps: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        finetune(request, stop)
    said = LearnedFrom.model_validate_json((tmp_path / "mine" / "learned_from.json").read_bytes())
    assert len(said.learned) == 3 and (tmp_path / "mine" / "request.json").is_file()
    with pytest.raises(OutputError, match="holds a run already"):
        finetune(request)
    for change, says in (
        ({"held_out": 0.5}, "divides its scans otherwise"),
        ({"recipe": "medsam_point", "rank": 4}, "begun with another --recipe, --rank"),
        ({"model": str(other), "system": "tiny_sam", "untrained": True}, "began from other weights"),
    ):
        with pytest.raises(ModelError, match=says) as caught:
            finetune(request.model_copy(update={"resume": True} | change))
        assert caught.value.code == "E-TRAIN-RESUME"
    assert finetune(request.model_copy(update={"resume": True})).before > 0
    assert (tmp_path / "mine" / "last.safetensors").is_file()


def test_a_run_that_is_refused_leaves_nothing(tmp_path: Path) -> None:
    discs(tmp_path / "data", 1)
    about = {"data": tmp_path / "data", "model": "tiny_sam", "recipe": "quick", "output": tmp_path / "mine"}
    with pytest.raises(InputError, match="1, of 1 subject"):
        finetune(FinetuneRequest(**about, untrained=True))
    assert not (tmp_path / "mine").exists()
