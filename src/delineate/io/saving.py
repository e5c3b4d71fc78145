"""Saving outlines: the format follows from the name, the grid is the scan's own, and nothing is ever half written."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from delineate.errors import OutputError
from delineate.io.atomic import check_writable, write_bytes
from delineate.io.writers.coco import write_coco
from delineate.io.writers.label_png import write_png
from delineate.io.writers.mask_folder import write_mask_folder
from delineate.io.writers.nifti import write_nifti
from delineate.io.writers.npz import write_npz
from delineate.io.writers.seg_nrrd import write_seg_nrrd
from delineate.manifest import Manifest, OutputRecord
from delineate.prompt_log import PromptLog
from delineate.scan import Scan, ScanKind
from delineate.segmentation import Overlap, Segmentation


def save(
    segmentation: Segmentation,
    path: str | Path,
    scan: Scan,
    overwrite: bool = False,
    split: bool = False,
    overlap: Overlap = Overlap.LATER,
) -> tuple[Path, ...]:
    """Write outlines on the scan's own grid; returns the files written.

    The name decides: ``.nii``/``.nii.gz`` label map, ``.seg.nrrd`` for 3D Slicer (overlapping objects kept),
    ``.png`` palette label image, ``.npz`` challenge arrays, ``.json`` COCO, a folder of palette PNGs for a video.
    ``split`` writes one file for each object. An existing output is refused unless ``overwrite``.
    """
    path = Path(path)
    writer = _writer_for(path, segmentation.kind)
    if not split:
        check_writable(path, overwrite)
        writer(segmentation, path, scan, overlap)
        return (path,)
    paths = []
    for one in segmentation.objects:
        target = path.with_name(_split_name(path, one.name))
        check_writable(target, overwrite)
        alone = Segmentation(
            segmentation.kind, segmentation.grid, segmentation.frame_shape, segmentation.slice_axis, (one,)
        )
        writer(alone, target, scan, overlap)
        paths.append(target)
    return tuple(paths)


def check_output(path: Path, kind: ScanKind, overwrite: bool) -> None:
    """Everything about an output's name that can be wrong, before the work begins."""
    _writer_for(path, kind)
    check_writable(path, overwrite)


def write_manifest(manifest: Manifest, path: Path) -> None:
    write_bytes(path, manifest.to_json().encode())


def write_prompts(log: PromptLog, path: Path) -> None:
    write_bytes(path, log.to_json().encode())


def output_record(path: Path, format: str) -> OutputRecord:
    """Name and hash of a written file (of all files of a folder, in order of name)."""
    from delineate.io.opening import sha256_of

    files = sorted(p for p in path.rglob("*") if p.is_file()) if path.is_dir() else [path]
    return OutputRecord(name=path.name, format=format, sha256=sha256_of(*files))


Writer = Callable[[Segmentation, Path, Scan, Overlap], None]


def _writer_for(path: Path, kind: ScanKind) -> Writer:
    name = path.name.lower()
    anywhere = {".nii.gz": write_nifti, ".nii": write_nifti, ".seg.nrrd": write_seg_nrrd}
    arrays = {".npz": write_npz, ".json": write_coco}
    table: dict[ScanKind, dict[str, Writer]] = {
        ScanKind.VOLUME: anywhere | arrays,
        ScanKind.IMAGE: {".png": write_png} | anywhere | arrays,
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
        f'"{path.name}" does not say a format that a {kind} can be saved in.',
        f"Use one of {', '.join(table[kind])}{folder}.",
    )


def _split_name(path: Path, name: str) -> str:
    from delineate.io.naming import stem_of

    safe = "".join(c if c.isalnum() or c in "-_" else "_" for c in name)
    return f"{stem_of(path)}_{safe}{path.name[len(stem_of(path)) :]}"
