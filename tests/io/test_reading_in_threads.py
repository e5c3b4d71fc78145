"""Scans read by several threads at once, and scans that were closed."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import av
import nibabel as nib
import numpy as np
import pytest
import tifffile
from PIL import Image

from delineate.core.errors import InputError
from delineate.core.scan import Scan
from delineate.io.opening import open_scan
from delineate.io.options import Pages, ReadOptions

FRAMES = 24
LINUX = Path("/proc/self/fd").is_dir()


def moving() -> np.ndarray:
    """A bright block that moves: uint8 (frames, 48, 64)."""
    frames = np.full((FRAMES, 48, 64), 30, np.uint8)
    for n, frame in enumerate(frames):
        frame[10:30, n : n + 20] = 200
    return frames


def film(folder: Path) -> Path:
    with av.open(str(folder / "film.mp4"), "w") as out:
        stream = out.add_stream("libx264", rate=20)
        stream.width, stream.height, stream.pix_fmt, stream.options = 64, 48, "yuv420p", {"g": "6", "threads": "1"}
        for pixels in moving():
            out.mux(stream.encode(av.VideoFrame.from_ndarray(np.repeat(pixels[..., None], 3, axis=2), "rgb24")))
        out.mux(stream.encode())
    return folder / "film.mp4"


def pictures(folder: Path) -> Path:
    (folder / "clip").mkdir()
    for n, pixels in enumerate(moving()):
        Image.fromarray(pixels).save(folder / "clip" / f"{n}.png")
    return folder / "clip"


def pages(folder: Path) -> Path:
    tifffile.imwrite(folder / "pages.tif", moving(), photometric="minisblack")
    return folder / "pages.tif"


def animation(folder: Path) -> Path:
    first, *others = [Image.fromarray(pixels) for pixels in moving()]
    first.save(folder / "clip.gif", save_all=True, append_images=others)
    return folder / "clip.gif"


def nifti(folder: Path) -> Path:
    nib.save(nib.Nifti1Image(moving().transpose(2, 1, 0).astype(np.int16), np.eye(4)), folder / "volume.nii.gz")
    return folder / "volume.nii.gz"


def archive(folder: Path) -> Path:
    np.savez_compressed(folder / "volume.npz", imgs=moving())
    return folder / "volume.npz"


MAKERS = [film, pictures, pages, animation, nifti, archive]


def opened(path: Path) -> Scan:
    return open_scan(path, ReadOptions(pages=Pages.VIDEO) if path.suffix in (".tif", ".gif") else ReadOptions())


@pytest.mark.parametrize("make", MAKERS, ids=lambda make: make.__name__)
def test_threads_read_what_one_thread_reads(make: Callable[[Path], Path], tmp_path: Path) -> None:
    path = make(tmp_path)
    scan, shared = opened(path), opened(path)
    alone = [np.array(scan.pixels(n)) for n in range(len(scan))]
    orders = [np.random.default_rng(seed).permutation(len(scan)).tolist() for seed in range(4)]
    with ThreadPoolExecutor(4) as threads:
        read = list(threads.map(lambda order: [(n, np.array(shared.pixels(n))) for n in order], orders))
    wrong = [n for order in read for n, pixels in order if not np.array_equal(pixels, alone[n])]
    assert not wrong


@pytest.mark.parametrize("make", MAKERS, ids=lambda make: make.__name__)
def test_a_closed_scan_says_so(make: Callable[[Path], Path], tmp_path: Path) -> None:
    with opened(make(tmp_path)) as scan:
        copy = scan.with_window(None)
        assert scan.frame(3).size == (48, 64)
    scan.close()
    for one in (scan, copy):
        with pytest.raises(InputError) as caught:
            one.frame(3)
        assert caught.value.code == "E-SCAN-CLOSED" and caught.value.hint
    with pytest.raises(InputError, match="closed"):
        copy.voxels() if make in (nifti, archive) else copy.pixels(0)


@pytest.mark.parametrize("make", [film, pages, animation], ids=lambda make: make.__name__)
def test_a_file_that_was_held_open_is_not_any_more(make: Callable[[Path], Path], tmp_path: Path) -> None:
    path = make(tmp_path)
    scan = opened(path)
    scan.close()
    held = {os.path.realpath(link) for link in Path("/proc/self/fd").iterdir()} if LINUX else set()
    assert os.path.realpath(path) not in held
    with pytest.raises(InputError) as caught:
        scan.source.read(0)
    assert caught.value.code == "E-SCAN-CLOSED"
