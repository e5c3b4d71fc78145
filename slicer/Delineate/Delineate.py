"""Delineate in 3D Slicer: point at a structure, get it outlined; a thin client of a server on this machine."""

from __future__ import annotations

from typing import Any

import ctk
import qt
from DelineateLib import prompts, sequences
from DelineateLib.client import ServerError
from DelineateLib.environment import OwnEnvironment, folder_of_user
from DelineateLib.local_server import LocalServer
from DelineateLib.logic import DelineateLogic
from slicer.ScriptedLoadableModule import (
    ScriptedLoadableModule,
    ScriptedLoadableModuleTest,
    ScriptedLoadableModuleWidget,
)
from slicer.util import VTKObservationMixin

import slicer

POLL_MS = 200  # between looks at a structure that is followed
START_MS, MOST_STARTS = 500, 240  # between looks at a server that starts; it is given up after two minutes
TOOLS = (
    ("Point", "vtkMRMLMarkupsFiducialNode", "P", "One click on the structure"),
    ("Box", "vtkMRMLMarkupsROINode", "B", "A box round the structure, in one view or in three"),
    ("Line", "vtkMRMLMarkupsCurveNode", "S", "A line drawn over the structure"),
    ("Loop", "vtkMRMLMarkupsClosedCurveNode", "L", "A loop drawn round the structure on one slice"),
)


class Delineate(ScriptedLoadableModule):
    """What the module is."""

    def __init__(self, parent: Any) -> None:
        super().__init__(parent)
        parent.title = "Delineate"
        parent.categories = ["Segmentation"]
        parent.dependencies = []
        parent.contributors = ["The authors of Delineate"]
        parent.helpText = (
            "Point at a structure, get it outlined, and follow it through all slices. "
            "The server runs on this machine: <code>delineate serve</code>, or the button below. "
            "For research; every outline has to be looked at."
        )
        parent.acknowledgementText = ""


