"""A session of Python saved as ``segment`` saves one: outlines, the record for ``replay``, a picture to check."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

from delineate.core.manifest import RunRecord
from delineate.io.naming import beside
from delineate.io.options import ReadOptions
from delineate.io.outputs import Outputs
from delineate.io.overlay import save_preview
from delineate.io.saving import outline_files, output_record, write_manifest, write_outlines
from delineate.session import Session
from delineate.verbs.remarks import remarks_of
from delineate.verbs.request import ModelChoice, OutputChoice, format_of, recorded


def save_session(
    session: Session,
    path: str | Path,
    overwrite: bool = False,
    split: bool = False,
    reading: ReadOptions | None = None,
    model: str | None = None,
) -> tuple[Path, ...]:
    """Write outlines, manifest and preview beside each other, all of them or none; returns the files written.

    Parameters
    ----------
    session
        As it stands.
    path
        As for ``save``: the name says the format. ``NAME.manifest.json`` and ``NAME.preview.png`` go beside it.
    overwrite
        Replace what this program wrote before.
    split
        One file for each object.
    reading
        How the scan was opened, where that was not as usual; for ``replay``.
    model
        The file or the name of the model that answered, for ``replay``.  [default: the name the model says]

    Raises
    ------
    OutputError
        If an output must not be written.
    """
    scan, target = session.scan, Path(path)
    outlines = outline_files(target, scan.kind, session.segmentation.names if split else None)
    manifest_file, preview = beside(target, ".manifest.json"), beside(target, ".preview.png")
    files = (*outlines, manifest_file, preview)
    choice = ModelChoice(name=model or session.predictor.record.name)
    fields = recorded(reading or ReadOptions(), choice, OutputChoice(split=split), scan)
    with Outputs(files, [scan.file.path if scan.file else None], overwrite) as outputs:
        write_outlines(session.segmentation, outlines, scan, outputs)
        records = [output_record(outputs.stage(file), format_of(file)) for file in outlines]
        run = RunRecord(guards=asdict(session.guards), **fields)
        manifest = session.manifest(records).model_copy(update={"run": run})
        write_manifest(manifest, outputs.stage(manifest_file))
        save_preview(scan, session.segmentation, outputs.stage(preview), remarks_of(session, manifest.objects))
    return files
