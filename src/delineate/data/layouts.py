"""Folders of labeled scans, recognized by what lies in them. Nothing is decoded before it is needed.

layout            what it looks like
manifest          ``manifest.json`` (docs/reference/evaluation.md)
views of hearts   ``views.csv`` beside clips and their labels
EchoNet           ``FileList.csv``, ``VolumeTracings.csv``, ``Videos/NAME.avi``, there or in ``A4C`` and ``PSAX``
nnU-Net raw       ``dataset.json``, ``imagesTr/NAME_0000.nii.gz``, ``labelsTr/NAME.nii.gz`` (and ``imagesTs``);
                  or as the Medical Segmentation Decathlon is
shards            ``shards.json`` and tar files (``delineate dataset shard``)
VOS               ``JPEGImages/VIDEO/*.jpg``, ``Annotations/VIDEO/*.png``, there or in train and valid
SA-Med2D          ``SAMed2D_v1.json``, ``images``, ``masks``; names as modality--dataset--case--axis_slice
COCO              a JSON of images, annotations and categories; pictures beside it or in folders
EndoVis           ``SEQUENCE/left_frames``, with ``ground_truth/NAME_labels`` or color-coded ``labels``
CHAOS             ``MR/ID/T2SPIR/{DICOM_anon, Ground}``, ``CT/ID/{DICOM_anon, Ground}``, there or in ``Train_Sets``
BTCV              ``img/img0001.nii.gz``, ``label/label0001.nii.gz``, there or in ``RawData/Training``
polyps            ``TrainDataset/{images, masks}``, ``TestDataset/SET/{images, masks}``
MedSAM npz        npz files with ``imgs`` and ``gts``, in folders or not; pairs ``imgs/NAME.npy``, ``gts/NAME.npy``
CAMUS             ``patient0001_2CH_ED.nii.gz`` (or ``.mhd``) beside ``..._gt``, in folders or not
images and masks  two folders (images and masks, labels, annotations or gt), files or folders of frames of one name

The grammar of each is in docs/reference/datasets.md.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from delineate.core.errors import InputError
from delineate.data import (
    abdominal,
    camus,
    challenge_npz,
    coco,
    echo_table,
    echonet,
    endovis,
    mask_folders,
    nnunet,
    polyps,
    sa_med2d,
    shards,
)
from delineate.data.cases import MANIFEST, Case, Task, Use, load_cases
from delineate.data.confined import DataFolder
from delineate.data.label_pictures import pictures


@dataclass(frozen=True)
class Layout:
    name: str
    fits: Callable[[DataFolder], bool]
    read: Callable[[DataFolder], Iterator[Case]]


def read_dataset(root: Path, follow_links: bool = False) -> tuple[str, list[Case]]:
    """The name of a folder's layout, and its labeled cases in a fixed order.

    follow_links  whether its paths and links may lead outside the folder; where one does and may not, its case is
                  refused when it is opened (``confined``)

    Raises InputError if there is no such folder, or no layout fits it; OutsideError for an index that lies elsewhere.
    """
    if not root.is_dir():
        raise InputError("E-DATA-FOLDER", f"There is no folder {root}.", "Check the path.")
    home = DataFolder(root, follow_links)
    for layout in LAYOUTS:
        if layout.fits(home):
            return layout.name, [replace(case, home=home) for case in layout.read(home)]
    seen = ", ".join(sorted(p.name for p in root.iterdir())[:6])
    links = sum(path.is_symlink() for path in root.iterdir()) if not follow_links else 0
    raise InputError(
        "E-DATA-LAYOUT",
        f"{root} is laid out as nothing that is known here; it holds: {seen}.",
        f"Known: {', '.join(layout.name for layout in LAYOUTS)}. A manifest.json can describe anything "
        "(docs/reference/evaluation.md)."
        + (f" {links} of them are links; those that lead outside are entered with --follow-links." if links else ""),
    )


def _manifest(home: DataFolder) -> Iterator[Case]:
    yield from load_cases(home.root, uses=tuple(Use), follow_links=home.follow_links)


def _vos(home: DataFolder) -> Iterator[Case]:
    root = home.root
    for base in _vos_roots(root):
        split = base.name.lower() if base != root else ""
        use = Use.TRAIN if split.startswith("train") else Use.TEST
        folders = sorted(path for path in (base / "Annotations").rglob("*") if path.is_dir())
        videos = [folder for folder in folders if pictures(folder)]
        often = Counter(folder.name for folder in videos)
        for labels in videos:
            inside = labels.relative_to(base / "Annotations")  # DAVIS has 480p/VIDEO, and Full-Resolution/VIDEO
            own = labels.name if often[labels.name] == 1 else inside.as_posix()
            name = f"{split}/{own}" if split else own
            frames = base / "JPEGImages" / inside
            yield Case(name, root.name, "video", Task.VIDEO, frames, labels, {0: "object"}, use, labels.name)


def _vos_roots(root: Path) -> list[Path]:
    """The folder itself, or its splits."""
    places = [root, *sorted(path for path in root.iterdir() if path.is_dir())]
    return [path for path in places if (path / "Annotations").is_dir() and (path / "JPEGImages").is_dir()]


LAYOUTS = (
    Layout("manifest", lambda home: (home.root / MANIFEST).is_file(), _manifest),
    Layout("shards", lambda home: (home.root / shards.INDEX).is_file(), shards.cases_of),
    Layout("views of hearts", echo_table.fits, echo_table.read),
    Layout("EchoNet", echonet.fits, echonet.read),
    Layout("nnU-Net raw", nnunet.fits, nnunet.read),
    Layout("VOS", lambda home: bool(_vos_roots(home.root)), _vos),
    Layout("SA-Med2D", sa_med2d.fits, sa_med2d.read),
    Layout("COCO", coco.fits, coco.read),
    Layout("CHAOS", abdominal.fits_chaos, abdominal.read_chaos),
    Layout("BTCV", abdominal.fits_btcv, abdominal.read_btcv),
    Layout("polyps", polyps.fits, polyps.read),
    Layout("EndoVis", endovis.fits, endovis.read),
    Layout("MedSAM npz", challenge_npz.fits, challenge_npz.read),
    Layout("images and masks", mask_folders.two_folders, mask_folders.read_two_folders),
    Layout("CAMUS", camus.fits, camus.read),
    Layout("labels beside pictures", mask_folders.side_by_side, mask_folders.read_side_by_side),
)
