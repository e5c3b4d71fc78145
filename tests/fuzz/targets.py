"""What is fuzzed: small valid files, and what a person would do with them. Whatever they hold, it ends in a result or
in a DelineateError.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from random import Random
from typing import Any

from fuzz import documents, format_seeds, label_seeds, seeds
from fuzz.seeds import Seed

READING: tuple[dict[str, Any], ...] = (
    {}, {}, {}, {"index": 0}, {"index": 1}, {"pages": "video"}, {"pages": "stack"}, {"to_gray": True, "index": 0},
    {"spacing_order": "xyz"}, {"affine": "qform"}, {"resample_irregular": True}, {"slice_axis": 0},
)  # fmt: skip
STACK_DEEP = 3  # frames that are read of a scan


@dataclass(frozen=True)
class Target:
    """Something that reads files.

    run    is given the path of the seed's entry
    torch  whether torch is needed
    """

    name: str
    seeds: Callable[[], Iterable[Seed]]
    run: Callable[[Path, Random], Any]
    torch: bool = False


def _scan(path: Path, random: Random) -> None:
    """Opened, looked at, and read."""
    from delineate.core.scan import ScanKind
    from delineate.io.opening import open_scan
    from delineate.verbs.inspect import describe

    with open_scan(path, **random.choice(READING)) as scan:
        for index in sorted({0, len(scan) // 2, len(scan) - 1}):
            scan.pixels(index)
        if scan.kind is ScanKind.VOLUME:
            scan.voxels()
        _ = scan.intensities.statistics
        json.dumps(describe(scan).as_json())


def _label(path: Path, random: Random) -> None:
    from delineate.data.label_pictures import open_labels

    labels = open_labels(path, 2)
    for index in range(min(len(labels), STACK_DEEP)):
        labels.pixels(index)


def _mask(path: Path, random: Random) -> None:
    """A file given with --mask, and with --markers."""
    from delineate.verbs.prompt_files import marker_prompts, mask_prompt

    scan = documents.bright_volume()
    if random.random() < 0.5:
        mask_prompt(path, scan, random.choice((None, 1)), random.choice((None, 7, 7)))
    else:
        marker_prompts(path, scan, random.choice((None, 7, 7)))


def _label_file(path: Path, random: Random) -> None:
    """Opened by the verbs that work on labels; of a patient's labels also given with --mask."""
    from delineate.io.readers.dicom_rtstruct import is_structure_set
    from delineate.labels.reading import open_segmentation
    from delineate.verbs.prompt_files import marker_prompts, mask_prompt

    if is_structure_set(path) or random.random() < 0.3:
        scan = documents.placed_volume()
        if random.random() < 0.5:
            mask_prompt(path, scan, random.choice((None, 1)), random.choice((None, 1, 2)))
        else:
            marker_prompts(path, scan, random.choice((None, 1)))
        return
    found = open_segmentation(path, threshold=random.choice((None, None, None, 0.5)))
    for one in found.segmentation.objects:
        json.dumps([one.name, one.label, one.color])
        for mask in islice(one.masks.values(), STACK_DEEP):
            mask.decode()


def _written(path: Path, random: Random) -> None:
    """What a run is told to do, as a person or an earlier run wrote it down."""
    from delineate.core.written_prompts import WrittenStructures, is_written
    from delineate.verbs.keeping import Kept
    from delineate.verbs.records import RequestRecord

    if path.name.startswith("short"):
        from delineate.core.json_file import json_of

        if is_written(json_of(path.read_bytes(), path.name, "E-PROMPTS-JSON")):
            said = WrittenStructures.read(path)
            for name in said.root:
                said.prompts(name), said.limit(name)
    elif path.name.startswith("kept"):
        kept = Kept.read(path)
        for journal in kept.journals:
            assert len([visited.visited for visited in journal.visited]) == len(journal.visited)
    else:
        RequestRecord.read(path)


def _prompts(path: Path, random: Random) -> None:
    """Read, and done again."""
    from bright_predictor import BrightPredictor
    from delineate.core.prompt_log import PromptLog
    from delineate.session import Session

    log = PromptLog.read(path)
    assert Session.replay(documents.bright_volume(), log, BrightPredictor(), force=True).segmentation is not None


