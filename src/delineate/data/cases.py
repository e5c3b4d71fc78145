"""Labeled scans to measure on, as a ``manifest.json`` lists them; nothing is read before it is needed.

The manifest is a list of objects with ``id, dataset, task, modality, image, label, labels, use``. ``task`` is "2d",
"3d" or "video". ``image`` and ``label`` are paths beside the manifest, to any file this package opens; the label holds
whole numbers, 0 is background. ``labels`` names them; the key "1..n" says that every number is one more of the same
kind. ``use`` is "train" or "test".
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Protocol

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, BeforeValidator

from delineate.core.alignment import Fit, farthest_apart, fit_of, moved
from delineate.core.errors import InputError, Notice
from delineate.core.json_file import read_json
from delineate.core.origin import origin_notices
from delineate.core.scan import Scan, ScanKind
from delineate.data.confined import ANYWHERE, DataFolder
from delineate.data.label_pictures import open_labels, pictures
from delineate.data.relative_paths import without_folders
from delineate.echo.record import EchoRecord
from delineate.io.opening import open_scan

MANIFEST = "manifest.json"
EVERY_NUMBER = "1..n"  # the labels are instances of one kind of structure
LEAST_PIXELS = 20  # smaller targets are ignored

Labels = NDArray[np.integer[Any]]
LabelValue = Annotated[int, BeforeValidator(lambda key: 0 if key == EVERY_NUMBER else key)]


class Task(StrEnum):
    IMAGE = "2d"
    VOLUME = "3d"
    VIDEO = "video"


class Use(StrEnum):
    TRAIN = "train"  # a model that ships may have learned from it
    TEST = "test"


@dataclass(frozen=True, eq=False)
class OpenedFiles:
    """What a reader gives of a case.

    labels  whole numbers, on frames of the scan's size
    frames  the scan's frame for each frame of the labels; None: one for one
    boxes   boxes that came with the case: label value to half-open x0, y0, x1, y1 or i0, j0, k0, i1, j1, k1
    echo    of clips of the heart: view, end-diastole, end-systole
    """

    scan: Scan
    labels: Scan
    frames: tuple[int, ...] | None = None
    boxes: Mapping[int, tuple[float, ...]] = field(default_factory=dict)
    echo: EchoRecord | None = None


class CaseReader(Protocol):
    """How a case is read whose labels are no label image: polygons, run lengths, one mask file a class, an archive.

    Small and picklable, so that workers can be given cases; nothing is read before it is called.
    """

    def __call__(self, case: Case) -> OpenedFiles: ...


class ManifestItem(BaseModel):
    """One item of a ``manifest.json``; what it has beside this is for other readers."""

    id: str | int
    dataset: str
    modality: str
    task: str
    image: str
    label: str | None
    labels: dict[LabelValue, str]
    use: Use
    subject: str | int | None = None


@dataclass(frozen=True)
class Case:
    """One labeled scan.

    structures  label value to name; EVERY_NUMBER's name is under 0
    subject     whose scan it is, where the layout says so; else it is taken from the id (``subjects.subject_of``)
    reader      how it is read, where ``image`` and ``label`` are not simply a scan and its label image
    home        the data set's folder, outside which nothing is read for it; without one it may lie anywhere
    marked      whether the data set itself says what the case may be used for; else ``use`` is a guess by its folder
    """

    id: str
    dataset: str
    modality: str
    task: Task
    image: Path
    label: Path
    structures: Mapping[int, str]
    use: Use
    subject: str = ""
    reader: CaseReader | None = None
    home: DataFolder = ANYWHERE
    marked: bool = False

    @classmethod
    def of(cls, item: ManifestItem, home: DataFolder) -> Case:
        """A case from one item of the manifest in a folder."""
        paths = home.root / item.image, home.root / (item.label or "")
        about = without_folders(str(item.id), home.root), item.dataset, item.modality, Task(item.task)
        return cls(*about, *paths, item.labels, item.use, str(item.subject or ""), home=home, marked=True)

    @property
    def key(self) -> tuple[str, str]:
        """Which case it is among all of a folder: two data sets may call theirs alike."""
        return self.dataset, self.id

    def files(self) -> list[Path]:
        """Every file that is read for it.

        Raises OutsideError if one of them leads outside the data set.
        """
        return [file for path in dict.fromkeys((self.image, self.label)) for file in self.home.files(path)]

    def open(self) -> LabeledScan:
        """Read the scan, and its labels on the same frames.

        Raises InputError where they do not belong together, and OutsideError before anything outside is read.
        """
        self.files()
        found = self.reader(self) if self.reader is not None else self._files()
        scan, truth = found.scan, found.labels
        if (truth.height, truth.width) != (scan.height, scan.width) or truth.channels != 1:
            raise InputError(
                "E-CASE-LABEL",
                f"The labels {self.label} are {truth.width} x {truth.height} pixels with {truth.channels} channels, "
                f"the scan {scan.width} x {scan.height}.",
                "A label image has one whole number a pixel, on the grid of its scan.",
            )
        frames = found.frames if found.frames is not None else self._labelled_frames(len(scan), len(truth))
        return LabeledScan(self, scan, truth, frames, found.boxes, found.echo)

    def _files(self) -> OpenedFiles:
        scan = open_scan(self.image)
        labels = open_labels(self.label, scan.slice_axis if scan.kind is ScanKind.VOLUME else None)
        return on_the_scan(scan, labels, self.label.name)

    def _labelled_frames(self, frames: int, labels: int) -> tuple[int, ...]:
        """The scan's frame for each frame of the label; files of a folder are matched by name."""
        if frames == labels:
            return tuple(range(frames))
        if not (self.image.is_dir() and self.label.is_dir()):
            raise InputError(
                "E-CASE-LABEL",
                f"{self.label} labels {labels} frames, the scan has {frames}.",
                "A label image has one whole number a pixel, on the grid of its scan, and the name of its frame.",
            )
        position = {path.stem: index for index, path in enumerate(pictures(self.image))}
        alone = [path.name for path in pictures(self.label) if path.stem not in position]
        if alone:
            raise InputError(
                "E-CASE-LABEL",
                f"{len(alone)} of the labels in {self.label} have no frame of that name, such as {alone[0]}.",
                "A label is named as its frame.",
            )
        return tuple(position[path.stem] for path in pictures(self.label))

    def name_of(self, value: int) -> str:
        """What a label value stands for."""
        return self.structures.get(value) or self.structures.get(0) or f"label {value}"


