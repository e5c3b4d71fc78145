"""Folders of labelled scans, recognised by what lies in them. Nothing is decoded before it is needed.

layout            what it looks like
manifest          ``manifest.json`` (docs/reference/evaluation.md)
nnU-Net raw       ``dataset.json``, ``imagesTr/NAME_0000.nii.gz``, ``labelsTr/NAME.nii.gz`` (and ``imagesTs``)
shards            ``shards.json`` and tar files (``delineate dataset shard``)
VOS               ``JPEGImages/VIDEO/*.jpg``, ``Annotations/VIDEO/*.png``, there or in train and valid
SA-Med2D          ``SAMed2D_v1.json``, ``images``, ``masks``; names as modality--dataset--case--axis_slice
COCO              a JSON of images, annotations and categories; pictures beside it or in folders
EndoVis           ``SEQUENCE/left_frames``, with ``ground_truth/NAME_labels`` or colour-coded ``labels``
MedSAM npz        npz files with ``imgs`` and ``gts``, in folders or not; pairs ``imgs/NAME.npy``, ``gts/NAME.npy``
CAMUS             ``patient0001_2CH_ED.nii.gz`` beside ``..._gt.nii.gz``, in folders or not
images and masks  two folders (images and masks, labels, annotations or gt), files or folders of frames of one name

The grammar of each is in docs/reference/datasets.md.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from delineate.core.errors import InputError
from delineate.data import challenge_npz, coco, endovis, shards
from delineate.data.cases import MANIFEST, Case, Task, Use, load_cases
from delineate.data.confined import DataFolder
from delineate.data.label_pictures import pictures
from delineate.data.subjects import subjects_in

IMAGE_FOLDERS = ("images", "image", "imgs", "img")
MASK_FOLDERS = ("masks", "mask", "labels", "label", "annotations", "gt", "gts", "ground_truth")
MASK_ENDING = re.compile(r"_(mask|label|gt|seg|segmentation)$", re.IGNORECASE)
VOLUMES = (".nii", ".nii.gz", ".nrrd", ".mha", ".mhd")
SA_MED2D = re.compile(
    r"(?P<modality>[^_-]+)(?:_(?P<sub>.+?))?--(?P<dataset>.+?)--(?P<case>.+?)--(?P<slice>.+?)"
    r"(?:--(?P<label>\d+)_(?P<instance>\d+))?\.png$"
)


@dataclass(frozen=True)
class Layout:
    name: str
    fits: Callable[[DataFolder], bool]
    read: Callable[[DataFolder], Iterator[Case]]


def read_dataset(root: Path, follow_links: bool = False) -> tuple[str, list[Case]]:
    """The name of a folder's layout, and its labelled cases in a fixed order.

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


def _nnunet(home: DataFolder) -> Iterator[Case]:
    root = home.root
    about = json.loads(home.inside("dataset.json").read_text())
    ending = about.get("file_ending", ".nii.gz")
    names = _label_names(about["labels"])
    channel = next(iter((about.get("channel_names") or about.get("modality") or {"0": "unknown"}).values()))
    for images, labels, use in (("imagesTr", "labelsTr", Use.TRAIN), ("imagesTs", "labelsTs", Use.TEST)):
        found = sorted((root / labels).glob(f"*{ending}"))
        subjects = subjects_in([label.name.removesuffix(ending) for label in found])
        for label in found:
            stem = label.name.removesuffix(ending)
            task = Task.VOLUME if ending in VOLUMES else Task.IMAGE
            image = root / images / f"{stem}_0000{ending}"
            yield Case(stem, root.name, str(channel), task, image, label, names, use, subjects[stem])


def _is_nnunet(home: DataFolder) -> bool:
    return (home.root / "dataset.json").is_file() and (home.root / "labelsTr").is_dir()


def _label_names(labels: dict) -> dict[int, str]:
    """nnU-Net writes {name: value} since version 2, {value: name} before; a region of several values is left out."""
    turned = {str(v): k for k, v in labels.items()} if "background" in labels else labels
    return {int(v): str(name) for v, name in turned.items() if str(v).isdigit() and int(v) > 0}


def _vos(home: DataFolder) -> Iterator[Case]:
    root = home.root
    for base in _vos_roots(root):
        split = base.name.lower() if base != root else ""
        use = Use.TRAIN if split.startswith("train") else Use.TEST
        folders = sorted(path for path in (base / "Annotations").rglob("*") if path.is_dir())
        for labels in (folder for folder in folders if pictures(folder)):
            inside = labels.relative_to(base / "Annotations")  # DAVIS has 480p/VIDEO
            name = f"{split}/{labels.name}" if split else labels.name
            frames = base / "JPEGImages" / inside
            yield Case(name, root.name, "video", Task.VIDEO, frames, labels, {0: "object"}, use, labels.name)


