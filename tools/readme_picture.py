"""The picture at the top of the README: a box, a click, a correction, each with what Quill made of it.

``python tools/readme_picture.py`` writes docs/prompts.png from the made-up scans of ``delineate demo``.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from delineate import Box, Point, Session
from delineate.core.prompts import Prompt
from delineate.core.scan import Scan
from delineate.demo.phantom import phantom_volume, ultrasound_clip
from delineate.io.overlay import INK, PAPER, overlay_frame
from delineate.preprocess.display import display_window

OUT = Path(__file__).resolve().parents[1] / "docs" / "prompts.png"
SIDE, GAP, CAPTION = 300, 8, 30
PLUS, MINUS, FRAME = (64, 220, 90), (255, 70, 60), (255, 220, 60)


def panel(scan: Scan, frame: int, prompts: Sequence[Prompt], caption: str) -> Image.Image:
    """One frame with prompts and the outline they give, square, and words below it."""
    session = Session(scan)
    session.prompt_all(list(prompts), "structure", one_by_one=True)
    picture = overlay_frame(scan, session.segmentation, frame, display_window(scan))
    scale = SIDE / max(picture.shape[:2])
    size = round(picture.shape[1] * scale), round(picture.shape[0] * scale)
    image = Image.fromarray(picture).resize(size, Image.Resampling.BICUBIC)
    pen = ImageDraw.Draw(image)
    for prompt in prompts:
        _draw(pen, prompt, scale)
    whole = Image.new("RGB", (SIDE, SIDE + CAPTION), INK)
    whole.paste(image, ((SIDE - size[0]) // 2, (SIDE - size[1]) // 2))
    text = ImageDraw.Draw(whole)
    font = ImageFont.load_default(15)
    text.text(((SIDE - text.textlength(caption, font)) / 2, SIDE + 6), caption, fill=PAPER, font=font)
    return whole


def _draw(pen: ImageDraw.ImageDraw, prompt: Prompt, scale: float) -> None:
    match prompt:
        case Box():
            pen.rectangle([n * scale for n in prompt.corners], outline=FRAME, width=2)
        case Point():
            x, y = ((n + 0.5) * scale for n in prompt.at[:2])
            color = PLUS if prompt.positive else MINUS
            pen.line([x - 7, y, x + 7, y], fill=color, width=3)
            if prompt.positive:
                pen.line([x, y - 7, x, y + 7], fill=color, width=3)


def main() -> None:
    """Write the picture."""
    abdomen, clip = phantom_volume().scan, ultrasound_clip().scan
    not_this = [Point(x, y, frame=15, positive=False) for x, y in ((57, 85), (52, 98))]
    panels = [
        panel(abdomen, 20, [Box(25, 31, 95, 85, frame=20)], "a box"),
        panel(clip, 0, [Point(128, 140, frame=0)], "a click"),
        panel(abdomen, 15, [Point(55, 55, frame=15)], "a click that took too much"),
        panel(abdomen, 15, [Point(55, 55, frame=15), *not_this], "corrected by two more"),
    ]
    sheet = Image.new("RGB", (len(panels) * (SIDE + GAP) + GAP, SIDE + CAPTION + 2 * GAP), INK)
    for number, one in enumerate(panels):
        sheet.paste(one, (GAP + number * (SIDE + GAP), GAP))
    sheet.quantize(256, dither=Image.Dither.NONE).save(OUT, optimize=True)
    print(OUT, np.asarray(sheet).shape)


if __name__ == "__main__":
    main()
