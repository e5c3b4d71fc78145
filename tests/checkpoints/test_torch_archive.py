"""Checkpoints read without torch: the same arrays as torch reads, and nothing else is let in."""

from __future__ import annotations

import collections
import os
import pickle
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from delineate.checkpoints.array_reading import read_arrays
from delineate.checkpoints.reading import read_weights
from delineate.checkpoints.torch_archive import read_torch_archive
from delineate.core.errors import ModelError

RNG = torch.Generator().manual_seed(0)


def many(dtype: torch.dtype) -> torch.Tensor:
    values = torch.randn(3, 4, 5, generator=RNG) * 50
    return values.to(dtype)


def shared() -> dict[str, torch.Tensor]:
    whole = torch.arange(24.0)
    return {"whole": whole, "row": whole.view(4, 6)[1], "column": whole.view(4, 6)[:, 2], "from": whole[5:]}


SAVED: dict[str, Callable[[], Any]] = {
    **{
        str(dtype).removeprefix("torch."): lambda dtype=dtype: {"x": many(dtype)}
        for dtype in (
            torch.float32, torch.float64, torch.float16, torch.bfloat16, torch.int64, torch.int32, torch.int16,
            torch.int8, torch.uint8, torch.bool, torch.complex64, torch.complex128,
        )
    },
    "transposed": lambda: {"x": many(torch.float32).permute(2, 0, 1)},
    "channels last": lambda: {"x": torch.randn(2, 3, 4, 5).contiguous(memory_format=torch.channels_last)},
    "a part of a storage": lambda: {"x": many(torch.float32)[1:, ::2, 3]},
    "expanded": lambda: {"x": torch.randn(3, 1).expand(3, 7)},
    "one storage": shared,
    "a number": lambda: {"x": torch.tensor(3.5), "n": torch.tensor(7)},
    "empty": lambda: {"x": torch.empty(0, 3), "y": torch.ones(2)},
    "parameters": lambda: {"x": torch.nn.Parameter(torch.randn(3)), "y": torch.randn(3, requires_grad=True)},
    "a network": lambda: torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.BatchNorm2d(4)).state_dict(),
    "in a wrapper": lambda: {"model": {"module.x": torch.ones(3)}, "epoch": 9, "loss": 0.25, "best": None, "s": "é"},
}  # fmt: skip


@pytest.mark.parametrize("name", SAVED)
def test_arrays_are_those_torch_reads(name: str, tmp_path: Path) -> None:
    torch.save(SAVED[name](), tmp_path / "model.pth")
    wanted = torch.load(tmp_path / "model.pth", weights_only=True)
    found = read_torch_archive(tmp_path / "model.pth")
    if "model" in wanted:
        assert {k: v for k, v in found.items() if k != "model"} == {k: v for k, v in wanted.items() if k != "model"}
        wanted, found = wanted["model"], found["model"]
    assert list(found) == list(wanted)
    for key, tensor in wanted.items():
        expected = (tensor.float() if tensor.dtype is torch.bfloat16 else tensor).detach().numpy()
        assert found[key].dtype == expected.dtype and found[key].shape == expected.shape
        assert (np.array_equal(found[key], expected) and not found[key].flags.writeable) or not found[key].size


def test_tensors_of_one_storage_share_memory(tmp_path: Path) -> None:
    torch.save(shared(), tmp_path / "model.pth")
    found = read_torch_archive(tmp_path / "model.pth")
    assert all(np.shares_memory(found["whole"], found[key]) for key in ("row", "column", "from"))


def test_names_lose_wrappers_and_prefixes(tmp_path: Path) -> None:
    torch.save(SAVED["in a wrapper"](), tmp_path / "model.pth")
    assert list(read_arrays(tmp_path / "model.pth")) == ["x"]


