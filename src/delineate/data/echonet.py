"""EchoNet-Dynamic and EchoNet-Pediatric: videos of the apical view, the ventricle traced at two frames by experts.

Dynamic    ``FileList.csv`` (FileName, EF, EDV, ESV, Split), ``VolumeTracings.csv`` (FileName, X1, Y1, X2, Y2, Frame:
           the long axis, then chords across it), ``Videos/NAME.avi``
Pediatric  the same in ``A4C`` and ``PSAX``; Split is one of ten folds, the last for testing; its tracings are points of
           a polygon (FileName, X, Y, Frame), and rows whose frame is no number trace nothing

Pixels have no calibration: volumes in ml are only in the table, ejection fractions can be told from outlines.
Ouyang, He, Ghorbani et al. Nature 2020; 580: 252-256. Reddy, Lopez, Ouyang et al. J Am Soc Echocardiogr 2023.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from delineate.core.errors import InputError
from delineate.core.polygons import filled_polygon
from delineate.core.scan import Scan
from delineate.data.cases import Case, OpenedFiles, Task, Use
from delineate.data.confined import DataFolder
from delineate.data.echo_clips import Row, number_in, open_clip, reported_in, rows_of
from delineate.echo.record import EchoRecord, View, view_named

LIST, TRACINGS, VIDEOS = "FileList.csv", "VolumeTracings.csv", "Videos"
CHORDS, CORNERS = ("X1", "Y1", "X2", "Y2"), ("X", "Y")
VENTRICLE = {1: "left ventricle"}
TEST_FOLD = 9
Corners = tuple[tuple[float, float], ...]


@dataclass(frozen=True)
class TracedVideo:
    """A video and polygons on some of its frames; the larger is end-diastole.

    traces    frame and corners x, y
    reported  "ef", "edv", "esv" of the table
    """

    view: str
    traces: tuple[tuple[int, Corners], ...]
    reported: tuple[tuple[str, float], ...]

    def __call__(self, case: Case) -> OpenedFiles:
        scan = open_clip(case.image)
        outside = [frame for frame, _ in self.traces if not 0 <= frame < len(scan)]
        if outside:
            raise InputError(
                "E-CASE-LABEL",
                f"{TRACINGS} traces frame {outside[0]} of {case.image.name}, which has {len(scan)} frames.",
                "The video is cut off, or of another release: fetch it again.",
            )
        drawn = [_drawn(corners, scan) for _, corners in self.traces]
        frames = tuple(frame for frame, _ in self.traces)
        areas = [int(one.sum()) for one in drawn]
        largest, least = frames[int(np.argmax(areas))], frames[int(np.argmin(areas))]
        ends = (largest, least) if len(frames) > 1 else (None, None)
        record = EchoRecord(View(self.view), ends[0], ends[1], dict(self.reported))
        return OpenedFiles(scan, Scan.from_frames(np.stack(drawn).astype(np.uint8)), frames, echo=record)


def fits(home: DataFolder) -> bool:
    """Whether there are the tables, here or in a folder a view."""
    return bool(_places(home.root))


def read(home: DataFolder) -> Iterator[Case]:
    """One case a traced video, in the order of the list."""
    for folder in _places(home.root):
        tables = [home.require_inside(folder / name) for name in (LIST, TRACINGS)]
        traces = _traces(tables[1])
        view = view_named(folder.resolve().name) or View.A4C
        pediatric = all(number_in(row, "Split") is not None for row in _first_rows(tables[0]))
        name = "EchoNet-Pediatric" if pediatric else "EchoNet-Dynamic"
        for row in rows_of(tables[0], ("FileName",)):
            stem = _stem(row["FileName"])
            if stem in traces:
                reader = TracedVideo(str(view), traces[stem], tuple(reported_in(row).items()))
                video = folder / VIDEOS / f"{stem}.avi"
                about = f"{folder.name}/{stem}" if folder != home.root else stem, name, "ultrasound", Task.VIDEO
                yield Case(*about, video, folder / TRACINGS, VENTRICLE, _use(row), stem, reader)


def _places(root: Path) -> list[Path]:
    folders = [root, *sorted(path for path in root.iterdir() if path.is_dir())]
    return [path for path in folders if (path / LIST).is_file() and (path / TRACINGS).is_file()]


def _first_rows(path: Path) -> list[Row]:
    return [row for _, row in zip(range(20), rows_of(path, ("FileName",)), strict=False)]


def _traces(path: Path) -> dict[str, tuple[tuple[int, Corners], ...]]:
    """Polygons by video, frames in the order of the table.

    Raises InputError for a table of neither kind.
    """
    first = next(rows_of(path, ("FileName", "Frame")), {})
    columns = CHORDS if "X1" in first else CORNERS
    points: dict[str, dict[int, list[list[float]]]] = {}
    for row in rows_of(path, ("FileName", "Frame", *columns)):
        frame, places = number_in(row, "Frame"), [number_in(row, name) for name in columns]
        if frame is None or None in places:
            continue  # "No Systolic"
        frames = points.setdefault(_stem(row["FileName"]), {})
        frames.setdefault(int(frame), []).append([float(place or 0) for place in places])
    corners = _chords_corners if columns == CHORDS else _own_corners
    made = {
        stem: tuple((frame, corners(np.array(rows))) for frame, rows in frames.items() if len(rows) > 3)
        for stem, frames in points.items()
    }
    return {stem: found for stem, found in made.items() if found}


def _chords_corners(rows: NDArray[np.float64]) -> Corners:
    """Down one side and back on the other; the first row is the long axis."""
    sides = np.concatenate([rows[1:, :2], rows[1:, 2:][::-1]])
    return tuple((float(x), float(y)) for x, y in sides)


def _own_corners(rows: NDArray[np.float64]) -> Corners:
    return tuple((float(x), float(y)) for x, y in rows)


def _drawn(corners: Corners, scan: Scan) -> NDArray[np.bool_]:
    return filled_polygon(np.array(corners), scan.height, scan.width)


def _use(row: Row) -> Use:
    fold = number_in(row, "Split")
    testing = fold == TEST_FOLD if fold is not None else row.get("Split", "").upper() == "TEST"
    return Use.TEST if testing else Use.TRAIN


def _stem(name: str) -> str:
    """A video's name in both tables; only one of them has the ending. No part of it is a folder."""
    return Path(name.replace("\\", "/")).name.removesuffix(".avi")
