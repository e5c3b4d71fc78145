"""Scans below the server's root as another program lists them, and the labels that people submitted for them."""

from __future__ import annotations

import json
import os
import re
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

import numpy as np
from numpy.typing import NDArray

from delineate.core.errors import GeometryError
from delineate.core.rle import Rle
from delineate.core.scan import Scan
from delineate.core.segmentation import Segmentation
from delineate.io.atomic import write_bytes
from delineate.io.label_names import label_names
from delineate.io.naming import stem_of
from delineate.io.options import ReadOptions
from delineate.io.saving import save
from delineate.server.problems import RefusalError, not_found
from delineate.server.scans import ScanStore
from delineate.session import Session

VOLUMES: Final = {".nii": "NIfTI", ".nii.gz": "NIfTI", ".nrrd": "NRRD", ".mha": "MetaImage"}
SEGMENTS: Final = ".seg.nrrd"
MOST_FILES: Final = 100_000  # looked at below the root
DICOM_MARK: Final = (128, b"DICM")
AUTOMATIC: Final = "original"  # the tag of outlines that a model made by itself: nobody has looked at them
DOUBTS: Final = "confidence.json"
TAG: Final = re.compile(r"[A-Za-z0-9_-]{1,40}")


_Version = tuple[int, int]  # when a file was written, and its bytes


@dataclass(frozen=True)
class Listed:
    """A scan of the datastore.

    path    below the root: a file, or the folder of a DICOM series
    series  SeriesInstanceUID, which is then its name
    """

    id: str
    path: str
    series: str | None = None


class Datastore:
    """Volumes below a root by name: a file's path without its ending, or the UID of a DICOM series.

    folder  where labels are kept
    """

    def __init__(self, scans: ScanStore, root: Path | None, folder: Path) -> None:
        self._scans, self._root, self._folder = scans, root, folder
        self._lock = threading.Lock()
        self._doubts: dict[str, float] = _read_doubts(folder / DOUBTS)
        self._listed: dict[str, Listed] = {}
        self._opened: dict[str, tuple[_Version, Scan]] = {}

    def listed(self) -> dict[str, Listed]:
        """What is there now, in order of name; hidden files, links and label maps with names are left out."""
        if self._root is None:
            return {}
        found: dict[str, Listed] = {}
        for one in _below(self._root.resolve()):
            found.setdefault(one.id, one)
        self._listed = dict(sorted(found.items()))
        return self._listed

    def scan(self, id: str) -> Scan:
        """Raises RefusalError (404) for what is not listed, InputError for a file that cannot be read."""
        listed = self._listed.get(id) or self.listed().get(id)
        if listed is None or self._root is None:
            raise not_found("image in the datastore", id)
        path = self._root / listed.path
        if not path.exists():
            raise not_found("image in the datastore", id)
        version = (path.stat().st_mtime_ns, path.stat().st_size)
        with self._lock:
            known, scan = self._opened.get(id, (None, None))
            if scan is None or known != version:
                options = ReadOptions(series=listed.series) if listed.series else None
                scan = self._scans.add_below_root(listed.path, options).scan
                self._opened[id] = (version, scan)
            return scan

    def doubt(self, id: str, confidence: float) -> None:
        """Remember how sure the last outline of a scan was, 0 to 1; also after a restart."""
        with self._lock:
            self._doubts[id] = confidence
            self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            write_bytes(self._folder / DOUBTS, json.dumps(self._doubts).encode())

    def confidence(self, id: str) -> float | None:
        """How sure the last outline of a scan was, 0 to 1; None where there was none."""
        with self._lock:
            return self._doubts.get(id)

    def next(self, doubtful: bool) -> str | None:
        """The next scan without a submitted label: the first, or the one whose outline was least sure.

        Scans that nobody has pointed at come after those whose outlines are known.
        """
        open_ones = [id for id in self.listed() if not self.has_label(id)]
        if not doubtful:
            return next(iter(open_ones), None)
        with self._lock:
            return min(open_ones, key=lambda id: self._doubts.get(id, 1.0), default=None)

    def has_label(self, id: str) -> bool:
        """Whether a person has submitted a label of a scan."""
        return any(tag != AUTOMATIC for tag in self.tags(id))

    def keep_automatic(self, id: str, session: Session) -> None:
        """Keep what a model outlined by itself, and how sure it was."""
        found = session.segmentation
        names = {one.label: one.name for one in found.objects}
        self.submit(id, AUTOMATIC, found.label_map(), names, session.scan)
        self.doubt(id, confidence_of(session))

    def tags(self, id: str) -> dict[str, dict[str, Any]]:
        """What was submitted for a scan: names of labels by the tag they were submitted under."""
        place = self._folder / quote(id, safe="")
        return {file.stem: json.loads(file.read_text()) for file in sorted(place.glob("*.json"))}

    def label(self, id: str, tag: str) -> Path:
        """The file of submitted labels. Raises RefusalError (404)."""
        path = self._place(id, tag).with_suffix(".nii.gz")
        if not path.is_file():
            raise not_found(f"label {tag[:40]!r} of", id)
        return path

    def submit(self, id: str, tag: str, labels: NDArray[Any], names: Mapping[int, str], scan: Scan) -> Path:
        """Keep labels (i, j, k), on the grid of the scan's file, as NIfTI; earlier ones of the tag are replaced.

        Raises GeometryError where they have another shape.
        """
        if labels.shape != (*scan.grid.shape, 1)[:3]:
            text = f"The labels are {labels.shape}, the image {scan.grid.shape}."
            raise GeometryError("E-SERVE-LABELS", text, "Save them on the image's own grid.")
        outlines = _segmentation(labels, names, scan)
        place = self._place(id, tag)
        place.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        target = place.with_suffix(".nii.gz")
        save(outlines, target, scan, overwrite=True)
        text = json.dumps({"label_names": {one.name: one.label for one in outlines.objects}})
        write_bytes(place.with_suffix(".json"), text.encode())
        return target

    def _place(self, id: str, tag: str) -> Path:
        if not TAG.fullmatch(tag):
            text = f"{tag[:40]!r} is no tag."
            raise RefusalError("E-SERVE-TAG", text, "A tag is letters, digits, - and _.", status=400)
        return self._folder / quote(id, safe="") / tag


