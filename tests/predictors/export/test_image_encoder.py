"""Encoders exported to ONNX give what torch gives, whoever runs them."""

from __future__ import annotations

import errno
import multiprocessing
import os
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest
import torch

from tiny_networks import lively, tiny_sam, tiny_sam2

pytest.importorskip("transformers")

from delineate.checkpoints import file_cache
from delineate.compute.engine import Precision
from delineate.core.errors import ModelError
from delineate.models.edge_tam import EdgeTam, EdgeTamShape
from delineate.models.efficient_tam import EfficientTam, TamShape
from delineate.models.sam import Sam, SamEncoder
from delineate.predictors.export import image_encoder as exported
from delineate.predictors.export.image_encoder import Backend, run_exported

NETWORKS = {
    "ViT": lambda: tiny_sam(),
    "TinyViT": lambda: tiny_sam(SamEncoder.TINY_VIT_LITE),
    "Hiera": lambda: tiny_sam2(),
    "EfficientTAM": lambda: lively(EfficientTam(TamShape(side=256))),
    "EdgeTAM": lambda: lively(EdgeTam(EdgeTamShape(256))),
}


WRITTEN: dict[str, bytes] = {}  # files of encoders by their weights: made once for all tests of keeping them


@pytest.fixture(autouse=True)
def made_once(monkeypatch: pytest.MonkeyPatch) -> None:
    write = exported.export_encoder

    def written(network: Sam, path: Path) -> None:
        arrays = [array.numpy().tobytes() for array in network.state_dict().values()]
        key = sha256(type(network).__name__.encode() + b"".join(arrays)).hexdigest()
        if key not in WRITTEN:
            write(network, path)
            WRITTEN[key] = path.read_bytes()
        path.write_bytes(WRITTEN[key])

    monkeypatch.setattr(exported, "export_encoder", written)


@pytest.fixture(autouse=True)
def models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DELINEATE_MODELS", str(tmp_path))


def arrays(found: object) -> list[np.ndarray]:
    if isinstance(found, torch.Tensor):
        return [found.numpy()]
    return [t.numpy() for t in (found.coarse, *found.fine, found.places)]  # type: ignore[attr-defined]


@pytest.mark.parametrize("backend", [Backend.ONNX, Backend.OPENVINO])
@pytest.mark.parametrize("kind", NETWORKS)
@torch.inference_mode()
def test_encoders_are_the_same_elsewhere(kind: str, backend: Backend) -> None:
    if backend is Backend.OPENVINO:
        pytest.importorskip("openvino")
    network = NETWORKS[kind]()
    pixels = torch.randn(1, 3, 256, 256, generator=torch.Generator().manual_seed(0))
    wanted = arrays(network.embed(pixels))
    with torch.inference_mode(False):
        run_exported(network, backend, "weights", Precision.FP32, threads=1)
    for one, other in zip(arrays(network.embed(pixels)), wanted, strict=True):
        difference, largest = float(np.abs(one - other).max()), float(np.abs(other).max())
        assert difference < 1e-4 * max(largest, 1), f"{kind}: max abs difference {difference:.1e} of {largest:.2g}"


def test_a_precision_a_backend_cannot_do_is_refused() -> None:
    with pytest.raises(ModelError) as caught:
        run_exported(tiny_sam(), Backend.ONNX, "weights", Precision.BF16)
    assert caught.value.code == "E-PRECISION"


def embedded(network: torch.nn.Module, key: str = "weights") -> np.ndarray:
    """What a network's exported encoder gives, read from the folder of kept files."""
    run_exported(network, Backend.ONNX, key, Precision.FP32, threads=1)  # type: ignore[arg-type]
    return arrays(network.embed(torch.ones(1, 3, 256, 256)))[0]


