"""How the EfficientTAM, EdgeTAM and frame-pruning references were made: the authors' predictors, seeded weights.

    python make_tam.py PATH_OF_THE_REPOSITORY OUTPUT.npz KIND

KIND: efficient, efficient_1, efficient_2, edge, edge_512, efp1 (`efp_v1_more.npz`) or efp2 (`efp_v2.npz`).

It needs hydra-core, omegaconf, iopath, for EdgeTAM timm, and a torchvision (an empty module will do: nothing of it is
used). Memories are kept as float32, where the predictors round them to bfloat16. Weights have gain 0.7, see weights.py.
The second release of frame pruning is the upstream video predictor with the rule of that release in its base class.
"""

from __future__ import annotations

import importlib
import json
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import torch
from make_sam2 import CHANNELS, GAIN, TINY, answers, click
from weights import seeded_frames, seeded_state

VIT = {"embed_dim": 64, "depth": 3, "num_heads": 2, "window_block_indexes": [0, 1]}
BOX = (70.0, 60.0, 180.0, 170.0)
COUNTS = {"efficient": 9, "edge": 8, "efp1": 14, "efp2": 14}


def configured(root: Path, kind: str, side: int):
    from omegaconf import OmegaConf

    suffix = kind.removeprefix("efficient")
    path, predictor = {
        "efficient": (
            f"efficient_track_anything/configs/efficienttam/efficienttam_ti{suffix}.yaml",
            "efficient_track_anything.efficienttam_video_predictor.EfficientTAMVideoPredictor",
        ),
        "edge": ("sam2/configs/edgetam.yaml", "sam2.sam2_video_predictor.SAM2VideoPredictor"),
        "efp1": ("sam2_configs/sam2_hiera_s.yaml", "sam2.sam2_video_predictor.SAM2VideoPredictor"),
        "efp2": ("sam2/configs/sam2.1/sam2.1_hiera_t.yaml", "sam2.sam2_video_predictor.SAM2VideoPredictor"),
    }[kind.split("_")[0]]
    node = OmegaConf.load(root / path)
    OmegaConf.set_struct(node, False)
    model, cells = node.model, side // 16
    model._target_ = predictor
    model.image_size = side
    model.compile_image_encoder = False
    model.sam_mask_decoder_extra_args = {
        "dynamic_multimask_via_stability": True,
        "dynamic_multimask_stability_delta": 0.05,
        "dynamic_multimask_stability_thresh": 0.98,
    }
    model.binarize_mask_from_pts_for_mem_enc = True
    model.fill_hole_area = 0
    layer = model.memory_attention.layer
    layer.self_attention.feat_sizes = [cells, cells]
    if kind.startswith("edge"):
        layer.cross_attention.q_sizes = [cells, cells]
    else:
        layer.cross_attention.feat_sizes = [cells, cells]
    if kind.startswith("efficient"):
        model.image_encoder.trunk.update(VIT)
        model.image_encoder.trunk.img_size = side
        model.image_encoder.neck.backbone_channel_list = [VIT["embed_dim"]]
    elif kind.startswith("efp"):
        model.image_encoder.trunk.update(TINY)
        model.image_encoder.neck.backbone_channel_list = CHANNELS
    return predictor, model


def network(root: Path, kind: str, side: int, frames: torch.Tensor):
    from hydra.utils import instantiate

    predictor, model = configured(root, kind, side)
    native = importlib.import_module(predictor.rpartition(".")[0])
    native.load_video_frames = lambda **_: (frames, side, side)
    native.torch = SimpleNamespace(**{**vars(torch), "bfloat16": torch.float32})
    if kind.startswith("edge"):
        backbones = importlib.import_module("sam2.modeling.backbones.timm")
        create = backbones.create_model
        backbones.create_model = lambda name, pretrained, **options: create(name, pretrained=False, **options)
    made = instantiate(model).eval()
    shapes = {key: tuple(value.shape) for key, value in made.state_dict().items()}
    made.load_state_dict(seeded_state(shapes, GAIN))
    return made, shapes


def stored(state, index: int) -> dict:
    """What the predictor keeps of a frame (one object)."""
    kept = state["output_dict"] if "output_dict" in state else state["output_dict_per_obj"][0]
    return next(kept[k][index] for k in ("cond_frame_outputs", "non_cond_frame_outputs") if index in kept[k])


def follow(made, state, out: dict[str, np.ndarray], name: str) -> None:
    rows = [stored(state, i) for i, _, _ in made.propagate_in_video(state, start_frame_idx=0)]
    step = rows[0]["pred_masks"].shape[-1] // 16
    out[f"{name}/frames"] = np.arange(len(rows))
    out[f"{name}/logits"] = np.stack([r["pred_masks"][:, 0, ::step, ::step].numpy() for r in rows])
    if "object_score_logits" in rows[0]:  # not kept by the predictor of 2024
        out[f"{name}/scores"] = np.stack([r["object_score_logits"][:, 0].numpy() for r in rows])
    out[f"{name}/pointers"] = np.stack([r["obj_ptr"][:, ::4].numpy() for r in rows])
    last = rows[-1]["maskmem_features"][0]
    last = last[:, ::8, ::8] if last.ndim == 3 else last[::16, ::4]  # (64, f, f), or tokens (512, 64) of EdgeTAM
    out[f"{name}/last memory"] = last.numpy()


def main() -> None:
    root, target, kind = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3]
    sys.path.insert(0, str(root))
    torch.set_grad_enabled(False)
    torch.set_num_threads(1)
    side = 512 if kind == "edge_512" else 256
    frames = seeded_frames("sam2", COUNTS[kind.split("_")[0]], side)
    made, shapes = network(root, kind, side, frames)
    out: dict[str, np.ndarray] = {"side": np.array(side), "gain": np.array(GAIN)}
    if not kind.startswith("efp"):
        for level, found in enumerate(made.image_encoder.trunk(frames[:1])):
            step = max(1, found.shape[-1] // 16)
            out[f"trunk/{level}"] = found[0, ::8, ::step, ::step].numpy()
        step = side // 256
        out["map"] = made.image_encoder(frames[:1])["vision_features"][0, ::8, ::step, ::step].numpy()
    scale = side / 256
    state = made.init_state("frames")
    click(made, state, 0, [(128 * scale, 100 * scale)], [1])
    follow(made, state, out, "click")
    state = made.init_state("frames")
    click(made, state, 0, None, box=[scale * c for c in BOX])
    follow(made, state, out, "box")
    if kind.startswith("efp"):
        state = made.init_state("frames")
        click(made, state, 0, None, box=BOX, name=1)
        click(made, state, 0, [(200, 200)], [1], name=2)
        found = answers(made, state)
        out["two objects/logits"] = np.stack([found[i] for i in sorted(found)])
    out["native_shapes"] = np.array(json.dumps(shapes))
    np.savez_compressed(target, **out)
    for key, value in out.items():
        if value.dtype.kind == "f":
            print(key, value.shape, float(value.std()), float(np.abs(value).max()))


if __name__ == "__main__":
    main()
