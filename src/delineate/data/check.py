"""What a folder of labeled scans holds, and what is wrong with it, before anybody trains on it."""

from __future__ import annotations

import hashlib
import re
from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageOps
from scipy.ndimage import binary_erosion

from delineate.core.errors import DelineateError
from delineate.core.scan import Scan
from delineate.core.segmentation import PALETTE
from delineate.core.terminal_text import excerpt
from delineate.data.cases import Case, LabeledScan
from delineate.data.confined import OutsideError
from delineate.data.layouts import read_dataset
from delineate.data.subjects import split_by_subject, subject_of
from delineate.io.outputs import Outputs
from delineate.io.own_files import png_mark
from delineate.preprocess.display import display_window, shown

__all__ = ["DatasetCard", "Problem", "check_dataset", "split_by_subject", "subject_of"]

TILE, ACROSS, SHOWN = 220, 4, 12
GAP, CAPTION, PAPER = 8, 16, (236, 236, 236)  # between tiles, below them, around pictures
TINT = 0.2  # of a structure's color inside its outline
THERE = 80  # of 255: a pixel that a structure fills by so much shows it, so that thin ones stay whole
FIELD_OF_VIEW = 0.4  # of a picture, at least
LEAST_SAME = 3  # label files that are all the same: pointed out
SMALL = 25  # pixels: a case with nothing larger is pointed out
Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Problem:
    """What is wrong with a case; ``detail``: what differs from case to case with the same problem."""

    case: str
    what: str
    detail: str = ""


@dataclass
class DatasetCard:
    """What was seen."""

    layout: str
    cases: int = 0
    datasets: Counter[str] = field(default_factory=Counter)
    sizes: Counter[str] = field(default_factory=Counter)
    structures: Counter[str] = field(default_factory=Counter)  # cases that have each
    problems: list[Problem] = field(default_factory=list)

    @property
    def lines(self) -> list[str]:
        """The card as text."""
        most = ", ".join(f"{size} ({n})" for size, n in self.sizes.most_common(4))
        lines = [
            f"layout      {self.layout}",
            f"cases       {self.cases} ({', '.join(f'{k} {v}' for k, v in self.datasets.most_common(6))})",
            f"sizes       {len(self.sizes)} different; most: {most}",
            f"structures  {', '.join(f'{excerpt(k)} in {v}' for k, v in self.structures.most_common(12))}",
        ]
        counted = Counter(re.sub(r"\d+", "N", p.what) for p in self.problems)
        lines.append(f"problems    {len(self.problems)}" if counted else "problems    none")
        for kind, number in counted.most_common():
            first = next(p for p in self.problems if re.sub(r"\d+", "N", p.what) == kind)
            detail = f" ({first.detail})" if first.detail else ""
            lines.append(f"  {number} x  {first.what}, such as {first.case}{detail}")
        return lines


def check_dataset(
    root: Path,
    sheet: Path | None = None,
    progress: Progress | None = None,
    overwrite: bool = False,
    follow_links: bool = False,
) -> DatasetCard:
    """Open every case, count what is there and what is wrong.

    sheet         where to draw a contact sheet; ``overwrite`` replaces an earlier one
    follow_links  whether paths and links may lead outside the folder (``confined``); those that may not are problems
    """
    if sheet is None:
        return _checked(root, None, progress, follow_links)
    with Outputs([sheet], [root], overwrite) as outputs:
        return _checked(root, outputs.stage(sheet), progress, follow_links)


