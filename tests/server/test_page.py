"""The page in a real browser: clicks land on the file's own voxels, and nothing leaves the machine."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import httpx
import nibabel as nib
import numpy as np
import pytest

from serving import TOKEN, nifti, served, voxels

pytestmark = pytest.mark.stage
PAGE = Path(__file__).resolve().parents[2] / "web"
BROWSER = shutil.which("chromium") or shutil.which("google-chrome")
NODE = shutil.which("node")


def test_the_page_in_the_wheel_is_what_its_source_gives(tmp_path: Path) -> None:
    if NODE is None or not (PAGE / "node_modules").is_dir():
        pytest.skip("no node, or no packages: npm ci in web/")
    subprocess.run(["npx", "tsc", "--noEmit"], cwd=PAGE, check=True, capture_output=True)
    built = tmp_path / "app.js"
    words = ["--bundle", "--minify", "--target=es2022", "--legal-comments=none", f"--outfile={built}"]
    subprocess.run(["npx", "esbuild", "src/main.ts", *words], cwd=PAGE, check=True, capture_output=True)
    assert built.read_bytes() == (PAGE.parent / "src/delineate/server/page/app.js").read_bytes(), "npm run build"


@pytest.mark.parametrize("axes", ["LPS", "LAS", "RAI", "PSR"])
def test_clicks_land_on_the_voxels_of_the_file(tmp_path: Path, axes: str) -> None:
    if NODE is None or BROWSER is None or not (PAGE / "node_modules").is_dir():
        pytest.skip("no node, browser or packages: see web/package.json")
    nifti(tmp_path / "root", axes)
    with served(tmp_path / "state", root=tmp_path / "root") as address:
        words = [NODE, str(PAGE / "test/clicks.mjs"), f"{address}/#token={TOKEN}&open=bar.nii.gz", BROWSER]
        ran = subprocess.run(words, capture_output=True, text=True, timeout=240)
        assert ran.returncode == 0, ran.stderr
        seen = json.loads(ran.stdout)
        assert seen["errors"] == [] and seen["outside"] == [] and not seen["token"]
        export = f"{address}/api/v1/sessions/{seen['session']}/export"
        answer = httpx.get(export, headers={"Authorization": f"Bearer {TOKEN}"}, timeout=60)
    (tmp_path / "out.nii.gz").write_bytes(answer.content)
    assert np.array_equal(np.asarray(nib.load(tmp_path / "out.nii.gz").dataobj) > 0, voxels() == 200)
    across, down = seen["places"][0]
    low_i, low_j = axes[0], axes[1]  # the bar lies at the low end of i (10 to 26 of 40) and of j (8 to 16 of 30)
    if axes != "PSR":
        assert (across < 0.5) == (low_i == "L") and (down < 0.5) == (low_j == "P")
    else:
        assert across < 0.5 and down > 0.5  # of P the low end is in front: left; of S below
