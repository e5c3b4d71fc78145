"""Labeled scans in tar files of one size, for many workers: as the webdataset library reads them, or with plain tar.

A sample's files stand one after the other and share the name up to the first dot, which is the key:

``KEY.json``                    id, data set, task, structures, subject, grid, view and phases: everything but pixels
``KEY.image.png``, ``.npz``     a picture, or a volume's ``voxels`` (i, j, k[, channels])
``KEY.label.png``, ``.npz``     its labels
``KEY.000012.image.png``        frame 12 of a video; ``KEY.000012.label.png`` where that frame has labels

Beside the tars ``shards.json`` lists every sample with its place, so that any of them is read without the others
(``cases_of``); ``stream`` reads them in order, with a shuffle buffer, as training at scale does.
"""

from __future__ import annotations

import io
import json
import re
import tarfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import BaseModel, Field

from delineate.core.errors import InputError
from delineate.core.json_file import read_json
from delineate.core.reading import reading
from delineate.core.terminal_text import excerpt
from delineate.data.cases import Case, LabeledScan, OpenedFiles, Use, refuse_outside
from delineate.data.confined import ANYWHERE, DataFolder
from delineate.data.shard_samples import SampleRecord, about, encoded, opened, record_in
from delineate.data.subjects import split_by_subject, subject_of
from delineate.io.outputs import Outputs

INDEX = "shards.json"
FORMAT = "delineate-shards/1"
SIZE = 500_000_000  # bytes of a shard, about
PARTS = ("train", "val", "test")
Progress = Callable[[int, int], None]
UNITS = {"": 1, "B": 1, "KB": 1000, "MB": 1000**2, "GB": 1000**3, "KIB": 1024, "MIB": 1024**2, "GIB": 1024**3}


Bytes = Annotated[int, Field(ge=0, le=1 << 60)]


class Entry(BaseModel):
    """A sample in the index: where its files lie in a tar (name, first byte, bytes), and what it says of itself."""

    shard: str
    part: str
    about: SampleRecord
    places: list[tuple[str, Bytes, Bytes]]


class Index(BaseModel):
    """``shards.json``."""

    format: Literal["delineate-shards/1"]
    samples: list[Entry]


@dataclass(frozen=True)
class ShardReader:
    """Reads one sample: ``places`` are (name within the sample, first byte, bytes) in the tar ``case.image``."""

    places: tuple[tuple[str, int, int], ...]

    def __call__(self, case: Case) -> OpenedFiles:
        what = f"does not hold {excerpt(case.id)} where its index says"
        with reading(case.image, "E-SHARD-DAMAGED", what=what, hint="Write the shards again."):
            return opened(self.members(case))

    def members(self, case: Case) -> Mapping[str, bytes]:
        """The sample's files by name, each read when it is asked for."""
        return _Members(case.image, {name: (start, size) for name, start, size in self.places})


@dataclass(frozen=True)
class Written:
    """What was written: samples and tar files of each part."""

    samples: Mapping[str, int]
    shards: Mapping[str, int]


def write_shards(
    cases: Sequence[Case],
    output: Path,
    size: int = SIZE,
    shares: tuple[float, ...] = (),
    seed: int = 0,
    progress: Progress | None = None,
) -> Written:
    """Write cases as shards of about ``size`` bytes in a new folder.

    shares    of train, val and test, subjects kept whole; without it cases stay on the side their layout gives them
    progress  called with (cases done, all)

    Cases are shuffled once, so that a shard is a mixture. Raises OutputError if the folder is there and not empty, and
    InputError for a case that cannot be opened; nothing is left behind then. A case that leads outside its data set is
    refused before anything is packed.
    """
    refuse_outside(cases)
    with Outputs([output], _read_from(cases)) as outputs:
        folder = outputs.stage(output)
        folder.mkdir()
        return _written(list(cases), folder, size, shares, seed, progress)


