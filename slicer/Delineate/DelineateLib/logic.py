"""What the panel does, without a window: one conversation about one volume, its segments, and a sequence in time."""

from __future__ import annotations

from typing import Any

from slicer.ScriptedLoadableModule import ScriptedLoadableModuleLogic

import slicer

from . import prompts, scene, sequences
from .client import Client, ServerError
from .conversation import Conversation, FramesConversation


class DelineateLogic(ScriptedLoadableModuleLogic):
    """One conversation about one volume, and its segments."""

    def __init__(self) -> None:
        super().__init__()
        self.client: Client | None = None
        self.conversation: Conversation | None = None
        self.through_time: FramesConversation | None = None
        self.models: list[str] = []
        self.model = ""
        self._outlines: sequences.OutlineSequence | None = None
        self._about: tuple[Any, ...] | None = None

    def connect(self, address: str, token: str) -> list[str]:
        """The models that can be chosen, the server's own one first; raises ServerError where there is no server."""
        client = Client(address, token)
        self.models = list(client.info()["models"])
        self.client, self.conversation, self._about = client, None, None
        self.model = self.models[0]
        return self.models

    def begin(self, volume: Any) -> Conversation:
        """The conversation about a volume: a new one where another, or another version of it, was sent before."""
        if self.client is None:
            raise ServerError("There is no server.", "Connect to one first.")
        about = (*scene.fingerprint(volume), self.model)
        if self.conversation is None or about != self._about:
            array = slicer.util.arrayFromVolume(volume)
            self.conversation = Conversation(self.client, array, scene.ijk_to_ras(volume), self.model)
            self._about = about
        return self.conversation

    def prompt(self, volume: Any, segmentation: Any, structure: str, markups: Any, positive: bool) -> None:
        """Answer what was drawn, and put the outline into its segment."""
        scene.place_beside(segmentation, volume)
        conversation = self.begin(volume)
        given = self.prompts_of(volume, markups, positive)
        self.write(volume, segmentation, conversation.prompt(structure, given))

    def prompts_of(self, volume: Any, markups: Any, positive: bool) -> list[dict[str, Any]]:
        """What was drawn as prompts. Raises ValueError for what cannot be one."""
        grid = self.begin(volume).grid
        if markups.IsA("vtkMRMLMarkupsROINode"):
            if not positive:
                raise ValueError('A box says where the structure is: choose "belongs to it", or click beside it.')
            return prompts.box(scene.roi_corners(markups, volume), grid)
        points = scene.markups_points(markups, volume)
        if markups.IsA("vtkMRMLMarkupsClosedCurveNode"):
            return prompts.loop(points, grid) if positive else prompts.line(points, grid, False)
        if markups.IsA("vtkMRMLMarkupsCurveNode"):
            return prompts.line(points, grid, positive)
        return [prompts.point(one, positive) for one in points]

    def follow_through_time(self, volume: Any, structure: str) -> None:
        """Begin to follow a structure on the slice that was pointed at, through all volumes of the sequence.

        Raises ValueError for a volume that is of no sequence, and for a structure that is not outlined.
        """
        browser = sequences.browser_of(volume)
        if browser is None:
            raise ValueError("The volume is of no sequence: load the images as one (Sequences).")
        conversation = self.begin(volume)
        index, axis = conversation.frame, conversation.grid.slice_axis
        if index is None:
            raise ValueError("Point at the structure first, on the slice that is to be followed.")
        outline = conversation.outline(structure, index)
        frames = sequences.frames_of(browser, volume, axis, index)
        self.through_time = FramesConversation(self.client, frames, self.model)
        self._outlines = sequences.OutlineSequence(browser, volume, structure, axis, index)
        self.through_time.accept(structure, browser.GetSelectedItemNumber(), outline)
        self.through_time.follow([structure])

    @property
    def progress(self) -> Any:
        """(done, in all) of what is followed; None: nothing is."""
        for one in (self.through_time, self.conversation):
            if one is not None and one.progress is not None:
                return one.progress
        return None

    def cancel(self) -> None:
        """End following; what was followed stays."""
        for one in (self.through_time, self.conversation):
            if one is not None:
                one.cancel()

    def step(self, volume: Any, segmentation: Any) -> bool:
        """Write what was followed since the last call; whether it goes on."""
        if self.through_time is not None:
            for name in self.through_time.step():
                self._outlines.write(self.through_time.volumes[name])
            if self.through_time.progress is None:
                self.through_time = None
            return self.through_time is not None
        if self.conversation is None:
            return False
        self.write(volume, segmentation, self.conversation.step())
        return self.conversation.progress is not None

    def undo(self, volume: Any, segmentation: Any) -> None:
        """Take the last action back."""
        if self.conversation is not None:
            self.write(volume, segmentation, self.conversation.undo())

    def redo(self, volume: Any, segmentation: Any) -> None:
        """Do it again."""
        if self.conversation is not None:
            self.write(volume, segmentation, self.conversation.redo())

    def write(self, volume: Any, segmentation: Any, changed: set[str]) -> None:
        """Put structures that changed into their segments."""
        assert self.conversation is not None
        for name in sorted(changed):
            scene.write_segment(segmentation, volume, name, self.conversation.volumes[name])
