"""Weights of a kept file are those that were kept, or it is refused."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from tiny_networks import tiny_sam

pytest.importorskip("transformers")

from delineate.checkpoints import store
from delineate.core.errors import ModelError
from delineate.models.sam import Sam
from delineate.systems import BuildOptions
from delineate.systems.building import loaded


def built(network: Sam, checkpoint: Path | None = None) -> str:
    """The hash of the weights that were put into a network."""
    return loaded("mobile_sam", BuildOptions(checkpoint=checkpoint), network, network.host, dict)[1]


@pytest.mark.parametrize("hidden", [False, True], ids=["another time", "the same size and time"])
def test_a_kept_file_that_was_changed_is_not_used(
    hidden: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DELINEATE_MODELS", str(tmp_path / "models"))
    weights = {key: value.clone().contiguous() for key, value in tiny_sam().host.state_dict().items()}
    save_file(weights, tmp_path / "a.safetensors")
    path = store.import_checkpoint("mobile_sam", tmp_path / "a.safetensors")
    before = path.stat()
    assert len(built(tiny_sam())) == 64
    save_file({key: torch.zeros_like(value) for key, value in weights.items()}, path)
    if hidden:
        assert path.stat().st_size == before.st_size
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    with pytest.raises(ModelError) as caught:
        built(tiny_sam())
    assert caught.value.code == "E-MODEL-CHANGED"
    assert len(built(tiny_sam(), path)) == 64  # a file that is named is used as it is
