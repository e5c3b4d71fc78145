"""The module on real MRML nodes: ``python scene_check.py ADDRESS TOKEN FOLDER`` with a Python that has slicer-core.

Windows are stubbed; volumes, transforms, markups, segments and their coordinates are Slicer's own.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
import types
from email import message_from_bytes
from pathlib import Path
from urllib.request import Request, urlopen

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
        ("sequences", "vtkSlicerSequencesLogic"),
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


def sequence_of(arrays: list[np.ndarray], affine: np.ndarray) -> tuple[object, object]:
    """Volumes through time; the browser, and the volume that shows the current one."""
    images = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSequenceNode", "cine")
    images.SetIndexName("time")
    for number, array in enumerate(arrays):
        node = volume_of(array, affine)
        images.SetDataNodeAtValue(node, str(number * 40))
        slicer.mrmlScene.RemoveNode(node)
    browser = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSequenceBrowserNode", "browser")
    browser.SetAndObserveMasterSequenceNodeID(images.GetID())
    slicer.modules.sequences.logic().UpdateProxyNodesFromSequences(browser)
    return browser, browser.GetProxyNode(images)


def check_sequence(logic: object, thick: int) -> None:
    """A bar that moves through time is followed on the slice that was pointed at; undisturbed by a cancel."""
    bars = []
    for time_ in range(8):
        bar = np.zeros((thick, 30, 40), bool)
        bar[:, 8:16, 5 + 2 * time_ : 15 + 2 * time_] = True
        bars.append(bar)
    browser, volume = sequence_of([np.where(bar, 200, 10).astype(np.int16) for bar in bars], OBLIQUE)
    browser.SetSelectedItemNumber(3)
    slicer.modules.sequences.logic().UpdateProxyNodesFromSequences(browser)
    segmentation = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode")
    click = drawn("vtkMRMLMarkupsFiducialNode", [world(volume, (15, 12, thick // 2))])
    logic.prompt(volume, segmentation, "bar", click, True)
    logic.follow_through_time(volume, "bar")
    assert logic.progress is not None
    steps = 0
    while logic.step(volume, segmentation):
        steps += 1
        time.sleep(0.02)
    assert logic.progress is None and steps
    beside = [one for one in slicer.mrmlScene.GetNodesByClass("vtkMRMLSequenceNode") if "through time" in one.GetName()]
    outlines = beside[-1]
    assert browser.IsSynchronizedSequenceNode(outlines, True) and outlines.GetNumberOfDataNodes() == 8
    for number, bar in enumerate(bars):
        found = segment(outlines.GetNthDataNode(number), volume, "bar")
        expected = np.zeros_like(bar)
        expected[thick // 2] = bar[thick // 2]
        assert np.array_equal(found > 0, expected), f"time {number}"
        browser.SetSelectedItemNumber(number)
        slicer.modules.sequences.logic().UpdateProxyNodesFromSequences(browser)
        assert segment(browser.GetProxyNode(outlines), volume, "bar").sum() == expected.sum(), f"shown at {number}"


def check_models(logic: object) -> None:
    """Models by name: another one begins another session, and one that the server has not is refused."""
    assert logic.models[0] == logic.model
    volume = volume_of(np.zeros((3, 30, 40), np.int16), LPS)
    first = logic.begin(volume)
    logic.model = "none"
    try:
        logic.begin(volume)
    except Exception as error:
        assert "no model" in str(error), error
    else:
        raise AssertionError("a model that is not there was taken")
    logic.model = logic.models[0]
    assert logic.begin(volume) is first


def check_monailabel(address: str, token: str, file: Path) -> None:
    """An image of the MONAI Label datastore as Slicer reads it: clicked on by its IJK; the answer, by its reader."""

    def ask(path: str, body: bytes | None = None, kind: str = "application/json") -> tuple[str, bytes]:
        headers = {"Authorization": f"Bearer {token}", "Content-Type": kind}
        with urlopen(Request(address + path, body, headers), timeout=60) as answer:
            return answer.headers["content-type"], answer.read()

    name = file.name.removesuffix(".nii.gz")
    place = Path(tempfile.mkdtemp())
    sent, back = place / "sent.nii.gz", place / "back.nrrd"
    sent.write_bytes(ask(f"/datastore/image?image={name}")[1])
    volume = slicer.modules.volumes.logic().AddArchetypeVolume(str(sent), name)
    bright = slicer.util.arrayFromVolume(volume) > 100
    k, j, i = (int(n) for n in np.argwhere(bright)[100])
    given = json.dumps({"label": "bar", "foreground": [[i, j, k]], "background": []})
    form = f'--b\r\nContent-Disposition: form-data; name="params"\r\n\r\n{given}\r\n--b--\r\n\r\n'.encode()
    kind, body = ask(f"/infer/quill?image={name}", form, "multipart/form-data; boundary=b")
    parts = message_from_bytes(f"Content-Type: {kind}\r\n\r\n".encode() + body).get_payload()
    back.write_bytes(next(one.get_payload(decode=True) for one in parts if one.get_filename()))
    labels = slicer.modules.volumes.logic().AddArchetypeVolume(str(back), "labels", 1)
    assert np.array_equal(slicer.util.arrayFromVolume(labels) > 0, bright), name
    there = [scene_of(node) for node in (volume, labels)]
    assert np.allclose(*there), name


def scene_of(volume: object) -> np.ndarray:
    from DelineateLib import scene

    return scene.ijk_to_ras(volume)


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
        check_monailabel(address, token, file)
        print(file.name)
    for thick in (1, 5):
        check_sequence(logic, thick)
        print("sequence of volumes with", thick, "slices")
    check_models(logic)
    Delineate.DelineateTest.delayDisplay = lambda self, text: None
    Delineate.DelineateTest().runTest()
    print("checked")


if __name__ == "__main__":
    main(*sys.argv[1:])
