"""Reading options that mean nothing for a file: told, so that nobody believes they were followed."""

from __future__ import annotations

from delineate.core.errors import Notice
from delineate.core.scan import Scan, ScanKind
from delineate.io.options import Pages, ReadOptions

# what each reader looks at, by its module
FOLLOWED: dict[str, frozenset[str]] = {
    "dicom": frozenset({"series", "pages", "resample_irregular"}),
    "picture": frozenset({"index", "pages", "stored_orientation"}),
    "tiff": frozenset({"index", "channel", "pages", "stored_orientation"}),
    "frame_folder": frozenset({"index", "channel", "pages", "stored_orientation"}),
    "nifti": frozenset({"index", "pages", "affine", "to_gray"}),
    "nrrd": frozenset({"index"}),
    "mgh": frozenset({"index"}),
    "nibabel_volume": frozenset({"index"}),
    "metaimage": frozenset(),
    "npz": frozenset({"spacing_order"}),
    "npy": frozenset({"spacing_order"}),
    "video": frozenset({"pages"}),
}
CHOICES = ("index", "channel", "pages", "series", "affine", "spacing_order", "to_gray", "resample_irregular",
           "stored_orientation")  # fmt: skip
_KINDS = {Pages.STACK: ScanKind.VOLUME, Pages.VIDEO: ScanKind.VIDEO}


def unused(options: ReadOptions, reader: str, scan: Scan) -> tuple[Notice, ...]:
    """A notice of the choices that a reader (the last part of its module's name) does not look at, if there are any.

    Readers of other distributions are not known, and nothing is told of them.
    """
    followed = FOLLOWED.get(reader)
    if followed is None:
        return ()
    names = [name for name in CHOICES if getattr(options, name) not in (None, False) and name not in followed]
    if options.pages is not None and "pages" in followed and scan.kind is not _KINDS[options.pages]:
        names.append("pages")
    if options.slice_axis is not None and scan.kind is not ScanKind.VOLUME:
        names.append("axis")
    if not names:
        return ()
    words = ", ".join(f"--{name.replace('_', '-')}" for name in names)
    return (Notice("W-OPTION-UNUSED", f"{words}: this has no meaning for the file, and was not followed."),)