def _read_from(cases: Sequence[Case]) -> set[Path]:
    """What is read: files, and the folders of data sets."""
    files = {path for case in cases for path in (case.image, case.label)}
    return files | {case.home.root for case in cases if case.home != ANYWHERE}


def _written(
    cases: list[Case], folder: Path, size: int, shares: tuple[float, ...], seed: int, progress: Progress | None
) -> Written:
    entries: list[dict[str, Any]] = []
    counts: dict[str, int] = {}
    shards: dict[str, int] = {}
    done = 0
    for part, members in _parts(cases, shares, seed).items():
        order = np.random.default_rng(seed).permutation(len(members))
        writer = _ShardWriter(folder, part, size)
        for index in order:
            entries.append(writer.add(members[int(index)], f"{len(entries):08d}"))
            done += 1
            if progress is not None:
                progress(done, len(cases))
        writer.close()
        counts[part], shards[part] = len(members), writer.number
    (folder / INDEX).write_text(json.dumps({"format": FORMAT, "samples": entries}) + "\n")
    return Written(counts, shards)


def cases_of(home: DataFolder) -> Iterator[Case]:
    """The cases of a folder of shards, each read on its own when it is opened.

    Raises InputError for an index that is none.
    """
    for entry in _entries(home):
        yield _case(entry.about, home.root / entry.shard, entry.part, home, ShardReader(tuple(entry.places)))


def stream(
    root: Path,
    part: str = "train",
    worker: int = 0,
    workers: int = 1,
    buffer: int = 0,
    seed: int = 0,
    epoch: int = 0,
    follow_links: bool = False,
) -> Iterator[LabeledScan]:
    """The samples of one part, once each, over all workers together.

    worker        of ``workers``: shards are dealt out to them; where there are fewer shards than workers, samples are
    buffer        samples kept in memory and drawn from; 0 keeps the order
    follow_links  whether tar files may lie outside the folder (``confined``)

    Every epoch has its own order; the same seed and epoch give the same one. Raises InputError if there is no such
    part.
    """
    home = DataFolder(root, follow_links)
    names = sorted({entry.shard for entry in _entries(home) if entry.part == part})
    if not names:
        raise InputError("E-SHARDS-PART", f"{root} has no shards of {part}.", f"Parts are {', '.join(PARTS)}.")
    rng = np.random.default_rng((seed, epoch))
    if buffer:
        names = [names[int(n)] for n in rng.permutation(len(names))]
    by_shard = len(names) >= workers
    mine = names[worker::workers] if by_shard else names
    rng = np.random.default_rng((seed, epoch, worker))
    samples = (sample for name in mine for sample in _samples(home.inside(name)))
    if not by_shard:
        samples = (sample for number, sample in enumerate(samples) if number % workers == worker)
    for path, members in _shuffled(samples, buffer, rng):
        case = _case(record_in(members), path, part, home)
        with reading(path, "E-SHARD-DAMAGED", hint="Write the shards again."):
            found = opened(members)
        yield LabeledScan(case, found.scan, found.labels, found.frames or (0,), found.boxes, found.echo)


def bytes_of(text: str) -> int:
    """``500MB`` in bytes. Raises InputError for what is no size."""
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([a-zA-Z]*)\s*", text)
    unit = UNITS.get(match[2].upper()) if match else None
    if match is None or unit is None or float(match[1]) * unit < 1:
        raise InputError("E-OPTION", f'--size "{text}" is no size.', "Write it as 500MB or 2GB.")
    return int(float(match[1]) * unit)


def _parts(cases: list[Case], shares: tuple[float, ...], seed: int) -> dict[str, list[Case]]:
    if shares:
        named = PARTS if len(shares) == 3 else ("train", "test")
        return dict(zip(named, split_by_subject(cases, shares, seed), strict=True))
    parts = {"train": [c for c in cases if c.use is Use.TRAIN], "test": [c for c in cases if c.use is Use.TEST]}
    return {name: members for name, members in parts.items() if members}


