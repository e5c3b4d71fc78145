"""Hearts with known volumes, and small data sets of them in the layouts of CAMUS, EchoNet and a table of views."""

from __future__ import annotations

import csv
from pathlib import Path

import av
import nibabel as nib
import numpy as np

SIDE = 160  # pixels of a frame
FRAMES = 9


def half_ellipse(
    length: float, width: float, spacing: tuple[float, float] = (0.6, 0.6), turn: float = 0.0, side: int = SIDE
) -> np.ndarray:
    """Labels (side, side): a ventricle (1) in a wall (2) over an atrium (3); mm, apex up, turned by degrees."""
    y, x = np.mgrid[:side, :side].astype(float)
    x, y = (x - side / 2) * spacing[0], (y - 0.68 * side) * spacing[1]
    angle = np.deg2rad(turn)
    across, up = x * np.cos(angle) + y * np.sin(angle), x * np.sin(angle) - y * np.cos(angle)

    def within(long: float, wide: float) -> np.ndarray:
        return (up / long) ** 2 + (across / (wide / 2)) ** 2 <= 1

    labels = np.zeros((side, side), np.uint8)
    labels[(up >= 0) & within(length + 8, width + 16)] = 2
    labels[(up >= 0) & within(length, width)] = 1
    labels[(up < 0) & within(22, width)] = 3
    return labels


def volume(length: float, width: float, other: float) -> float:
    """ml of half an ellipsoid."""
    return float(np.pi / 6 * length * width * other / 1000)


def beat(count: int = FRAMES) -> np.ndarray:
    """How far the heart is contracted, frame by frame: 0 at the first, 1 in the middle."""
    return 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(count) / (count - 1))


def shape_at(view: str, contracted: float) -> tuple[float, float]:
    """Length and width (mm) of a view."""
    width = 44.0 if view == "4CH" else 40.0
    return 72 - 8 * contracted, width * (1 - 0.25 * contracted)


def clip(view: str, count: int = FRAMES) -> np.ndarray:
    """Labels of one beat (count, SIDE, SIDE)."""
    return np.stack([half_ellipse(*shape_at(view, float(c))) for c in beat(count)])


def shown(labels: np.ndarray) -> np.ndarray:
    """A picture of labels: the cavity dark, the wall bright."""
    return np.array([90, 10, 200, 30], np.uint8)[labels]


def stored(path: Path, values: np.ndarray, kind: str) -> None:
    """A picture (y, x) or frames (t, y, x) as NIfTI or MHD with 0.6 mm pixels."""
    path.parent.mkdir(parents=True, exist_ok=True)
    voxels = values.transpose() if values.ndim == 2 else values.transpose(2, 1, 0)
    if kind == "nifti":
        nib.save(nib.Nifti1Image(voxels, np.diag([0.6, 0.6, 1, 1])), f"{path}.nii.gz")
        return
    sizes = [*voxels.shape, *([1] if voxels.ndim == 2 else [])]
    Path(f"{path}.raw").write_bytes(voxels.tobytes(order="F"))
    Path(f"{path}.mhd").write_text(
        f"ObjectType = Image\nNDims = 3\nBinaryData = True\nBinaryDataByteOrderMSB = False\nOffset = 0 0 0\n"
        f"ElementSpacing = 0.6 0.6 1.54\nDimSize = {' '.join(map(str, sizes))}\nElementType = MET_UCHAR\n"
        f"ElementDataFile = {path.name}.raw\n"
    )


def camus(root: Path, kind: str = "nifti", patients: int = 2, views: tuple[str, ...] = ("2CH", "4CH")) -> None:
    """Patients whose half sequence goes from end-diastole to end-systole; of MHD a whole beat without labels."""
    middle = FRAMES // 2
    for n in range(1, patients + 1):
        name = f"patient{n:04}"
        for view in views:
            labels = clip(view)
            for phase, frame in (("ED", 0), ("ES", middle)):
                stored(root / name / f"{name}_{view}_{phase}", shown(labels[frame]), kind)
                stored(root / name / f"{name}_{view}_{phase}_gt", labels[frame], kind)
            if kind == "nifti":
                stored(root / name / f"{name}_{view}_half_sequence", shown(labels[: middle + 1]), kind)
                stored(root / name / f"{name}_{view}_half_sequence_gt", labels[: middle + 1], kind)
            else:
                stored(root / name / f"{name}_{view}_sequence", shown(labels), kind)
            info = f"ED: 1\nES: {middle + 1}\nNbFrame: {FRAMES}\nLVedv: 66.2\nLVesv: 33.1\nLVef: 50\n"
            (root / name / f"Info_{view}.cfg").write_text(info)


