"""Where the model that ships fails, in pictures: ``python tools/failures.py`` writes docs/gallery/failures.png.

Made-up scenes that no run learned from, one structure of each whose border can mostly be seen: the worst from a box
above, the worst after twenty clicks below. Of real scans ``delineate evaluate`` leaves such a sheet beside its tables.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
from PIL import Image

from delineate.data.layouts import read_dataset
from delineate.evaluation.report import worst_sheet
from delineate.evaluation.runner import EvaluateOptions, evaluate
from delineate.evaluation.tables import Measured
from delineate.preprocess.crop import CropWindow
from delineate.quill.data.synthetic import synthetic_scene
from delineate.quill.data.visibility import visible_share
from delineate.quill.prompt_maps import CropPrompts, prompt_maps
from delineate.training.prompt_simulation import bounding_box
from tables import ROOT

SIZE, SEED, SHOWN, OF_A_KIND = 256, 2**31 + 1, 4, 2
SCENES = {"box-2d": 150, "clicks-2d": 40}
SEEN, LEAST = 0.6, 150  # share of the border, and pixels of a structure


def write_scenes(folder: Path, count: int) -> None:
    """Pictures and masks, as any labeled folder."""
    rng = np.random.default_rng(SEED)
    (folder / "images").mkdir()
    (folder / "masks").mkdir()
    made = 0
    while made < count:
        scene = synthetic_scene(rng, SIZE)
        mask = scene.targets[rng.integers(len(scene.targets)), 0]
        window = CropWindow.around(tuple(bounding_box(mask)), 1.5)
        maps = prompt_maps(scene.frames[0], CropPrompts(), window, 128)
        if mask.sum() < LEAST or visible_share(maps[:3], window.cut(mask, 128) > 0.5) < SEEN:
            continue
        picture = (scene.frames[0].clip(0, 1) * 255).astype(np.uint8)
        Image.fromarray(picture).save(folder / "images" / f"{scene.kind}_{made:03d}.png")
        Image.fromarray(mask.astype(np.uint8)).save(folder / "masks" / f"{scene.kind}_{made:03d}.png")
        made += 1


def worst_of(protocol: str) -> Image.Image:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_scenes(folder, SCENES[protocol])
        report = evaluate(EvaluateOptions(data=folder, protocol=protocol, predictors=("quill",), output=folder / "out"))
        column = report.headline if report.protocol.box_alone else report.protocol.columns[-1]
        ranked = sorted(report.measured, key=lambda one: one.outcome.values[column.key])
        kinds: dict[str, list[Measured]] = {}
        for one in ranked:
            kinds.setdefault(one.case.rsplit("_", 1)[0], []).append(one)
        few = [one for own in kinds.values() for one in own[:OF_A_KIND]]
        worst = sorted(few, key=lambda one: one.outcome.values[column.key])[:SHOWN]
        return worst_sheet(worst, column, {case.key: case for case in read_dataset(folder)[1]})


def main() -> None:
    sheets = [worst_of(protocol) for protocol in SCENES]
    whole = Image.new("RGB", (max(s.width for s in sheets), sum(s.height for s in sheets)), "white")
    top = 0
    for sheet in sheets:
        whole.paste(sheet, (0, top))
        top += sheet.height
    whole.quantize(256).save(ROOT / "docs" / "gallery" / "failures.png", optimize=True)


if __name__ == "__main__":
    main()
