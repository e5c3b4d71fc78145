"""Volumes, markups and segments of the MRML scene: read for the server, and written. Needs ``slicer``, no windows."""

from __future__ import annotations

from typing import Any

import numpy as np
import vtk

import slicer


def ijk_to_ras(volume: Any) -> np.ndarray:
    """The matrix of a volume, without its parent transforms."""
    matrix = vtk.vtkMatrix4x4()
    volume.GetIJKToRASMatrix(matrix)
    return slicer.util.arrayFromVTKMatrix(matrix)


def local_points(points: Any, volume: Any) -> np.ndarray:
    """World RAS points in the volume's own RAS: its parent transforms undone."""
    given = np.atleast_2d(np.asarray(points, float))
    if volume.GetParentTransformNode() is None:
        return given
    transform = vtk.vtkGeneralTransform()
    slicer.vtkMRMLTransformNode.GetTransformBetweenNodes(None, volume.GetParentTransformNode(), transform)
    return np.array([transform.TransformPoint(tuple(one)) for one in given])


def markups_points(markups: Any, volume: Any) -> np.ndarray:
    """A markups node's control points, in the volume's own RAS (n, 3)."""
    count = markups.GetNumberOfControlPoints()
    points = np.zeros((count, 3))
    for number in range(count):
        position = [0.0, 0.0, 0.0]
        markups.GetNthControlPointPositionWorld(number, position)
        points[number] = position
    return local_points(points, volume) if count else points


def roi_corners(roi: Any, volume: Any) -> np.ndarray:
    """A ROI node's eight corners, in the volume's own RAS."""
    size = np.array(roi.GetSize()) / 2
    to_world = slicer.util.arrayFromVTKMatrix(roi.GetObjectToWorldMatrix())
    signs = np.array([[x, y, z] for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)])
    corners = (to_world @ np.c_[signs * size, np.ones(8)].T).T[:, :3]
    return local_points(corners, volume)


def fingerprint(volume: Any) -> tuple[Any, ...]:
    """What tells whether a volume has changed since it was sent."""
    image = volume.GetImageData()
    matrix = tuple(np.round(ijk_to_ras(volume), 9).ravel().tolist())
    return (volume.GetID(), image.GetMTime() if image else 0, matrix)


def place_beside(segmentation: Any, volume: Any) -> None:
    """Put an empty segmentation under the volume's transform. Raises ValueError where one in use is under another."""
    there, here = segmentation.GetTransformNodeID(), volume.GetTransformNodeID()
    if there == here:
        return
    if segmentation.GetSegmentation().GetNumberOfSegments():
        raise ValueError(
            "The segmentation is under another transform than the volume: put it under the same, or take a new one."
        )
    segmentation.SetAndObserveTransformNodeID(here)


def segment_of(segmentation: Any, name: str) -> str:
    """The id of the segment of a name; a new one where there is none."""
    inner = segmentation.GetSegmentation()
    found = inner.GetSegmentIdBySegmentName(name)
    return found if found else inner.AddEmptySegment("", name)


def write_segment(segmentation: Any, volume: Any, name: str, array: np.ndarray) -> None:
    """Put a structure (k, j, i) into its segment, on the volume's grid."""
    segmentation.SetReferenceImageGeometryParameterFromVolumeNode(volume)
    id = segment_of(segmentation, name)
    slicer.util.updateSegmentBinaryLabelmapFromArray(array, segmentation, id, volume)
