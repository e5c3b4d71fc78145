"""Every system says what it is, and runs on images, volumes and videos, from the command line and from a file."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from delineate.core.errors import ModelError
from delineate.core.frame import Frame
from delineate.systems import SYSTEMS, BuildOptions, build, building, registry
from warm import delineate

FIELDS = ("summary", "propagation_note", "profile", "training", "citation", "license")


@pytest.mark.parametrize("name", SYSTEMS)
def test_every_system_says_what_it_is(name: str) -> None:
    system = SYSTEMS[name]
    assert all(getattr(system, field) for field in FIELDS)
    assert bool(system.propagation) <= bool(system.prompts)
    assert any(word in system.citation for word in ("arXiv", "Nature", "repository"))


@pytest.mark.parametrize("name", [name for name, system in SYSTEMS.items() if system.download])
def test_what_is_fetched_is_checked_against_a_whole_hash(name: str) -> None:
    """The authors of EdgeTAM and DINOv2 give none, and none was found: it is recorded when it is first fetched."""
    download = SYSTEMS[name].download
    assert download is not None and (len(bytes.fromhex(download.sha256)) == 32 or name in ("edge_tam", "dinov2_ssl"))


def test_the_list_needs_no_torch() -> None:
    code = """
import sys
from delineate.systems import SYSTEMS
assert len(SYSTEMS) > 20
assert not {"torch", "transformers"} & set(sys.modules)
"""
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_system_without_weights_says_how_to_get_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DELINEATE_MODELS", str(tmp_path))
    pytest.importorskip("transformers")
    with pytest.raises(ModelError) as caught:
        build("lite_medsam")
    assert caught.value.code == "E-MODEL-WEIGHTS" and "models pull lite_medsam" in caught.value.hint


@pytest.mark.parametrize(
    ("name", "way"),
    [
        pytest.param("medsam", "models import FILE --system medsam", id="published nowhere"),
        pytest.param("sam2.1_tiny", "models pull sam2.1_tiny", id="published"),
        pytest.param("medsam_text", "--system medsam_text", id="that reads"),
    ],
)
def test_missing_weights_are_told_before_a_network_is_built(
    name: str, way: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("transformers")
    monkeypatch.setenv("DELINEATE_MODELS", str(tmp_path))
    monkeypatch.setattr(building, "needs_torch", None)  # which would import it
    with pytest.raises(ModelError) as caught:
        build(name)
    assert caught.value.code == "E-MODEL-WEIGHTS" and way in caught.value.hint
    if SYSTEMS[name].download is None:
        assert "models pull" not in caught.value.hint


@pytest.mark.parametrize("system", [None, "sam_vit_h", "sam2.1_large", "samed"])
def test_a_missing_checkpoint_is_told_before_a_network_is_built(
    system: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(registry, "_built", None)
    with pytest.raises(ModelError, match="There is no checkpoint at") as caught:
        build(str(tmp_path / "none.pth"), system=system)
    assert caught.value.code == "E-MODEL-MISSING"


def test_unknown_names_and_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="no model"):
        build("sam3")
    (tmp_path / "notes.txt").write_text("no model")
    with pytest.raises(ModelError) as caught:
        build(str(tmp_path / "notes.txt"))
    assert caught.value.code == "E-MODEL-KIND"


def picture(folder: Path) -> tuple[Path, list[str]]:
    y, x = np.mgrid[:90, :120]
    disc = (y - 40) ** 2 + (x - 60) ** 2 < 25**2
    gray = (40 + 150 * disc + np.random.default_rng(0).normal(0, 8, disc.shape)).clip(0, 255).astype(np.uint8)
    Image.fromarray(gray).save(folder / "disc.png")
    return folder / "disc.png", ["--box", "30,10,90,70"]


def volume(folder: Path) -> tuple[Path, list[str]]:
    import nibabel as nib

    _, y, x = np.mgrid[:4, :60, :50]
    voxels = (100 + 300 * ((y - 30) ** 2 + (x - 25) ** 2 < 12**2)).astype(np.int16)
    nib.save(nib.Nifti1Image(voxels.transpose(2, 1, 0), np.diag([1.0, 1, 4, 1])), folder / "disc.nii.gz")
    return folder / "disc.nii.gz", ["--box", "10,15,1,40,45,3"]


def clip(folder: Path) -> tuple[Path, list[str]]:
    frames = folder / "frames"
    frames.mkdir()
    for t in range(3):
        y, x = np.mgrid[:64, :64]
        disc = (y - 30) ** 2 + (x - 28 - 2 * t) ** 2 < 14**2
        Image.fromarray((60 + 150 * disc).astype(np.uint8)).save(frames / f"{t:03}.png")
    return frames, ["--point", "28,30", "--frame", "0"]


SCANS = {"image": picture, "volume": volume, "video": clip}
# one of each kind of network, the smallest of it; each on every kind of scan: test_every_system
RUN = (("lite_medsam", "image"), ("medsam2", "volume"), ("efficient_tam_ti_512", "video"))


@pytest.mark.parametrize(("name", "scan"), RUN)
def test_runs_from_the_command_line(name: str, scan: str, tmp_path: Path) -> None:
    """Random weights: nothing is outlined well, but everything is written, and the manifest says what it was."""
    pytest.importorskip("transformers")
    path, prompts = SCANS[scan](tmp_path)
    output = tmp_path / ("out.nii.gz" if scan == "volume" else "out" if scan == "video" else "out.png")
    words = ("-m", name, "--untrained", "--precision", "fp32", "-o", output, "--json")
    run = delineate("segment", path, *prompts, *words, cwd=tmp_path)
    assert run.returncode in (0, 3), run.stderr  # 3: nothing was outlined
    model = json.loads(run.stdout)["manifest"]["model"]
    assert model["name"] == name and model["sha256"] == "random weights" and "fp32" in model["preprocessing"]


def test_a_published_file_runs_by_itself(tmp_path: Path) -> None:
    """Saved in the authors' layout and wrapper, recognized, loaded without a key too many, and the same afterwards."""
    torch = pytest.importorskip("torch")
    pytest.importorskip("transformers")
    from delineate.checkpoints.key_maps import TINY_VIT

    made = build("lite_medsam", BuildOptions(untrained=True, device="cpu", precision="fp32"))
    native = _native_names(made.network.host.state_dict())  # type: ignore[attr-defined]
    torch.save({"model": {f"module.{k}": v for k, v in native.items()}, "epoch": 9}, tmp_path / "lite_medsam_best.pth")
    file = str(tmp_path / "lite_medsam_best.pth")
    loaded = build(file, BuildOptions(device="cpu", precision="fp32", backend="torch"))
    assert loaded.record.name == "lite_medsam" and TINY_VIT
    frame = np.random.default_rng(0).integers(0, 255, (70, 90, 3)).astype(np.uint8)
    one, other = made.encode(Frame.of(frame)), loaded.encode(Frame.of(frame))
    assert torch.equal(one.embedding, other.embedding)
    (found,) = build(file, BuildOptions(device="cpu")).encode(Frame.of(frame)).maps.values()  # its shipped graph
    assert np.abs(found - one.embedding.numpy()).max() < 1e-3


