"""How `sam2_image.npz` was made: the authors' SAM 2.1 on one image, as their image predictor runs it, seeded weights.

    python make_sam2_image.py PATH_OF_THE_REPOSITORY OUTPUT.npz

It needs hydra-core, omegaconf and iopath, and a torchvision (an empty module will do: nothing of it is used).
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import torch
from make_sam2 import SIDE, predictor
from weights import seeded_frames

BOX = (70.0, 60.0, 180.0, 170.0)
SHARPER = 50.0


def main() -> None:
    root, target = Path(sys.argv[1]), Path(sys.argv[2])
    sys.path.insert(0, str(root))
    torch.set_grad_enabled(False)
    torch.set_num_threads(1)
    model, shapes = predictor(root / "sam2/configs/sam2.1/sam2.1_hiera_t.yaml", "2.1")
    pixels = seeded_frames("sam2", 10, SIDE)[:1]
    out: dict[str, np.ndarray] = {}
    for level, found in enumerate(model.image_encoder.trunk(pixels)):
        out[f"trunk/{level}"] = found[
            0, ::8, :: max(1, found.shape[-1] // 16), :: max(1, found.shape[-1] // 16)
        ].numpy()
    seen = model.forward_image(pixels)  # the finer maps are projected for the decoder here
    for level, found in enumerate(seen["backbone_fpn"]):
        step = found.shape[-1] // 16
        out[f"maps/{level}"] = found[0, ::8, ::step, ::step].numpy()
        out[f"positions/{level}"] = seen["vision_pos_enc"][level][0, ::32, ::step, ::step].numpy()
    _, flat, _, sizes = model._prepare_backbone_features(seen)
    flat[-1] = flat[-1] + model.no_mem_embed
    maps = [f.permute(1, 2, 0).reshape(1, -1, *size) for f, size in zip(flat, sizes, strict=True)]
    lowest: dict[str, torch.Tensor] = {}

    def decode(name: str, points=None, labels=None, box=None, mask=None) -> None:
        """As the image predictor asks: the corners of a box are points 2 and 3, before the others."""
        coordinates = [] if points is None else points
        numbers = [] if labels is None else labels
        if box is not None:
            coordinates, numbers = [box[:2], box[2:], *coordinates], [2, 3, *numbers]
        asked = (torch.tensor([coordinates]), torch.tensor([numbers], dtype=torch.int32)) if coordinates else None
        sparse, dense = model.sam_prompt_encoder(points=asked, boxes=None, masks=mask)
        for several in (True, False):
            logits, iou, _, score = model.sam_mask_decoder(
                image_embeddings=maps[-1], image_pe=model.sam_prompt_encoder.get_dense_pe(),
                sparse_prompt_embeddings=sparse, dense_prompt_embeddings=dense, multimask_output=several,
                repeat_image=False, high_res_features=maps[:-1],
            )  # fmt: skip
            key = f"{name}/{'three' if several else 'one'}"
            out[f"{key}/logits"] = logits[0, :, ::4, ::4].numpy()
            out[f"{key}/iou"] = iou[0].numpy()
            out[f"{key}/score"] = score[0].numpy()
            lowest[key] = logits

    decode("point", [(128.0, 100.0)], [1])
    decode("points", [(128.0, 100.0), (90.0, 140.0), (20.0, 30.0)], [1, 1, 0])
    decode("box", box=BOX)
    decode("box and point", [(60.0, 60.0)], [0], box=BOX)
    decode("points and mask", [(128.0, 100.0), (60.0, 60.0)], [1, 0], mask=lowest["point/one"].clamp(-32, 32))
    decode("mask", mask=lowest["box/one"].clamp(-32, 32))
    for part in model.sam_mask_decoder.output_hypernetworks_mlps[0].layers[2].parameters():
        part.mul_(SHARPER)  # a single mask so steep that it counts as stable, and is not replaced by the best of three
    decode("sharp box", box=BOX)
    for key, value in out.items():
        print(key, value.shape, float(value.std()), float(np.abs(value).max()))
    out["native_shapes"] = np.array(json.dumps(shapes))
    np.savez_compressed(target, **out)


if __name__ == "__main__":
    main()
