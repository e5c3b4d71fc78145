"""A paper's adapter from its first step to the exported file: Medical SAM Adapter's bottleneck (arXiv 2304.12620)."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

pytest.importorskip("transformers")
pytest.importorskip("onnx")

import onnxruntime

from delineate.adapters.slots import DecoderSlot, Insertion, Slot, insert
from delineate.compute.engine import Engine, Precision
from delineate.models.sam import Sam, SamPrompts
from delineate.predictors.export.bundle import export_system
from host_cases import drawn
from training_discs import tiny_predictor

SCALE = 0.5  # of what is added beside the MLP
BOX = torch.tensor([[40.0, 50.0, 180.0, 200.0]])
DISC = ((torch.arange(64.0)[:, None] - 31) ** 2 + (torch.arange(64.0)[None] - 27) ** 2 < 300).float()[None, None]


class Bottleneck(nn.Module):
    """Narrow, activate, widen; after attention with a way around, beside the MLP without and scaled."""

    def __init__(self, width: int, beside: bool) -> None:
        super().__init__()
        self.down, self.up, self.beside = nn.Linear(width, width // 4), nn.Linear(width // 4, width), beside

    def forward(self, x: Tensor, *given: object) -> Tensor:
        made = self.up(F.gelu(self.down(given[0] if self.beside and isinstance(given[0], Tensor) else x)))
        return SCALE * made if self.beside else x + made


PLAN = (
    Insertion(Slot.ATTENTION_OUTPUT, lambda width, _: Bottleneck(width, beside=False)),
    Insertion(Slot.MLP_PARALLEL, lambda width, _: Bottleneck(width, beside=True)),
    Insertion(DecoderSlot.HYPER, lambda width, _: Bottleneck(width, beside=False)),
    Insertion(DecoderSlot.MLP_PARALLEL, lambda width, _: Bottleneck(width, beside=True)),
    Insertion(DecoderSlot.IMAGE_UPDATE, lambda width, _: Bottleneck(width, beside=False)),
)


def logits(network: Sam, pixels: Tensor) -> Tensor:
    return network.decode(network.embed(pixels), SamPrompts(boxes=BOX), multimask=False)[0]


def trained(network: Sam, pixels: Tensor) -> None:
    """Two steps of the adapters alone."""
    adapters = [p for m in network.modules() if isinstance(m, Bottleneck) for p in m.parameters()]
    network.requires_grad_(False)
    for parameter in adapters:
        parameter.requires_grad_(True)
    optimizer = torch.optim.Adam(adapters, 1e-2)
    before = [p.clone() for p in adapters]
    for _ in range(2):
        optimizer.zero_grad()
        F.binary_cross_entropy_with_logits(logits(network, pixels), DISC).backward()
        optimizer.step()
    assert len(adapters) == 4 * (2 * 3 + 3 * 2)
    assert all(not torch.equal(p, old) for p, old in zip(adapters, before, strict=True))


def test_an_adapter_in_encoder_and_decoder_answers_alike_everywhere(tmp_path: Path) -> None:
    predictor = tiny_predictor(alive=True)
    network, pixels = predictor.network, drawn(1, 1, 3, 256, 256)
    with torch.inference_mode():
        plain = logits(network, pixels)
    torch.manual_seed(0)
    insert(network.host, *PLAN)
    trained(network, pixels)

    learning = logits(network, pixels).detach()
    with torch.inference_mode():
        used = logits(network, pixels)
        engine = Engine(torch.device("cpu"), Precision.BF16)
        with engine.encoding():
            embedding = network.embed(pixels).float()
        low = network.decode(embedding, SamPrompts(boxes=BOX), multimask=False)[0]
    card = export_system(predictor, tmp_path)

    def run(part: str, **inputs: Tensor) -> Tensor:
        session = onnxruntime.InferenceSession(str(tmp_path / card["parts"][part]["file"]))
        return torch.from_numpy(session.run(None, {name: value.numpy() for name, value in inputs.items()})[0])

    elsewhere = run(
        "decoder",
        image_embeddings=run("encoder", pixels=pixels),
        point_coords=BOX.view(1, 2, 2),
        point_labels=torch.tensor([[2.0, 3.0]]),
        mask_input=torch.zeros(1, 1, 64, 64),
        has_mask_input=torch.zeros(1),
    )[:, :1]

    largest = float(used.abs().max())
    gaps = {
        name: float((one - used).abs().max()) / largest
        for name, one in {"learning": learning, "bf16": low, "exported": elsewhere, "without": plain}.items()
    }
    print(gaps)
    assert gaps["without"] > 0.2, "two steps changed nothing"
    assert gaps["learning"] < 1e-4 and gaps["exported"] < 1e-3 and gaps["bf16"] < 0.1
    assert torch.equal(learning > 0, used > 0) and torch.equal(elsewhere > 0, used > 0)
    assert float(((low > 0) != (used > 0)).float().mean()) < 0.02
