"""``delineate segment``: one structure pointed at, outlined everywhere."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from delineate.cli import options
from delineate.cli.console import progress_bar, result, result_json, tell

if TYPE_CHECKING:
    from delineate.errors import Notice
    from delineate.io.outputs import Outputs
    from delineate.manifest import Manifest
    from delineate.prompts import Prompt
    from delineate.scan import Scan
    from delineate.session import Session


def segment(
    input: Annotated[Path, typer.Argument(help="Image, volume, video, DICOM folder or folder of frames.")],
    box: Annotated[
        list[str] | None, typer.Option(help="x0,y0,x1,y1 (or i0,j0,k0,i1,j1,k1); upper ends excluded.")
    ] = None,
    point: Annotated[list[str] | None, typer.Option(help="x,y or i,j,k on the structure.")] = None,
    neg: Annotated[list[str] | None, typer.Option(help="x,y or i,j,k that does not belong to it.")] = None,
    mask: Annotated[Path | None, typer.Option(help="A file with an outline on one frame to follow or correct.")] = None,
    text: Annotated[str | None, typer.Option(help="Its name, for systems that read: medsam_text.")] = None,
    markers: Annotated[
        Path | None, typer.Option(help="A volume with marks on some slices: a box on each slice between.")
    ] = None,
    prompts: Annotated[Path | None, typer.Option(help="Prompts or a manifest saved by an earlier run.")] = None,
    frame: Annotated[int | None, typer.Option(help="Slice or frame that 2D prompts are on.")] = None,
    label: Annotated[str, typer.Option(help="Name of the structure.")] = "structure",
    space: Annotated[str, typer.Option(help="What prompts are given in: voxel, RAS or LPS.")] = "voxel",
    output: Annotated[Path | None, typer.Option("--output", "-o", help="File or folder to write.")] = None,
    frame_only: Annotated[
        bool, typer.Option("--frame-only", "--no-propagate", help="Do not follow it to other frames.")
    ] = False,
    memory: options.Memory = None,
    stride: options.Stride = None,
    memories: options.Memories = None,
    prompted_memories: options.PromptedMemories = None,
    fill: options.Fill = None,
    no_overlap: options.Apart = False,
    directions: options.Direction = None,
    no_reset: options.NoReset = False,
    split: Annotated[bool, typer.Option("--split", help="One file for each structure.")] = False,
    film: Annotated[bool, typer.Option("--film", help="Also write a video with its outlines (MP4).")] = False,
    force: Annotated[bool, typer.Option("--force", help="Apply prompts made on another file.")] = False,
    model: options.Model = "quill",
    adapter: options.Adapter = None,
    system: options.SystemName = None,
    untrained: options.Untrained = False,
    device: options.Device = "auto",
    precision: options.Precision = "auto",
    backend: options.Backend = "torch",
    threads: options.Threads = 0,
    vocabulary: options.Vocabulary = None,
    axis: options.Axis = None,
    series: options.Series = None,
    index: options.Index = None,
    pages: options.PagesOption = None,
    affine: options.AffineOption = None,
    spacing_order: options.Spacing = None,
    window: options.Window = None,
    to_grey: options.ToGrey = False,
    resample_irregular: options.Irregular = False,
    stored_orientation: options.Stored = False,
    max_pixels: options.MaxPixels = 200_000_000,
    max_voxels: options.MaxVoxels = 2_000_000_000,
    keep_header: options.KeepHeader = False,
    overwrite: options.Overwrite = False,
    json: options.Json = False,
    quiet: options.Quiet = False,
    debug: options.Debug = False,
) -> None:
    """Outline a structure that you point at with a box, points, a mask, or a prompts file.

    In a volume or video it is followed in both directions. Beside the output a manifest is saved; giving it back with
    --prompts does the same again.

    delineate segment liver.nii.gz --box 120,80,40,210,190,90 --label liver
    delineate segment clip.mp4 --point 320,200 --label tool -o tool
    """
    from delineate.errors import PromptError
    from delineate.io.naming import default_output
    from delineate.io.opening import open_scan
    from delineate.io.outputs import Outputs
    from delineate.io.writers.nifti import HEADER_KEPT, require_header
    from delineate.prompt_log import PromptLog
    from delineate.session import Session
    from delineate.systems import BuildOptions, build

    scan = open_scan(
        input,
        slice_axis=axis,
        series=series,
        index=index,
        window=window,
        to_grey=to_grey,
        resample_irregular=resample_irregular,
        stored_orientation=stored_orientation,
        max_pixels=max_pixels,
        max_voxels=max_voxels,
        pages=pages,
        affine=affine,
        spacing_order=spacing_order,
    )
    pointed = bool(box or point or neg or mask or text or markers or frame is not None)
    how = options.following(
        memory=memory,
        stride=stride,
        memories=memories,
        prompted=prompted_memories,
        fill=fill,
        exclusive=no_overlap,
        directions=directions,
        no_reset=no_reset,
    )
    if prompts is not None and (pointed or frame_only or how is not None):
        raise PromptError(
            "E-PROMPTS-TWICE",
            f"{prompts.name} already says all that is to be done; nothing can be pointed at beside it.",
            "Give either --prompts, or prompts such as --box, and options such as --frame-only and --memory.",
        )
    log = PromptLog.read(prompts) if prompts is not None else None
    written = _written(
        output or default_output(scan), scan, (log.objects if log else (label,)) if split else None, film
    )
    if keep_header:
        require_header(output or default_output(scan), scan)
        scan = scan.with_notices(HEADER_KEPT)
    read = (input, prompts, mask, markers, options.model_file(model), adapter, vocabulary)
    outputs = Outputs(written.paths, read, overwrite)
    built = BuildOptions(None, untrained, threads, device, precision, backend, vocabulary, adapter)
    with outputs:
        predictor = build(model, built, system)
        with progress_bar(f"Following {label}", quiet or json) as progress:
            if log is not None:
                session = Session.replay(scan, log, predictor, progress, force)
            else:
                given, notices = _prompts(scan, box, point, neg, mask, text, frame, space, markers)
                marked = [one.frame for one in given if one.frame is not None] if markers else []
                first, stop = (min(marked), max(marked) + 1) if marked else (None, None)
                session = Session(scan.with_notices(*notices), predictor)
                session.add_object(label)
                for one in given:
                    session.prompt(one, label)
                if len(scan) > 1 and not frame_only:
                    session.propagate((), first, stop, progress, how)
        manifest = _write(session, written, outputs, keep_header)
    _report(session, manifest, written, json, quiet, input)


def _prompts(
    scan: Scan,
    boxes: list[str] | None,
    points: list[str] | None,
    negatives: list[str] | None,
    mask: Path | None,
    text: str | None,
    frame: int | None,
    space: str,
    markers: Path | None,
) -> tuple[list[Prompt], tuple[Notice, ...]]:
    """What was pointed at, and what should be known about it."""
    from delineate.cli.mask_prompt import mask_prompt
    from delineate.errors import PromptError
    from delineate.grid import Space
    from delineate.prompts import Box, Point, Text

    if space not in list(Space):
        raise PromptError("E-OPTION", f'--space "{space}" is not one of {", ".join(Space)}.')
    at: dict[str, Any] = {"space": Space(space), "frame": frame}
    given: list[Prompt] = []
    notices: tuple[Notice, ...] = ()
    if mask:
        drawn, notices = mask_prompt(mask, scan, frame)
        given.append(drawn)
    if markers:
        from delineate.cli.markers import marker_prompts

        given += marker_prompts(markers, scan)
    if text is not None:
        given.append(Text(text, frame=frame))
    given += [Box(*options.numbers(b, (4, 6), "--box"), **at) for b in boxes or ()]
    given += [Point(*options.numbers(p, (2, 3), "--point"), **at) for p in points or ()]
    given += [Point(*options.numbers(p, (2, 3), "--neg"), positive=False, **at) for p in negatives or ()]
    if not given:
        raise PromptError(
            "E-PROMPT-NONE",
            "Nothing says which structure is meant.",
            "Point at it with --box x0,y0,x1,y1, with --point x,y, with --mask FILE, or with --text WORDS "
            "(or give --prompts FILE). See also: delineate inspect FILE",
        )
    return given, notices


@dataclass(frozen=True)
class _Written:
    """What a run writes: outlines (file: the one structure in it, or None), and beside them manifest, preview, film."""

    outlines: dict[Path, str | None]
    manifest: Path
    preview: Path
    film: Path | None

    @property
    def paths(self) -> tuple[Path, ...]:
        companions = (self.manifest, self.preview, *([self.film] if self.film is not None else []))
        return (*self.outlines, *companions)


def _written(target: Path, scan: Scan, split: Sequence[str] | None, film: bool) -> _Written:
    """Raises OutputError for names that cannot be used."""
    from delineate.io.naming import beside
    from delineate.io.saving import check_record, outline_files
    from delineate.scan import ScanKind

    manifest, preview = beside(target, ".manifest.json"), beside(target, ".preview.png")
    outlines = outline_files(target, scan.kind, split)
    check_record(manifest, tuple(outlines))
    return _Written(
        outlines, manifest, preview, beside(target, ".film.mp4") if film and scan.kind is ScanKind.VIDEO else None
    )


def _write(session: Session, written: _Written, outputs: Outputs, keep_header: bool) -> Manifest:
    from delineate.io.overlay import save_film, save_preview
    from delineate.io.saving import output_record, write_manifest, write_outlines

    scan, outlines = session.scan, session.segmentation
    write_outlines(outlines, written.outlines, scan, outputs, keep_header=keep_header)
    manifest = session.manifest([output_record(outputs.stage(f), _format_of(f)) for f in written.outlines])
    write_manifest(manifest, outputs.stage(written.manifest))
    save_preview(scan, outlines, outputs.stage(written.preview))
    if written.film is not None:
        save_film(scan, outlines, outputs.stage(written.film))
    return manifest


def _report(session: Session, manifest: Manifest, written: _Written, json: bool, quiet: bool, input: Path) -> None:
    """What was found, where it was written, and how to do it again."""
    if json:
        result_json({"files": [str(f) for f in written.paths], "manifest": manifest.model_dump(mode="json")})
        return
    if not quiet:
        for notice in session.notices:
            tell(f"Note: {notice.message}")
    for one in manifest.objects:
        result(_found(one, session.scan))
    for path in written.paths:
        result(f"  {path}")
    if not quiet:
        tell(f"Again: delineate segment {input} --prompts {written.manifest} -o OTHER-NAME")


def _found(one: Any, scan: Scan) -> str:
    """One line on one object."""
    from delineate.scan import ScanKind

    if not one.frames:
        return f"{one.name}: nothing found"
    sure = sum(one.confidence.values()) / max(1, len(one.confidence))
    where = f" on {one.frames} of {len(scan)} {scan.frame_word}s" if scan.kind is not ScanKind.IMAGE else ""
    size = f", {one.volume_mm3 / 1000:.2f} ml" if one.volume_mm3 else f", {one.pixels} pixels"
    doubts = f"; look at {', '.join(str(f) for f in list(one.warnings)[:8])}" if one.warnings else ""
    return f"{one.name}{where}{size}, mean confidence {sure:.2f}{doubts}"


def _format_of(path: Path) -> str:
    return "folder of PNG masks" if not path.suffix else "".join(path.suffixes[-2:]).lstrip(".")