class _ShardWriter:
    """Tar files of one part, one after the other."""

    def __init__(self, folder: Path, part: str, size: int) -> None:
        self.folder, self.part, self.size = folder, part, size
        self.number = 0
        self._tar: tarfile.TarFile | None = None
        self._name = ""

    def add(self, case: Case, key: str) -> dict[str, Any]:
        """Write a case under a key; gives its entry for the index."""
        scan = case.open()
        told = about(scan, subject_of(case).removeprefix(f"{case.dataset}/"))
        if self._tar is None:
            self._name = f"{self.part}-{self.number:06d}.tar"
            self._tar = tarfile.open(self.folder / self._name, "w", format=tarfile.USTAR_FORMAT)  # noqa: SIM115
            self.number += 1
        places = []
        for name, data in (("json", json.dumps(told).encode()), *encoded(scan)):
            header = tarfile.TarInfo(f"{key}.{name}")
            header.size = len(data)
            start = self._tar.offset + tarfile.BLOCKSIZE
            self._tar.addfile(header, io.BytesIO(data))
            places.append((name, start, len(data)))
        shard = self._name
        if self._tar.offset >= self.size:
            self.close()
        return {"shard": shard, "part": self.part, "about": told, "places": places}

    def close(self) -> None:
        if self._tar is not None:
            self._tar.close()
        self._tar = None


@dataclass(frozen=True)
class _Members(Mapping[str, bytes]):
    """The files of a sample in a tar, read one at a time."""

    path: Path
    places: Mapping[str, tuple[int, int]]

    def __getitem__(self, name: str) -> bytes:
        start, size = self.places[name]
        with reading(self.path, "E-SHARD-MISSING", what="cannot be read"), self.path.open("rb") as stream:
            if start + size > stream.seek(0, io.SEEK_END):
                raise InputError("E-SHARD-SHORT", f"{self.path.name} is cut short.", "Copy it again.")
            stream.seek(start)
            return stream.read(size)

    def __iter__(self) -> Iterator[str]:
        return iter(self.places)

    def __len__(self) -> int:
        return len(self.places)


def _case(told: SampleRecord, path: Path, part: str, home: DataFolder, reader: ShardReader | None = None) -> Case:
    use = Use.TRAIN if part == "train" else Use.TEST
    about = told.id, told.dataset, told.modality, told.task
    return Case(*about, path, path, told.structures, use, told.subject, reader, home)


def _entries(home: DataFolder) -> list[Entry]:
    return read_json(home.inside(INDEX), Index, "E-SHARDS", "an index of shards", "Write them again.").samples


def _samples(path: Path) -> Iterator[tuple[Path, dict[str, bytes]]]:
    """Samples of a tar, read from front to back."""
    members: dict[str, bytes] = {}
    present = None
    for file, content in _files_in(path):
        key, _, name = Path(file).name.partition(".")
        if key != present and members:
            yield path, members
            members = {}
        present = key
        members[name] = content
    if members:
        yield path, members


def _files_in(path: Path) -> Iterator[tuple[str, bytes]]:
    """Names and contents of the files of a tar, one in memory at a time. Raises InputError where it is damaged."""
    with reading(path, "E-SHARD-DAMAGED"):
        tar = tarfile.open(path, "r|")  # noqa: SIM115
    with tar:
        while True:
            with reading(path, "E-SHARD-DAMAGED"):
                header = tar.next()
                file = tar.extractfile(header) if header is not None and header.isreg() else None
                content = file.read() if file is not None else None
            if header is None:
                return
            if content is not None:
                yield header.name, content


def _shuffled(samples: Iterable[Any], buffer: int, rng: np.random.Generator) -> Iterator[Any]:
    kept: list[Any] = []
    for sample in samples:
        if len(kept) < buffer:
            kept.append(sample)
            continue
        if not buffer:
            yield sample
            continue
        place = int(rng.integers(len(kept)))
        yield kept[place]
        kept[place] = sample
    for place in rng.permutation(len(kept)):
        yield kept[int(place)]
