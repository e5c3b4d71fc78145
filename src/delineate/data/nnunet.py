"""nnU-Net's raw folders, and those of the Medical Segmentation Decathlon: a ``dataset.json`` beside them.

nnU-Net     ``imagesTr/NAME_0000.nii.gz`` (the first channel is read), ``labelsTr/NAME.nii.gz``, and ``imagesTs``;
            or a map ``dataset`` from names to files
Decathlon   ``training`` lists pairs of files; a picture with several channels is one case each

Sources: the nnU-Net documentation (dataset_format), arXiv 2106.05735 (Decathlon).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, Field

from delineate.core.json_file import read_json
from delineate.core.scan import ScanKind
from delineate.data.cases import Case, OpenedFiles, Task, Use, on_the_scan
from delineate.data.confined import DataFolder
from delineate.data.label_pictures import open_labels
from delineate.data.subjects import subjects_in
from delineate.io.opening import open_scan

DESCRIPTION = "dataset.json"
VOLUMES = (".nii", ".nii.gz", ".nrrd", ".mha", ".mhd")
PARTS = (("imagesTr", "labelsTr", Use.TRAIN), ("imagesTs", "labelsTs", Use.TEST))
FIRST_CHANNEL = "_0000"
HEAD = 1 << 20  # bytes of a description that are looked at


class Pair(BaseModel):
    """A picture and its labels in ``training`` of the Decathlon."""

    image: str
    label: str


class Listed(BaseModel):
    """The files of one case in nnU-Net's map ``dataset``."""

    images: Annotated[list[str], Field(min_length=1)]
    label: str


class Description(BaseModel):
    """What is read of a ``dataset.json``."""

    labels: dict[str, int | str | list[int]]
    channel_names: dict[str, str] | list[str] | None = None
    modality: dict[str, str] | list[str] | None = None
    file_ending: Annotated[str, Field(pattern=r"^\.[A-Za-z0-9][A-Za-z0-9.]{0,20}$")] = ".nii.gz"
    training: list[Pair | str] | None = None
    dataset: dict[str, Listed] | None = None

    @property
    def channels(self) -> list[str]:
        """What the channels of a picture show, such as CT."""
        told = self.channel_names or self.modality or {}
        return list(told.values()) if isinstance(told, dict) else told


@dataclass(frozen=True)
class ChannelReader:
    """Reads one channel of a picture with several."""

    index: int

    def __call__(self, case: Case) -> OpenedFiles:
        scan = open_scan(case.image, index=self.index)
        labels = open_labels(case.label, scan.slice_axis if scan.kind is ScanKind.VOLUME else None)
        return on_the_scan(scan, labels, case.label.name)


def fits(home: DataFolder) -> bool:
    """Whether a folder has a description, and labels beside it or listed in it."""
    description = home.root / DESCRIPTION
    if not description.is_file():
        return False
    if (home.root / "labelsTr").is_dir():
        return True
    with description.open("rb") as stream:
        return b'"dataset"' in stream.read(HEAD)


def read(home: DataFolder) -> Iterator[Case]:
    """The labeled cases.

    Raises InputError where the description cannot be understood, OutsideError where it lies elsewhere.
    """
    hint = "It needs labels, and what file_ending, training or dataset of nnU-Net or the Decathlon say."
    about = read_json(home.inside(DESCRIPTION), Description, "E-DATA-DESCRIPTION", "a description of a data set", hint)
    names = label_names(about.labels)
    if about.dataset is not None:
        yield from _mapped(home, about, names)
    elif about.training and not any((home.root / "imagesTr").glob(f"*{FIRST_CHANNEL}*")):
        yield from _decathlon(home, about, names)
    else:
        yield from _raw(home, about, names)


def label_names(labels: dict[str, Any]) -> dict[int, str]:
    """nnU-Net writes {name: value} since version 2, {value: name} before. Of regions, which are several values each, a
    value gets the name of the smallest it is in.
    """
    if "background" not in labels:
        return {int(v): str(name) for v, name in labels.items() if v.isdecimal() and int(v) > 0}
    names: dict[int, tuple[int, str]] = {}
    for name, told in labels.items():
        values = told if isinstance(told, list) else [int(told)] if str(told).isdecimal() else []
        for value in values:
            if value > 0 and (value not in names or len(values) < names[value][0]):
                names[value] = len(values), name
    return {value: name for value, (_, name) in sorted(names.items())}


def _raw(home: DataFolder, about: Description, names: dict[int, str]) -> Iterator[Case]:
    root, ending = home.root, about.file_ending
    for images, labels, use in PARTS:
        found = sorted((root / labels).glob(f"*{ending}"))
        subjects = subjects_in([label.name.removesuffix(ending) for label in found])
        for label in found:
            stem = label.name.removesuffix(ending)
            image = root / images / f"{stem}{FIRST_CHANNEL}{ending}"
            yield Case(stem, root.name, _channel(about), _task(label), image, label, names, use, subjects[stem])


def _mapped(home: DataFolder, about: Description, names: dict[int, str]) -> Iterator[Case]:
    assert about.dataset is not None
    subjects = subjects_in(list(about.dataset))
    for name, files in sorted(about.dataset.items()):
        image, label = home.root / files.images[0], home.root / files.label
        yield Case(name, home.root.name, _channel(about), _task(label), image, label, names, Use.TRAIN, subjects[name])


def _decathlon(home: DataFolder, about: Description, names: dict[int, str]) -> Iterator[Case]:
    pairs = [pair for pair in about.training or () if isinstance(pair, Pair)]
    stems = [_stem(pair.label) for pair in pairs]
    subjects = subjects_in(stems)
    channels = about.channels if len(about.channels) > 1 else []
    for stem, pair in sorted(zip(stems, pairs, strict=True), key=lambda one: one[0]):
        image, label = home.root / pair.image, home.root / pair.label
        fixed = names, Use.TRAIN, subjects[stem]
        if not channels:
            yield Case(stem, home.root.name, _channel(about), _task(label), image, label, *fixed)
        for index, channel in enumerate(channels):
            about_it = f"{stem}/{channel}", home.root.name, channel, _task(label), image, label
            yield Case(*about_it, *fixed, ChannelReader(index))


def _channel(about: Description) -> str:
    return next(iter(about.channels), "unknown")


def _task(label: Path) -> Task:
    return Task.VOLUME if label.name.endswith(VOLUMES) else Task.IMAGE


def _stem(name: str) -> str:
    return Path(name).name.removesuffix(".gz").rpartition(".")[0] or Path(name).name
