"""The page in a real browser: clicks land on the file's own voxels in every plane, and nothing leaves the machine."""

from __future__ import annotations

import json
import shlex
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import nibabel as nib
import numpy as np
import pytest
from PIL import Image

import warm
from delineate.systems import shipped_predictor
from serving import TOKEN, SlowPredictor, picture, served, voxels

pytestmark = pytest.mark.stage
PAGE = Path(__file__).resolve().parents[2] / "web"
BROWSER = shutil.which("chromium") or shutil.which("google-chrome")
NODE = shutil.which("node")
DIRECTIONS = {"R": (0, 1), "L": (0, -1), "A": (1, 1), "P": (1, -1), "S": (2, 1), "I": (2, -1)}
SCANS = {  # directions of the axes, mm along them, degrees by which they are turned
    "LPS": ("LPS", (1.0, 1.5, 3.0), 0),
    "LAS": ("LAS", (1.0, 1.5, 3.0), 0),
    "PSR": ("PSR", (1.0, 1.5, 3.0), 0),
    "thick": ("LPS", (6.0, 1.0, 1.5), 0),
    "oblique": ("LAS", (1.0, 1.5, 3.0), 25),
}


def volume(path: Path, axes: str, spacing: tuple[float, ...], turned: float) -> None:
    """The bar of ``serving``, however it lies in the patient."""
    affine = np.eye(4)
    affine[:3, :3] = 0
    for column, letter in enumerate(axes):
        row, sign = DIRECTIONS[letter]
        affine[row, column] = sign * spacing[column]
    cos, sin = np.cos(np.radians(turned)), np.sin(np.radians(turned))
    about_x, about_z = np.eye(3), np.eye(3)
    about_x[1:, 1:] = about_z[:2, :2] = [[cos, -sin], [sin, cos]]
    affine[:3, :3] = about_z @ about_x @ affine[:3, :3]
    nib.save(nib.Nifti1Image(voxels(), affine), path)


def film(folder: Path) -> None:
    """A bright square that wanders, in eight frames."""
    folder.mkdir()
    for n in range(8):
        pixels = np.full((96, 128), 30, np.uint8)
        pixels[30 + 2 * n : 62 + 2 * n, 40 + 3 * n : 72 + 3 * n] = 200
        Image.fromarray(pixels).save(folder / f"{n}.png")


def run_in_browser(script: str, *words: str) -> dict[str, Any]:
    if NODE is None or BROWSER is None or not (PAGE / "node_modules").is_dir():
        pytest.skip("no node, browser or packages: see web/package.json")
    origin, token, *rest = words
    ran = subprocess.run(
        [NODE, str(PAGE / "test" / script), origin, token, BROWSER, *rest], capture_output=True, text=True, timeout=280
    )
    assert ran.returncode == 0, ran.stderr
    return json.loads(ran.stdout)


def test_the_page_in_the_wheel_is_what_its_source_gives(tmp_path: Path) -> None:
    if NODE is None or not (PAGE / "node_modules").is_dir():
        pytest.skip("no node, or no packages: npm ci in web/")
    subprocess.run(["npx", "tsc", "--noEmit"], cwd=PAGE, check=True, capture_output=True)
    built = tmp_path / "app.js"
    words = ["--bundle", "--minify", "--target=es2022", "--legal-comments=none", f"--outfile={built}"]
    subprocess.run(["npx", "esbuild", "src/main.ts", *words], cwd=PAGE, check=True, capture_output=True)
    assert built.read_bytes() == (PAGE.parent / "src/delineate/server/page/app.js").read_bytes(), "npm run build"


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    """What a browser saw of all scans, with the outlines it made."""
    folder = tmp_path_factory.mktemp("page")
    (folder / "root").mkdir()
    for name, about in SCANS.items():
        volume(folder / "root" / f"{name}.nii.gz", *about)
    with served(folder / "state", root=folder / "root") as address:
        found = run_in_browser("clicks.mjs", address, TOKEN, *(f"{name}.nii.gz" for name in SCANS))
        for name in SCANS:
            session = found["scans"][f"{name}.nii.gz"]["session"]
            export = f"{address}/api/v1/sessions/{session}/export"
            answer = httpx.get(export, headers={"Authorization": f"Bearer {TOKEN}"}, timeout=60)
            (folder / f"{name}.nii.gz").write_bytes(answer.content)
            found["scans"][name] = found["scans"].pop(f"{name}.nii.gz") | {"file": folder / f"{name}.nii.gz"}
    yield found


def test_no_request_leaves_the_machine_and_nothing_fails(seen: dict[str, Any]) -> None:
    assert seen["errors"] == [] and seen["outside"] == []
    assert not any(one["token"] for one in seen["scans"].values())


@pytest.mark.parametrize("name", SCANS)
def test_clicks_land_on_the_voxels_of_the_file(seen: dict[str, Any], name: str) -> None:
    one = seen["scans"][name]
    assert np.array_equal(np.asarray(nib.load(one["file"]).dataobj) > 0, voxels() == 200)
    for pane, (i, j, k) in one["voxels"].items():
        assert voxels()[i, j, k] == 200, pane
    assert one["frame"] == one["voxels"]["plane-2"][0 if name == "thick" else 2]


