"""The module on real MRML nodes: ``python scene_check.py ADDRESS TOKEN FOLDER`` with a Python that has slicer-core.

Windows are stubbed; volumes, transforms, markups, segments and their coordinates are Slicer's own.
"""

from __future__ import annotations

import sys
import time
import types
from pathlib import Path

import numpy as np
import slicer.util
import vtk

import slicer

MODULE = Path(__file__).resolve().parents[2] / "slicer" / "Delineate"
OBLIQUE = np.array([[1.0, 0.2, 0.1, -7], [-0.2, 1.5, 0.3, 20], [0, -0.3, 3.0, 4], [0, 0, 0, 1]])
LPS, LEFT_HANDED = np.diag([-1.0, -1.5, 3.0, 1.0]), np.diag([1.0, 1.5, -3.0, 1.0])


def stubbed() -> None:
    """Base classes of scripted modules, as empty ones; a scene and the logics that ``slicer.util`` asks for."""
    for name in ("qt", "ctk"):
        sys.modules[name] = types.ModuleType(name)
    base = types.ModuleType("slicer.ScriptedLoadableModule")
    for name in ("", "Widget", "Logic", "Test"):
        setattr(base, f"ScriptedLoadableModule{name}", type(f"ScriptedLoadableModule{name}", (), {}))
    sys.modules["slicer.ScriptedLoadableModule"] = base
    slicer.mrmlScene = slicer.vtkMRMLScene()
    logics = types.SimpleNamespace()
    for name, kind in (
        ("segmentations", "vtkSlicerSegmentationsModuleLogic"),
        ("volumes", "vtkSlicerVolumesLogic"),
        ("markups", "vtkSlicerMarkupsLogic"),
    ):
        logic = getattr(slicer, kind)()
        logic.SetMRMLScene(slicer.mrmlScene)
        setattr(logics, name, types.SimpleNamespace(logic=lambda logic=logic: logic))
    slicer.modules = logics
    sys.path.insert(0, str(MODULE))


def volume_of(array: np.ndarray, affine: np.ndarray) -> object:
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode")
    slicer.util.updateVolumeFromArray(node, array)
    node.SetIJKToRASMatrix(slicer.util.vtkMatrixFromArray(affine))
    return node


def moved() -> object:
    """A parent transform that turns and shifts."""
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLinearTransformNode")
    transform = vtk.vtkTransform()
    transform.RotateZ(30)
    transform.Translate(11, -7, 5)
    node.SetMatrixTransformToParent(transform.GetMatrix())
    return node


def world(volume: object, ijk: tuple[float, ...]) -> list[float]:
    """Where a voxel is shown: through the volume's own matrix and its parents' transforms."""
    matrix = vtk.vtkMatrix4x4()
    volume.GetIJKToRASMatrix(matrix)
    local = slicer.util.arrayFromVTKMatrix(matrix) @ [*ijk, 1]
    point = [0.0, 0.0, 0.0]
    volume.TransformPointToWorld(local[:3], point)
    return point


def drawn(kind: str, points: list[list[float]]) -> object:
    node = slicer.mrmlScene.AddNewNodeByClass(kind)
    for one in points:
        node.AddControlPointWorld(vtk.vtkVector3d(*one))
    return node


def segment(segmentation: object, volume: object, name: str) -> np.ndarray:
    id = segmentation.GetSegmentation().GetSegmentIdBySegmentName(name)
    return slicer.util.arrayFromSegmentBinaryLabelmap(segmentation, id, volume)


def check(logic: object, volume: object, bar: np.ndarray) -> None:
    """A click, following, undo, a box, a line and a loop, each against the array that Slicer has."""
    segmentation = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode")
    inside = tuple(int(n) for n in np.argwhere(bar[4])[len(np.argwhere(bar[4])) // 2][::-1])
    click = drawn("vtkMRMLMarkupsFiducialNode", [world(volume, (*inside, 4))])
    logic.prompt(volume, segmentation, "bar", click, True)
    found = segment(segmentation, volume, "bar")
    assert np.array_equal(found[4] > 0, bar[4]) and not found[3].any(), "a click"
    logic.conversation.follow(["bar"])
    while logic.step(volume, segmentation):
        time.sleep(0.02)
    assert np.array_equal(segment(segmentation, volume, "bar") > 0, bar), "following"
    logic.undo(volume, segmentation)
    assert segment(segmentation, volume, "bar").sum() == bar[4].sum(), "undo"
    rows, columns = np.nonzero(bar[5])
    line = [world(volume, (float(i), float(rows[0] + 2), 5)) for i in range(columns.min() + 1, columns.max() - 1)]
    logic.prompt(volume, segmentation, "line", drawn("vtkMRMLMarkupsCurveNode", line), True)
    assert np.array_equal(segment(segmentation, volume, "line")[5] > 0, bar[5]), "a line"
    corners = [
        (columns.min() - 1, rows.min() - 1),
        (columns.max() + 1, rows.min() - 1),
        (columns.max() + 1, rows.max() + 1),
    ]
    loop = [world(volume, (float(i), float(j), 5)) for i, j in corners]
    logic.prompt(volume, segmentation, "loop", drawn("vtkMRMLMarkupsClosedCurveNode", loop), True)
    assert (segment(segmentation, volume, "loop")[5].astype(bool) & bar[5]).any(), "a loop"
    roi = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLMarkupsROINode")
    roi.SetCenterWorld(world(volume, (columns.mean(), rows.mean(), 5)))
    roi.SetSizeWorld(*(np.array([np.ptp(columns) + 4, np.ptp(rows) + 4, 4]) * [1.0, 1.5, 3.0]))
    logic.prompt(volume, segmentation, "box", roi, True)
    assert (segment(segmentation, volume, "box").astype(bool) & bar).any(), "a box"


def main(address: str, token: str, folder: str) -> None:
    stubbed()
    import Delineate

    bar = np.load(Path(folder, "bar.npy"))
    logic = Delineate.DelineateLogic()
    logic.connect(address, token)
    for name, affine, transform in (
        ("LPS", LPS, None),
        ("left-handed", LEFT_HANDED, None),
        ("oblique", OBLIQUE, None),
        ("under a transform", OBLIQUE, moved()),
    ):
        volume = volume_of(np.where(bar, 200, 10).astype(np.int16), affine)
        if transform is not None:
            volume.SetAndObserveTransformNodeID(transform.GetID())
        check(logic, volume, bar)
        print(name)
    for file in sorted(Path(folder).glob("*.nii.gz")):
        volume = slicer.modules.volumes.logic().AddArchetypeVolume(str(file), file.name)
        array = slicer.util.arrayFromVolume(volume)
        check(logic, volume, array > 100)
        print(file.name)
    Delineate.DelineateTest.delayDisplay = lambda self, text: None
    Delineate.DelineateTest().runTest()
    print("checked")


if __name__ == "__main__":
    main(*sys.argv[1:])
