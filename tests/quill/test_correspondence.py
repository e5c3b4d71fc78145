"""Quill's features as they correspond between patients: fitted, kept, and only on the Quill they were fitted to."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from delineate.core.frame import Frame
from delineate.quill.correspondence import CHANNELS, FITTED, CorrespondenceMap
from delineate.quill.dense_features import QuillExtractor
from delineate.quill.predictor import SHIPPED


def smooth(rng: np.random.Generator, channels: int, cells: int = 16) -> np.ndarray:
    return rng.normal(0, 1, (channels, cells, cells)).astype(np.float32)


def test_a_linear_relation_is_found_up_to_its_principal_axes() -> None:
    rng = np.random.default_rng(0)
    hidden = rng.normal(0, 1, (80, 6))
    pairs = [(one, np.einsum("dc,cyx->dyx", hidden, one)) for one in (smooth(rng, 6) for _ in range(8))]
    fitted = CorrespondenceMap.fitted(pairs, "")
    assert fitted.weights.shape == (CHANNELS, 18)
    one, wanted = pairs[0]
    found = fitted(one).reshape(CHANNELS, -1)
    wanted = (wanted - wanted.mean(axis=(1, 2), keepdims=True)).reshape(80, -1)
    assert np.abs(found.T @ found - wanted.T @ wanted).max() < 0.05 * np.abs(wanted.T @ wanted).max()


def test_the_mean_of_a_frame_says_nothing() -> None:
    fitted = CorrespondenceMap.read(FITTED)
    one = smooth(np.random.default_rng(1), fitted.weights.shape[1] // 3)
    assert fitted(one + 5) == pytest.approx(fitted(one), abs=1e-3)


def test_what_is_written_is_read(tmp_path: Path) -> None:
    shipped = CorrespondenceMap.read(FITTED)
    shipped.write(tmp_path / "again.npz")
    again = CorrespondenceMap.read(tmp_path / "again.npz")
    assert again.sha256 == shipped.sha256 and np.array_equal(again.weights, shipped.weights)


def test_it_is_used_on_the_quill_it_was_fitted_to_alone(tmp_path: Path) -> None:
    frame = Frame.of(np.random.default_rng(2).random((40, 64), np.float32))
    own = QuillExtractor(SHIPPED, side=128, threads=1)
    assert own.features(frame).values.shape == (CHANNELS, 16, 16)
    other = tmp_path / "other.onnx"
    other.write_bytes(SHIPPED.read_bytes() + b"\x9a\x01\x00")  # an empty field of the message: another file
    trained_further = replace(own, path=other)
    assert np.array_equal(trained_further.features(frame).values, trained_further.levels(frame).values)
