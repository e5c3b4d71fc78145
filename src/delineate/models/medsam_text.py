"""MedSAM's text-prompt extension: SAM whose prompt tokens are words read by CLIP (bowang-lab/MedSAM, text_prompt).

All 77 tokens of CLIP's text tower, padding too, are projected to the decoder's width and are the sparse prompt; there
is no pooling. The host's parts for mask prompts are taken out: the published file holds none that could be used.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from torch import Tensor, nn
from transformers import CLIPTextConfig, CLIPTextModel

from delineate.models.sam import Sam, SamShape

PROMPT_WIDTH = 256  # of the decoder's tokens


@dataclass(frozen=True)
class TextTower:
    """Sizes of the text encoder; by default those of CLIP ViT-B/16 (arXiv 2103.00020).

    words   entries of its vocabulary
    length  tokens of a prompt, padded
    """

    width: int = 512
    depth: int = 12
    heads: int = 8
    words: int = 49408
    length: int = 77


@dataclass(frozen=True)
class MedSamTextShape:
    sam: SamShape = field(default_factory=SamShape)
    text: TextTower = field(default_factory=TextTower)


class MedSamText(Sam):
    """``embed`` an image, ``read`` words, then ``decode_tokens``."""

    def __init__(self, shape: MedSamTextShape | None = None) -> None:
        shape = shape or MedSamTextShape()
        super().__init__(shape.sam)
        self.text = tower = shape.text
        prompts = self.host.prompt_encoder
        del prompts.mask_embed
        prompts.text_encoder = CLIPTextModel(
            CLIPTextConfig(
                hidden_size=tower.width,
                intermediate_size=4 * tower.width,
                num_hidden_layers=tower.depth,
                num_attention_heads=tower.heads,
                vocab_size=tower.words,
                max_position_embeddings=tower.length,
                bos_token_id=tower.words - 2,
                eos_token_id=tower.words - 1,
            )
        )
        prompts.text_encoder_head = nn.Linear(tower.width, PROMPT_WIDTH)

    def read(self, ids: Tensor) -> Tensor:
        """Vocabulary indices (O, length) -> prompt tokens (O, length, 256)."""
        prompts: Any = self.host.prompt_encoder
        return prompts.text_encoder_head(prompts.text_encoder(input_ids=ids).last_hidden_state)