class DelineateWidget(ScriptedLoadableModuleWidget, VTKObservationMixin):
    """The panel."""

    def __init__(self, parent: Any = None) -> None:
        ScriptedLoadableModuleWidget.__init__(self, parent)
        VTKObservationMixin.__init__(self)
        self.logic: DelineateLogic | None = None
        self.server: LocalServer | None = None
        self.environment: OwnEnvironment | None = None
        self._drawn: Any = None  # markups of the tool that is used
        self._shortcuts: list[Any] = []

    def setup(self) -> None:
        super().setup()
        self.logic = DelineateLogic()
        self._add_server()
        self._add_scene()
        self._add_tools()
        self.message = qt.QLabel("Connect to a server, or start one.")
        self.message.wordWrap = True
        self.layout.addWidget(self.message)
        self.layout.addStretch(1)
        self._following = qt.QTimer()
        self._following.setInterval(POLL_MS)
        self._following.connect("timeout()", self.on_step)
        self._starting = qt.QTimer()
        self._starting.setInterval(START_MS)
        self._starting.connect("timeout()", self.on_starting)
        self.addObserver(slicer.mrmlScene, slicer.mrmlScene.StartCloseEvent, self.on_scene_closes)
        self._enable()

    def cleanup(self) -> None:
        self._following.stop()
        self._starting.stop()
        self.removeObservers()
        self._forget_drawn()
        if self.environment is not None:
            self.environment.stop()
        if self.server is not None:
            self.server.stop()

    def enter(self) -> None:
        for text, do in (
            *((key, lambda number=number: self.on_tool(number)) for number, (_, _, key, _) in enumerate(TOOLS)),
            ("T", lambda: self.negative.toggle()),
            ("F", self.on_follow),
            ("Escape", self.on_stop),
        ):
            shortcut = qt.QShortcut(qt.QKeySequence(text), slicer.util.mainWindow())
            shortcut.connect("activated()", do)
            self._shortcuts.append(shortcut)

    def exit(self) -> None:
        for shortcut in self._shortcuts:
            shortcut.setParent(None)
        self._shortcuts = []
        self._forget_drawn()

    # --- the panel ---

    def _section(self, title: str) -> Any:
        box = ctk.ctkCollapsibleButton()
        box.text = title
        self.layout.addWidget(box)
        return qt.QFormLayout(box)

    def _button(self, text: str, tip: str, do: Any) -> Any:
        button = qt.QPushButton(text)
        button.toolTip = tip
        button.connect("clicked()", do)
        return button

    def _row(self, *widgets: Any) -> Any:
        row = qt.QHBoxLayout()
        for widget in widgets:
            row.addWidget(widget)
        return row

    def _add_server(self) -> None:
        form = self._section("Server")
        settings = qt.QSettings()
        self.address = qt.QLineEdit(settings.value("Delineate/address") or "http://127.0.0.1:8765")
        self.token = qt.QLineEdit()
        self.token.setEchoMode(qt.QLineEdit.Password)
        self.token.placeholderText = "API key that delineate serve printed"
        self.command = qt.QLineEdit(settings.value("Delineate/command") or "")
        self.command.placeholderText = "an environment of its own, made the first time"
        self.command.toolTip = (
            "A delineate command that is there, such as /home/me/delineate/.venv/bin/delineate; "
            f"left empty, one is installed into {folder_of_user()}, and nothing into Slicer"
        )
        self.models = qt.QComboBox()
        self.models.toolTip = "The models of the server"
        self.models.connect("currentTextChanged(QString)", self.on_model)
        self.connect_button = self._button("Connect", "Ask the server", self.on_connect)
        self.start_button = self._button(
            "Start one here", "On this machine, in its own environment; again: stop what is being made", self.on_start
        )
        form.addRow("Address", self.address)
        form.addRow("API key", self.token)
        form.addRow("Command", self.command)
        form.addRow(self._row(self.connect_button, self.start_button))
        form.addRow("Model", self.models)

    def _add_scene(self) -> None:
        form = self._section("Volume")
        self.volumes = slicer.qMRMLNodeComboBox()
        self.volumes.nodeTypes = ["vtkMRMLScalarVolumeNode"]
        self.segmentations = slicer.qMRMLNodeComboBox()
        self.segmentations.nodeTypes = ["vtkMRMLSegmentationNode"]
        for box, creates in ((self.volumes, False), (self.segmentations, True)):
            box.addEnabled = box.removeEnabled = creates
            box.setMRMLScene(slicer.mrmlScene)
            box.connect("currentNodeChanged(vtkMRMLNode*)", lambda node: self._enable())
        self.structure = qt.QLineEdit("structure")
        self.structure.toolTip = "The name of the segment that is outlined"
        form.addRow("Volume", self.volumes)
        form.addRow("Segmentation", self.segmentations)
        form.addRow("Structure", self.structure)

    def _add_tools(self) -> None:
        form = self._section("Point at it")
        self.tools = [
            self._button(f"{name} ({key})", tip, lambda number=number: self.on_tool(number))
            for number, (name, _, key, tip) in enumerate(TOOLS)
        ]
        form.addRow(self._row(*self.tools))
        self.negative = qt.QCheckBox("does not belong to it (T)")
        form.addRow(self.negative)
        self.time = qt.QCheckBox("through time, on the slice that was pointed at")
        self.time.toolTip = "For volumes of a sequence: follow the structure from image to image"
        form.addRow(self.time)
        self.follow_button = self._button("Follow (F)", "Through all slices, or through time", self.on_follow)
        self.stop_button = self._button("Stop (Esc)", "What was followed stays", self.on_stop)
        self.undo_button = self._button("Undo", "Take the last action back", self.on_undo)
        self.redo_button = self._button("Redo", "Do it again", self.on_redo)
        form.addRow(self._row(self.follow_button, self.stop_button, self.undo_button, self.redo_button))
        self.progress = qt.QProgressBar()
        self.progress.visible = False
        form.addRow(self.progress)

    def _enable(self) -> None:
        ready = self.logic.client is not None and self.volumes.currentNode() is not None
        going = self._following.active
        for widget in (*self.tools, self.follow_button, self.undo_button, self.redo_button):
            widget.enabled = ready and not going
        self.stop_button.enabled = going
        self.time.enabled = ready and sequences.browser_of(self.volumes.currentNode()) is not None

    def _tell(self, text: str) -> None:
        self.message.text = text

    def _try(self, do: Any, *given: Any) -> bool:
        """Do something; what went wrong is told in words. Returns whether it went well."""
        slicer.app.setOverrideCursor(qt.Qt.WaitCursor)
        try:
            do(*given)
        except (ServerError, ValueError) as error:
            self._tell(str(error))
            return False
        finally:
            slicer.app.restoreOverrideCursor()
        return True

    # --- what a person does ---

    def on_connect(self) -> None:
        if self._try(self.logic.connect, self.address.text, self.token.text):
            qt.QSettings().setValue("Delineate/address", self.address.text)
            self.models.clear()
            self.models.addItems(self.logic.models)
            self._tell("Connected. Choose a volume and point at a structure.")
        self._enable()

    def on_model(self, name: str) -> None:
        self.logic.model = name

    def on_start(self) -> None:
        qt.QSettings().setValue("Delineate/command", self.command.text)
        if self.environment is not None and self.environment.working:
            self.environment.stop()
            return
        if self.server is not None:
            self.server.stop()
            self.server = None
        variables = dict(slicer.util.startupEnvironment())
        self.environment = OwnEnvironment(folder_of_user(), variables)
        try:
            if self.command.text.strip():
                self.server = LocalServer([self.command.text.strip()], variables)
            elif self.environment.ready:
                self.server = LocalServer([str(self.environment.command)], variables)
            else:
                self.environment.make()
        except OSError as error:
            self._tell(f"The server cannot be started: {error}. Or name the delineate command of an environment.")
            return
        self._looks = 0
        self._starting.start()
        self._tell("The server starts …")

    def on_starting(self) -> None:
        if self.environment.working:
            self._tell("The server is installed into its own environment: " + " ".join(self.environment.lines[-1:]))
            return
        if self.server is None:
            self._starting.stop()
            if self.environment.ready:
                self.on_start()
            else:
                self._tell(f"The environment was not made: {self.environment.failed}. Press the button to try again.")
            return
        self._looks += 1
        if self.server.address:
            self._starting.stop()
            self.address.text, self.token.text = self.server.address, self.server.token
            self.on_connect()
        elif not self.server.running or self._looks > MOST_STARTS:
            self._starting.stop()
            self._tell("The server did not start: " + " ".join(self.server.lines[-3:]))

    def on_tool(self, number: int) -> None:
        self._forget_drawn()
        self._drawn = slicer.mrmlScene.AddNewNodeByClass(TOOLS[number][1], TOOLS[number][0])
        self._drawn.SetHideFromEditors(True)
        selection = slicer.app.applicationLogic().GetSelectionNode()
        selection.SetReferenceActivePlaceNodeClassName(TOOLS[number][1])
        selection.SetActivePlaceNodeID(self._drawn.GetID())
        interaction = slicer.app.applicationLogic().GetInteractionNode()
        interaction.SetPlaceModePersistence(0)
        interaction.SetCurrentInteractionMode(interaction.Place)
        self.addObserver(interaction, interaction.EndPlacementEvent, self.on_drawn)
        self._tell(TOOLS[number][3] + ".")

    def on_drawn(self, caller: Any = None, event: Any = None) -> None:
        drawn, self._drawn = self._drawn, None
        self.removeObservers(self.on_drawn)
        if drawn is None:
            return
        volume, segmentation = self.volumes.currentNode(), self._segmentation()
        name = self.structure.text.strip() or "structure"
        if self._try(self.logic.prompt, volume, segmentation, name, drawn, not self.negative.checked):
            score = self.logic.conversation.score
            self._tell(f"{name}: {score:.0%} sure. F follows it." if score else "Nothing was found there.")
        slicer.mrmlScene.RemoveNode(drawn)

    def on_follow(self) -> None:
        if self.logic.conversation is None or self._following.active:
            return
        name = self.structure.text.strip()
        known = [name] if name in self.logic.conversation.volumes else []
        if self.time.checked and self.time.enabled:
            begun = self._try(self.logic.follow_through_time, self.volumes.currentNode(), name)
        else:
            begun = self._try(self.logic.conversation.follow, known)
        if begun:
            self._following.start()
        self._enable()

    def on_step(self) -> None:
        well = self._try(self.logic.step, self.volumes.currentNode(), self._segmentation())
        progress = self.logic.progress if well else None
        if progress is not None:
            self.progress.maximum, self.progress.value = progress[1] or 1, progress[0]
        else:
            self._following.stop()
            if well:
                self._tell("Followed. Look at it, and click where it is wrong.")
        self.progress.visible = progress is not None
        self._enable()

    def on_stop(self) -> None:
        if self._following.active:
            self._try(self.logic.cancel)

    def on_undo(self) -> None:
        self._try(self.logic.undo, self.volumes.currentNode(), self._segmentation())

    def on_redo(self) -> None:
        self._try(self.logic.redo, self.volumes.currentNode(), self._segmentation())

    def on_scene_closes(self, caller: Any = None, event: Any = None) -> None:
        self._following.stop()
        self._drawn = None
        self.logic.conversation = self.logic.through_time = None

    def _segmentation(self) -> Any:
        """The chosen segmentation; a new one where there is none."""
        node = self.segmentations.currentNode()
        if node is None:
            node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", "Delineate")
            node.CreateDefaultDisplayNodes()
            node.SetReferenceImageGeometryParameterFromVolumeNode(self.volumes.currentNode())
            self.segmentations.setCurrentNode(node)
        return node

    def _forget_drawn(self) -> None:
        drawn, self._drawn = self._drawn, None
        self.removeObservers(self.on_drawn)
        if drawn is not None:
            slicer.mrmlScene.RemoveNode(drawn)


class DelineateTest(ScriptedLoadableModuleTest):
    """Run in Slicer: geometry and prompts, without a server."""

    def runTest(self) -> None:
        slicer.mrmlScene.Clear()
        import numpy as np

        grid = prompts.Grid((4, 5, 6), np.diag([1.0, 2.0, 3.0, 1.0]), 2)
        assert prompts.point((1, 2, 3))["space"] == "RAS"
        assert prompts.box([(0, 0, 6), (3, 8, 6)], grid)[0]["frame"] == 2
        self.delayDisplay("Prompts lie where they were drawn.")
