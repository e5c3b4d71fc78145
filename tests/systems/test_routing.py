"""``-m auto``: the model that ships, unless one that is here was clearly better on such scans."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from delineate.checkpoints.store import import_checkpoint, kept_sha256
from delineate.core.errors import InputError, ModelError
from delineate.core.frame import Modality, ModalityName
from delineate.core.scan import Scan, ScanKind
from delineate.io.opening import open_scan
from delineate.predictors.capabilities import PromptKind
from delineate.systems import build, routing
from delineate.systems.routing import Route, RoutingTable, choose_model

BOX, POINT, MASK = PromptKind.BOX, PromptKind.POINT, PromptKind.MASK
ULTRASOUND, CT = ModalityName.ULTRASOUND, ModalityName.CT
MEASURED = "0" * 64  # of the weights in the table
WIN, LOSS, NOISE = (0.03, (0.01, 0.05)), (-0.1, (-0.2, -0.05)), (0.03, (-0.01, 0.07))


def route(
    gain: tuple[float, tuple[float, float] | None],
    modality: ModalityName = ULTRASOUND,
    prompt: PromptKind = BOX,
    through: ScanKind = ScanKind.IMAGE,
    model: str = "lite_medsam",
    subjects: int = 8,
) -> Route:
    return Route(
        modality=modality, prompt=prompt, through=through, model=model, cases=subjects, subjects=subjects,
        datasets=("a", "b"), mean_default=0.8, mean=0.8 + gain[0], difference=gain[0], interval=gain[1],
    )  # fmt: skip


def table(*routes: Route, weights: str = MEASURED) -> RoutingTable:
    return RoutingTable(measured={}, models=dict.fromkeys(("quill", "lite_medsam", "medsam"), weights), routes=routes)


def scan(modality: ModalityName = ULTRASOUND, frames: int = 1) -> Scan:
    about = {"modality": Modality(modality, "it says so")}
    if frames == 1:
        return Scan.from_image(np.zeros((8, 8), np.uint8), **about)
    return Scan.from_volume(np.zeros((8, 8, frames), np.int16), **about)


@pytest.mark.parametrize(
    ("routes", "modality", "prompts", "frames", "model", "says"),
    [
        ([route(WIN)], ULTRASOUND, {BOX}, 1, "lite_medsam",
         "better than quill on ultrasound with box on one frame (+0.030, 95 % +0.010 to +0.050, 8 cases of 2 data"),
        ([route(WIN)], CT, {BOX}, 1, "quill", "no other model was clearly better on CT with box"),
        ([route(WIN)], ModalityName.UNKNOWN, {BOX}, 1, "quill", "kind of scan this is (it says so): --modality"),
        ([route(WIN)], ULTRASOUND, {POINT}, 1, "quill", "ultrasound with point"),
        ([route(WIN)], ULTRASOUND, {BOX, POINT}, 1, "quill", "box and point"),
        ([route(WIN), route(WIN, prompt=POINT)], ULTRASOUND, {BOX, POINT}, 1, "lite_medsam", "box and point"),
        ([route(WIN)], ULTRASOUND, {BOX}, 4, "quill", "through a volume"),
        ([route(WIN, through=ScanKind.VOLUME)], ULTRASOUND, {BOX}, 4, "lite_medsam", "through a volume"),
        ([route(WIN)], ULTRASOUND, set(), 1, "quill", "no prompt"),
        ([route(LOSS)], ULTRASOUND, {BOX}, 1, "quill", "no other"),
        ([route(NOISE)], ULTRASOUND, {BOX}, 1, "quill", "no other"),
        ([route(WIN, subjects=4)], ULTRASOUND, {BOX}, 1, "quill", "no other"),
        ([route((0.2, None))], ULTRASOUND, {BOX}, 1, "quill", "no other"),
        ([route(WIN), route((0.05, (0.02, 0.08)), model="medsam")], ULTRASOUND, {BOX}, 1, "medsam", "+0.050"),
        ([], ULTRASOUND, {BOX}, 1, "quill", "no other"),
    ],
    ids=["better", "other-modality", "unknown", "other-prompt", "one-of-two-prompts", "both-prompts", "followed",
         "better-followed", "nothing-asked", "worse", "within-noise", "few-subjects", "no-interval", "best-of-two",
         "empty"],
)  # fmt: skip
def test_which_model_and_why(
    routes: Sequence[Route],
    modality: ModalityName,
    prompts: set[PromptKind],
    frames: int,
    model: str,
    says: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(routing, "_kept", lambda name: MEASURED)
    chosen = choose_model(scan(modality, frames), prompts, table=table(*routes))
    assert chosen.model == model and says in chosen.reason


def test_what_is_not_here_is_named_and_not_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(routing, "_kept", lambda name: MEASURED if name == "medsam" else "")
    second = route((0.02, (0.01, 0.03)), model="medsam")
    chosen = choose_model(scan(), {BOX}, table=table(route(WIN)))
    assert chosen.model == "quill" and "delineate models pull lite_medsam" in chosen.reason
    assert choose_model(scan(), {BOX}, table=table(route(WIN), second)).model == "medsam"


def test_only_the_prompted_frame_counts_where_nothing_is_followed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(routing, "_kept", lambda name: MEASURED)
    assert choose_model(scan(frames=4), {BOX}, followed=False, table=table(route(WIN))).model == "lite_medsam"


def test_installed_is_what_the_store_holds(tmp_path: object, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DELINEATE_MODELS", str(tmp_path))
    assert choose_model(scan(), {BOX}, table=table(route(WIN))).model == "quill"


def test_only_the_weights_that_were_measured_are_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DELINEATE_MODELS", str(tmp_path / "models"))
    (tmp_path / "mine.pth").write_bytes(b"trained further")
    import_checkpoint("lite_medsam", tmp_path / "mine.pth")
    chosen = choose_model(scan(), {BOX}, table=table(route(WIN)))
    assert chosen.model == "quill" and "other weights than were measured" in chosen.reason
    kept = table(route(WIN), weights=kept_sha256("lite_medsam"))
    assert choose_model(scan(), {BOX}, table=kept).model == "lite_medsam"


def test_pulled_weights_are_those_that_were_measured(lite_medsam: object) -> None:
    assert kept_sha256("lite_medsam") == routing.routing_table().models["lite_medsam"]


def test_auto_is_no_model_without_a_scan() -> None:
    with pytest.raises(ModelError) as caught:
        build("auto")
    assert caught.value.code == "E-MODEL-AUTO"


def test_a_person_says_what_kind_of_scan_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(routing, "_kept", lambda name: MEASURED)
    file = tmp_path / "a.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (32, 32)).astype(np.uint8)).save(file)
    said, measured = open_scan(file, modality="ultraSound"), table(route(WIN))
    assert choose_model(open_scan(file), {BOX}, table=measured).model == "quill"
    assert said.modality.name is ULTRASOUND and said.frame(0).modality.name is ULTRASOUND
    assert choose_model(said, {BOX}, table=measured).model == "lite_medsam"
    for wrong in ("unknown", "sonar"):
        with pytest.raises(InputError, match="--modality") as caught:
            open_scan(file, modality=wrong)
        assert caught.value.code == "E-OPTION" and caught.value.hint
