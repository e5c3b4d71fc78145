"""A folder that a person names is read with the links in it; it is said where they lead."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bad_inputs.dicom import series
from delineate.core.errors import InputError
from delineate.core.scan import ScanKind
from delineate.io.opening import open_scan


def frames(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for n in range(5):
        Image.fromarray(np.full((20, 30), 40 * n, np.uint8)).save(folder / f"{n:03}.png")


def linked(folder: Path, store: Path) -> None:
    """The files of a folder in a store under numbers, links to them under their names."""
    files = sorted(folder.iterdir())
    store.mkdir()
    for n, path in enumerate(files):
        path.rename(store / str(n))
        path.symlink_to(store / str(n))


@pytest.mark.parametrize(
    ("make", "kind"),
    [pytest.param(frames, ScanKind.VIDEO, id="frames"), pytest.param(series, ScanKind.VOLUME, id="DICOM")],
)
@pytest.mark.parametrize(
    ("store", "told"), [pytest.param("store", True, id="outside"), pytest.param("named/.store", False, id="inside")]
)
def test_linked_files_are_read(make: Callable, kind: ScanKind, store: str, told: bool, tmp_path: Path) -> None:
    folder = tmp_path / "named"
    folder.mkdir()
    make(folder)
    plain = open_scan(folder)
    linked(folder, tmp_path / store)
    scan = open_scan(folder)
    assert scan.kind is kind and len(scan) == len(plain) == 5
    assert all((scan.pixels(n) == plain.pixels(n)).all() for n in range(5))
    said = [notice.message for notice in scan.notices if notice.code == "W-LINKS-OUTSIDE"]
    assert [message.split()[0] for message in said] == (["5"] if told else [])


def test_links_that_lead_nowhere_are_counted(tmp_path: Path) -> None:
    frames(tmp_path / "named")
    linked(tmp_path / "named", tmp_path / "store")
    (tmp_path / "store" / "4").unlink()
    scan = open_scan(tmp_path / "named")
    assert len(scan) == 4 and "1 link leads nowhere" in str([n.message for n in scan.notices])
    for path in (tmp_path / "store").iterdir():
        path.unlink()
    with pytest.raises(InputError, match="only 5 links") as raised:
        open_scan(tmp_path / "named")
    assert raised.value.code == "E-FOLDER-EMPTY" and "git annex get" in raised.value.hint
