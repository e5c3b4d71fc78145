"""What patient, frame of reference and series a DICOM file is of, or was drawn on."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256

from delineate.core.origin import Origin
from delineate.io.readers.dicom_tags import Tags


def origin_of(tags: Tags) -> Origin:
    """Of a picture: its own frame of reference and series."""
    return _origin(tags, [tags], [tags])


def seg_origin(tags: Tags) -> Origin:
    """Of a segmentation: its own frame of reference, and the series it refers to."""
    return _origin(tags, [tags], tags.items("ReferencedSeriesSequence"))


def structure_set_origin(tags: Tags) -> Origin:
    """Of contours: the frames of reference of the structures, else those referred to; and the series referred to."""
    referred = tags.items("ReferencedFrameOfReferenceSequence")
    rooms = _said(tags.items("StructureSetROISequence"), "ReferencedFrameOfReferenceUID")
    series = (
        series
        for room in referred
        for study in room.items("RTReferencedStudySequence")
        for series in study.items("RTReferencedSeriesSequence")
    )
    found = _origin(tags, referred, list(series))
    return Origin(found.patient, rooms or found.rooms, found.series)


def _origin(tags: Tags, rooms: Sequence[Tags], series: Sequence[Tags]) -> Origin:
    patient = tags.text("PatientID")
    digest = sha256(patient.encode()).digest() if patient else b""
    return Origin(digest, _said(rooms, "FrameOfReferenceUID"), _said(series, "SeriesInstanceUID"))


def _said(items: Sequence[Tags], name: str) -> frozenset[str]:
    return frozenset(text for one in items if (text := one.text(name)))
