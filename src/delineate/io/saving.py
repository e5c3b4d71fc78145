"""Saving outlines: the format follows from the name, the grid is the scan's own, and nothing is ever half written."""

from __future__ import annotations

import gzip
import io
import json
import zipfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from delineate.errors import OutputError
from delineate.grid import Placement
from delineate.io.atomic import check_writable, replacing_folder, write_bytes
from delineate.io.coco import coco_json
from delineate.io.seg_nrrd import seg_nrrd_bytes
from delineate.manifest import Manifest, OutputRecord
from delineate.prompt_log import PromptLog
from delineate.scan import Scan, ScanKind
from delineate.segmentation import Overlap, Segmentation

COMMENT_CODE = 6  # NIfTI header extension: plain text


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
    table: dict[ScanKind, dict[str, Writer]] = {
        ScanKind.VOLUME: {".nii.gz": _nifti, ".nii": _nifti, ".seg.nrrd": _seg_nrrd, ".npz": _npz, ".json": _coco},
        ScanKind.IMAGE: {
            ".png": _png, ".nii.gz": _nifti, ".nii": _nifti, ".seg.nrrd": _seg_nrrd, ".npz": _npz, ".json": _coco,
        },
        ScanKind.VIDEO: {".npz": _npz, ".json": _coco},
    }  # fmt: skip
    for ending, writer in table[kind].items():
        if name.endswith(ending):
            return writer
    if kind is ScanKind.VIDEO and not path.suffix:
        return _mask_folder
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


def _nifti(segmentation: Segmentation, path: Path, scan: Scan, overlap: Overlap) -> None:
    """A label map whose header is the input's own, affine bit for bit."""
    if segmentation.kind is ScanKind.VOLUME:
        labels: NDArray[Any] = segmentation.label_map(overlap)
    else:
        labels = _smallest(segmentation.frame_labels(0, overlap)).T[:, :, None]
    image = nib.Nifti1Image(labels, scan.grid.affine)
    source = scan.header if isinstance(scan.header, nib.Nifti1Header) else None
    if source is not None:
        header = source.copy()
        header.set_data_dtype(labels.dtype)
        header.set_data_shape(labels.shape)
        header["scl_slope"], header["scl_inter"] = np.nan, np.nan
        header["cal_min"] = header["cal_max"] = 0
        header.set_intent("label")
        image = nib.Nifti1Image(labels, None, header)
    else:
        code = 1 if scan.grid.placement is Placement.WORLD else 0
        image.set_sform(scan.grid.affine, code=code)
        image.set_qform(scan.grid.affine, code=code if scan.grid.skew_degrees < 0.01 else 0, strip_shears=True)
        image.header.set_xyzt_units("mm" if scan.grid.placement is not Placement.PIXELS else "unknown")
        image.header.set_intent("label")
    names = {str(o.label): {"name": o.name, "colour": o.colour} for o in segmentation.objects}
    text = json.dumps({"delineate_labels": names}, ensure_ascii=False).encode()
    image.header.extensions.append(nib.nifti1.Nifti1Extension(COMMENT_CODE, text))
    data = image.to_bytes()
    write_bytes(path, gzip.compress(data, 6, mtime=0) if path.name.lower().endswith(".gz") else data)


def _seg_nrrd(segmentation: Segmentation, path: Path, scan: Scan, overlap: Overlap) -> None:
    write_bytes(path, seg_nrrd_bytes(segmentation))


def _png(segmentation: Segmentation, path: Path, scan: Scan, overlap: Overlap) -> None:
    write_bytes(path, _label_png(segmentation, 0, overlap))


def _mask_folder(segmentation: Segmentation, path: Path, scan: Scan, overlap: Overlap) -> None:
    """A video's outlines as ``masks/00000.png`` and so on, and ``tracks.json`` with confidence by frame."""
    with replacing_folder(path) as folder:
        (folder / "masks").mkdir()
        for index in range(len(segmentation)):
            (folder / "masks" / f"{index:05d}.png").write_bytes(_label_png(segmentation, index, overlap))
        tracks = [
            {
                "name": o.name,
                "label": o.label,
                "colour": o.colour,
                "frames": {
                    str(i): {"area": o.masks[i].area, "confidence": round(o.scores.get(i, 0.0), 4)} for i in o.frames
                },
            }
            for o in segmentation.objects
        ]
        (folder / "tracks.json").write_text(json.dumps({"times": scan.times, "objects": tracks}, indent=1))


def _label_png(segmentation: Segmentation, frame: int, overlap: Overlap) -> bytes:
    """Label values as a palette PNG, or 16-bit grey above 255."""
    labels = _smallest(segmentation.frame_labels(frame, overlap))
    picture = Image.fromarray(labels)
    if labels.dtype == np.uint8:
        palette = np.zeros((256, 3), np.uint8)
        for one in segmentation.objects:
            if one.label < 256:
                palette[one.label] = one.colour
        picture.putpalette(palette.tobytes())
    buffer = io.BytesIO()
    picture.save(buffer, "PNG")
    return buffer.getvalue()


def _npz(segmentation: Segmentation, path: Path, scan: Scan, overlap: Overlap) -> None:
    """``segs`` (D, H, W) (frames first), with the spacing and its order said."""
    frames = np.stack([segmentation.frame_labels(i, overlap) for i in range(len(segmentation))])
    arrays: dict[str, NDArray[Any]] = {
        "segs": _smallest(frames if segmentation.kind is not ScanKind.IMAGE else frames[0]),
        "names": np.array([o.name for o in segmentation.objects]),
        "labels": np.array([o.label for o in segmentation.objects]),
    }
    if scan.grid.placement is not Placement.PIXELS and segmentation.kind is ScanKind.VOLUME:
        if segmentation.slice_axis != 2:
            arrays["segs"] = segmentation.label_map(overlap).transpose(2, 1, 0)
        arrays |= {"spacing": np.array(scan.grid.spacing), "spacing_order": np.array("xyz")}
    write_bytes(path, _archive(arrays.items()))


def _archive(arrays: Iterable[tuple[str, NDArray[Any]]]) -> bytes:
    """An npz whose bytes depend on nothing but the arrays."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, array in arrays:
            member = zipfile.ZipInfo(f"{name}.npy", date_time=(1980, 1, 1, 0, 0, 0))
            member.compress_type = zipfile.ZIP_DEFLATED
            content = io.BytesIO()
            np.lib.format.write_array(content, np.ascontiguousarray(array), allow_pickle=False)
            archive.writestr(member, content.getvalue())
    return buffer.getvalue()


def _coco(segmentation: Segmentation, path: Path, scan: Scan, overlap: Overlap) -> None:
    write_bytes(path, coco_json(segmentation, scan.file.path.name if scan.file else "scan").encode())


def _smallest(labels: NDArray[Any]) -> NDArray[Any]:
    return labels.astype(np.uint8) if labels.max(initial=0) < 256 else labels