def video(path: Path, frames: np.ndarray) -> None:
    """Gray frames as an AVI (motion JPEG), as EchoNet has them."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as file:
        stream = file.add_stream("mjpeg", rate=50)
        stream.width, stream.height, stream.pix_fmt = frames.shape[2], frames.shape[1], "yuvj420p"
        for frame in frames:
            picture = av.VideoFrame.from_ndarray(np.repeat(frame[..., None], 3, axis=2), format="rgb24")
            file.mux(stream.encode(picture))
        file.mux(stream.encode())


def table(path: Path, rows: list[dict[str, object]]) -> None:
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def chords(labels: np.ndarray, frame: int, name: str) -> list[dict[str, object]]:
    """The ventricle as experts trace it: the long axis, then chords from left to right."""
    rows, columns = np.nonzero(labels == 1)
    middle = float(columns.mean())
    ends = [(middle, float(rows.max()), middle, float(rows.min()))]
    for y in np.linspace(rows.min(), rows.max(), 20):
        across = columns[rows == round(y)]
        ends.append((float(across.min()), float(round(y)), float(across.max()), float(round(y))))
    return [{"FileName": name, "X1": a, "Y1": b, "X2": c, "Y2": d, "Frame": frame} for a, b, c, d in ends]


def echonet(root: Path, videos: int = 2) -> None:
    """EchoNet-Dynamic: one for training, one for testing; the table's EF is 48 %."""
    labels, middle = clip("4CH"), FRAMES // 2
    listed, traced = [], []
    for n in range(videos):
        name = f"0X{n:03X}"
        video(root / "Videos" / f"{name}.avi", shown(labels))
        split = ("TRAIN", "TEST")[n % 2]
        listed.append({"FileName": name, "EF": 48.0, "ESV": 40.0, "EDV": 77.0, "FrameHeight": SIDE, "Split": split})
        traced += chords(labels[middle], middle, f"{name}.avi") + chords(labels[0], 0, f"{name}.avi")
    listed.append({"FileName": "0XFFF", "EF": 60, "ESV": 40, "EDV": 100, "FrameHeight": SIDE, "Split": "TEST"})
    table(root / "FileList.csv", listed)
    table(root / "VolumeTracings.csv", traced)


def pediatric(root: Path) -> None:
    """EchoNet-Pediatric: polygons, ten folds, a folder a view, and a row that traces nothing."""
    labels, middle = clip("4CH"), FRAMES // 2
    for view in ("A4C", "PSAX"):
        name = f"CR{view}-000000.avi"
        video(root / view / "Videos" / name, shown(labels))
        table(root / view / "FileList.csv", [{"FileName": name, "EF": 48.0, "Sex": "F", "Age": 3, "Split": 9}])
        points = []
        for frame in (0, middle):
            sides = chords(labels[frame], frame, name)[1:]
            ring = [(r["X1"], r["Y1"]) for r in sides] + [(r["X2"], r["Y2"]) for r in sides[::-1]]
            points += [{"FileName": name, "X": x, "Y": y, "Frame": frame} for x, y in ring]
        points.append({"FileName": name, "X": "", "Y": "", "Frame": "No Systolic"})
        table(root / view / "VolumeTracings.csv", points)


def views(root: Path) -> None:
    """A table of two views of one patient: one video with millimeters in the table, one stored stack."""
    labels, middle = {view: clip(view) for view in ("2CH", "4CH")}, FRAMES // 2
    video(root / "clips" / "a.avi", shown(labels["4CH"]))
    stored(root / "clips" / "a_labels", labels["4CH"][[0, middle]], "nifti")
    stored(root / "clips" / "b", shown(labels["2CH"]), "nifti")
    stored(root / "clips" / "b_labels", labels["2CH"], "nifti")
    rows = [
        ("clips/a.avi", "anna", "A4C", "clips/a_labels.nii.gz", 0, middle, "0.6", "test"),
        ("clips/b.nii.gz", "anna", "A2C", "clips/b_labels.nii.gz", 0, middle, "", "test"),
        ("clips/c.avi", "bob", "A4C", "", "", "", "", ""),
    ]
    names = ("file", "patient", "view", "labels", "ed", "es", "mm_per_pixel", "split")
    table(root / "views.csv", [dict(zip(names, row, strict=True)) for row in rows])