@dataclass(frozen=True)
class Target:
    """One structure to outline.

    frame  where it is prompted: the frame of its largest area, in a video the first one it is labeled on
    area   pixels there
    """

    label: int
    name: str
    frame: int
    area: int


@dataclass(frozen=True, eq=False)
class LabeledScan:
    """An opened case.

    frames  the scan's frames that have labels, in the order of ``labels``' frames
    boxes   boxes that came with the case, by label value (see OpenedFiles)
    echo    of clips of the heart (see OpenedFiles)
    """

    case: Case
    scan: Scan
    labels: Scan
    frames: tuple[int, ...]
    boxes: Mapping[int, tuple[float, ...]] = field(default_factory=dict)
    echo: EchoRecord | None = None

    def truth(self, frame: int, target: Target) -> NDArray[np.bool_]:
        """The structure's true outline on a labeled frame of the scan: (height, width)."""
        return self.labels_on(self.frames.index(frame)) == target.label

    def truth_volume(self, target: Target) -> NDArray[np.bool_]:
        """The structure's true voxels (i, j, k)."""
        return np.asarray(self.label_volume == target.label)

    @property
    def label_volume(self) -> Labels:
        """The labels of a volume (i, j, k); structures are above 0."""
        return whole_numbers(self.labels.voxels())

    def targets(self, most: int, seed: int) -> tuple[Target, ...]:
        """The structures of at least LEAST_PIXELS pixels: all, or ``most`` drawn evenly over area ranks."""
        found: dict[int, Target] = {}
        for index, frame in enumerate(self.frames):
            values, counts = np.unique(self.labels_on(index), return_counts=True)
            for value, area in zip(values.tolist(), counts.tolist(), strict=True):
                known = found.get(value)
                later = known is not None and (self.case.task is Task.VIDEO or area <= known.area)
                if value > 0 and area >= LEAST_PIXELS and not later:
                    found[value] = Target(value, self.case.name_of(value), frame, area)
        ranked = sorted(found.values(), key=lambda t: (-t.area, t.label))
        return tuple(_evenly(ranked, most, rng_of(seed, self.case.id)))

    def labels_on(self, index: int) -> Labels:
        """The labels (height, width) of the ``index``-th labeled frame; structures are above 0."""
        return whole_numbers(self.labels.pixels(index))


def whole_numbers(labels: NDArray[Any]) -> Labels:
    """Labels as they are meant where they are stored as fractions: rounded, and 0 where they are no numbers."""
    if np.issubdtype(labels.dtype, np.integer):
        return labels
    return np.round(np.nan_to_num(labels, nan=0, posinf=0, neginf=0)).astype(np.int64)


