"""Abdominal CT and MR as they are published: CHAOS (DICOM and pictures of labels) and BTCV (NIfTI).

CHAOS   ``MR/ID/T2SPIR/{DICOM_anon, Ground}``, ``MR/ID/T1DUAL/{DICOM_anon/{InPhase, OutPhase}, Ground}``,
        ``CT/ID/{DICOM_anon, Ground}``, there or in ``Train_Sets``
BTCV    ``img/img0001.nii.gz`` and ``label/label0001.nii.gz``, there, in ``Training`` or in ``RawData/Training``
        (also called SABS, ABD-30, Synapse multi-atlas)

Labels of CHAOS have fixed grays, so that an organ a scan lacks moves no other. Slices are ordered by where they lie,
and labels go with the slice whose file has their place in the order of names. All cases are marked for testing.

Sources: chaos.grand-challenge.org, synapse.org syn3193805.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import pydicom

from delineate.core.errors import InputError
from delineate.core.scan import Scan
from delineate.data.cases import Case, OpenedFiles, Task, Use
from delineate.data.confined import DataFolder
from delineate.data.label_pictures import read_labels
from delineate.io.opening import open_scan
from delineate.io.readers.frame_folder import natural_order

CHAOS_MR: Final = {1: "liver", 2: "right kidney", 3: "left kidney", 4: "spleen"}
CHAOS_GRAYS: Final = {63: 1, 126: 2, 189: 3, 252: 4}
CHAOS_CT: Final = {1: "liver"}
CHAOS_CT_GRAYS: Final = {255: 1}
BTCV: Final = {
    1: "spleen", 2: "right kidney", 3: "left kidney", 4: "gallbladder", 5: "esophagus", 6: "liver", 7: "stomach",
    8: "aorta", 9: "inferior vena cava", 10: "portal and splenic vein", 11: "pancreas", 12: "right adrenal gland",
    13: "left adrenal gland",
}  # fmt: skip
LABEL_SETS: Final = {0: ("right kidney", "left kidney"), 1: ("liver", "spleen")}  # which are tested (ALPNet)
BTCV_PLACES: Final = ("", "Training", "RawData/Training")
SEQUENCES: Final = {"T2SPIR": ("",), "T1DUAL": ("InPhase", "OutPhase")}


@dataclass(frozen=True)
class ChaosReader:
    """A series of DICOM files and a folder of label pictures.

    grays  of the pictures, to labels
    """

    grays: Mapping[int, int]

    def __call__(self, case: Case) -> OpenedFiles:
        """Raises InputError where pictures and slices are not as many, or a gray is no label's."""
        scan = open_scan(case.image)
        pictures = sorted(case.label.glob("*.png"), key=natural_order)
        slices = sorted((p for p in case.image.iterdir() if p.suffix.lower() == ".dcm"), key=natural_order)
        if len(pictures) != len(slices) or len(slices) != len(scan):
            raise InputError(
                "E-CASE-SLICES",
                f"{case.id} has {len(slices)} DICOM files, {len(scan)} slices and {len(pictures)} label pictures.",
                "Each slice has one file and one picture; fetch the case again.",
            )
        frames = [np.zeros((scan.height, scan.width), np.uint8)] * len(scan)
        for frame, picture in zip(_frames_of(slices, scan), pictures, strict=True):
            frames[frame] = self.labels(picture)
        stack = np.moveaxis(np.stack([frame.T for frame in frames]), 0, scan.slice_axis)
        return OpenedFiles(scan, Scan.from_volume(stack, scan.grid, scan.slice_axis))

    def labels(self, picture: Path) -> np.ndarray:
        """A label picture (height, width)."""
        shown = read_labels(picture)
        found = np.zeros(shown.shape, np.uint8)
        for gray, label in self.grays.items():
            found[shown == gray] = label
        if self.grays == CHAOS_CT_GRAYS:
            found[shown > 0] = 1  # some are saved as 1
        unknown = sorted(set(np.unique(shown[found == 0]).tolist()) - {0})
        if unknown:
            raise InputError(
                "E-CASE-LABELS",
                f"{picture.name} has the gray {unknown[0]}, which is no organ's; known are {sorted(self.grays)}.",
                "Take the pictures as they are published.",
            )
        return found


