"""Sequences of volumes through time: one slice of all of them as frames, and outlines as a sequence beside them."""

from __future__ import annotations

from typing import Any

import numpy as np

import slicer

from . import scene


def browser_of(volume: Any) -> Any:
    """The browser whose sequence a volume is shown from; None where it is a volume of its own."""
    for browser in slicer.mrmlScene.GetNodesByClass("vtkMRMLSequenceBrowserNode"):
        if browser.GetSequenceNode(volume) is not None:
            return browser
    return None


def frames_of(browser: Any, volume: Any, axis: int, index: int) -> np.ndarray:
    """Slice ``index`` along ``axis`` (0 to 2 of i, j, k) of every volume of the sequence, as (time, height, width).

    Raises ValueError where the volumes are of several sizes.
    """
    sequence = browser.GetSequenceNode(volume)
    found: list[np.ndarray] = []
    shape = slicer.util.arrayFromVolume(volume).shape
    for number in range(sequence.GetNumberOfDataNodes()):
        array = slicer.util.arrayFromVolume(sequence.GetNthDataNode(number))
        if array.shape != shape:
            raise ValueError("The volumes of the sequence are of several sizes: it cannot be followed through time.")
        found.append(np.take(array, index, axis=2 - axis))
    return np.stack(found)


class OutlineSequence:
    """A structure's outlines through time: a segmentation for every volume of a sequence, shown with it.

    axis, index  the slice that was followed
    """

    def __init__(self, browser: Any, volume: Any, name: str, axis: int, index: int) -> None:
        self._browser, self._volume, self._name = browser, volume, name
        self._axis, self._index = axis, index
        self._images = browser.GetSequenceNode(volume)
        self._written: dict[int, bytes] = {}
        self.sequence = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSequenceNode", f"{name} through time")
        self.sequence.SetIndexName(self._images.GetIndexName())
        self.sequence.SetIndexUnit(self._images.GetIndexUnit())
        self.sequence.SetIndexType(self._images.GetIndexType())

    def write(self, masks: np.ndarray) -> int:
        """Put outlines (time, height, width) that are not as they were into their segmentations; how many they are."""
        changed = 0
        node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", self._name)
        for number, mask in enumerate(masks):
            content = np.packbits(mask > 0).tobytes()
            if content == self._written.get(number):
                continue
            whole = np.zeros(slicer.util.arrayFromVolume(self._volume).shape, np.uint8)
            place: list[Any] = [slice(None)] * 3
            place[2 - self._axis] = self._index
            whole[tuple(place)] = mask > 0
            scene.write_segment(node, self._volume, self._name, whole)
            self.sequence.SetDataNodeAtValue(node, self._images.GetNthIndexValue(number))
            self._written[number] = content
            changed += 1
        slicer.mrmlScene.RemoveNode(node)
        if changed and not self._browser.IsSynchronizedSequenceNode(self.sequence, True):
            self._browser.AddSynchronizedSequenceNode(self.sequence)
        slicer.modules.sequences.logic().UpdateProxyNodesFromSequences(self._browser)
        return changed
