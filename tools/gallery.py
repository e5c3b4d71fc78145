"""The pictures of the gallery: ``make gallery`` runs commands on made-up scans and writes small pictures.

Each picture is what a command of the page wrote, made smaller; nothing is drawn by hand.
"""

from __future__ import annotations

import shlex
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from delineate.demo.phantom import phantom_volume

ROOT = Path(__file__).resolve().parents[1]
GALLERY = ROOT / "docs" / "gallery"
COLORS = 128
ABDOMEN = "demo/abdomen.nii.gz"
ORGANS = "demo/abdomen_seg.nii.gz"
LIVER = "--label liver --frame 20 --box 25,31,95,85"
SECOND = "--frame 8 --box 41,44,63,64 --limit 8-31"
SPLEEN = "--label spleen --frame 20 --box 108,61,133,99"
PATIENTS = 5
CT = "ct.dcm"  # the slice that comes with pydicom


@dataclass(frozen=True)
class Picture:
    """One picture of the page.

    name      of the file, without its ending
    title     a line of text
    commands  what is run, one after the other, in a folder where ``delineate demo`` has run
    shown     the file they leave
    width     pixels, at most, of what is kept of it
    """

    name: str
    title: str
    commands: tuple[str, ...]
    shown: str
    width: int = 720


PICTURES = (
    Picture("volume", "Four organs of a made-up CT, one box each, followed through the slices", ("delineate demo",),
            "demo/abdomen_seg.preview.png"),
    Picture("where", "Where to point: a slice with rulers in the numbers of prompts",
            ("delineate inspect demo/abdomen.nii.gz --frame 20 --picture where.png",), "where.png"),
    Picture("video", "A beating chamber in a made-up ultrasound clip: one click, sixty frames",
            ("delineate segment demo/echo --point 128,140 --label chamber -o chamber",), "chamber.preview.png"),
    Picture("click", "A real CT slice (it comes with pydicom): one click",
            (f"delineate segment {CT} --point 58,66 -o click.png",), "click.preview.png"),
    Picture("data-set", "What dataset check draws of a folder of labeled pictures",
            ("delineate dataset check labeled --sheet sheet.png",), "sheet.png"),
    Picture("worst", "The worst outlines that evaluate found there, and the truth",
            ("delineate evaluate --data labeled --predictors quill --output report",), "report/box-2d-worst.png"),
    Picture("corruptions", "A picture under every corruption of the robustness protocols",
            ("delineate bench corruptions labeled/images/slice14.png -o corruptions.png",), "corruptions.png",
            width=420),
    Picture("tutorial-first", "Two structures in one line (the tutorial)",
            (f"delineate segment {ABDOMEN} {LIVER} {SPLEEN} -o organs.nii.gz",), "organs.preview.png", width=720),
    Picture("tutorial-changed", "What a correction on one slice changed",
            (f"delineate segment {ABDOMEN} {LIVER} {SECOND} {SPLEEN} -o corrected.nii.gz",
             f"delineate compare organs.nii.gz corrected.nii.gz --scan {ABDOMEN} --picture changed.png"),
            "changed.png", width=720),
    Picture("margin", "A margin of 5 mm around the liver that spares other organs",
            ("delineate clean demo/abdomen_seg.nii.gz --label liver --grow 5 -o margin.nii.gz",
             f"delineate compare {ORGANS} margin.nii.gz --label liver --scan {ABDOMEN} --picture margin.png"),
            "margin.png", width=720),
    Picture("filled", "Two drawn slices, and what was filled in between (blue)",
            (f"delineate segment {ABDOMEN} --box 25,31,95,85 --frame 20 --frame-only --label liver -o slice20.nii.gz",
             f"delineate segment {ABDOMEN} --box 28,32,79,77 --frame 14 --frame-only --label liver -o slice14.nii.gz",
             "delineate combine slice20.nii.gz slice14.nii.gz -o drawn.nii.gz",
             "delineate fill-between drawn.nii.gz -o filled.nii.gz",
             f"delineate compare drawn.nii.gz filled.nii.gz --scan {ABDOMEN} --picture filled.png"),
            "filled.png", width=720),
    Picture("compared", "Two outlines held against each other",
            ("delineate clean demo/abdomen_seg.nii.gz --label liver --shrink 4 -o other.nii.gz",
             f"delineate compare {ORGANS} other.nii.gz --scan {ABDOMEN} --picture differences.png"),
            "differences.png", width=720),
    Picture("one-example", "One labeled slice, and the liver on slices of other patients: the doubtful first",
            ("delineate oneshot --support labeled/images/slice14.png labeled/masks/slice14.png patients -o outlined",),
            "outlined/contact_sheet.png", width=720),
)  # fmt: skip


