"""The nnInteractive protocol, spoken by its own client."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from delineate.server.interop import lease, nninteractive
from delineate.server.interop.packed_array import pack, unpack
from delineate.server.problems import RefusalError
from delineate.systems import shipped_predictor
from serving import TOKEN, served, voxels

remote = pytest.importorskip("nnInteractive.inference.remote.remote_session")
Remote = remote.nnInteractiveRemoteInferenceSession
WHOLE = (voxels() == 200).transpose(2, 1, 0)  # (k, j, i)


@pytest.fixture
def address(tmp_path: Path) -> Iterator[str]:
    with served(tmp_path / "state") as found:
        yield found


@pytest.fixture
def client(address: str) -> Iterator[Any]:
    one = Remote(address, api_key=TOKEN)
    one.set_image(np.ascontiguousarray(voxels().transpose(2, 1, 0))[None], {"spacing": [3.0, 1.5, 1.0]})
    one.set_target_buffer(np.zeros(WHOLE.shape, np.uint8))
    yield one
    one.close()


def test_a_point_outlines_the_volume(client: Any) -> None:
    client.add_point_interaction((4, 10, 12), True)
    assert np.array_equal(client.target_buffer, WHOLE)


@pytest.mark.parametrize("box", [[[4, 5], [6, 18], [8, 30]], [[0, 12], [10, 11], [8, 34]], [[2, 9], [6, 18], [8, 30]]])
def test_boxes_on_every_plane(client: Any, box: list[list[int]]) -> None:
    client.add_bbox_interaction(box, True)
    assert (np.asarray(client.target_buffer) & WHOLE).sum() > 0.9 * client.target_buffer.sum() > 0


@pytest.mark.parametrize("plane", [0, 1, 2])
def test_scribbles_and_lassos_on_every_plane(client: Any, plane: int) -> None:
    drawn = np.zeros(WHOLE.shape, np.uint8)
    where: list[Any] = [slice(3, 6), slice(10, 13), slice(12, 18)]
    where[plane] = where[plane].start + 1
    drawn[tuple(where)] = 1
    client.add_scribble_interaction(drawn, True)
    assert np.array_equal(client.target_buffer, WHOLE)
    client.reset_interactions()
    client.set_target_buffer(np.zeros(WHOLE.shape, np.uint8))
    client.add_lasso_interaction(drawn, True)
    assert np.array_equal(client.target_buffer, WHOLE)


def test_undo_is_equal_to_the_last_bit(client: Any) -> None:
    client.add_point_interaction((4, 10, 12), True)
    before = client.target_buffer.copy()
    client.add_bbox_interaction([[0, 1], [0, 30], [0, 40]], True)
    client.undo()
    assert np.array_equal(client.target_buffer, before)
    client.undo()
    assert not client.target_buffer.any()
    client.undo()  # there is nothing left, and no error


def test_a_negative_click_alone_predicts_nothing(client: Any) -> None:
    client.add_point_interaction((4, 10, 12), False)
    assert not client.target_buffer.any()


def test_an_outline_that_is_there_is_gone_on_from(client: Any) -> None:
    start = np.zeros(WHOLE.shape, np.uint8)
    start[3:8, 9:14, 11:18] = 1
    client.set_target_buffer(start.copy())
    client.add_initial_seg_interaction(start)
    assert np.array_equal(client.target_buffer, start)
    client.add_point_interaction((4, 10, 12), True)
    assert np.array_equal(client.target_buffer[4], WHOLE[4])
    client.undo()
    assert np.array_equal(client.target_buffer, start)


def test_one_box_outlines_a_ventricle(tmp_path: Path, data_root: Path) -> None:
    """Its own client, the model that ships, a real heart: the blood of the left ventricle by a box."""
    import nibabel as nib

    name = "cardiac_mri_acdc/patient005_frame01"
    if not (data_root / f"{name}.nii.gz").is_file():
        pytest.skip("no ACDC heart among the data")
    image = nib.load(data_root / f"{name}.nii.gz")
    array = np.ascontiguousarray(np.asarray(image.dataobj).transpose(2, 1, 0))
    blood = (np.asarray(nib.load(data_root / f"{name}_label.nii.gz").dataobj) == 3).transpose(2, 1, 0)
    k = int(blood.sum(axis=(1, 2)).argmax())
    rows, columns = np.nonzero(blood[k])
    with served(tmp_path / "state", shipped_predictor()) as address:
        client = Remote(address, api_key=TOKEN)
        client.set_image(array[None], {"spacing": [float(n) for n in image.header.get_zooms()[2::-1]]})
        client.set_target_buffer(np.zeros(array.shape, np.uint8))
        box = [[k, k + 1], [int(rows.min()), int(rows.max()) + 1], [int(columns.min()), int(columns.max()) + 1]]
        client.add_bbox_interaction(box, True)
        found = np.asarray(client.target_buffer) > 0
        client.close()
    assert 2 * (found & blood).sum() / (found.sum() + blood.sum()) > 0.75


def test_the_wrong_key_is_refused(address: str) -> None:
    with pytest.raises(httpx.HTTPStatusError, match="401"):
        Remote(address, api_key="wrong")


def test_places_are_limited_and_given_back(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nninteractive, "MOST_LEASES", 1)
    first = Remote(address, api_key=TOKEN)
    answer = httpx.post(f"{address}/claim", headers={"Authorization": f"Bearer {TOKEN}"})
    assert answer.status_code == 503 and int(answer.headers["retry-after"]) > 0
    first.close()
    Remote(address, api_key=TOKEN).close()


def test_a_place_that_was_left_has_expired(client: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lease, "LIVENESS_SECONDS", -1.0)
    with pytest.raises(Exception, match=r"(?i)expired|lease"):
        client.add_point_interaction((4, 10, 12), True)


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/add_point_interaction", {"coordinates": [400, 10, 12]}),
        ("/add_point_interaction", {"coordinates": [1, 2]}),
        ("/add_bbox_interaction", {"bbox_coords": [[0, 1], [0, 2]]}),
        ("/set_target_buffer", {"shape": [1, 2, 3]}),
    ],
)
def test_what_lies_outside_is_refused_in_words(client: Any, path: str, body: dict) -> None:
    answer = client._http.post(path, json=body)
    assert answer.status_code in (400, 422) and answer.json()["detail"]
    client.add_point_interaction((4, 10, 12), True)
    assert client.target_buffer.any()


@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(
    st.sampled_from(["uint8", "int8", "int16", "uint16", "int32", "float32", "float64", "bool"]),
    st.lists(st.integers(0, 5), min_size=1, max_size=4),
)
def test_packed_arrays_come_back(dtype: str, shape: list[int]) -> None:
    array = (np.arange(np.prod(shape)) % 7).reshape(shape).astype(dtype)
    back = unpack(pack(array), 2**20)
    assert back.dtype == array.dtype and np.array_equal(back, array)


def test_damaged_arrays_are_refused_without_memory() -> None:
    whole = bytearray(pack(np.zeros((4, 5, 6), np.int16)))
    huge, axes, kind, long = (bytearray(whole) for _ in range(4))
    huge[13:21] = (2**40).to_bytes(8, "little")
    axes[6] = 200
    kind[8:13] = b"objec"
    long[41:49] = (2**40).to_bytes(8, "little")
    for data in (b"", b"NNIA", whole[:20], whole[:-3], huge, axes, kind, long):
        with pytest.raises(RefusalError):
            unpack(bytes(data), 2**20)


@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(st.integers(0, 120), st.integers(0, 255))
def test_a_changed_byte_is_no_crash(place: int, value: int) -> None:
    data = bytearray(pack(np.arange(60, dtype=np.int16).reshape(3, 4, 5)))
    data[place % len(data)] = value
    try:
        unpack(bytes(data), 2**20)
    except RefusalError as error:
        assert error.status in (400, 413)