def confidence_of(session: Session) -> float:
    """Mean confidence of the outlines, 0 to 1; 0 where there are none."""
    scores = [one.scores.get(frame, 0.0) for one in session.segmentation.objects for frame in one.frames]
    return round(float(np.mean(scores)), 4) if scores else 0.0


def _read_doubts(path: Path) -> dict[str, float]:
    """What was remembered; nothing where the file is not there, or is none of ours."""
    try:
        found = json.loads(path.read_text())
    except (OSError, ValueError):
        return {}
    return {str(id): float(one) for id, one in found.items()} if isinstance(found, dict) else {}


def _segmentation(labels: NDArray[Any], names: Mapping[int, str], scan: Scan) -> Segmentation:
    stack = labels if labels.ndim == 3 else labels[..., None]
    rows, columns = scan.frame_axes[1], scan.frame_axes[0]
    frames = np.transpose(stack, (scan.slice_axis, rows, columns))
    found = Segmentation.empty(scan)
    for value in (int(value) for value in np.unique(labels) if value > 0):
        name = names.get(value, f"label {value}")
        found = found.adding(name if name not in found else f"{name} {value}", label=value)
        masks = {int(n): Rle.encode(frames[n] == value) for n in np.flatnonzero((frames == value).any(axis=(1, 2)))}
        found = found.with_masks(found.names[-1], masks)
    return found


def _below(root: Path) -> Iterator[Listed]:
    folders: dict[tuple[str, str], None] = {}
    for path in islice(_files(root), MOST_FILES):
        relative = path.relative_to(root)
        name = path.name.lower()
        if name.endswith(tuple(VOLUMES)):
            if not _holds_labels(path):
                yield Listed((relative.parent / stem_of(path)).as_posix(), relative.as_posix())
        elif (uid := _series_of(path)) is not None:
            folders[relative.parent.as_posix(), uid] = None
    for folder, uid in folders:
        yield Listed(uid, folder, uid)


def _files(root: Path) -> Iterator[Path]:
    for folder, inner, names in os.walk(root):
        inner[:] = sorted(one for one in inner if not one.startswith("."))
        for name in sorted(names):
            path = Path(folder, name)
            if not name.startswith(".") and not path.is_symlink():
                yield path


def _holds_labels(path: Path) -> bool:
    """Whether a file says what its values are called: it is no image to outline."""
    name = path.name.lower()
    kind = next(format for ending, format in VOLUMES.items() if name.endswith(ending))
    return name.endswith(SEGMENTS) or any(one.name for one in label_names(path, kind).values())


def _series_of(path: Path) -> str | None:
    """The SeriesInstanceUID of a DICOM file of pictures; None for any other file."""
    place, mark = DICOM_MARK
    try:
        with path.open("rb") as stream:
            stream.seek(place)
            if stream.read(len(mark)) != mark:
                return None
        import pydicom

        header = pydicom.dcmread(path, stop_before_pixels=True, specific_tags=["SeriesInstanceUID", "Rows"])
        return str(header.SeriesInstanceUID) if "Rows" in header and "SeriesInstanceUID" in header else None
    except Exception:  # what cannot be read is no image of ours
        return None