def labeled(folder: Path) -> None:
    """A small data set: slices of the made-up CT that show the liver, as pictures, with masks of what is true."""
    phantom = phantom_volume()
    liver = phantom.truth["liver"]
    for name in ("images", "masks"):
        (folder / "labeled" / name).mkdir(parents=True)
    for index in liver.frames[2::4]:
        gray = ((phantom.scan.pixels(index).astype(float) + 160) / 400).clip(0, 1) * 255
        mask = liver.masks[index].decode().astype(np.uint8)
        Image.fromarray(gray.astype(np.uint8)).save(folder / f"labeled/images/slice{index:02d}.png")
        Image.fromarray(mask).save(folder / f"labeled/masks/slice{index:02d}.png")


def patients(folder: Path) -> None:
    """Slices of other made-up patients, as pictures: of each the one with most of the liver, and one without it."""
    (folder / "patients").mkdir()
    for seed in range(1, PATIENTS + 1):
        phantom = phantom_volume(seed)
        liver = phantom.truth["liver"]
        shown = max(liver.frames, key=lambda frame: liver.masks[frame].area)
        bare = min(set(range(len(phantom.scan))) - set(liver.frames), default=shown)
        for name, frame in {f"patient{seed}": shown, **({f"patient{seed}_lower": bare} if seed == 1 else {})}.items():
            gray = ((phantom.scan.pixels(frame).astype(float) + 160) / 400).clip(0, 1) * 255
            Image.fromarray(gray.astype(np.uint8)).save(folder / f"patients/{name}.png")


def run(command: str, folder: Path) -> None:
    _, *words = shlex.split(command)
    subprocess.run([sys.executable, "-m", "delineate", *words], cwd=folder, check=True, stdout=subprocess.DEVNULL)


def small(picture: Path, width: int) -> Image.Image:
    """A picture as the gallery keeps it: narrow, and of few colors."""
    with Image.open(picture) as opened:
        image = opened.convert("RGB")
    image.thumbnail((width, 4 * width), Image.Resampling.LANCZOS)
    return image.quantize(COLORS, dither=Image.Dither.NONE)


def page() -> str:
    """The gallery page, in Markdown."""
    parts = ["# Gallery\n", "Each picture is what the commands below it wrote; `make gallery` makes them again.\n"]
    for one in PICTURES:
        parts += [f"## {one.title}\n", f"![{one.title}]({one.name}.png)\n", "```text", *one.commands, "```\n"]
    parts += [_FAILURES]
    return "\n".join(parts)


_FAILURES = """## Where it fails

The worst outlines of made-up scenes that no run learned from: from a box above, after twenty clicks below
(`python tools/failures.py`). The [model card](../reference/model-card.md) says more.

![The worst outlines of made-up scenes](failures.png)
"""


def main(folder: Path = GALLERY, names: Sequence[str] = ()) -> None:
    """Write the pictures, or those named; ``demo`` must come first where others need what it leaves."""
    from pydicom.data import get_testdata_file

    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        (place / CT).write_bytes(Path(str(get_testdata_file("CT_small.dcm", download=False))).read_bytes())
        labeled(place)
        patients(place)
        for one in (picture for picture in PICTURES if not names or picture.name in names):
            for command in one.commands:
                run(command, place)
            small(place / one.shown, one.width).save(folder / f"{one.name}.png", optimize=True)
    (folder / "index.md").write_text(page())


if __name__ == "__main__":
    main(names=sys.argv[1:])
