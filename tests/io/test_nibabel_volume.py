"""PAR/REC and MINC volumes as nibabel reads them, and what is refused of them."""

from __future__ import annotations

import shutil
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from delineate.core.errors import DelineateError
from delineate.io.opening import open_scan

DATA = Path(nib.__file__).parent / "tests" / "data"  # comes with nibabel
PAR, MINC, MANY = "phantom_EPI_asc_CLEAR_2_1.PAR", "tiny.mnc", "minc1_4d.mnc"
pytestmark = pytest.mark.skipif(not (DATA / MINC).is_file(), reason="nibabel was installed without its test data")


@pytest.fixture
def files(tmp_path: Path) -> Path:
    for name in (PAR, PAR.replace(".PAR", ".REC"), MINC, MANY):
        shutil.copy(DATA / name, tmp_path)
    return tmp_path


@pytest.mark.parametrize(("name", "index"), [(PAR, 0), (PAR, 2), (MINC, None), (MANY, 1)])
def test_values_and_places_are_those_nibabel_reads(files: Path, name: str, index: int | None) -> None:
    scan, image = open_scan(files / name, index=index), nib.load(files / name)
    values = np.asarray(image.dataobj, np.float32)
    if index is not None:
        values = values[index] if name == MANY else values[..., index]
    assert np.array_equal(scan.voxels(), values)
    np.testing.assert_allclose(scan.grid.affine, image.affine)


@pytest.mark.parametrize("name", [PAR, MANY])
def test_of_several_volumes_one_has_to_be_chosen(files: Path, name: str) -> None:
    for index, code in ((None, "E-VOLUME-4D"), (99, "E-PAGE-RANGE"), (-1, "E-PAGE-RANGE")):
        with pytest.raises(DelineateError) as caught:
            open_scan(files / name, index=index)
        assert caught.value.code == code


@pytest.mark.parametrize("left", [0, 10, 300, 3000])
@pytest.mark.parametrize("name", [PAR, PAR.replace(".PAR", ".REC"), MINC])
def test_what_is_cut_or_missing_is_refused(files: Path, name: str, left: int) -> None:
    part = files / name
    part.write_bytes(part.read_bytes()[:left])
    with pytest.raises(DelineateError):
        open_scan(files / (PAR if name.endswith(".REC") else name), index=0)


def test_a_header_alone_names_the_file_that_is_missing(files: Path) -> None:
    (files / PAR.replace(".PAR", ".REC")).unlink()
    with pytest.raises(DelineateError, match=r"phantom.*REC, which is missing"):
        open_scan(files / PAR)
