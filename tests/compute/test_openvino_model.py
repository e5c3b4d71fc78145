"""A compiled model asked by several threads at once."""

from __future__ import annotations

from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from delineate.core.frame import Frame
from delineate.core.resolve import FramePrompts
from delineate.predictors.frame_predictor import Query
from delineate.quill.predictor import QuillPredictor

THREADS = 4


@pytest.mark.parametrize("backend", ["onnx", "openvino"])
def test_threads_get_the_answers_one_thread_gets(backend: str) -> None:
    if backend == "openvino":
        pytest.importorskip("openvino")
    predictor = QuillPredictor(threads=1, backend=backend, precision="fp32")
    pixels = np.random.default_rng(0).integers(0, 60, (96, 96)).astype(np.uint8)
    pixels[30:60, 20:70] += 120
    features = predictor.encode(Frame.of(pixels))
    asked = [[Query(FramePrompts(box=(18.0 + n, 26.0, 74.0, 66.0 - n)))] for n in range(8)]
    alone = [predictor.decode(features, queries)[0].masks for queries in asked]

    def outcome(n: int) -> str:
        try:
            masks = predictor.decode(features, asked[n % len(asked)])[0].masks
        except Exception as error:
            return str(error)
        return "as alone" if np.array_equal(masks, alone[n % len(asked)]) else "another outline"

    with ThreadPoolExecutor(THREADS) as threads:
        outcomes = Counter(threads.map(outcome, range(40)))
    assert outcomes == {"as alone": 40}
