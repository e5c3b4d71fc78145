"""Saving outlines: the format follows from the name, the grid is the scan's own, and nothing is ever half written."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from itertools import count
from pathlib import Path
from typing import Final

from delineate.core.errors import Notice, OutputError
from delineate.core.hashing import sha256_of
from delineate.core.manifest import Manifest, OutputRecord
from delineate.core.rle import Rle
from delineate.core.scan import Scan, ScanKind
from delineate.core.segmentation import Overlap, Segmentation
from delineate.io.atomic import write_bytes
from delineate.io.naming import require_name, stem_of
from delineate.io.outputs import Outputs
from delineate.io.own_files import LISTING, MARK
from delineate.io.writers.coco import write_coco
from delineate.io.writers.label_png import write_png
from delineate.io.writers.mask_folder import write_mask_folder
from delineate.io.writers.metaimage import write_metaimage
from delineate.io.writers.nifti import require_header, write_nifti
from delineate.io.writers.npz import write_npz
from delineate.io.writers.nrrd import write_nrrd
from delineate.io.writers.seg_nrrd import write_seg_nrrd
from delineate.io.writers.tiff import write_tiff

_LAYERED: Final = (".seg.nrrd", ".json")  # formats that keep structures that overlap
MOST_TOLD: Final = 5  # structures that one notice names


def save(
    segmentation: Segmentation,
    path: str | Path,
    scan: Scan,
    overwrite: bool = False,
    split: bool = False,
    overlap: Overlap = Overlap.LATER,
    keep_header: bool = False,
) -> tuple[Path, ...]:
    """Write outlines on the scan's own grid; returns the files written.

    The name decides: ``.nii``/``.nii.gz`` label map, ``.seg.nrrd`` for 3D Slicer (overlapping objects kept),
    ``.nrrd``, ``.mha`` and ``.tif`` label maps (a TIFF keeps the spacing, not the place in the patient),
    ``.png`` palette label image, ``.npz`` challenge arrays, ``.json`` COCO, a folder of palette PNGs for a video.
    ``split`` writes one file for each object. The scan itself is never written to; an existing output is refused,
    or with ``overwrite`` replaced if this program wrote it.
    Of the input's header the geometry alone goes on; ``keep_header`` copies a NIfTI header whole, with its texts and
    extensions, which may name the patient.
    """
    files = outline_files(Path(path), segmentation.kind, segmentation.names if split else None)
    if keep_header:
        require_header(Path(path), scan)
    with Outputs(tuple(files), [scan.file.path if scan.file else None], overwrite) as outputs:
        write_outlines(segmentation, files, scan, outputs, overlap, keep_header)
    return tuple(files)


def outline_files(path: Path, kind: ScanKind, names: Sequence[str] | None = None) -> dict[Path, str | None]:
    """The files that outlines are written to, and the one structure in each; None stands for all of them.

    ``names`` asks for one file for each of these structures. Raises OutputError if the name of ``path`` says no format
    that such a scan can be saved in.
    """
    require_name(path)
    _writer_for(path, kind)
    if names is None:
        return {path: None}
    return dict(zip((path.with_name(file) for file in _split_names(path, names)), names, strict=True))


def write_outlines(
    segmentation: Segmentation,
    files: Mapping[Path, str | None],
    scan: Scan,
    outputs: Outputs,
    overlap: Overlap = Overlap.LATER,
    keep_header: bool = False,
) -> None:
    """Write outlines to ``files``, as ``outline_files`` gave them; they appear when ``outputs`` ends."""
    for file, name in files.items():
        writer = partial(write_nifti, keep_header=True) if keep_header else _writer_for(file, segmentation.kind)
        writer(segmentation if name is None else segmentation.only(name), outputs.stage(file), scan, overlap)
        outputs.seal(file)


def overlap_notices(segmentation: Segmentation, files: Mapping[Path, str | None]) -> tuple[Notice, ...]:
    """What structures lose to later ones in files that hold one label a voxel; nothing where overlaps stay whole."""
    tight = [file for file, name in files.items() if name is None and not file.name.lower().endswith(_LAYERED)]
    if not tight:
        return ()
    by_frame: dict[int, list[Rle]] = {}
    for one in segmentation.objects:
        for frame in one.frames:
            by_frame.setdefault(frame, []).append(one.masks[frame])
    shared = {n for n, masks in by_frame.items() if Rle.union_of(masks).area < sum(mask.area for mask in masks)}
    taken: dict[int, Rle] = {}
    lost: list[str] = []
    for one in sorted(segmentation.objects, key=lambda one: one.locked)[::-1]:  # as Segmentation.frame_labels draws
        gone = 0
        for frame in shared.intersection(one.frames):
            mask, later = one.masks[frame], taken.get(frame)
            gone += 0 if later is None else mask.intersection(later)
            taken[frame] = mask if later is None else mask.union(later)
        if gone:
            lost.insert(0, f"{one.name} loses {gone} of {one.area}")
    if not lost:
        return ()
    more = f" and {len(lost) - MOST_TOLD} more" if len(lost) > MOST_TOLD else ""
    text = (
        f"Structures overlap, and {tight[0].name} holds one label a voxel, that of the later structure: "
        f"{', '.join(lost[:MOST_TOLD])}{more}. In .seg.nrrd and .json they stay whole."
    )
    return (Notice("W-LABELS-OVERLAP", text),)


def write_manifest(manifest: Manifest, path: Path) -> None:
    write_bytes(path, manifest.model_copy(update={"mark": MARK}).to_json().encode())


def output_record(path: Path, format: str) -> OutputRecord:
    """Name and hash of a written file (of all files of a folder, in order of name)."""
    files = sorted(p for p in path.rglob("*") if p.is_file() and p.name != LISTING) if path.is_dir() else [path]
    return OutputRecord(name=path.name, format=format, sha256=sha256_of(*files))


Writer = Callable[[Segmentation, Path, Scan, Overlap], None]


def _writer_for(path: Path, kind: ScanKind) -> Writer:
    name = path.name.lower()
    anywhere: dict[str, Writer] = {
        ".nii.gz": write_nifti,
        ".nii": write_nifti,
        ".seg.nrrd": write_seg_nrrd,
        ".nrrd": write_nrrd,
        ".mha": write_metaimage,
    }
    arrays: dict[str, Writer] = {".npz": write_npz, ".tif": write_tiff, ".tiff": write_tiff, ".json": write_coco}
    table: dict[ScanKind, dict[str, Writer]] = {
        ScanKind.VOLUME: anywhere | arrays,
        ScanKind.IMAGE: {".png": write_png, **anywhere, **arrays},
        ScanKind.VIDEO: arrays,
    }
    for ending, writer in table[kind].items():
        if name.endswith(ending):
            return writer
    if kind is ScanKind.VIDEO and not path.suffix:
        return write_mask_folder
    folder = ", or a folder (no ending)" if kind is ScanKind.VIDEO else ""
    raise OutputError(
        "E-OUTPUT-FORMAT",
        f'"{path.name}" does not say a format that {kind.with_article} can be saved in.',
        f"Use one of {', '.join(table[kind])}{folder}.",
    )


def _split_names(path: Path, names: Sequence[str]) -> list[str]:
    """A file name for each structure; no two alike, not even in other letter cases."""
    stem, taken, chosen = stem_of(path), set[str](), []
    for name in names:
        safe = "".join(c if c.isalnum() or c in "-_" else "_" for c in name)
        numbered = (safe if n == 1 else f"{safe}_{n}" for n in count(1))
        free = next(one for one in numbered if unicodedata.normalize("NFC", one).casefold() not in taken)
        taken.add(unicodedata.normalize("NFC", free).casefold())
        chosen.append(f"{stem}_{free}{path.name[len(stem) :]}")
    return chosen
