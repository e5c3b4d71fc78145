"""Files of safetensors are read without its library as with it; damaged ones are refused."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from delineate.checkpoints.safetensors_file import read_safetensors
from delineate.core.errors import ModelError


def test_arrays_and_words_are_as_the_library_wrote_them(tmp_path: Path) -> None:
    numpy_files = pytest.importorskip("safetensors.numpy")
    rng = np.random.default_rng(0)
    kinds = ("f8", "f4", "f2", "i8", "i4", "i2", "i1", "u8", "u4", "u2", "u1", "?")
    wanted = {kind: (rng.random((3, 4)) * 2).astype(kind) for kind in kinds}
    wanted |= {"none": np.zeros((0, 2), np.float32), "one": np.float32([2.5]).reshape(())}
    numpy_files.save_file(wanted, tmp_path / "a.safetensors", {"about": "words"})
    found, said = read_safetensors(tmp_path / "a.safetensors")
    assert said == {"about": "words"} and found.keys() == wanted.keys()
    for name, value in wanted.items():
        assert found[name].dtype == value.dtype and np.array_equal(found[name], value), name


def test_bfloat16_is_read_as_fp32(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    values = torch.randn(5, 7).bfloat16()
    pytest.importorskip("safetensors.torch").save_file({"x": values}, tmp_path / "a.safetensors")
    assert np.array_equal(read_safetensors(tmp_path / "a.safetensors")[0]["x"], values.float().numpy())


def _file(header: object, data: bytes = b"") -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + data


FOUR = {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(b"", id="empty"),
        pytest.param((1 << 62).to_bytes(8, "little"), id="a header longer than the file"),
        pytest.param(_file(b"{"), id="half a header"),
        pytest.param(_file(b"[" * 100_000), id="a deep header"),
        pytest.param(_file([1]), id="a header that is a list"),
        pytest.param(_file({"x": 1}), id="an entry that is none"),
        pytest.param(_file({"x": FOUR}), id="data that ends too early"),
        pytest.param(_file({"x": FOUR | {"shape": [2]}}, b"\0" * 4), id="a shape of another size"),
        pytest.param(_file({"x": FOUR | {"shape": [-1]}}, b"\0" * 4), id="a negative shape"),
        pytest.param(_file({"x": FOUR | {"data_offsets": [4, 0]}}, b"\0" * 4), id="offsets the wrong way round"),
        pytest.param(_file({"x": FOUR | {"dtype": "F4"}}, b"\0" * 4), id="an unknown kind"),
        pytest.param(_file({"__metadata__": {"a": 1}}), id="words that are none"),
    ],
)
def test_damaged_files_are_refused(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "a.safetensors").write_bytes(content)
    with pytest.raises(ModelError) as refused:
        read_safetensors(tmp_path / "a.safetensors")
    assert refused.value.code == "E-MODEL-DAMAGED"
