"""How `sam_med2d.npz` was made: the authors' encoder with adapters, prompt encoder and decoder, tiny, seeded weights.

    python make_sam_med2d.py PATH_OF_THE_REPOSITORY OUTPUT.npz

It needs a torchvision (an empty module will do: nothing of it is used).
"""

from __future__ import annotations

import json
import sys
from functools import partial
from pathlib import Path

import numpy as np
import torch
from weights import seeded_frames, seeded_state

SIDE, CELLS, WIDTH = 256, 16, 256
ENCODER = {"embed_dim": 64, "depth": 3, "num_heads": 2, "global_attn_indexes": [2]}
BOX = (70.0, 60.0, 180.0, 170.0)


class Nothing(torch.nn.Module):
    pass


def network() -> torch.nn.Module:
    from segment_anything.modeling import ImageEncoderViT, MaskDecoder, PromptEncoder, TwoWayTransformer

    model = Nothing()
    model.image_encoder = ImageEncoderViT(
        **ENCODER, img_size=SIDE, mlp_ratio=4, norm_layer=partial(torch.nn.LayerNorm, eps=1e-6), patch_size=16,
        qkv_bias=True, use_rel_pos=True, window_size=14, out_chans=WIDTH, adapter_train=True,
    )  # fmt: skip
    model.prompt_encoder = PromptEncoder(
        embed_dim=WIDTH, image_embedding_size=(CELLS, CELLS), input_image_size=(SIDE, SIDE), mask_in_chans=16
    )
    model.mask_decoder = MaskDecoder(
        num_multimask_outputs=3, transformer_dim=WIDTH, iou_head_depth=3, iou_head_hidden_dim=256,
        transformer=TwoWayTransformer(depth=2, embedding_dim=WIDTH, mlp_dim=2048, num_heads=8),
    )  # fmt: skip
    return model.eval()


def main() -> None:
    root, target = Path(sys.argv[1]), Path(sys.argv[2])
    sys.path.insert(0, str(root))
    torch.set_grad_enabled(False)
    torch.set_num_threads(1)
    model = network()
    shapes = {key: tuple(value.shape) for key, value in model.state_dict().items()}
    model.load_state_dict(seeded_state(shapes))
    pixels = seeded_frames("sam_med2d", 1, SIDE)
    maps = model.image_encoder(pixels)
    out: dict[str, np.ndarray] = {"embedding": maps[0, ::8].numpy()}

    def decode(name: str, points=None, boxes=None, masks=None) -> torch.Tensor:
        sparse, dense = model.prompt_encoder(points=points, boxes=boxes, masks=masks)
        for multimask in (True, False):
            logits, iou = model.mask_decoder(
                image_embeddings=maps, image_pe=model.prompt_encoder.get_dense_pe(), sparse_prompt_embeddings=sparse,
                dense_prompt_embeddings=dense, multimask_output=multimask,
            )  # fmt: skip
            key = f"{name}/{'three' if multimask else 'one'}"
            out[f"{key}/logits"] = logits[0, :, ::4, ::4].numpy()
            out[f"{key}/iou"] = iou[0].numpy()
        return logits

    box = torch.tensor([BOX])
    point = (torch.tensor([[[128.0, 100.0]]]), torch.tensor([[1]]))
    points = (torch.tensor([[[128.0, 100.0], [90.0, 140.0], [20.0, 30.0]]]), torch.tensor([[1, 1, 0]]))
    first = decode("box", boxes=box)
    decode("point", points=point)
    decode("points", points=points)
    decode("box and point", points=point, boxes=box)
    y, x = torch.meshgrid(torch.arange(64.0), torch.arange(64.0), indexing="ij")
    disc = torch.sigmoid((15 - ((y - 27) ** 2 + (x - 31) ** 2).sqrt()) / 3)[None, None]
    decode("mask", masks=disc)  # a probability, 64 x 64
    decode("points and mask", points=points, masks=torch.sigmoid(first))
    out["native_shapes"] = np.array(json.dumps(shapes))
    np.savez_compressed(target, **out)


if __name__ == "__main__":
    main()