def test_another_byte_order(tmp_path: Path) -> None:
    content = torch.save({"x": torch.arange(5.0)}, tmp_path / "little.pth") or tmp_path / "little.pth"
    with zipfile.ZipFile(content) as old, zipfile.ZipFile(tmp_path / "big.pth", "w") as new:
        for entry in old.infolist():
            data = old.read(entry)
            if entry.filename.endswith("byteorder"):
                data = b"big"
            elif "/data/" in entry.filename:
                data = np.frombuffer(data, "<f4").astype(">f4").tobytes()
            new.writestr(entry.filename, data)
    assert read_torch_archive(tmp_path / "big.pth")["x"].tolist() == [0, 1, 2, 3, 4]


# what is refused


class Runs:
    """Pickled, this runs what it is given."""

    def __init__(self, function: Any, *arguments: Any) -> None:
        self.call = function, arguments

    def __reduce__(self) -> Any:
        return self.call


def archive(path: Path, content: bytes, **entries: bytes) -> Path:
    with zipfile.ZipFile(path, "w") as out:
        out.writestr("m/data.pkl", content)
        out.writestr("m/version", b"3\n")
        out.writestr("m/byteorder", b"little")
        for name, data in entries.items():
            out.writestr(f"m/data/{name}", data)
    return path


def storage(kind: bytes = b"FloatStorage", key: bytes = b"0", count: int = 4) -> bytes:
    """A reference to a storage, as torch pickles it."""
    text = b"X\x07\0\0\0storage" + b"ctorch\n" + kind + b"\nX" + len(key).to_bytes(4, "little") + key
    return b"(" + text + b"X\x03\0\0\0cpuK" + bytes([count]) + b"tQ"


def tensor(offset: int = 0, shape: bytes = b"K\x04\x85", strides: bytes = b"K\x01\x85", stored: bytes = b"") -> bytes:
    """A dictionary {x: a tensor}, as torch pickles it."""
    hooks = b"ccollections\nOrderedDict\n)R"
    arguments = b"(" + (stored or storage()) + b"J" + offset.to_bytes(4, "little", signed=True) + shape + strides
    rebuilt = b"ctorch._utils\n_rebuild_tensor_v2\n" + arguments + b"\x89" + hooks + b"tR"
    return b"\x80\x02}X\x01\0\0\0x" + rebuilt + b"s."