def load_cases(
    root: Path, tasks: Collection[Task] = tuple(Task), uses: Collection[Use] = (Use.TEST,), follow_links: bool = False
) -> list[Case]:
    """The labeled cases of a folder with a manifest.json: those of the given tasks and uses.

    follow_links  whether its paths and links may lead outside the folder (``confined``)

    Raises InputError if there is no such file or it cannot be understood.
    """
    home = DataFolder(root, follow_links)
    path = home.inside(MANIFEST)
    if not path.is_file():
        raise InputError(
            "E-EVAL-NO-DATA",
            f"There are no labeled scans at {root}: it has no {MANIFEST}.",
            f"Point --data to a folder with a {MANIFEST}; docs/reference/evaluation.md says what it holds.",
        )
    hint = "Every item needs id, dataset, task, modality, image, label, labels and use."
    items = read_json(path, list[ManifestItem], "E-EVAL-MANIFEST", "a list of labeled scans", hint)
    known = {task.value for task in Task}
    cases = [Case.of(item, home) for item in items if item.label and item.task in known]
    _require_distinct(cases, path)
    return [case for case in cases if case.use in uses and case.task in tasks]


def _require_distinct(cases: Sequence[Case], path: Path) -> None:
    """Raise InputError for two cases of a data set with one id: one would be counted for the other."""
    dataset, name = next((key for key, count in Counter(case.key for case in cases).items() if count > 1), ("", None))
    if name is not None:
        raise InputError(
            "E-EVAL-MANIFEST",
            f'{path} has several items "{name}" of the data set "{dataset}".',
            "Every item of a data set has an id of its own.",
        )


def on_the_scan(scan: Scan, labels: Scan, name: str) -> OpenedFiles:
    """A scan and labels whose voxels lie where the scan's do; where axes run the other way they are turned, with a
    notice.

    Raises InputError for labels that lie elsewhere, or between the scan's voxels.
    """
    if labels.kind is not scan.kind or scan.kind is ScanKind.VIDEO:
        return OpenedFiles(scan, labels)
    scan = scan.with_notices(*origin_notices(labels, scan, name))
    fit = fit_of(labels.grid, scan.grid)
    if fit in (Fit.SAME, Fit.UNKNOWN):  # sizes that differ are refused with both of them
        return OpenedFiles(scan, labels)
    volume = scan.kind is ScanKind.VOLUME
    voxels = labels.voxels() if volume else labels.pixels(0).swapaxes(0, 1)
    there = moved(voxels, labels.grid, scan.grid) if fit is Fit.REORDERED and voxels.ndim == scan.grid.ndim else None
    if there is None or (np.nan_to_num(voxels).any() and not np.nan_to_num(there).any()):
        apart = (
            f", up to {farthest_apart(labels.grid, scan.grid):.4g} mm apart"
            if labels.grid.shape == scan.grid.shape
            else ""
        )
        raise InputError(
            "E-CASE-GRID",
            f"{name} lies elsewhere than its scan: {labels.grid!r} and {scan.grid!r}{apart}.",
            "Bring the labels onto the scan's grid; if the two belong together voxel for voxel, give the labels the "
            "header of the scan.",
        )
    notice = Notice(
        "W-LABELS-TURNED", f"The axes of {name} run otherwise than the scan's; labels were put where they lie."
    )
    turned = (
        Scan.from_volume(there, scan.grid, scan.slice_axis)
        if volume
        else Scan.from_image(there.swapaxes(0, 1), scan.grid)
    )
    return OpenedFiles(scan.with_notices(notice), turned)


def refuse_outside(cases: Iterable[Case]) -> None:
    """Raise OutsideError for the first case that leads outside its data set, before hours go into the others."""
    for case in cases:
        case.files()


def rng_of(seed: int, *what: str | int) -> np.random.Generator:
    """Random numbers that depend on the seed and on what they are for, not on what was drawn before."""
    digest = hashlib.sha256("\n".join(str(part) for part in (seed, *what)).encode()).digest()
    return np.random.default_rng(int.from_bytes(digest[:8], "big"))


def _evenly(ranked: Sequence[Target], most: int, rng: np.random.Generator) -> list[Target]:
    """One of each of ``most`` equal stretches of a ranking."""
    if len(ranked) <= most:
        return list(ranked)
    return [ranked[int(rng.choice(stretch))] for stretch in np.array_split(np.arange(len(ranked)), most)]
