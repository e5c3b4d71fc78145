"""Adapters that were trained beside a network, put into its weights: low-rank matrices, and what learned with them.

LoRA: arXiv 2106.09685; DoRA: arXiv 2402.09353; AdaLoRA: arXiv 2303.10512. The file holds ``adapter.LAYER.lora_A`` and
so on for layers of the image encoder, whole weights under the network's own names, and in its header how they were
made and for which weights. Once they are put in, nothing of them slows the network down. Free of torch: a graph is
filled with the same weights, to the last bit, as a network.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, FiniteFloat

from delineate.checkpoints.safetensors_file import read_safetensors
from delineate.core.errors import ModelError
from delineate.core.json_file import parsed_json
from delineate.core.terminal_text import excerpt

Arrays = Mapping[str, NDArray[Any]]

ENCODER, DECODER = "vision_encoder", "mask_decoder"  # layers of the first are named within it
PREFIX = "adapter."
MATRIX = re.compile(r"^adapter\.(?P<layer>.+)\.lora_(?P<kind>A|B|E|magnitude_vector)(?:\.weight)?$")
ADALORA_EPSILON = 1e-5  # beside the rank in AdaLoRA's scale, as in the peft library
WAY_OUT = "Give the adapter.safetensors of a training run, and with -m the system or file it was trained on."


class AdapterKind(StrEnum):
    LORA = "lora"
    DORA = "dora"
    ADALORA = "adalora"


class HowMade(BaseModel):
    """What the header says of the matrices."""

    kind: AdapterKind
    alpha: FiniteFloat


@dataclass(frozen=True, eq=False)
class LowRank:
    """What is learned beside the weights W (outputs, inputs) of a layer, in fp32.

    down (r, inputs) and up (outputs, r); ``values`` (r, 1) of AdaLoRA; ``lengths`` (outputs,) of DoRA
    """

    kind: AdapterKind
    alpha: float
    down: NDArray[np.float32]
    up: NDArray[np.float32]
    values: NDArray[np.float32] | None = None
    lengths: NDArray[np.float32] | None = None

    @classmethod
    def of(cls, kind: AdapterKind, alpha: float, matrices: Arrays) -> LowRank:
        """From matrices named A, B, E, magnitude_vector.

        Raises KeyError if one is missing, ValueError if they are no matrices of one rank.
        """
        found = {name: np.asarray(value, np.float32) for name, value in matrices.items()}
        down, up = found["A"], found["B"]
        if down.ndim != 2 or up.ndim != 2 or not len(down) or up.shape[1] != len(down):
            raise ValueError(f"matrices of {down.shape} and {up.shape}")
        values = found["E"] if kind is AdapterKind.ADALORA else None
        lengths = found["magnitude_vector"] if kind is AdapterKind.DORA else None
        return cls(kind, alpha, down, up, values, lengths)

    def fits(self, weight: NDArray[Any]) -> bool:
        rank = len(self.down)
        return (
            self.down.shape == (rank, weight.shape[1])
            and self.up.shape == (weight.shape[0], rank)
            and (self.values is None or self.values.shape == (rank, 1))
            and (self.lengths is None or self.lengths.shape == (len(weight),))
        )

    def added_to(self, weight: NDArray[Any]) -> NDArray[np.float32]:
        """The layer's new weights (outputs, inputs), computed in fp32."""
        rank, old = len(self.down), weight.astype(np.float32)
        if self.values is not None:
            settled = self.up @ (self.down * self.values) * np.float32(self.alpha / (rank + ADALORA_EPSILON))
            return np.asarray(old + settled, np.float32)
        new: NDArray[np.float32] = old + self.up @ self.down * np.float32(self.alpha / rank)
        if self.lengths is None:
            return new
        return np.asarray(new * (self.lengths / np.linalg.norm(new, axis=1))[:, None], np.float32)