def _checked(root: Path, sheet: Path | None, progress: Progress | None, follow_links: bool) -> DatasetCard:
    layout, cases = read_dataset(root, follow_links)
    card = DatasetCard(layout, len(cases), Counter(case.dataset for case in cases))
    pictures: dict[str, list[Case]] = defaultdict(list)
    labels: dict[tuple[str, float], list[Case]] = defaultdict(list)
    tiles: list[Image.Image] = []
    every = max(1, len(cases) // SHOWN)
    for number, case in enumerate(cases):
        if progress is not None:
            progress(number, len(cases))
        opened = _opened(case, card)
        if opened is None:
            continue
        pictures[_content(opened.scan)].append(case)
        labels[_content(opened.labels), _labeled_share(opened.labels)].append(case)
        if sheet is not None and number % every == 0 and len(tiles) < SHOWN:
            tiles.append(_tile(opened))
    card.problems += [*_leaks(cases, pictures), *_same_labels(labels)]
    if sheet is not None and tiles:
        _sheet(tiles).save(sheet, format="PNG", pnginfo=png_mark())
    return card


def _opened(case: Case, card: DatasetCard) -> LabeledScan | None:
    """An opened case, its structures counted, what is wrong with it noted; None if it cannot be opened."""
    try:
        case.files()
    except OutsideError as error:
        what = "it leads outside the data set, which --follow-links allows"
        card.problems.append(Problem(case.id, what, error.where))
        return None
    except DelineateError as error:
        card.problems.append(Problem(case.id, error.message[:90]))
        return None
    for path, what in ((case.image, "the picture is missing"), (case.label, "the label is missing")):
        if not path.exists():
            card.problems.append(Problem(case.id, what))
            return None
    try:
        opened = case.open()
        labels = [opened.labels.pixels(n) for n in range(len(opened.labels))]
    except DelineateError as error:
        card.problems.append(Problem(case.id, error.message.replace(str(case.label), "the label")[:90]))
        return None
    scan = opened.scan
    frames = f" x {len(scan)}" if len(scan) > 1 else ""
    card.sizes[f"{scan.width} x {scan.height}{frames}"] += 1
    sizes: Counter[int] = Counter()
    for one in labels:
        values, counts = np.unique(one, return_counts=True)
        if values.dtype.kind == "f" and (values != np.round(values)).any():
            card.problems.append(Problem(case.id, "labels that are no whole numbers"))
            return opened
        for value, count in zip(values.tolist(), counts.tolist(), strict=True):
            if value:
                sizes[int(value)] = max(sizes[int(value)], count)
    if not sizes:
        card.problems.append(Problem(case.id, "nothing is labeled"))
    elif max(sizes.values()) < SMALL:
        card.problems.append(Problem(case.id, f"nothing larger than {max(sizes.values())} pixels is labeled"))
    card.structures.update({case.name_of(value) for value in sizes})
    for value in sizes:
        if 0 not in case.structures and value not in case.structures:
            card.problems.append(Problem(case.id, f"label {value} has no name"))
    return opened


def _leaks(cases: list[Case], pictures: dict[str, list[Case]]) -> list[Problem]:
    """Subjects on both sides of a split, and the same picture twice."""
    uses = defaultdict(set)
    for case in cases:
        uses[subject_of(case)].add(case.use)
    found = [
        Problem(subject, "a subject is used for training and for testing")
        for subject, use in uses.items()
        if len(use) > 1
    ]
    for same in pictures.values():
        images = {case.image for case in same}
        if len(images) > 1:
            found.append(Problem(same[0].id, f"the same picture as {same[1].id}"))
    return found


def _same_labels(labels: dict[tuple[str, float], list[Case]]) -> list[Problem]:
    """Large labels that are the same for all pictures: they show no structure, but what the camera sees."""
    if len(labels) != 1:
        return []
    ((_, share), same) = next(iter(labels.items()))
    files = {case.label for case in same}
    alike = len(files) >= LEAST_SAME and share >= FIELD_OF_VIEW
    return [Problem(same[0].id, "all cases have the same labels: a mask of the field of view?")] if alike else []


def _labeled_share(labels: Scan) -> float:
    """How much of the middle frame is labeled."""
    return float((labels.pixels(len(labels) // 2) > 0).mean())


def _content(scan: Scan) -> str:
    middle = np.ascontiguousarray(scan.pixels(len(scan) // 2))
    return hashlib.sha256(middle.tobytes()).hexdigest()


def _tile(opened: LabeledScan) -> Image.Image:
    """The frame that shows most labels, structures in color."""
    areas = [int((opened.labels.pixels(n) > 0).sum()) for n in range(len(opened.labels))]
    best = int(np.argmax(areas))
    frame = shown(opened.scan.pixels(opened.frames[best]), display_window(opened.scan))
    scaled = ImageOps.contain(Image.fromarray(frame), (TILE, TILE), Image.Resampling.LANCZOS)
    outlined = _outlined(np.asarray(scaled), np.rint(opened.labels.pixels(best)).astype(np.int64))
    tile = Image.new("RGB", (TILE, TILE + CAPTION), PAPER)
    tile.paste(Image.fromarray(outlined), ((TILE - scaled.width) // 2, (TILE - scaled.height) // 2))
    ImageDraw.Draw(tile).rectangle((0, TILE, TILE, TILE + CAPTION), fill="white")
    ImageDraw.Draw(tile).text((4, TILE + 2), opened.case.id[-38:], fill="black", font_size=10)
    return tile


def _outlined(frame: NDArray[np.uint8], labels: NDArray[np.int64]) -> NDArray[np.uint8]:
    """A frame with a line along the border of structures, and a hint of its color inside; labels may be larger."""
    out = frame.astype(np.float32)
    size = frame.shape[1], frame.shape[0]
    for value in np.unique(labels[labels > 0]):
        share = Image.fromarray((labels == value).astype(np.uint8) * 255).resize(size, Image.Resampling.BOX)
        inside = np.asarray(share) > THERE
        color = np.array(PALETTE[int(value) % len(PALETTE)], np.float32)
        line = inside & ~binary_erosion(inside)
        out[inside] = (1 - TINT) * out[inside] + TINT * color
        out[line] = color
    return out.astype(np.uint8)


def _sheet(tiles: list[Image.Image]) -> Image.Image:
    rows, across = -(-len(tiles) // ACROSS), min(ACROSS, len(tiles))
    wide, high = TILE + GAP, TILE + CAPTION + GAP
    sheet = Image.new("RGB", (across * wide + GAP, rows * high + GAP), "white")
    for n, tile in enumerate(tiles):
        sheet.paste(tile, (GAP + n % ACROSS * wide, GAP + n // ACROSS * high))
    return sheet