def _vos_roots(root: Path) -> list[Path]:
    """The folder itself, or its splits."""
    places = [root, *sorted(path for path in root.iterdir() if path.is_dir())]
    return [path for path in places if (path / "Annotations").is_dir() and (path / "JPEGImages").is_dir()]


def _sa_med2d(home: DataFolder) -> Iterator[Case]:
    root = home.root
    listed = json.loads(home.require_inside(next(root.glob("SAMed2D*v1.json"))).read_text())
    classes = next(iter(root.glob("SAMed2D*class_mapping_id.json")), None)
    names = json.loads(home.require_inside(classes).read_text()) if classes else {}
    for image, masks in sorted(listed.items()):
        for mask in masks:
            told = parse_sa_med2d(mask)
            known = {str(number): name for name, number in names.get(told["dataset"], {}).items()}
            structure = known.get(str(int(told["label"] or 0)), f"class {told['label']}")
            case_id = Path(mask).name.removesuffix(".png")
            modality = told["modality"] or "unknown"
            yield Case(
                case_id,
                told["dataset"] or "",
                modality,
                Task.IMAGE,
                root / image,
                root / mask,
                {0: structure},
                Use.TRAIN,
                told["case"] or "",
            )


def parse_sa_med2d(name: str) -> dict[str, str | None]:
    """The parts of an SA-Med2D-20M file name: modality, sub, dataset, case, slice, label, instance.

    Raises InputError for other names.
    """
    match = SA_MED2D.match(name.replace("\\", "/").rsplit("/", 1)[-1])
    if match is None:
        raise InputError(
            "E-DATA-NAME",
            f"{name} is no name of SA-Med2D: modality--dataset--case--axis_slice.png.",
            "Name the file so, or describe the data set in a manifest.json (docs/reference/datasets.md).",
        )
    return match.groupdict()


def _camus(home: DataFolder) -> Iterator[Case]:
    names = {1: "left ventricle", 2: "myocardium", 3: "left atrium"}
    for label in home.search("*_gt.nii.gz"):
        image = label.with_name(label.name.replace("_gt.nii.gz", ".nii.gz"))
        task = Task.VIDEO if "sequence" in label.name else Task.IMAGE
        yield Case(label.name.removesuffix("_gt.nii.gz"), "CAMUS", "ultrasound", task, image, label, names, Use.TRAIN)


def _folders(home: DataFolder) -> Iterator[Case]:
    root = home.root
    for base, images, masks in _pairs_of_folders(root):
        split = base.name if base != root else ""
        use = Use.TEST if split.lower().startswith(("test", "val")) else Use.TRAIN
        by_stem = {_stem(path): path for path in sorted(images.iterdir()) if not path.name.startswith(".")}
        for label in sorted(path for path in masks.iterdir() if not path.name.startswith(".")):
            stem = label.name if label.is_dir() else _stem(label)
            image = by_stem.get(stem) or by_stem.get(MASK_ENDING.sub("", stem)) or images / label.name
            task = Task.VOLUME if label.name.endswith(VOLUMES) else Task.VIDEO if label.is_dir() else Task.IMAGE
            case_id = f"{split}/{stem}" if split else stem
            yield Case(case_id, root.name, "unknown", task, image, label, {0: "structure"}, use)


def _pairs_of_folders(root: Path) -> list[tuple[Path, Path, Path]]:
    """(folder, its images, its masks): the folder itself, or its splits."""
    found = _image_and_mask_folders(root)
    if found:
        return [(root, *found)]
    splits = sorted(path for path in root.iterdir() if path.is_dir() and not path.name.startswith("."))
    return [(path, *pair) for path in splits if (pair := _image_and_mask_folders(path))]


def _image_and_mask_folders(root: Path) -> tuple[Path, Path] | None:
    found = {path.name.lower(): path for path in root.iterdir() if path.is_dir()}
    images = next((found[name] for name in IMAGE_FOLDERS if name in found), None)
    masks = next((found[name] for name in MASK_FOLDERS if name in found), None)
    return (images, masks) if images and masks else None


def _stem(path: Path) -> str:
    return re.sub(r"(\.nii)?\.[^.]+$", "", path.name)


LAYOUTS = (
    Layout("manifest", lambda home: (home.root / MANIFEST).is_file(), _manifest),
    Layout("shards", lambda home: (home.root / shards.INDEX).is_file(), shards.cases_of),
    Layout("nnU-Net raw", _is_nnunet, _nnunet),
    Layout("VOS", lambda home: bool(_vos_roots(home.root)), _vos),
    Layout("SA-Med2D", lambda home: any(home.root.glob("SAMed2D*v1.json")), _sa_med2d),
    Layout("COCO", coco.fits, coco.read),
    Layout("EndoVis", endovis.fits, endovis.read),
    Layout("MedSAM npz", challenge_npz.fits, challenge_npz.read),
    Layout("images and masks", lambda home: bool(_pairs_of_folders(home.root)), _folders),
    Layout("CAMUS", lambda home: bool(home.search("*_gt.nii.gz")), _camus),
)