def _frames_of(slices: list[Path], scan: Scan) -> list[int]:
    """The scan's frame that each file is, by where it says it lies."""
    centers = np.array([scan.from_frame(n, 0, 0) for n in range(len(scan))], float)
    places = centers @ scan.grid.affine[:3, :3].T + scan.grid.affine[:3, 3]
    normal = scan.grid.affine[:3, scan.slice_axis]
    along = places @ normal
    found = []
    for path in slices:
        x, y, z = pydicom.dcmread(path, stop_before_pixels=True, specific_tags=["ImagePositionPatient"])[
            "ImagePositionPatient"
        ].value
        found.append(int(np.abs(along - np.array([-x, -y, z], float) @ normal).argmin()))
    if len(set(found)) != len(found):
        raise InputError("E-CASE-SLICES", f"Two files of {slices[0].parent} lie in one place.", "Fetch it again.")
    return found


def fits_chaos(home: DataFolder) -> bool:
    """Whether there is a patient's folder of CHAOS."""
    return bool(_patients(home.root))


def read_chaos(home: DataFolder) -> Iterator[Case]:
    """One case a series, its sequence in the modality; both phases of T1-DUAL are one each, with the same labels."""
    for kind, folder in _patients(home.root):
        if kind == "CT":
            series = folder / "DICOM_anon"
            about = f"CT/{folder.name}", "CHAOS", "CT", Task.VOLUME, series, folder / "Ground"
            yield Case(*about, CHAOS_CT, Use.TEST, f"CT {folder.name}", ChaosReader(CHAOS_CT_GRAYS))
            continue
        for name, phases in SEQUENCES.items():
            for phase in phases:
                series = folder / name / "DICOM_anon" / phase
                if series.is_dir() and (folder / name / "Ground").is_dir():
                    label = "/".join(part for part in ("MR", folder.name, name, phase) if part)
                    what = " ".join(part for part in ("MR", name, phase) if part)
                    about = label, "CHAOS", what, Task.VOLUME, series, folder / name / "Ground"
                    yield Case(*about, CHAOS_MR, Use.TEST, f"MR {folder.name}", ChaosReader(CHAOS_GRAYS))


def _patients(root: Path) -> list[tuple[str, Path]]:
    """(MR or CT, folder of a patient), in the order of their numbers."""
    found = []
    for base in (root, root / "Train_Sets"):
        for kind in ("MR", "CT"):
            if (base / kind).is_dir():
                found += [(kind, path) for path in sorted((base / kind).iterdir(), key=natural_order) if path.is_dir()]
    return [(kind, path) for kind, path in found if _is_patient(kind, path)]


def _is_patient(kind: str, path: Path) -> bool:
    if kind == "CT":
        return (path / "DICOM_anon").is_dir() and (path / "Ground").is_dir()
    return any((path / name / "DICOM_anon").is_dir() for name in SEQUENCES)


def fits_btcv(home: DataFolder) -> bool:
    """Whether there are images and labels with BTCV's names."""
    return _btcv_base(home.root) is not None


def read_btcv(home: DataFolder) -> Iterator[Case]:
    """One case a scan."""
    base = _btcv_base(home.root)
    assert base is not None
    for image in sorted((base / "img").glob("img*.nii*")):
        number = image.name.removeprefix("img").split(".")[0]
        labels = sorted((base / "label").glob(f"label{number}.nii*")) or [base / "label" / f"label{number}.nii.gz"]
        yield Case(f"img{number}", "BTCV", "CT", Task.VOLUME, image, labels[0], BTCV, Use.TEST, number)


def _btcv_base(root: Path) -> Path | None:
    for place in BTCV_PLACES:
        base = root / place
        if any((base / "label").glob("label*.nii*")) and any((base / "img").glob("img*.nii*")):
            return base
    return None
