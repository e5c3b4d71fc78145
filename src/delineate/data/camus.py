"""CAMUS: two views of 500 hearts, outlined at end-diastole and end-systole, and in its second release in between.

NIfTI   ``patient0001/patient0001_2CH_ED.nii.gz`` and ``..._gt``, ``_ES``, ``_half_sequence`` and ``_half_sequence_gt``
MHD     the same as ``.mhd`` with ``.raw`` beside it; ``_2CH_sequence`` without labels between the two phases
``Info_2CH.cfg`` says which frames of the sequence the phases are (counted from 1), and the volumes of the heart;
``subgroup_testing.txt`` which patients are for testing, where the folder ``testing`` does not.

Leclerc, Smistad, Pedrosa et al. IEEE Transactions on Medical Imaging 2019; 38: 2198-2210.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from delineate.core.errors import InputError
from delineate.core.reading import reading
from delineate.data.cases import Case, OpenedFiles, Task, Use
from delineate.data.confined import DataFolder
from delineate.data.echo_clips import CARDIAC, number_in, open_clip, open_clip_labels, reported_in, stacked
from delineate.data.label_pictures import open_labels
from delineate.echo.record import EchoRecord, view_named
from delineate.io.opening import open_scan

NAME = re.compile(r"^(?P<patient>[^_]+)_(?P<view>[A-Za-z0-9]+)_(?P<what>ED|ES|half_sequence|sequence)_gt$")
ENDINGS = (".nii.gz", ".nii", ".mhd", ".mha")
CONFIGURATION = 1 << 16  # bytes of an Info file that are read


@dataclass(frozen=True)
class CamusPicture:
    """One phase of a view."""

    def __call__(self, case: Case) -> OpenedFiles:
        return OpenedFiles(open_scan(case.image), open_labels(case.label))


@dataclass(frozen=True)
class CamusClip:
    """A view over time.

    view    2CH or 4CH
    labels  of every frame ("half_sequence"), or of end-diastole and end-systole ("ED", "ES")
    """

    view: str
    labels: tuple[str, ...]

    def __call__(self, case: Case) -> OpenedFiles:
        home = case.label
        info = read_info(case.home.require_inside(home / f"Info_{self.view}.cfg"))
        files = [_file(home, f"{home.name}_{self.view}_{what}_gt") for what in self.labels]
        paths = [case.home.require_inside(path) for path in files if path is not None]
        ends = number_in(info, "ED"), number_in(info, "ES")
        if len(self.labels) == 1:
            scan, labels = open_clip(case.image), open_clip_labels(paths[0])
            frames: tuple[int, ...] = tuple(range(len(scan)))
            if len(labels) != len(scan):
                raise _other_length(case, len(labels), len(scan))
        elif case.image == home:
            pictures = [_file(home, f"{home.name}_{self.view}_{what}") for what in self.labels]
            scan = stacked([open_scan(case.home.require_inside(p)) for p in pictures if p is not None], case.id)
            labels, ends, frames = stacked([open_labels(path) for path in paths], case.id), (1, 2), (0, 1)
        else:
            scan, labels = open_clip(case.image), stacked([open_labels(path) for path in paths], case.id)
            if None in ends:
                raise InputError(
                    "E-ECHO-PHASES",
                    f"Nothing says which frames of {case.image.name} are end-diastole and end-systole: "
                    f"Info_{self.view}.cfg has no ED and ES.",
                    "Fetch the data set with its Info files.",
                )
            frames = tuple(int(end or 1) - 1 for end in ends)
        phases = tuple(None if end is None else int(end) - 1 for end in ends)
        if any(not 0 <= frame < len(scan) for frame in (*frames, *(p for p in phases if p is not None))):
            raise _other_length(case, max(int(end or 0) for end in ends), len(scan))
        record = EchoRecord(view_named(self.view), phases[0], phases[1], reported_in(info))
        return OpenedFiles(scan, labels, frames, echo=record)


def fits(home: DataFolder) -> bool:
    """Whether there is an outline of a view and a phase."""
    return any(True for _ in _outlines(home))


def read(home: DataFolder) -> Iterator[Case]:
    """One case for each phase of a view, and one for the view over time."""
    testing = _testing(home)
    views: dict[tuple[Path, str], list[str]] = {}
    for label, patient, view, what in _outlines(home):
        folder = label.parent
        use = _use(home, folder, patient in testing)
        views.setdefault((folder, view), []).append(what)
        if what in ("ED", "ES"):
            image = _file(folder, f"{patient}_{view}_{what}") or label
            phase = f"{patient}_{view}_{what}", "CAMUS", "ultrasound", Task.IMAGE, image, label
            yield Case(*phase, CARDIAC, use, patient, CamusPicture())
    for (folder, view), phases in views.items():
        patient = _patient(folder, view)
        use = _use(home, folder, patient in testing)
        clip = _clip(folder, patient, view, phases)
        if clip is not None and patient == folder.name:
            image, reader = clip
            about = f"{patient}_{view}", "CAMUS", "ultrasound", Task.VIDEO, image, folder
            yield Case(*about, CARDIAC, use, patient, reader)


def read_info(path: Path) -> dict[str, str]:
    """The lines "name: value" of an Info file; none where there is no file."""
    if not path.is_file():
        return {}
    with reading(path), path.open(encoding="utf-8", errors="replace") as file:
        lines = file.read(CONFIGURATION).splitlines()
    pairs = (line.split(":", 1) for line in lines if ":" in line)
    return {name.strip(): value.strip() for name, value in pairs}


def _use(home: DataFolder, folder: Path, listed: bool) -> Use:
    """For testing are patients of its list, and what lies in the folder "testing" of the data set."""
    inside = (home.root.resolve().name, *folder.relative_to(home.root).parts)
    return Use.TEST if listed or "testing" in inside else Use.TRAIN


def _clip(folder: Path, patient: str, view: str, labeled: list[str]) -> tuple[Path, CamusClip] | None:
    """What is seen over time, and how it is read: every frame is labeled, or two are, or there are only these two."""
    for whole in ("half_sequence", "sequence"):
        if whole in labeled and (image := _file(folder, f"{patient}_{view}_{whole}")) is not None:
            return image, CamusClip(view, (whole,))
    if not {"ED", "ES"} <= set(labeled):
        return None
    for whole in ("sequence", "half_sequence"):
        if (image := _file(folder, f"{patient}_{view}_{whole}")) is not None:
            return image, CamusClip(view, ("ED", "ES"))
    return folder, CamusClip(view, ("ED", "ES"))


def _outlines(home: DataFolder) -> Iterator[tuple[Path, str, str, str]]:
    """Label files with patient, view and what they label."""
    for ending in ENDINGS:
        for label in home.search(f"*_gt{ending}"):
            if found := NAME.match(label.name.removesuffix(ending)):
                yield label, found["patient"], found["view"], found["what"]


def _patient(folder: Path, view: str) -> str:
    named = (NAME.match(path.name.split(".")[0]) for path in sorted(folder.iterdir()))
    return next(found["patient"] for found in named if found and found["view"] == view)


def _file(folder: Path, stem: str) -> Path | None:
    return next((folder / f"{stem}{end}" for end in ENDINGS if (folder / f"{stem}{end}").is_file()), None)


def _testing(home: DataFolder) -> frozenset[str]:
    """Patients of the second release's part for testing."""
    found: set[str] = set()
    for path in home.search("subgroup_testing.txt"):
        with reading(path):
            found.update(path.read_text(encoding="utf-8", errors="replace")[: CONFIGURATION * 16].split())
    return frozenset(found)


def _other_length(case: Case, told: int, frames: int) -> InputError:
    return InputError(
        "E-CASE-LABEL",
        f"{case.id}: its labels or its Info file speak of frame {told}, the sequence has {frames}.",
        "The files are of different releases, or one is cut off: fetch the patient's folder again.",
    )
