"""Low-rank adapters in image encoders: LoRA, DoRA and AdaLoRA, as the ``peft`` library has them.

LoRA: arXiv 2106.09685; DoRA: arXiv 2402.09353; AdaLoRA: arXiv 2303.10512. They sit beside the attention's matrices of
any encoder of the house; the rest of it is frozen. What was learned is saved as a small file, and merged.
"""

from __future__ import annotations

import copy
import json
import warnings
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from transformers.models.sam.modeling_sam import SamMLPBlock, SamVisionAttention
from transformers.models.sam2.modeling_sam2 import Sam2FeedForward, Sam2MultiScaleAttention

from delineate.errors import MissingExtraError, ModelError
from delineate.models.tiny_vit import Mlp, WindowAttention
from delineate.training.run_files import read_arrays, save_arrays

NAME = "default"
WARM, FINAL = 0.1, 0.3  # shares of the steps before AdaLoRA's ranks shrink, and after they are settled
ORTHOGONAL = 0.5  # weight of AdaLoRA's penalty
ATTENTION: dict[type[nn.Module], tuple[str, ...]] = {
    SamVisionAttention: ("qkv", "proj"),
    WindowAttention: ("qkv", "proj"),  # TinyViT
    Sam2MultiScaleAttention: ("qkv", "proj"),  # Hiera
}
MLPS: dict[type[nn.Module], tuple[str, ...]] = {
    SamMLPBlock: ("lin1", "lin2"),
    Mlp: ("fc1", "fc2"),
    Sam2FeedForward: ("proj_in", "proj_out"),
}


class AdapterKind(StrEnum):
    LORA = "lora"
    DORA = "dora"
    ADALORA = "adalora"


@dataclass(frozen=True)
class AdapterOptions:
    """rank of the matrices (AdaLoRA: on average at the end); alpha / rank scales them; ``mlp``: MLPs get them too."""

    kind: AdapterKind = AdapterKind.LORA
    rank: int = 8
    alpha: float = 16.0
    dropout: float = 0.0
    mlp: bool = False

    def __post_init__(self) -> None:
        if self.rank < 1:
            raise ModelError("E-TRAIN-OPTION", f"{self.rank} is no rank.", "Use 4, 8 or 16.")


def adapted_layers(encoder: nn.Module, mlp: bool = False) -> list[str]:
    """Names of the linear layers that get adapters.

    Raises ModelError if the encoder has no attention that is known here.
    """
    table = ATTENTION | (MLPS if mlp else {})
    found = [
        f"{name}.{layer}"
        for name, module in encoder.named_modules()
        for kind, layers in table.items()
        if isinstance(module, kind)
        for layer in layers
        if isinstance(getattr(module, layer, None), nn.Linear)
    ]
    if not found:
        raise ModelError("E-ADAPTER", f"{type(encoder).__name__} has no attention that adapters can be put into.")
    return found