FOUR = np.arange(4, dtype="<f4").tobytes()
HOSTILE = {
    "os.system": pickle.dumps({"x": Runs(os.system, "touch harmed")}, 2),
    "eval": pickle.dumps({"x": Runs(eval, "1")}, 2),
    "getattr": pickle.dumps({"x": Runs(getattr, "text", "upper")}, 2),
    "by stack, protocol 4": pickle.dumps({"x": Runs(os.system, "touch harmed")}, 4),
    "a class": pickle.dumps({"x": collections.Counter("aab")}, 2),
    "an instance": b"\x80\x02}X\x01\0\0\0xcbuiltins\nobject\n)\x81s.",
    "an old instance": b"(ibuiltins\nobject\n.",
    "an extension": b"\x80\x02\x82\x01.",
    "a persistent id in text": b"P0\n.",
    "torch's loader": b"\x80\x02}X\x01\0\0\0xctorch\nload\nX\x01\0\0\0f\x85Rs.",
    "a function of torch": b"\x80\x02}X\x01\0\0\0xctorch._utils\n_rebuild_device_tensor_from_numpy\n)Rs.",
    "an array that is called": tensor()[:-2] + b")Rs.",
    "state of an array": tensor()[:-2] + b"}bs.",
    "beyond the storage": tensor(offset=1),
    "far strides": tensor(strides=b"J\xff\xff\xff\x7f\x85"),
    "negative offset": tensor(offset=-1),
    "negative strides": tensor(strides=b"J\xff\xff\xff\xff\x85"),
    "negative size": tensor(shape=b"J\xff\xff\xff\xff\x85"),
    "strides and sizes unlike": tensor(strides=b"K\x01K\x01\x86"),
    "sizes that are no numbers": tensor(shape=b"\x88\x85"),
    "a storage that is not there": tensor(stored=storage(key=b"../../etc/passwd")),
    "a storage of another size": tensor(stored=storage(count=5)),
    "a type that is none": tensor(stored=storage(kind=b"UntypedStorage")),
    "no end": b"\x80\x02}",
    "nothing": b"",
    "an empty stack": b"\x80\x020.",
    "a memo of nothing": b"\x80\x02h\x07.",
    "below a mark": b"\x80\x02](0a.",
    "a key that is a list": b"\x80\x02}]Ns.",
    "a long text that is not there": b"\x80\x02X\xff\xff\xff\x7fabc.",
    "a long number that is not there": b"\x80\x02\x8b\xff\xff\xff\x7fabc.",
}  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE)
def test_more_than_arrays_is_refused(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    path = archive(tmp_path / "model.pth", HOSTILE[name], **{"0": FOUR})
    with pytest.raises(ModelError) as caught:
        read_torch_archive(path)
    assert caught.value.code == "E-MODEL-PICKLE" and not (tmp_path / "harmed").exists()


def test_the_hand_made_tensor_is_read_where_nothing_is_wrong_with_it(tmp_path: Path) -> None:
    path = archive(tmp_path / "model.pth", tensor(), **{"0": FOUR})
    assert read_torch_archive(path)["x"].tolist() == torch.load(path, weights_only=True)["x"].tolist() == [0, 1, 2, 3]


def test_a_dictionary_within_itself_ends(tmp_path: Path) -> None:
    path = archive(tmp_path / "model.pth", b"\x80\x02}q\x00X\x05\0\0\0modelh\x00s.")
    with pytest.raises(ModelError) as caught:
        read_arrays(path)
    assert caught.value.code == "E-MODEL-NO-ARRAYS"


def compressed(path: Path) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as out:
        out.writestr("m/data.pkl", tensor())
        out.writestr("m/data/0", bytes(16))
        out.writestr("m/zeros", bytes(1 << 24))


def twice(path: Path) -> None:
    with pytest.warns(UserWarning), zipfile.ZipFile(path, "w") as out:
        for _ in range(2):
            out.writestr("m/data.pkl", tensor())


def two_archives(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as out:
        out.writestr("a/data.pkl", tensor())
        out.writestr("b/data.pkl", tensor())


def cut(path: Path) -> None:
    archive(path, tensor(), **{"0": FOUR})
    path.write_bytes(path.read_bytes()[:-30])


def no_archive(path: Path) -> None:
    path.write_bytes(b"PK" + bytes(100))


@pytest.mark.parametrize("spoil", [compressed, twice, two_archives, cut, no_archive])
def test_damaged_archives_are_told(spoil: Callable[[Path], None], tmp_path: Path) -> None:
    spoil(tmp_path / "model.pth")
    with pytest.raises(ModelError) as caught:
        read_torch_archive(tmp_path / "model.pth")
    assert caught.value.code == "E-MODEL-DAMAGED" and "model.pth" in caught.value.message


@pytest.mark.parametrize("read", [read_arrays, read_weights])
def test_a_flipped_bit_is_told_and_not_another_weight(read: Callable[[Path], Any], tmp_path: Path) -> None:
    path = tmp_path / "model.pth"
    torch.save({"x": torch.arange(64, dtype=torch.float32)}, path)
    assert float(read(path)["x"][40]) == 40
    content = bytearray(path.read_bytes())
    content[content.index(struct.pack("<f", 40)) + 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(ModelError) as caught:
        read(path)
    assert caught.value.code == "E-MODEL-DAMAGED" and "checksum" in caught.value.message


@pytest.mark.parametrize("read", [read_arrays, read_weights])
def test_files_that_were_written_without_checksums_are_read(read: Callable[[Path], Any], tmp_path: Path) -> None:
    torch.serialization.set_crc32_options(False)
    try:
        torch.save({"x": torch.arange(64)}, tmp_path / "model.pth")
    finally:
        torch.serialization.set_crc32_options(True)
    assert int(read(tmp_path / "model.pth")["x"][40]) == 40


def test_the_old_format_asks_for_torch(tmp_path: Path) -> None:
    torch.save({"x": torch.ones(2)}, tmp_path / "old.pth", _use_new_zipfile_serialization=False)
    with pytest.raises(ModelError) as caught:
        read_arrays(tmp_path / "old.pth")
    assert caught.value.code == "E-MODEL-EXTRA" and "torch" in caught.value.message
