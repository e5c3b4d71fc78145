"""Whether labels were drawn on the scan that they are laid on, as far as DICOM files say (PS3.3 C.7.4.1)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from delineate.core.errors import InputError, Notice


@dataclass(frozen=True)
class Origin:
    """What a DICOM file says of the room that its millimeters are of; what it does not say is empty.

    Kept in memory for comparing, and written nowhere.

    patient   digest of PatientID
    rooms     FrameOfReferenceUID: of a scan its own; of labels those that they were drawn in
    series    SeriesInstanceUID, likewise
    """

    patient: bytes = b""
    rooms: frozenset[str] = frozenset()
    series: frozenset[str] = frozenset()


class OfOrigin(Protocol):
    """A scan, or labels."""

    @property
    def origin(self) -> Origin | None: ...


def origin_notices(labels: OfOrigin, scan: OfOrigin, name: str) -> tuple[Notice, ...]:
    """What should be known of labels from another frame of reference, or another series, than the scan.

    Raises InputError for labels of another patient, unless both are of one frame of reference: the IDs of files whose
    names were removed need not agree.
    """
    of, to = labels.origin, scan.origin
    if of is None or to is None:
        return ()
    if of.rooms and of.rooms <= to.rooms:
        if not of.series or not to.series or of.series & to.series:
            return ()
        text = f"{name} was drawn on another series than this scan, in one frame of reference with it."
        return (Notice("W-LABELS-SERIES", text),)
    if of.patient and to.patient and of.patient != to.patient:
        raise InputError(
            "E-LABELS-PATIENT",
            f"{name} is of another patient than the scan (PatientID), and is not said to lie where the scan does "
            "(FrameOfReferenceUID).",
            "Take the labels that were drawn on this scan, or export both with one PatientID.",
        )
    if not of.rooms or not to.rooms:
        return ()
    text = (
        f"{name} is of another frame of reference than the scan (FrameOfReferenceUID): the same millimeters may be "
        "another place. Look whether the outlines fit."
    )
    return (Notice("W-LABELS-REFERENCE", text),)