def exported_files(folder: Path) -> list[str]:
    return sorted(path.name for path in (folder / "exported").iterdir() if path.suffix == ".onnx")


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda path, other: path.write_bytes(other), id="another network's"),
        pytest.param(lambda path, other: path.write_bytes(path.read_bytes()[:-1]), id="cut short"),
        pytest.param(lambda path, other: path.with_name(path.name + ".json").write_text("{bad"), id="record damaged"),
        pytest.param(lambda path, other: path.with_name(path.name + ".json").unlink(), id="record missing"),
    ],
)
def test_a_changed_encoder_is_thrown_away_and_made_anew(
    change: Callable[[Path, bytes], object], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    wanted = embedded(tiny_sam())
    (name,) = exported_files(tmp_path)
    other = tiny_sam()
    torch.nn.init.zeros_(next(other.host.vision_encoder.neck.parameters()))
    embedded(other, "other")
    (other_name,) = set(exported_files(tmp_path)) - {name}
    path = tmp_path / "exported" / name
    change(path, (path.with_name(other_name)).read_bytes())
    assert np.array_equal(embedded(tiny_sam()), wanted)
    assert "made anew" in caplog.text and name in caplog.text


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Where encoders were written, in order."""
    paths: list[Path] = []
    write = exported.export_encoder

    def noted(network: Sam, path: Path) -> None:
        paths.append(path)
        write(network, path)

    monkeypatch.setattr(exported, "export_encoder", noted)
    return paths


def test_encoders_are_made_once_and_again_by_another_version(
    tmp_path: Path, made: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    embedded(tiny_sam())
    embedded(tiny_sam())
    assert len(made) == 1
    monkeypatch.setattr(exported, "version", lambda _: "99")
    embedded(tiny_sam())
    assert len(made) == 2 and len(exported_files(tmp_path)) == 2


def test_encoders_used_longest_ago_go_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for key in ("a", "b", "c"):
        embedded(tiny_sam(), key)
    folder = tmp_path / "exported"
    (folder / "openvino").mkdir()
    (folder / "openvino" / "1.blob").write_bytes(bytes(1000))  # of an earlier version
    for age, key in enumerate(("c", "b", "a")):
        os.utime(next(folder.glob(f"{key}-*.json")), (1000 - age, 1000 - age))
    os.utime(folder / "openvino" / "1.blob", (1, 1))
    size = next(folder.glob("a-*.onnx")).stat().st_size
    monkeypatch.setattr(file_cache, "CAPACITY", int(2.5 * size))
    embedded(tiny_sam(), "a")  # used again
    assert [name[0] for name in exported_files(tmp_path)] == ["a", "c"]
    assert not list(folder.rglob("*.blob")) and not list(folder.glob("b-*"))
    monkeypatch.setattr(file_cache, "CAPACITY", 0)
    embedded(tiny_sam(), "d")  # larger than what is allowed: it stays for this run
    assert [name[0] for name in exported_files(tmp_path)] == ["d"]


def test_a_full_store_stops_nothing(tmp_path: Path) -> None:
    """``tmp_path`` is the store here (see ``models``)."""

    def make(path: Path) -> None:
        if tmp_path in path.parents:
            path.write_bytes(b"half")
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        path.write_bytes(b"whole")

    with file_cache.cached_file("a.onnx", make) as path:
        assert path.read_bytes() == b"whole" and tmp_path not in path.parents
    assert not path.exists() and not exported_files(tmp_path)


@pytest.mark.skipif(os.name != "posix", reason="links of POSIX")
@pytest.mark.parametrize("ending", ["", ".json"], ids=["file", "record"])
def test_a_planted_link_among_encoders_is_not_followed(ending: str, tmp_path: Path) -> None:
    wanted = embedded(tiny_sam())
    (name,) = exported_files(tmp_path)
    path, victim = tmp_path / "exported" / (name + ending), tmp_path / "victim"
    path.rename(victim)
    before = victim.read_bytes()
    path.symlink_to(victim)
    assert np.array_equal(embedded(tiny_sam()), wanted)
    assert victim.read_bytes() == before and (ending or not path.is_symlink())


def _export(key: str) -> None:
    torch.set_num_threads(1)
    embedded(tiny_sam(), key)


def test_processes_at_once_make_an_encoder_once(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=_export, args=("weights",)) for _ in range(2)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(200)
    assert [process.exitcode for process in processes] == [0, 0]
    (name,) = exported_files(tmp_path)
    assert sorted(path.name for path in (tmp_path / "exported").iterdir()) == [".exported.lock", name, f"{name}.json"]


def test_a_store_that_cannot_be_written_still_runs(
    tmp_path: Path, made: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = embedded(tiny_sam())
    monkeypatch.setenv("DELINEATE_MODELS", str(tmp_path / "file"))
    (tmp_path / "file").write_bytes(b"")  # no folder can be made here
    assert np.array_equal(embedded(tiny_sam()), wanted)
    assert len(made) == 2 and not made[1].exists() and not made[1].parent.exists()


def test_what_openvino_compiled_is_kept_and_checked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    openvino = pytest.importorskip("openvino")
    compilations: list[object] = []
    compile_model = openvino.Core.compile_model
    monkeypatch.setattr(
        openvino.Core, "compile_model", lambda *given: (compilations.append(given), compile_model(*given))[1]
    )

    def answer() -> np.ndarray:
        network = tiny_sam()
        run_exported(network, Backend.OPENVINO, "weights", Precision.FP32, threads=1)
        return arrays(network.embed(torch.ones(1, 3, 256, 256)))[0]

    wanted = answer()
    assert np.array_equal(answer(), wanted) and len(compilations) == 1
    (blob,) = (tmp_path / "exported").glob("*.blob")
    content = bytearray(blob.read_bytes())
    content[len(content) // 2] ^= 255
    blob.write_bytes(content)
    assert np.array_equal(answer(), wanted) and len(compilations) == 2 and blob.name in caplog.text