@pytest.mark.parametrize("name", SCANS)
def test_planes_lie_as_radiologists_have_them_outlines_too(seen: dict[str, Any], name: str) -> None:
    """The bar lies at the low end of i and of j (8 to 15 of 30), so each plane tells which way the axis runs there."""
    codes, one = SCANS[name][0], seen["scans"][name]
    normals = [0, 2, 1] if name == "thick" else [2, 1, 0]
    for pane, normal in zip(("picture", "plane-1", "plane-2"), normals, strict=True):
        axes = sorted((axis for axis in range(3) if axis != normal), key=lambda axis: "RLAPSI".index(codes[axis]))
        for axis, place, towards_the_end in zip(axes, one["places"][pane], ("LP", "PI"), strict=True):
            if axis == 1 or (axis == 0 and normal == 1):
                assert (place < 0.5) == (codes[axis] in towards_the_end), (pane, axis)
        if pane != "picture":
            assert one["tinted"][pane] == pytest.approx(one["places"][pane], abs=0.06), pane


@pytest.fixture(scope="module")
def worked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    """A person's session with the model that ships: what was seen, and the outlines as the server has them."""
    folder = tmp_path_factory.mktemp("work")
    root = folder / "root"
    root.mkdir()
    volume(root / "bar.nii.gz", *SCANS["LAS"])
    film(root / "clip")
    (folder / "picture.png").write_bytes(picture())
    slow = SlowPredictor()
    slow.seconds = 0.4
    headers = {"Authorization": f"Bearer {TOKEN}"}
    with (
        served(folder / "state", shipped_predictor(), root=root) as address,
        served(folder / "slow", slow, root=root) as other,
    ):
        found = run_in_browser("work.mjs", address, TOKEN, other, str(folder), str(folder / "picture.png"))
        for what, kind in (("volume", "nii.gz"), ("film", "npz")):
            answer = httpx.get(f"{address}/api/v1/sessions/{found[what]}/export?format={kind}", headers=headers)
            (folder / f"{what}.{kind}").write_bytes(answer.content)
    yield found | {"folder": folder, "root": root}


def _by_command(worked: dict[str, Any], command: str, output: str) -> Path:
    program, *words = shlex.split(command)
    ran = warm.delineate(*words, "-o", output, cwd=worked["root"])
    assert program == "delineate" and ran.returncode == 0, ran.stderr
    return worked["root"] / output


def _labels(path: Path) -> np.ndarray:
    return np.asarray(nib.load(path).dataobj)


def test_the_copied_command_gives_the_same_outlines_bit_for_bit(worked: dict[str, Any]) -> None:
    assert "--prompts" not in worked["command"]
    outlines = _labels(_by_command(worked, worked["command"], "plain.nii.gz"))
    assert outlines.any() and np.array_equal(outlines, _labels(worked["folder"] / "first.nii.gz"))


def test_what_options_cannot_say_goes_with_the_command_as_a_file(worked: dict[str, Any]) -> None:
    shutil.copy(worked["folder"] / "kept.prompts.json", worked["root"] / worked["promptsFile"])
    assert worked["promptsFile"] in worked["commandWithPrompts"]
    outlines = _labels(_by_command(worked, worked["commandWithPrompts"], "all.nii.gz"))
    saved = _labels(worked["folder"] / "page.nii.gz")
    assert set(np.unique(saved)) == {0, 1, 2} and worked["saved"] == "bar-outlines.nii.gz"
    assert np.array_equal(outlines, saved) and np.array_equal(saved, _labels(worked["folder"] / "volume.nii.gz"))


def test_the_copied_python_gives_them_too(worked: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(worked["root"])
    exec(worked["python"], {})
    assert np.array_equal(_labels(Path("outlines.nii.gz")), _labels(worked["folder"] / "page.nii.gz"))


def test_every_frame_of_a_film_is_as_the_command_has_it(worked: dict[str, Any]) -> None:
    outlines = np.load(_by_command(worked, worked["filmCommand"], "film.npz"))
    there = np.load(worked["folder"] / "film.npz")
    assert sorted(outlines) == sorted(there)
    assert all(np.array_equal(outlines[name], there[name]) for name in there)


def test_the_page_does_what_it_says(worked: dict[str, Any]) -> None:
    assert worked["errorsBefore"] == [] and worked["outside"] == []
    assert worked["hovered"] == 0 and worked["candidates"] > 1
    assert "mm" in worked["measures"]
    assert worked["before"] != worked["hidden"] and worked["planes"] == 0
    low, high = map(float, worked["window"])
    assert low < high and worked["dragged"] != worked["window"]
    assert worked["help"] > 25
    assert worked["resumed"] == worked["volume"] and worked["like"]
    assert worked["frame"].startswith("frame 2 ")
    assert worked["follows"].startswith("Following: ") and worked["picture"].endswith("px")
    assert (
        "notes.txt" not in worked["refused"] and len(worked["refused"].split(". ")) > 1
    )  # what is wrong, and what to do
