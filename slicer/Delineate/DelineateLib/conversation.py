"""One volume that is outlined: what was sent, what came back, what is being followed. No Slicer, no windows."""

from __future__ import annotations

from typing import Any

import numpy as np

from . import masks, prompts
from .client import Client
from .geometry import gray_frames, nrrd_of, png_of


class Conversation:
    """A session of the server on one volume.

    volumes   each structure as uint8 (k, j, i), as it is now
    progress  (frames done, frames in all) of what is followed; None: nothing is
    """

    def __init__(self, client: Client, array: np.ndarray, ijk_to_ras: Any, model: str | None = None) -> None:
        self._client = client
        self.shape = array.shape
        scan = self._sent(array, ijk_to_ras)
        state = client.begin(scan["id"], model)
        self.id: str = state["id"]
        self.grid = prompts.Grid(array.shape[::-1], ijk_to_ras, state["slice_axis"])
        self.volumes: dict[str, np.ndarray] = {}
        self.progress: tuple[int, int] | None = None
        self.notices: list[str] = list(scan["notices"])
        self.score: float | None = None
        self.frame: int | None = None  # that was answered last
        self._job: str | None = None
        self._take(state)

    def prompt(self, structure: str, given: list[dict[str, Any]]) -> set[str]:
        """Point at a structure; the names of those that changed. Prompts on several slices are several actions."""
        changed: set[str] = set()
        for together in self._by_slice(given):
            action: dict[str, Any] = {"event": "prompts", "object": structure, "prompts": together}
            if len(together) == 1:
                action = {"event": "prompt", "object": structure, "prompt": together[0]}
            answer = self._client.act(self.id, action)
            self.score, self.frame = answer.get("score"), answer.get("frame")
            changed |= self._take(answer)
        return changed

    def outline(self, structure: str, frame: int) -> np.ndarray:
        """A structure on one slice, bool (height, width). Raises ValueError where there is none."""
        whole = self.volumes.get(structure)
        found = None if whole is None else np.take(whole, frame, axis=2 - self.grid.slice_axis)
        if found is None or not found.any():
            raise ValueError(f"{structure} is not outlined there: point at it first.")
        return found > 0

    def accept(self, structure: str, frame: int, outline: np.ndarray) -> set[str]:
        """Take an outline (height, width) as a structure's on one slice or frame."""
        return self.prompt(structure, [{**masks.encoded(outline), "frame": frame}])

    def remove(self, structure: str) -> set[str]:
        """Forget a structure."""
        changed = self._take(self._client.act(self.id, {"event": "remove_object", "object": structure}))
        return changed | {structure}

    def undo(self) -> set[str]:
        """Take the last action back; the names of the structures that changed."""
        return self._take(self._client.undo(self.id))

    def redo(self) -> set[str]:
        """Do it again."""
        return self._take(self._client.redo(self.id))

    def follow(self, structures: list[str]) -> None:
        """Begin to follow structures through all slices; ``step`` tells how it goes."""
        job = self._client.follow(self.id, structures)
        self._job, self.progress = job["job"], (job["done"], job["total"])

    def step(self) -> set[str]:
        """What was followed since the last call; ``progress`` is None at its end. Raises ValueError where it failed."""
        if self._job is None:
            return set()
        job = self._client.job(self._job)
        changed = self._take(self._client.masks(self.id, self._revision))
        self.progress = (job["done"], job["total"])
        if job["state"] != "running":
            self._job = self.progress = None
        if job["state"] == "failed":
            raise ValueError(f"{job['error']['title']} {job['error']['hint']}")
        return changed

    def cancel(self) -> None:
        """End following after the slice at work."""
        if self._job is not None:
            self._client.cancel(self._job)

    def _sent(self, array: np.ndarray, ijk_to_ras: Any) -> dict[str, Any]:
        """The volume as the server has it."""
        scan = self._client.upload(nrrd_of(array, ijk_to_ras), "volume.nrrd")
        if tuple(scan["shape"]) != tuple(array.shape[::-1]):
            raise ValueError("The server reads the volume in another shape.")
        return scan

    def _take(self, answer: dict[str, Any]) -> set[str]:
        self._revision: int = answer["revision"]
        self.notices += [text for text in answer.get("notices", []) if text not in self.notices]
        return masks.put(answer["changed"], self.volumes, self.shape, self.grid.slice_axis)

    def _by_slice(self, given: list[dict[str, Any]]) -> list[list[dict[str, Any]]]:
        """Points of one slice together, since one answer is about one slice; what is not a point by itself."""
        found: dict[Any, list[dict[str, Any]]] = {}
        for number, one in enumerate(given):
            key = int(self.grid.slices_of([one["at"]])[0]) if one["type"] == "point" else f"other {number}"
            found.setdefault(key, []).append(one)
        return list(found.values())


class FramesConversation(Conversation):
    """Frames through time, (time, height, width): a structure that was outlined on one of them is followed on all."""

    def __init__(self, client: Client, frames: np.ndarray, model: str | None = None) -> None:
        super().__init__(client, gray_frames(frames), np.eye(4), model)

    def _sent(self, array: np.ndarray, ijk_to_ras: Any) -> dict[str, Any]:
        scan = self._client.upload_frames([png_of(frame) for frame in array])
        if scan["kind"] != "video" or scan["frames"] != len(array):
            raise ValueError("The server does not read the frames as a video: a sequence of two volumes is needed.")
        return scan