def _native_names(hosted: dict) -> dict:
    """The authors' names for a SAM-shaped network with TinyViT: the map, backwards."""
    import re

    heads = "output_hypernetworks_mlps\\.\\d|iou_prediction_head"
    back = (
        (r"^vision_encoder\.", "image_encoder."),
        (r"^prompt_encoder\.shared_embedding\.positional_embedding",
         "prompt_encoder.pe_layer.positional_encoding_gaussian_matrix"),
        (r"^prompt_encoder\.point_embed\.", "prompt_encoder.point_embeddings."),
        (r"mask_embed\.conv1\.", "mask_downscaling.0."), (r"mask_embed\.layer_norm1\.", "mask_downscaling.1."),
        (r"mask_embed\.conv2\.", "mask_downscaling.3."), (r"mask_embed\.layer_norm2\.", "mask_downscaling.4."),
        (r"mask_embed\.conv3\.", "mask_downscaling.6."),
        (r"transformer\.layer_norm_final_attn\.", "transformer.norm_final_attn."),
        (r"(transformer\.layers\.\d)\.layer_norm(\d)\.", r"\1.norm\2."),
        (r"mask_decoder\.upscale_conv1\.", "mask_decoder.output_upscaling.0."),
        (r"mask_decoder\.upscale_layer_norm\.", "mask_decoder.output_upscaling.1."),
        (r"mask_decoder\.upscale_conv2\.", "mask_decoder.output_upscaling.3."),
        (rf"({heads})\.layers\.0\.", r"\1.layers.1."), (rf"({heads})\.proj_in\.", r"\1.layers.0."),
        (rf"({heads})\.proj_out\.", r"\1.layers.2."),
    )  # fmt: skip
    native = {}
    for key, value in hosted.items():
        if key.startswith("shared_image_embedding"):
            continue
        for pattern, replacement in back:
            key = re.sub(pattern, replacement, key)
        native[key] = value
    return native


def test_an_adapter_that_is_not_there_is_told_with_those_that_ship() -> None:
    system = SYSTEMS["lite_medsam"]
    assert system.adapter_file(Path("interactive")).is_file()
    with pytest.raises(ModelError, match="those that ship for lite_medsam: interactive") as caught:
        build("lite_medsam", BuildOptions(untrained=True, adapter=Path("nteractive")))
    assert caught.value.code == "E-ADAPTER"
