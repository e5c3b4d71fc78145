"""Encoded frames, kept within a number of bytes: shared by sessions, safe for threads, computed once."""

from __future__ import annotations

import hashlib
import threading
import weakref
from collections import OrderedDict, deque
from collections.abc import Callable, Hashable
from concurrent.futures import CancelledError, Future
from typing import Any, Final, NamedTuple

import numpy as np

from delineate.core.frame import Frame
from delineate.predictors.frame_predictor import FramePredictor
from delineate.preprocess.intensity import frame_window

MOST_BYTES: Final = 512 * 2**20
UNSIZED: Final = 4  # features that do not say what they take: so many fit


class FeatureKey(NamedTuple):
    """One frame as one model sees it.

    model   the predictor object: its weights, precision, device and input size
    frame   of the pixels and of the window they are seen through; the same frame of another copy of the scan is equal
    """

    model: int
    frame: bytes

    @classmethod
    def of(cls, predictor: FramePredictor, frame: Frame) -> FeatureKey:
        pixels = np.ascontiguousarray(frame.pixels)
        window = frame_window(frame, predictor.window_rule)
        limits = None if window is None else (window.low, window.high)
        digest = hashlib.sha256(repr((pixels.shape, pixels.dtype.str, limits, frame.modality.name)).encode())
        digest.update(pixels.data)
        return cls(id(predictor), digest.digest())


class FeatureStore:
    """What is costly to compute and can be computed again, least recently used out first.

    most_bytes  kept at most; what is larger than that on its own is computed every time
    """

    def __init__(self, most_bytes: int = MOST_BYTES) -> None:
        self.most_bytes = most_bytes
        self._lock = threading.Lock()
        self._kept: OrderedDict[Hashable, tuple[Any, int]] = OrderedDict()
        self._bytes = 0
        self._computing: dict[Hashable, Future[Any]] = {}
        self._models: set[int] = set()
        self._gone: deque[int] = deque()  # models that are no more; told by the garbage collector, which takes no locks

    @property
    def nbytes(self) -> int:
        """Bytes kept now."""
        return self._bytes

    def __len__(self) -> int:
        return len(self._kept)

    def __contains__(self, key: Hashable) -> bool:
        return key in self._kept

    def features(self, predictor: FramePredictor, key: FeatureKey, read: Callable[[], Frame]) -> Any:
        """A frame encoded by the predictor: kept, or read and encoded now, by one thread where several ask at once."""
        self._watch(predictor)
        return self.computed(key, lambda: predictor.encode(read()), self._bytes_of)

    def _bytes_of(self, features: Any) -> int:
        return int(getattr(features, "nbytes", self.most_bytes // UNSIZED))

    def encoder(self, predictor: FramePredictor) -> Callable[[Frame], Any]:
        """``predictor.encode`` through the store; not looked for where encoding turned out to take no network."""
        cheap = False

        def encode(frame: Frame) -> Any:
            nonlocal cheap
            if cheap:
                return predictor.encode(frame)
            features = self.features(predictor, FeatureKey.of(predictor, frame), lambda: frame)
            cheap = not getattr(features, "costly", True)
            return features

        return encode

    def computed(self, key: Hashable, compute: Callable[[], Any], nbytes: Callable[[Any], int]) -> Any:
        """The value of a key: kept, or computed now; an error is told to all who wait for it, and not kept."""
        while True:
            with self._lock:
                if key in self._kept:
                    self._kept.move_to_end(key)
                    return self._kept[key][0]
                waited_for = self._computing.get(key)
                if waited_for is None:
                    self._computing[key] = Future()
                    break
            try:
                return waited_for.result()
            except CancelledError:  # the thread that computed it was interrupted
                continue
        try:
            value = compute()
            size = nbytes(value)
        except Exception as error:
            self._computing.pop(key).set_exception(error)
            raise
        except BaseException:
            self._computing.pop(key).cancel()
            raise
        with self._lock:
            self._put(key, value, size)
            future = self._computing.pop(key)
        future.set_result(value)
        return value

    def put(self, key: Hashable, value: Any, nbytes: int) -> None:
        with self._lock:
            self._put(key, value, nbytes)

    def discard(self, key: Hashable) -> None:
        with self._lock:
            self._bytes -= self._kept.pop(key, (None, 0))[1]

    def _put(self, key: Hashable, value: Any, nbytes: int) -> None:
        self._bytes += nbytes - self._kept.pop(key, (None, 0))[1]
        self._kept[key] = (value, nbytes)
        while self._bytes > self.most_bytes:
            self._bytes -= self._kept.popitem(last=False)[1][1]

    def _watch(self, predictor: FramePredictor) -> None:
        """Let features go with their model: another object may get its number."""
        model = id(predictor)
        with self._lock:
            while self._gone:
                gone = self._gone.popleft()
                self._models.discard(gone)
                for key in [k for k in self._kept if isinstance(k, FeatureKey) and k.model == gone]:
                    self._bytes -= self._kept.pop(key)[1]
            if model not in self._models:
                self._models.add(model)
                weakref.finalize(predictor, self._gone.append, model)
