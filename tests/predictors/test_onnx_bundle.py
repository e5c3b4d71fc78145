"""Exported systems run again without torch: the same masks as the torch predictor, the whole way from pixels."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tiny_networks import TINY_VIT_SIZE, lively, tiny_sam, tiny_sam2

pytest.importorskip("transformers")
pytest.importorskip("onnx")

from delineate.adapters.sam_med2d import add_med2d_adapters
from delineate.checkpoints.vocabulary import Vocabulary
from delineate.compute.engine import Engine, Precision
from delineate.core.errors import ModelError
from delineate.core.frame import Frame
from delineate.core.hashing import sha256_of
from delineate.core.manifest import ModelRecord
from delineate.core.resolve import FramePrompts
from delineate.models.edge_tam import EdgeTam, EdgeTamShape
from delineate.models.medsam_text import MedSamText, MedSamTextShape, TextTower
from delineate.models.sam import SamEncoder, SamShape
from delineate.predictors.bundle_card import CARD
from delineate.predictors.export.bundle import export_system
from delineate.predictors.frame_predictor import Candidates, Query, ReferenceFrame
from delineate.predictors.onnx_bundle import OnnxBundlePredictor, open_bundle
from delineate.predictors.postprocess import masks_on_frame
from delineate.predictors.sam import SamPredictor
from delineate.predictors.sam2 import Sam2Predictor
from delineate.predictors.sam_behavior import MaskPrompt, Multimask, SamBehavior
from delineate.predictors.text import TextPredictor
from delineate.preprocess.profiles import LITE_MEDSAM, MEDSAM, SAM, SAM_MED2D, Profile, biosam2
from delineate.systems import BuildOptions, build

CPU = Engine(torch.device("cpu"), Precision.FP32)
NEAR = 1e-3  # logits may differ by so much: pixels so near to the threshold may fall on either side


def sam_like(profile: Profile, **rules: Any) -> SamPredictor:
    lite = profile is LITE_MEDSAM
    network = tiny_sam(SamEncoder.TINY_VIT_LITE if lite else SamEncoder.VIT_B)
    if profile is SAM_MED2D:
        add_med2d_adapters(network.host.vision_encoder)
        lively(network, 4)  # of some seeds, networks enlarge rounding errors of the embedding a thousand times
    record = ModelRecord(name=profile.name, version="test", sha256="0123", license="Apache-2.0")
    return SamPredictor(network, SamBehavior(replace(profile, side=256), **rules), CPU, record)


def sam2_like(network: Any, **profiles: Any) -> Sam2Predictor:
    with torch.no_grad():
        network.host.mask_decoder.pred_obj_score_head.proj_out.bias.fill_(3.0)
    record = ModelRecord(name="sam2", version="test", sha256="0123", license="Apache-2.0")
    return Sam2Predictor(network, CPU, record, **profiles)


SYSTEMS: dict[str, Callable[[], Any]] = {
    "SAM": lambda: sam_like(SAM),
    "MedSAM": lambda: sam_like(MEDSAM, multimask=Multimask.NEVER),
    "LiteMedSAM": lambda: sam_like(LITE_MEDSAM, multimask=Multimask.NEVER, margin=3.0, whole=True),
    "SAM-Med2D": lambda: sam_like(SAM_MED2D, multimask=Multimask.ALWAYS, mask_prompt=MaskPrompt.PROBABILITY),
    "SAM 2.1": lambda: sam2_like(tiny_sam2()),
    "BioSAM 2": lambda: sam2_like(tiny_sam2(seed=1), image_profile=biosam2, video_profile=biosam2),
    "EdgeTAM": lambda: sam2_like(lively(EdgeTam(EdgeTamShape(256)))),
}
FAMILIES = ("SAM", "SAM 2.1")


@dataclass(frozen=True, eq=False)
class Pair:
    """A system in torch, and the same exported."""

    torch: Any
    onnx: OnnxBundlePredictor

    @property
    def profile(self) -> Profile:
        return self.onnx.profile


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Pair]:
    @cache
    def made(name: str) -> Pair:
        folder, predictor = tmp_path_factory.mktemp("bundle"), SYSTEMS[name]()
        export_system(predictor, folder, check=False)
        return Pair(predictor, open_bundle(folder, threads=1))

    return made


def scene(height: int, width: int) -> np.ndarray:
    """A disc on texture, 0 to 1."""
    y, x = np.mgrid[:height, :width]
    disc = (y - 0.45 * height) ** 2 + (x - 0.5 * width) ** 2 < (0.22 * min(height, width)) ** 2
    return 0.2 + 0.5 * disc + 0.25 * np.random.default_rng(0).random((height, width))


def color(height: int = 200, width: int = 310) -> np.ndarray:
    gray = scene(height, width)
    return (255 * np.stack([gray, gray**2, 1 - gray], axis=2)).astype(np.uint8)


FRAMES = {
    "8-bit color": color(),
    "8-bit, larger than the input": color(420, 300),
    "16-bit": (4000 * scene(180, 140)).astype(np.uint16),
    "CT": (1500 * scene(190, 230) - 1000).astype(np.float32),
}


def queries_on(height: int, width: int, before: Candidates) -> dict[str, Query]:
    """Every kind of question; ``before``: an answer on the same frame."""
    box = (0.21 * width, 0.18 * height, 0.77 * width, 0.73 * height)
    inside, outside = (0.5 * width, 0.45 * height), (0.1 * width, 0.8 * height)
    drawn = scene(height, width) > 0.6
    click, clicks = (
        FramePrompts(np.array(points), np.array(labels))
        for points, labels in (([inside], [1]), ([inside, outside], [1, 0]))
    )
    return {
        "box": Query(FramePrompts(box=box)),
        "click": Query(click),
        "clicks on and off": Query(clicks),
        "box and click": Query(replace(click, box=box)),
        "mask": Query(FramePrompts(mask=drawn)),
        "mask before": Query(click, previous=drawn),
        "feedback": Query(clicks, feedback=before.logits[before.best]),
        "followed": Query(reference=ReferenceFrame(None, drawn)),
        "followed, empty": Query(reference=ReferenceFrame(None, np.zeros_like(drawn))),
        "nothing": Query(),
    }


def check_same(right: Candidates, found: Candidates, place: Any, profile: Profile) -> float:
    """Masks equal but where the logit is near the threshold; the greatest difference of logits."""
    logits = torch.from_numpy(right.logits)
    least, most = (masks_on_frame(logits + moved, place, profile.answer).numpy() for moved in (-NEAR, NEAR))
    assert found.masks.shape == right.masks.shape
    assert (least <= found.masks).all() and (found.masks <= most).all()
    assert np.abs(found.scores - right.scores).max() < 3e-4 and abs(found.presence - right.presence) < 1e-4
    assert right.score - right.scores[found.best] < 3e-4
    return float(np.abs(found.logits - right.logits).max())


@pytest.mark.parametrize("kind", FRAMES)
@pytest.mark.parametrize("system", SYSTEMS)
def test_masks_are_those_of_torch(system: str, kind: str, pair: Callable[[str], Pair]) -> None:
    """Measured: logits differ by at most 3e-4, of values up to 5."""
    both = pair(system)
    frame = Frame.of(FRAMES[kind])
    right, found = both.torch.encode(frame), both.onnx.encode(frame)
    assert right.place == found.place
    (first,) = both.torch.decode(right, [Query(FramePrompts(np.array([[60.0, 70.0]]), np.array([1])))])
    queries = queries_on(*frame.size, first)
    wanted, answers = both.torch.decode(right, [*queries.values()]), both.onnx.decode(found, [*queries.values()])
    differences = {
        name: check_same(one, other, right.place, both.profile)
        for name, one, other in zip(queries, wanted, answers, strict=True)
    }
    shares, largest = [one.masks.mean() for one in wanted], max(float(np.abs(one.logits).max()) for one in wanted)
    worst = max(differences.values())
    print(
        f"{system}, {kind}: max abs logit difference {worst:.1e} of {largest:.2g}; "
        f"masks cover {min(shares):.2f} to {max(shares):.2f}"
    )
    assert worst < NEAR, differences
    assert any(0.01 < share < 0.99 for share in shares), shares  # what is compared are outlines


@pytest.mark.parametrize("system", FAMILIES)
def test_structures_asked_for_together_are_answered_each(system: str, pair: Callable[[str], Pair]) -> None:
    predictor = pair(system).onnx
    features = predictor.encode(Frame.of(color()))
    drawn = scene(200, 310) > 0.6
    boxes = [Query(FramePrompts(box=(x, 40.0, x + 100, 150.0))) for x in (20.0, 120.0)]
    clicks = [Query(FramePrompts(np.array([[x, 90.0]]), np.array([1]))) for x in (60.0, 160.0)]
    queries = [boxes[0], clicks[0], boxes[1], Query(clicks[1].prompts, previous=drawn), clicks[1]]
    together = predictor.decode(features, queries)
    assert [len(one.masks) for one in together] == [1, 3, 1, 1, 3]
    for query, answer in zip(queries, together, strict=True):
        (alone,) = predictor.decode(features, [query])
        assert np.abs(alone.logits - answer.logits).max() < NEAR and alone.best == answer.best
    assert predictor.decode(features, []) == []


@pytest.mark.parametrize("system", FAMILIES)
def test_many_clicks_are_those_of_torch(system: str, pair: Callable[[str], Pair]) -> None:
    both, frame = pair(system), Frame.of(color())
    clicks = np.array([[40.0, 50.0], [150.0, 90.0], [280.0, 20.0]])
    right, found = (one.decode_clicks(one.encode(frame), clicks, offset=0.05) for one in (both.torch, both.onnx))
    assert found[0].shape == right[0].shape == (9, 200, 310)
    assert (found[0] != right[0]).mean() < 1e-3 and 0.01 < right[0].mean() < 0.99
    assert np.abs(found[1] - right[1]).max() < 1e-4 and np.abs(found[2] - right[2]).max() < 1e-2


def test_the_record_names_the_system_and_its_files(pair: Callable[[str], Pair], exported: Path) -> None:
    record = open_bundle(exported).record
    assert (record.name, record.backend, record.precision, record.device) == ("sam", "onnx", "fp32", "cpu")
    assert record.sha256 == sha256_of(exported / CARD) and record.license == "Apache-2.0" and "0123" in record.version
    parts = json.loads((exported / CARD).read_text())["parts"].values()
    assert all(part["sha256"] == sha256_of(exported / part["file"]) for part in parts)


def test_what_other_versions_must_read_stays(exported: Path) -> None:
    """Rules are written in words: another wording is another format."""
    card = json.loads((exported / CARD).read_text())
    assert card["format"] == "delineate-onnx/2" and card["family"] == "sam"
    assert card["prompting"] == {
        "multimask": "for a single click",
        "mask_prompt": "logits of the answer before",
        "margin": 5.0,
        "whole_pixels": False,
    }
    assert card["preprocessing"]["image"] == {
        "name": "sam",
        "side": 256,
        "fit": "longest side",
        "filter": "bilinear, antialiased, on 8-bit pictures",
        "scale": "0 to 255",
        "normal": [[123.675, 116.28, 103.53], [58.395, 57.12, 57.375]],
        "answer": "logits enlarged to the input, cropped, enlarged, above 0",
        "bgr": False,
        "window_rule": "CT: -160 to 240 HU; 8 bit: as it is; others: 0.5th to 99.5th percentile of the scan's "
        "nonzero values",
        "coordinates": "times the size the frame has in the input over its own",
    }


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("original")
    export_system(SYSTEMS["SAM"](), folder, check=False)
    return folder


@pytest.fixture
def exported(original: Path, tmp_path: Path) -> Path:
    """A copy that may be damaged."""
    return Path(shutil.copytree(original, tmp_path / "exported"))


def with_card(change: Callable[[dict[str, Any]], object]) -> Callable[[Path], None]:
    def changed(folder: Path) -> None:
        card = json.loads((folder / CARD).read_text())
        change(card)
        (folder / CARD).write_text(json.dumps(card))

    return changed


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def named(file: str) -> Callable[[Path], None]:
    return with_card(lambda card: card["parts"]["decoder"].update(file=file))


def no_model(folder: Path) -> None:
    (folder / "decoder.onnx").write_bytes(b"no model")
    digest = sha256_of(folder / "decoder.onnx")
    with_card(lambda card: card["parts"]["decoder"].update(sha256=digest))(folder)


@pytest.mark.parametrize(
    ("change", "code"),
    [
        pytest.param(lambda folder: (folder / "decoder.onnx").unlink(), "E-BUNDLE-PART", id="part missing"),
        pytest.param(lambda folder: flip(folder / "encoder.onnx"), "E-BUNDLE-CHANGED", id="encoder changed"),
        pytest.param(lambda folder: flip(folder / "decoder.onnx"), "E-BUNDLE-CHANGED", id="decoder changed"),
        pytest.param(no_model, "E-MODEL-DAMAGED", id="no model"),
        pytest.param(named("../decoder.onnx"), "E-BUNDLE-CARD", id="file above"),
        pytest.param(named("/tmp/decoder.onnx"), "E-BUNDLE-CARD", id="file elsewhere"),
        pytest.param(named("a\\decoder.onnx"), "E-BUNDLE-CARD", id="file in a folder of Windows"),
        pytest.param(named("decoder.onnx\n"), "E-BUNDLE-CARD", id="line feed"),
        pytest.param(with_card(lambda c: c.update(format="delineate-onnx/1")), "E-BUNDLE-FORMAT", id="format 1"),
        pytest.param(with_card(lambda c: c.update(format="delineate-onnx/9")), "E-BUNDLE-FORMAT", id="format 9"),
        pytest.param(with_card(lambda c: c.pop("format")), "E-BUNDLE-CARD", id="no format"),
        pytest.param(with_card(lambda c: c["parts"].pop("encoder")), "E-BUNDLE-CARD", id="part not listed"),
        pytest.param(with_card(lambda c: c.update(family="sam2")), "E-BUNDLE-CARD", id="another family"),
        pytest.param(with_card(lambda c: c.update(side=512)), "E-BUNDLE-CARD", id="another side"),
        pytest.param(with_card(lambda c: c.pop("prompting")), "E-BUNDLE-CARD", id="no prompting"),
        pytest.param(
            with_card(lambda c: c["preprocessing"]["image"].update(answer="as it comes")), "E-BUNDLE-CARD", id="rule"
        ),
        pytest.param(lambda folder: (folder / CARD).write_text("{"), "E-BUNDLE-CARD", id="no JSON"),
        pytest.param(lambda folder: (folder / CARD).write_bytes(b" " * (1 << 21)), "E-BUNDLE-CARD", id="too long"),
    ],
)
def test_a_damaged_folder_is_refused(change: Callable[[Path], None], code: str, exported: Path) -> None:
    change(exported)
    with pytest.raises(ModelError) as caught:
        build(str(exported))
    assert caught.value.code == code and caught.value.message
    assert code == "E-MODEL-DAMAGED" or "delineate models export" in caught.value.hint


@pytest.mark.parametrize(
    ("options", "system", "code"),
    [
        pytest.param({"adapter": Path("adapter.safetensors")}, None, "E-ADAPTER", id="adapter"),
        pytest.param({"device": "cuda"}, None, "E-DEVICE", id="GPU"),
        pytest.param({"precision": "bf16"}, None, "E-PRECISION", id="bf16 on ONNX Runtime"),
        pytest.param({"precision": "fp16", "backend": "openvino"}, None, "E-PRECISION", id="fp16"),
        pytest.param({}, "medsam", "E-MODEL-SYSTEM", id="another system"),
    ],
)
def test_what_it_cannot_do_is_refused(options: dict[str, Any], system: str | None, code: str, exported: Path) -> None:
    with pytest.raises(ModelError) as caught:
        build(str(exported), BuildOptions(**options), system)
    assert caught.value.code == code


def test_words_are_refused(tmp_path: Path) -> None:
    shape = MedSamTextShape(SamShape(SamEncoder.VIT_B, 256, TINY_VIT_SIZE), TextTower(64, 2, 2, 520, 12))
    record = ModelRecord(name="medsam_text", version="test", sha256="", license="")
    network = lively(MedSamText(shape))
    predictor = TextPredictor(network, replace(MEDSAM, side=256), Vocabulary(520, 12), CPU, record)  # type: ignore[arg-type]
    export_system(predictor, tmp_path, check=False)
    with pytest.raises(ModelError) as caught:
        open_bundle(tmp_path)
    assert caught.value.code == "E-BUNDLE-WORDS" and "-m medsam_text" in caught.value.hint


def test_openvino_computes_the_encoder(
    pair: Callable[[str], Pair], exported: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("openvino")
    monkeypatch.setenv("DELINEATE_MODELS", str(tmp_path / "models"))
    predictor = build(str(exported), BuildOptions(backend="openvino", threads=1))
    assert predictor.record.backend == "openvino" and predictor.record.precision == "fp32"
    frame, query = Frame.of(color()), Query(FramePrompts(box=(60.0, 40.0, 240.0, 150.0)))
    (found,), (right,) = (one.decode(one.encode(frame), [query]) for one in (predictor, pair("SAM").torch))
    assert np.abs(found.logits - right.logits).max() < NEAR
    assert [path.name[:7] for path in (tmp_path / "models" / "exported").glob("*.blob")] == ["bundle-"]