@dataclass(frozen=True, eq=False)
class AdapterFile:
    """A file that was read.

    layers    of the encoder, and what was learned beside each
    others    whole weights that learned with them, under the host's names
    base      the system it was trained on ("" where the file does not say)
    expected  ``fingerprint`` of the layers it was trained beside ("" where the file does not say)
    network   ``fingerprint`` of all weights it was trained with, but for ``others`` ("" likewise)
    """

    name: str
    layers: Mapping[str, LowRank]
    others: Arrays
    base: str
    expected: str
    network: str

    @classmethod
    def read(cls, path: Path) -> AdapterFile:
        """Raises ModelError if there is no such file, or it holds no adapter."""
        if not path.is_file():
            raise ModelError(
                "E-ADAPTER",
                f"There is no adapter at {path}.",
                "Check the path; those that ship: delineate systems NAME",
            )
        try:
            arrays, said = read_safetensors(path)
        except ModelError as error:
            raise ModelError("E-ADAPTER", error.message, WAY_OUT) from error
        matrices: dict[str, dict[str, NDArray[Any]]] = {}
        for key, value in arrays.items():
            if found := MATRIX.match(key):
                matrices.setdefault(found["layer"], {})[found["kind"]] = value
        if "adapter" not in said or not matrices:
            raise ModelError("E-ADAPTER", f"{path.name} is no adapter.", WAY_OUT)
        made = parsed_json(said["adapter"], HowMade, path.name, "E-ADAPTER", "an adapter", WAY_OUT, ModelError)
        odd = next((key for key, value in arrays.items() if value.dtype.kind != "f"), None)
        if odd is not None:
            raise ModelError("E-ADAPTER", f"{path.name}: {excerpt(odd)} holds {arrays[odd].dtype}.", WAY_OUT)
        try:
            layers = {name: LowRank.of(made.kind, made.alpha, found) for name, found in matrices.items()}
        except KeyError as error:
            raise ModelError(
                "E-ADAPTER", f"{path.name} lacks {error} of a layer; {made.kind} needs it.", WAY_OUT
            ) from error
        except ValueError as error:
            raise ModelError("E-ADAPTER", f"{path.name} holds {error} for a layer, of no one rank.", WAY_OUT) from error
        others = {key: value for key, value in arrays.items() if not key.startswith(PREFIX)}
        return cls(path.name, layers, others, *(said.get(key, "") for key in ("base", "base_layers", "base_weights")))


def fingerprint(weights: Arrays) -> str:
    """sha256 over names and values: which weights an adapter was trained beside."""
    digest = hashlib.sha256()
    for name in sorted(weights):
        digest.update(name.encode())
        digest.update(np.ascontiguousarray(weights[name], np.float32).tobytes())
    return digest.hexdigest()


def weight_name(layer: str) -> str:
    """What the weights beside an adapter's layer are called in a host."""
    return f"{layer}.weight" if layer.startswith(f"{DECODER}.") else f"{ENCODER}.{layer}.weight"


def adapted(state: Arrays, path: Path) -> dict[str, NDArray[np.float32]]:
    """What a saved adapter changes of a host's weights, by name.

    Raises ModelError if it is no adapter, or belongs to a network of another shape, or to other weights.
    """
    adapter = AdapterFile.read(path)
    whose = f"; it was trained on {excerpt(adapter.base)}" if adapter.base else ""
    missing = [n for n in adapter.layers if weight_name(n) not in state]
    missing += [n for n in adapter.others if n not in state]
    if missing:
        raise ModelError(
            "E-ADAPTER",
            f"{adapter.name} is for another network, which has a layer {excerpt(missing[0])}{whose}.",
            WAY_OUT,
        )
    weights = {name: state[weight_name(name)] for name in adapter.layers}
    other = [n for n, one in adapter.layers.items() if weights[n].ndim != 2 or not one.fits(weights[n])]
    other += [n for n, value in adapter.others.items() if value.shape != state[n].shape]
    if other:
        raise ModelError(
            "E-ADAPTER",
            f"{adapter.name} is for a network of another size: {excerpt(other[0])} does not fit{whose}.",
            WAY_OUT,
        )
    beside = {n: v for n, v in state.items() if n not in adapter.others and v.dtype.kind == "f"}
    if (adapter.expected and adapter.expected != fingerprint(weights)) or (
        adapter.network and adapter.network != fingerprint(beside)
    ):
        raise ModelError(
            "E-ADAPTER", f"{adapter.name} was trained beside other weights of the same shape{whose}.", WAY_OUT
        )
    changed = {weight_name(name): one.added_to(weights[name]) for name, one in adapter.layers.items()}
    return changed | {name: value.astype(np.float32) for name, value in adapter.others.items()}
