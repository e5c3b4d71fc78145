"""Low-rank adapters in image encoders: LoRA, DoRA and AdaLoRA, as the ``peft`` library has them.

LoRA: arXiv 2106.09685; DoRA: arXiv 2402.09353; AdaLoRA: arXiv 2303.10512. They sit beside the attention's matrices of
any encoder of the house; the rest of it is frozen. What was learned is saved as a small file, and merged
(``checkpoints.adapter_file``, which reads and merges it without that library).
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from delineate.adapters.slots import Slotted
from delineate.checkpoints.adapter_file import MATRIX, AdapterKind, LowRank, fingerprint
from delineate.core.errors import MissingExtraError, ModelError
from delineate.training.run_files import save_arrays

NAME = "default"
WARM, FINAL = 0.1, 0.3  # shares of the steps before AdaLoRA's ranks shrink, and after they are settled
ORTHOGONAL = 0.5  # weight of AdaLoRA's penalty


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
    found = [
        f"{name}.{part}.{layer}"
        for name, block in encoder.named_modules()
        if isinstance(block, Slotted)
        for part in ("attn", "mlp")[: 1 + mlp]
        for layer, module in getattr(block, part, nn.Identity()).named_children()
        if isinstance(module, nn.Linear)
    ]
    if not found:
        raise ModelError(
            "E-ADAPTER",
            f"{type(encoder).__name__} has no attention that adapters can be put into.",
            "Choose a system with a ViT, TinyViT or Hiera encoder.",
        )
    return found


class EncoderAdapter:
    """Adapters in one encoder. ``put`` makes one."""

    def __init__(self, tuner: Any, options: AdapterOptions) -> None:
        self.tuner, self.options = tuner, options
        self.encoder: nn.Module = tuner.model
        self.beside = {name: self.encoder.get_submodule(name).base_layer.weight for name in tuner.targeted_module_names}

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

    def arrays(self) -> dict[str, Tensor]:
        """What was learned, as the file names it."""
        return {f"adapter.{n.replace(f'.{NAME}', '')}": p for n, p in self.named_parameters().items()}

    @torch.no_grad()
    def merged(self, host: nn.Module, prefix: str) -> dict[str, Tensor]:
        """The host's weights as if it never had adapters, ``prefix`` being the encoder's name in it."""
        found = {k.replace(".base_layer.", "."): v for k, v in host.state_dict().items() if ".lora_" not in k}
        found = {k: v for k, v in found.items() if not k.endswith(f".ranknum.{NAME}")}
        matrices: dict[str, dict[str, Tensor]] = {}
        for name, value in self.arrays().items():
            if place := MATRIX.match(name):
                matrices.setdefault(place["layer"], {})[place["kind"]] = value
        for layer, given in matrices.items():
            learned = LowRank.of(self.options.kind, self.options.alpha, given)
            found[f"{prefix}{layer}.weight"] = learned.added_to(self.beside[layer])
        return found

    @torch.no_grad()
    def take(self, arrays: Mapping[str, Tensor]) -> None:
        """What ``arrays`` gave."""
        for name, parameter in self.arrays().items():
            parameter.copy_(arrays[name])

    def save(self, path: Path, others: Mapping[str, Tensor] | None = None, base: str = "") -> None:
        """Write the adapters, and weights that were trained with them, under the host's names; ``base``: the system."""
        save_arrays(
            path, self.arrays() | dict(others or {}), adapter=json.dumps(asdict(self.options)), base=base,
            base_layers=fingerprint(self.beside),
        )  # fmt: skip