class EncoderAdapter:
    """Adapters in one encoder. ``put`` and ``read`` make one."""

    def __init__(self, tuner: Any, options: AdapterOptions) -> None:
        self.tuner, self.options = tuner, options
        self.encoder: nn.Module = tuner.model

    @classmethod
    def put(cls, encoder: nn.Module, options: AdapterOptions, steps: int) -> EncoderAdapter:
        """Put fresh adapters into an encoder, which they leave answering as before; ``steps`` they will be trained.

        Raises MissingExtraError where peft is not installed.
        """
        try:
            from peft import AdaLoraConfig, LoraConfig
            from peft.tuners.adalora import AdaLoraModel
            from peft.tuners.lora import LoraModel
        except ModuleNotFoundError as error:
            raise MissingExtraError("Adapters", "train") from error
        shared: dict[str, Any] = {
            "target_modules": adapted_layers(encoder, options.mlp),
            "lora_alpha": options.alpha,
            "lora_dropout": options.dropout,
        }
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            if options.kind is AdapterKind.ADALORA:
                warm, final = int(WARM * steps), int(FINAL * steps)
                every = max(1, (steps - warm - final) // 20)
                adaptive = AdaLoraConfig(
                    init_r=options.rank + options.rank // 2 + 1, target_r=options.rank, tinit=warm, tfinal=final,
                    deltaT=every, total_step=max(steps, 3), orth_reg_weight=ORTHOGONAL, **shared,
                )  # fmt: skip
                return cls(AdaLoraModel(encoder, adaptive, NAME), options)
            config = LoraConfig(r=options.rank, use_dora=options.kind is AdapterKind.DORA, **shared)
            return cls(LoraModel(encoder, config, NAME), options)

    def named_parameters(self) -> dict[str, nn.Parameter]:
        """The adapters' own parameters."""
        return {n: p for n, p in self.encoder.named_parameters() if "lora_" in n}

    def parameters(self) -> list[nn.Parameter]:
        return list(self.named_parameters().values())

    def penalty(self) -> Tensor | None:
        """AdaLoRA's: how far its matrices are from orthogonal (arXiv 2303.10512 eq. 4); of the others none."""
        if self.options.kind is not AdapterKind.ADALORA:
            return None
        gaps = []
        for name, p in self.named_parameters().items():
            if "lora_A" in name or "lora_B" in name:
                product = p @ p.T if "lora_A" in name else p.T @ p
                gaps.append((product - torch.eye(len(product), device=p.device)).norm())
        return ORTHOGONAL * torch.stack(gaps).mean()

    def stepped(self, step: int) -> None:
        """AdaLoRA's ranks follow what the step's gradients say."""
        if self.options.kind is AdapterKind.ADALORA:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                self.tuner.update_and_allocate(step)

    def state(self) -> dict[str, Tensor]:
        """What AdaLoRA remembers of its parameters' importance, and which ranks it settled on."""
        if self.options.kind is not AdapterKind.ADALORA:
            return {}
        allocator = self.tuner.rankallocator
        found = {
            f"{table}/{name}": value
            for table in ("ipt", "exp_avg_ipt", "exp_avg_unc")
            for name, value in getattr(allocator, table).items()
        }
        pattern = self.tuner.peft_config[NAME].rank_pattern or {}
        return found | {f"ranks/{name}": torch.tensor(kept, dtype=torch.bool) for name, kept in pattern.items()}

    def restore(self, state: Mapping[str, Tensor]) -> None:
        """The other way round."""
        ranks = {}
        for key, value in state.items():
            table, name = key.split("/", 1)
            if table == "ranks":
                ranks[name] = value.tolist()
            else:
                getattr(self.tuner.rankallocator, table)[name] = value
        if ranks:
            self.tuner.peft_config[NAME].rank_pattern = ranks

    @torch.no_grad()
    def merged(self, host: nn.Module, prefix: str) -> dict[str, Tensor]:
        """The host's weights as if it never had adapters, ``prefix`` being the encoder's name in it."""
        from peft.tuners.tuners_utils import BaseTunerLayer

        found = {k.replace(".base_layer.", "."): v for k, v in host.state_dict().items() if ".lora_" not in k}
        found = {k: v for k, v in found.items() if not k.endswith(f".ranknum.{NAME}")}
        for name, layer in self.encoder.named_modules():
            if isinstance(layer, BaseTunerLayer):
                one: Any = copy.deepcopy(layer)
                one.merge()
                found[f"{prefix}{name}.weight"] = one.get_base_layer().weight.detach()
        return found

    @torch.no_grad()
    def take(self, arrays: Mapping[str, Tensor], file: str) -> None:
        """Values of a saved adapter. Raises ModelError if it was made for another encoder."""
        given = {n.removeprefix("adapter."): v for n, v in arrays.items() if n.startswith("adapter.")}
        fits = {n.replace(f".{NAME}", ""): p for n, p in self.named_parameters().items()}
        if fits.keys() != given.keys() or any(fits[n].shape != v.shape for n, v in given.items()):
            raise ModelError("E-ADAPTER", f"{file} was made for another encoder than {type(self.encoder).__name__}.")
        for name, parameter in fits.items():
            parameter.copy_(given[name])

    def save(self, path: Path, beside: Mapping[str, Tensor] | None = None) -> None:
        """Write the adapters, and weights that were trained ``beside`` them, under the host's names."""
        arrays = {n.replace(f".{NAME}", ""): p for n, p in self.named_parameters().items()}
        save_arrays(path, {f"adapter.{n}": p for n, p in arrays.items()} | dict(beside or {}),
                    adapter=json.dumps(asdict(self.options)))  # fmt: skip


def load_adapter(host: nn.Module, path: Path) -> None:
    """Put a saved adapter into a system's host (with ``vision_encoder``), merged: no trace of it slows it down.

    Raises ModelError if the file is no adapter, or one for another encoder.
    """
    arrays, said = read_arrays(path)
    if "adapter" not in said:
        raise ModelError("E-ADAPTER", f"{path.name} is no adapter.", "Give the adapter.safetensors of a training run.")
    words = json.loads(said["adapter"])
    options = AdapterOptions(**(words | {"kind": AdapterKind(words["kind"])}))
    encoder: nn.Module = host.get_submodule("vision_encoder")
    adapter = EncoderAdapter.put(encoder, options, steps=100)
    adapter.take(arrays, path.name)
    adapter.tuner.merge_and_unload()
    others = {n: v for n, v in arrays.items() if not n.startswith("adapter.")}
    unknown = host.load_state_dict(others, strict=False).unexpected_keys
    if unknown:
        raise ModelError("E-ADAPTER", f"{path.name} holds {len(unknown)} weights this system does not have.")