def _manifest(path: Path, random: Random) -> None:
    from delineate.core.manifest import Manifest
    from delineate.verbs.replay import auto_request_of, request_of

    manifest = Manifest.read(path)
    if manifest is not None:
        (auto_request_of if manifest.run and manifest.run.verb == "auto" else request_of)(manifest, path, path)


def _data_set(path: Path, random: Random) -> None:
    """Checked, every case opened and its structures listed; read as a stream where it is shards."""
    from delineate.core.errors import DelineateError
    from delineate.data.check import check_dataset
    from delineate.data.layouts import read_dataset
    from delineate.data.shards import stream

    for line in check_dataset(
        path, path.with_name("sheet.png") if random.random() < 0.3 else None, overwrite=True
    ).lines:
        assert len(line) < 2000, line
    for case in islice(read_dataset(path)[1], STACK_DEEP):
        try:
            case.open().targets(2, 0)
        except DelineateError:
            continue
    if (path / "shards.json").is_file():
        for _ in islice(stream(path), STACK_DEEP):
            pass


def _learned(path: Path, random: Random) -> None:
    from delineate.data.learned_from import learned_by

    learned_by([str(path)])


def _record(path: Path, random: Random) -> None:
    from delineate.checkpoints.entries import read_record

    read_record(path)


def _vocabulary(path: Path, random: Random) -> None:
    from delineate.checkpoints.vocabulary import BYTES, Vocabulary

    Vocabulary(2 * BYTES + 2 + 40, 16, path).ids("the liver, ä")


def _checkpoint(path: Path, random: Random) -> None:
    """Told apart, named as the hosts name it, and put into a network."""
    from torch import nn

    from delineate.checkpoints import key_maps
    from delineate.checkpoints.loading import load_all
    from delineate.checkpoints.reading import read_weights
    from delineate.core.errors import ModelError
    from delineate.systems.registry import system_of_file

    with suppress(ModelError):
        system_of_file(path)
    weights = read_weights(path)
    maps = {
        "sam": lambda w: key_maps.resized_sam(key_maps.sam_weights(w), 8, (2,)), "mobile": key_maps.sam_weights,
        "sam2": key_maps.sam2_weights, "light": lambda w: key_maps.efficient_tam_weights(w, 8),
        "edge": key_maps.edge_tam_weights,
    }  # fmt: skip
    load_all(nn.Linear(2, 2), maps[path.name.partition(".")[0]](weights), path.name)


def _adapter(path: Path, random: Random) -> None:
    from torch import nn

    from delineate.checkpoints.loading import put_adapter

    host = nn.ModuleDict({"vision_encoder": nn.ModuleDict({"block": nn.Linear(8, 6)}), "head": nn.Linear(6, 3)})
    put_adapter(host, path)


def _run_state(path: Path, random: Random) -> None:
    import torch

    from delineate.training.average import MovingAverage
    from delineate.training.run_files import RunState, counts_in, load_averaged

    module = torch.nn.Linear(4, 3)
    adam = torch.optim.Adam(module.parameters())
    int(counts_in(path)["step"])
    load_averaged(module, path)
    RunState(module, adam, MovingAverage(list(module.parameters()), 0.9), None).load(path)


TARGETS: tuple[Target, ...] = (
    Target("volumes", seeds.volumes, _scan),
    Target("pictures", seeds.pictures, _scan),
    Target("dicom", seeds.dicoms, _scan),
    Target("videos", seeds.videos, _scan),
    Target("formats", format_seeds.formats, _scan),
    Target("measured", label_seeds.measured, _scan),
    Target("label_files", lambda: [*label_seeds.dicom_labels(), *label_seeds.written()], _label_file),
    Target("labels", lambda: [s for s in seeds.pictures() if s.entry], _label),
    Target("masks", lambda: [*seeds.volumes(), *(s for s in seeds.pictures() if s.entry)], _mask),
    Target("prompts", documents.prompt_files, _prompts),
    Target("written", documents.written_prompts, _written),
    Target("manifests", documents.prompt_files, _manifest),
    Target("data_sets", documents.data_sets, _data_set),
    Target("learned", documents.learned, _learned),
    Target("records", documents.store_records, _record),
    Target("checkpoints", documents.checkpoints, _checkpoint, torch=True),
    Target("adapters", documents.adapters, _adapter, torch=True),
    Target("run_states", documents.run_states, _run_state, torch=True),
    Target("vocabularies", documents.vocabularies, _vocabulary, torch=True),
)
