"""How the SAM 2 references were made: the authors' video predictor, tiny, on weights drawn by name.

    python make_sam2.py PATH_OF_THE_REPOSITORY OUTPUT.npz [sam2 | efp]

It needs hydra-core, omegaconf and iopath, and a torchvision (an empty module will do: nothing of it is used).
Memories are kept as float32, where the predictor rounds them to bfloat16.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import torch
from weights import seeded_frames, seeded_state

SIDE, COUNT = 256, 10
GAIN = 0.7
TINY = {
    "embed_dim": 16, "num_heads": 1, "stages": [1, 2, 3, 2], "global_att_blocks": [4, 5],
    "window_pos_embed_bkg_spatial_size": [7, 7],
}  # fmt: skip
CHANNELS = [128, 64, 32, 16]


def predictor(config: Path, version: str):
    from hydra.utils import instantiate
    from omegaconf import OmegaConf

    node = OmegaConf.load(config)
    OmegaConf.set_struct(node, False)
    model = node.model
    model._target_ = "sam2.sam2_video_predictor.SAM2VideoPredictor"
    model.image_size = SIDE
    model.image_encoder.trunk.update(TINY)
    model.image_encoder.neck.backbone_channel_list = CHANNELS
    model.sam_mask_decoder_extra_args = {
        "dynamic_multimask_via_stability": True,
        "dynamic_multimask_stability_delta": 0.05,
        "dynamic_multimask_stability_thresh": 0.98,
    }
    model.binarize_mask_from_pts_for_mem_enc = True
    model.fill_hole_area = 0
    for attention in (model.memory_attention.layer.self_attention, model.memory_attention.layer.cross_attention):
        attention.feat_sizes = [SIDE // 16, SIDE // 16]
    if version == "2.0":
        for flag in ("no_obj_embed_spatial", "proj_tpos_enc_in_obj_ptrs", "use_signed_tpos_enc_to_obj_ptrs"):
            if flag in model:
                model[flag] = False
        model.add_tpos_enc_to_obj_ptrs = False
    network = instantiate(node.model).eval()
    shapes = {key: tuple(value.shape) for key, value in network.state_dict().items()}
    network.load_state_dict(seeded_state(shapes, GAIN))
    return network, shapes


def answers(network, state, start: int = 0, reverse: bool = False) -> dict[int, np.ndarray]:
    """Low-resolution logits (objects, 16, 16) of each frame passed."""
    found = {}
    for index, _, _ in network.propagate_in_video(state, start_frame_idx=start, reverse=reverse):
        found[index] = low(network, state, index)
    return found


def low(network, state, index: int) -> np.ndarray:
    rows = []
    if "output_dict" in state:  # objects in one batch, as before December 2024
        outputs = state["output_dict"]
        sources = [outputs[k] for k in ("cond_frame_outputs", "non_cond_frame_outputs")]
        output = next(s[index] for s in sources if index in s)
        return output["pred_masks"][:, 0, ::4, ::4].numpy()
    for number in range(len(state["obj_ids"])):
        outputs = state["output_dict_per_obj"][number]
        temporary = state["temp_output_dict_per_obj"][number]
        sources = [d[k] for d in (temporary, outputs) for k in ("cond_frame_outputs", "non_cond_frame_outputs")]
        output = next(s[index] for s in sources if index in s)
        rows.append(output["pred_masks"][0, 0, ::4, ::4].numpy())
    return np.stack(rows)


def click(network, state, frame: int, points, labels=None, box=None, name: int = 1) -> np.ndarray | None:
    network.add_new_points_or_box(
        state, frame, name,
        points=None if points is None else np.array(points, np.float32),
        labels=None if points is None else np.array(labels, np.int32),
        box=None if box is None else np.array(box, np.float32), clear_old_points=box is not None,
    )  # fmt: skip
    return None if "output_dict" in state else low(network, state, frame)


def scenarios(network, frames: torch.Tensor) -> dict[str, np.ndarray]:
    out: dict[str, np.ndarray] = {}

    def fresh():
        return network.init_state("frames")

    def keep(name: str, found: dict[int, np.ndarray]) -> None:
        out[f"{name}/frames"] = np.array(sorted(found))
        out[f"{name}/logits"] = np.stack([found[i] for i in sorted(found)])

    box = (70.0, 60.0, 180.0, 170.0)
    state = fresh()
    click(network, state, 0, [(128, 100)], [1])
    keep("click", answers(network, state))
    state = fresh()
    click(network, state, 0, [(128, 100), (90, 140), (20, 30)], [1, 1, 0])
    keep("clicks", answers(network, state))
    state = fresh()
    click(network, state, 0, None, box=box)
    keep("box", answers(network, state))
    state = fresh()
    click(network, state, 5, None, box=box)
    keep("forwards", answers(network, state, 5))
    keep("then backwards", answers(network, state, 5, reverse=True))
    state = fresh()
    click(network, state, 0, None, box=box, name=1)
    click(network, state, 0, [(200, 200)], [1], name=2)
    keep("two objects", answers(network, state))
    state = fresh()
    y, x = np.mgrid[:SIDE, :SIDE]
    network.add_new_mask(state, 0, 1, (y - 110) ** 2 + (x - 120) ** 2 < 45**2)
    keep("mask", answers(network, state))
    state = fresh()
    click(network, state, 0, [(128, 100)], [1])
    out["second click/first"] = click(network, state, 0, [(60, 60)], [0])
    keep("second click", answers(network, state))
    state = fresh()
    click(network, state, 0, [(128, 100)], [1])
    answers(network, state)
    network.add_all_frames_to_correct_as_cond = True  # by default the frame is followed anew and the click is lost
    out["correction/frame"] = click(network, state, 4, [(150, 150)], [1])
    keep("correction", answers(network, state, 4))
    return out


def main() -> None:
    root, target, kind = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3]
    version = sys.argv[4] if len(sys.argv) > 4 else "2.1"
    sys.path.insert(0, str(root))
    import sam2.sam2_video_predictor as native

    count = 14 if kind == "efp" else COUNT
    frames = seeded_frames("sam2", count, SIDE)
    native.load_video_frames = lambda **_: (frames, SIDE, SIDE)
    native.torch = SimpleNamespace(**{**vars(torch), "bfloat16": torch.float32})
    torch.set_grad_enabled(False)
    configs = Path(sys.argv[5]) if len(sys.argv) > 5 else root / "sam2/configs/sam2.1/sam2.1_hiera_t.yaml"
    network, shapes = predictor(configs, version)
    if kind == "sam2":
        out = scenarios(network, frames)
    else:
        state = network.init_state("frames")
        click(network, state, 0, [(128, 100)], [1])
        found = answers(network, state)
        out = {"click/frames": np.array(sorted(found)), "click/logits": np.stack([found[i] for i in sorted(found)])}
    out["native_shapes"] = np.array(json.dumps(shapes))
    np.savez_compressed(target, **{k: v.astype(np.float32) if v.dtype == np.float64 else v for k, v in out.items()})


if __name__ == "__main__":
    main()
