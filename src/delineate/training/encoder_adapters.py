"""Low-rank adapters in a network: LoRA, DoRA and AdaLoRA, as the ``peft`` library has them.

LoRA: arXiv 2106.09685; DoRA: arXiv 2402.09353; AdaLoRA: arXiv 2303.10512. They sit beside the attention's matrices of
any image encoder of the house, or beside all matrices of a mask decoder; the rest is frozen. What was learned is saved
as a small file, and merged (``checkpoints.adapter_file``, which reads and merges it without that library).
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from delineate.adapters.slots import Slotted
from delineate.checkpoints.adapter_file import DECODER, MATRIX, AdapterKind, LowRank, fingerprint, weight_name
from delineate.core.errors import MissingExtraError, ModelError
from delineate.training.run_files import save_arrays

NAME = "default"
SEED = 0  # of fresh matrices
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
    from delineate.models.dino import DINO_BLOCKS

    parts = ("attn", "attention", *(["mlp"] if mlp else []))
    found = [
        f"{name}.{part}.{layer}"
        for name, block in encoder.named_modules()
        if isinstance(block, (Slotted, *DINO_BLOCKS))
        for part in parts
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


def decoder_layers(decoder: nn.Module) -> list[str]:
    """Names of a mask decoder's linear layers, which all get adapters."""
    return [name for name, module in decoder.named_modules() if isinstance(module, nn.Linear)]


class LowRankAdapter:
    """Adapters in one image encoder or mask decoder. ``put`` and ``put_in_decoder`` make one.

    place  before the names of its layers in the file: "" for an encoder
    """

    def __init__(self, tuner: Any, options: AdapterOptions, place: str = "") -> None:
        self.tuner, self.options, self.place = tuner, options, place
        self.module: nn.Module = tuner.model
        self._base_weights: str | None = None
        layers = {name: self.module.get_submodule(name) for name in tuner.targeted_module_names}
        self.beside = {place + name: layer.base_layer.weight for name, layer in layers.items()}

    @classmethod
    def put(cls, encoder: nn.Module, options: AdapterOptions, steps: int) -> LowRankAdapter:
        """Put fresh adapters into an encoder, which they leave answering as before; ``steps`` they will be trained.

        Raises MissingExtraError where peft is not installed.
        """
        return cls._put(encoder, adapted_layers(encoder, options.mlp), options, steps, "")

    @classmethod
    def put_in_decoder(cls, decoder: nn.Module, options: AdapterOptions, steps: int) -> LowRankAdapter:
        """The same in a mask decoder."""
        return cls._put(decoder, decoder_layers(decoder), options, steps, f"{DECODER}.")

    @classmethod
    def _put(
        cls, module: nn.Module, layers: list[str], options: AdapterOptions, steps: int, place: str
    ) -> LowRankAdapter:
        """Put fresh adapters beside layers of a module, the same ones each time.

        Raises MissingExtraError where peft is not installed.
        """
        try:
            from peft import AdaLoraConfig, LoraConfig
            from peft.tuners.adalora import AdaLoraModel
            from peft.tuners.lora import LoraModel
        except ModuleNotFoundError as error:
            raise MissingExtraError("Adapters", "train") from error
        shared: dict[str, Any] = {
            "target_modules": layers,
            "lora_alpha": options.alpha,
            "lora_dropout": options.dropout,
        }
        with warnings.catch_warnings(), torch.random.fork_rng(devices=[]):
            warnings.simplefilter("ignore")
            torch.manual_seed(SEED)
            if options.kind is AdapterKind.ADALORA:
                warm, final = int(WARM * steps), int(FINAL * steps)
                every = max(1, (steps - warm - final) // 20)
                adaptive = AdaLoraConfig(
                    init_r=options.rank + options.rank // 2 + 1, target_r=options.rank, tinit=warm, tfinal=final,
                    deltaT=every, total_step=max(steps, 3), orth_reg_weight=ORTHOGONAL, **shared,
                )  # fmt: skip
                return cls(AdaLoraModel(module, adaptive, NAME), options, place)
            config = LoraConfig(r=options.rank, use_dora=options.kind is AdapterKind.DORA, **shared)
            return cls(LoraModel(module, config, NAME), options, place)

    def named_parameters(self) -> dict[str, nn.Parameter]:
        """The adapters' own parameters."""
        return {n: p for n, p in self.module.named_parameters() if "lora_" in n}

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
        return {f"adapter.{self.place}{n.replace(f'.{NAME}', '')}": p for n, p in self.named_parameters().items()}

    @torch.no_grad()
    def merged(self, host: nn.Module) -> dict[str, Tensor]:
        """The host's weights as if it never had adapters."""
        found = {k.replace(".base_layer.", "."): v for k, v in host.state_dict().items() if _is_of_host(k)}
        matrices: dict[str, dict[str, Tensor]] = {}
        for name, value in self.arrays().items():
            if place := MATRIX.match(name):
                matrices.setdefault(place["layer"], {})[place["kind"]] = value
        for layer, given in matrices.items():
            learned = LowRank.of(self.options.kind, self.options.alpha, as_arrays(given))
            beside = self.beside[layer].float().cpu().numpy()
            found[weight_name(layer)] = torch.from_numpy(learned.added_to(beside))
        return found

    @torch.no_grad()
    def take(self, arrays: Mapping[str, Tensor]) -> None:
        """What ``arrays`` gave."""
        for name, parameter in self.arrays().items():
            parameter.copy_(arrays[name])

    def save(
        self,
        path: Path,
        others: Mapping[str, Tensor] | None = None,
        base: str = "",
        host: nn.Module | None = None,
    ) -> None:
        """Write the adapters.

        others  weights that were trained with them, under the host's names
        base    the system
        host    the network; all of it that did not learn is what the file may be put into
        """
        others = dict(others or {})
        if host is not None and self._base_weights is None:  # they are the same at any time
            before = {k.replace(".base_layer.", "."): v for k, v in host.state_dict().items() if _is_of_host(k)}
            frozen = {k: v for k, v in before.items() if k not in others and v.is_floating_point()}
            self._base_weights = fingerprint(as_arrays(frozen))
        said = {} if self._base_weights is None else {"base_weights": self._base_weights}
        save_arrays(
            path, self.arrays() | others, adapter=json.dumps(asdict(self.options)), base=base,
            base_layers=fingerprint(as_arrays(self.beside)), **said,
        )  # fmt: skip


def _is_of_host(name: str) -> bool:
    """Whether a weight of a network with adapters is the network's own."""
    return ".lora_" not in name and not name.endswith(f".ranknum.{NAME}")


def as_arrays(tensors: Mapping[str, Tensor]) -> dict[str, NDArray[np.float32]]:
    """Tensors as numpy has them, in fp32."""
    return {name: value.detach().float().cpu().numpy() for name, value in tensors.items()}
