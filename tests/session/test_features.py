"""Encoded frames are kept within a number of bytes, shared between sessions and computed once."""

from __future__ import annotations

import gc
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from bright_predictor import BrightPredictor
from delineate.core.frame import Frame, Modality, ModalityName
from delineate.core.intensities import IntensityWindow
from delineate.core.manifest import ModelRecord
from delineate.core.prompts import Box, Point
from delineate.core.scan import Scan
from delineate.predictors.frame_predictor import StorableFeatures
from delineate.preprocess.intensity import WindowRule
from delineate.session import FeatureStore, Session
from delineate.session.features import FeatureKey


def volume(depth: int = 8) -> Scan:
    voxels = np.zeros((40, 30, depth), np.int16)
    voxels[10:20, 10:20] = 200
    voxels[0, 0] = np.arange(depth)  # no two slices are the same
    return Scan.from_volume(voxels)


def encoded(session: Session) -> int:
    return session.predictor.encoded  # type: ignore[attr-defined]


def test_a_click_on_a_frame_that_is_kept_encodes_nothing() -> None:
    session = Session(volume(), BrightPredictor())
    for _ in range(3):
        session.prompt(Point(15, 15, 4), "a")
    assert encoded(session) == 1


def test_a_correction_and_what_follows_reuse_the_frames_that_were_followed() -> None:
    session = Session(volume(), BrightPredictor())
    session.prompt(Point(15, 15, 4), "a")
    session.propagate()
    assert encoded(session) == 8
    session.prompt(Point(15, 15, 6), "a")
    session.propagate()
    assert encoded(session) == 8


@pytest.mark.parametrize("same_scan", [True, False], ids=["one-scan", "a-copy"])
def test_sessions_share_a_store(same_scan: bool) -> None:
    store, predictor, scan = FeatureStore(), BrightPredictor(), volume()
    for n in range(5):
        session = Session(scan if same_scan else volume(), predictor, features=store)
        session.prompt(Point(15, 15, 4), f"a{n}")
    assert predictor.encoded == 1


FRAME = Frame.of(np.arange(64, dtype=np.int16).reshape(8, 8))
OTHERS = [
    pytest.param(Frame.of(FRAME.pixels + 1), id="pixels"),
    pytest.param(Frame.of(FRAME.pixels.T.copy()), id="turned"),
    pytest.param(Frame.of(FRAME.pixels.reshape(4, 16)), id="shape"),
    pytest.param(Frame.of(FRAME.pixels.astype(np.uint16)), id="type"),
    pytest.param(replace(FRAME, window=IntensityWindow(0, 10)), id="window"),
    pytest.param(replace(FRAME, modality=Modality(ModalityName.CT)), id="modality"),
]


@pytest.mark.parametrize("other", OTHERS)
def test_what_a_model_sees_differently_has_another_key(other: Frame) -> None:
    predictor = BrightPredictor()
    predictor.window_rule = WindowRule.MEDSAM  # type: ignore[misc]
    assert FeatureKey.of(predictor, FRAME) != FeatureKey.of(predictor, other)
    assert FeatureKey.of(predictor, FRAME) == FeatureKey.of(predictor, Frame.of(FRAME.pixels.copy()))
    assert FeatureKey.of(predictor, FRAME) != FeatureKey.of(BrightPredictor(), FRAME)


def test_the_least_recently_used_goes_first_and_nothing_is_beyond_the_bound() -> None:
    store = FeatureStore(100)
    for key in "abc":
        store.computed(key, lambda: key, lambda _: 40)  # noqa: B023
        store.computed("a", lambda: pytest.fail("it is kept"), lambda _: 40) if key != "a" else None
    assert [key in store for key in "abc"] == [True, False, True] and store.nbytes == 80
    assert store.computed("large", lambda: 7, lambda _: 101) == 7
    assert len(store) == 0 and store.nbytes == 0


def test_several_threads_compute_a_frame_once() -> None:
    store, computed, started = FeatureStore(), [], threading.Barrier(8)

    def compute() -> int:
        computed.append(1)
        return sum(range(200_000))

    def ask(_: int) -> int:
        started.wait()
        return store.computed("key", compute, lambda _: 8)

    with ThreadPoolExecutor(8) as threads:
        assert len(set(threads.map(ask, range(8)))) == 1
    assert len(computed) == 1


@pytest.mark.parametrize("error", [OSError, KeyboardInterrupt])
def test_an_error_is_not_kept(error: type[BaseException]) -> None:
    store = FeatureStore()

    def fail() -> None:
        raise error

    with pytest.raises(error):
        store.computed("key", fail, lambda _: 1)
    assert store.computed("key", lambda: 5, lambda _: 1) == 5


def test_features_go_with_their_model() -> None:
    store, predictor = FeatureStore(), BrightPredictor()
    Session(volume(), predictor, features=store).prompt(Point(15, 15, 4), "a")
    assert store.nbytes
    del predictor
    gc.collect()
    Session(volume(), BrightPredictor(), features=store).prompt(Box(5, 5, 25, 25, frame=4), "a")
    assert len(store) == 1


def published(kind: str) -> Any:
    import torch

    from delineate.compute.engine import Engine, Precision
    from delineate.predictors.sam import SamBehavior, SamPredictor
    from delineate.predictors.sam2 import Sam2Predictor
    from delineate.preprocess.profiles import SAM_MED2D
    from tiny_networks import tiny_sam, tiny_sam2

    engine = Engine(torch.device("cpu"), Precision.FP32)
    record = ModelRecord(name=kind, version="1", sha256="", license="Apache-2.0")
    if kind == "sam2":
        return Sam2Predictor(tiny_sam2(), engine, record)
    return SamPredictor(tiny_sam(), SamBehavior(SAM_MED2D), engine, record)


@pytest.mark.parametrize(("kind", "nbytes"), [("sam", 4 * 256 * 16**2), ("sam2", 4 * 16**2 * (512 + 16 * 32 + 4 * 64))])
def test_features_say_what_they_take_and_where(kind: str, nbytes: int) -> None:
    features = published(kind).encode(Frame.of(np.zeros((20, 30), np.uint8)))
    assert isinstance(features, StorableFeatures)
    assert features.nbytes == nbytes and str(features.device) == "cpu"


class Unsized(BrightPredictor):
    """Its features do not say what they take."""

    def encode(self, frame: Frame) -> Any:
        return [super().encode(frame)]

    def outlined(self, features: Any, query: Any) -> Any:
        return super().outlined(features[0], query)


def test_a_few_features_of_unknown_size_are_kept() -> None:
    session = Session(volume(), Unsized())
    for frame in (0, 1, 2, 3, 0, 3, 4, 5, 6, 7, 0):
        session.prompt(Point(15, 15, frame), "a")
    assert encoded(session) == 9


def test_a_predictor_without_an_encoder_fills_no_store_while_it_follows() -> None:
    from delineate.quill.predictor import QuillPredictor

    store = FeatureStore()
    session = Session(volume(), QuillPredictor(threads=1), features=store)
    session.prompt(Box(10, 10, 20, 20, frame=2), "a")
    session.propagate()
    assert len(store) <= 2
