"""The pictures of the page in README and documents: the demo's scans, opened and outlined in a real browser.

Needs chromium, node and ``npm ci`` in web/; ``python tools/page_pictures.py demo`` takes the scans of a folder where
``make demo`` has run, and writes docs/gallery/page*.webp.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

import nibabel as nib
import uvicorn
from PIL import Image

from delineate.server.app import application, listening
from delineate.server.settings import ServerSettings
from delineate.systems import shipped_predictor

ROOT = Path(__file__).resolve().parents[1]
GALLERY = ROOT / "docs" / "gallery"
QUALITY = 82
BOXES = [  # x0, y0, x1, y1 on slice 20
    ("liver", (25, 31, 95, 85)),
    ("spleen", (108, 61, 133, 99)),
]
CLICKS = {"liver": (60, 55), "chamber": (128, 140)}


def main(demo: Path) -> None:
    browser, node = shutil.which("chromium") or shutil.which("google-chrome"), shutil.which("node")
    if browser is None or node is None:
        sys.exit("chromium and node are needed: apt-get install chromium nodejs npm")
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        settings = ServerSettings(port=0, token="pictures", root=demo, state=place / "state")
        bound = listening(settings)
        predictor = shipped_predictor()
        server = uvicorn.Server(uvicorn.Config(application(settings, lambda name: predictor), log_level="error"))
        thread = threading.Thread(target=server.run, args=([bound],), daemon=True)
        thread.start()
        address = f"http://127.0.0.1:{bound.getsockname()[1]}"
        told = json.dumps(_scene(demo))
        words = [node, str(ROOT / "web/test/pictures.mjs"), address, settings.token, browser, str(place), told]
        subprocess.run(words, check=True, timeout=900)
        server.should_exit = True
        thread.join(20)
        for picture in sorted(place.glob("page*.png")):
            small = GALLERY / f"{picture.stem}.webp"
            Image.open(picture).convert("RGB").save(small, quality=QUALITY, method=6)
            print(small, f"{small.stat().st_size / 1000:.0f} KB")


def _scene(demo: Path) -> dict[str, object]:
    """What is pointed at, and the sizes of the demo's frames."""
    header = nib.load(demo / "abdomen.nii.gz").header
    film = Image.open(next((demo / "echo").glob("*.png"))).size
    return {
        "size": [int(n) for n in header.get_data_shape()[:2]],
        "spacing": [float(mm) for mm in header.get_zooms()[:2]],
        "boxes": BOXES,
        "clicks": {**CLICKS, "film": film},
    }


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "demo"))
