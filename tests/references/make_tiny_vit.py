"""How `tiny_vit_mobile.npz` and `tiny_vit_lite.npz` were made: the authors' encoders in published size, seeded weights.

    python make_tiny_vit.py PATH_OF_THE_REPOSITORY OUTPUT.npz [mobile | lite]

It needs timm and a torchvision (an empty module will do: nothing of it is used).
"""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path

import numpy as np
import torch
from weights import seeded_frames, seeded_state

FILES = {"mobile": "mobile_sam/modeling/tiny_vit_sam.py", "lite": "tiny_vit_sam.py"}
SIDES = {"mobile": 1024, "lite": 256}
SIZE = {
    "embed_dims": [64, 128, 160, 320], "depths": [2, 2, 6, 2], "num_heads": [2, 4, 5, 10],
    "window_sizes": [7, 7, 14, 7], "mlp_ratio": 4.0, "drop_rate": 0.0, "drop_path_rate": 0.0, "use_checkpoint": False,
    "mbconv_expand_ratio": 4.0, "local_conv_size": 3,
}  # fmt: skip


def main() -> None:
    root, target, kind = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3]
    spec = importlib.util.spec_from_file_location("tiny_vit_sam", root / FILES[kind])
    native = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = native
    spec.loader.exec_module(native)
    torch.set_grad_enabled(False)
    torch.set_num_threads(1)
    side = SIDES[kind]
    more = {"num_classes": 1000, "layer_lr_decay": 0.8} if kind == "mobile" else {"layer_lr_decay": 0.8}
    encoder = native.TinyViT(img_size=side, in_chans=3, **SIZE, **more)
    prefix = "image_encoder."
    shapes = {prefix + key: tuple(value.shape) for key, value in encoder.state_dict().items()}
    encoder.load_state_dict({key.removeprefix(prefix): value for key, value in seeded_state(shapes).items()})
    encoder.eval()  # only now: it caches the tables of attention then
    stages: list[torch.Tensor] = []
    for layer in encoder.layers:
        layer.register_forward_hook(lambda _, __, found: stages.append(found))
    pixels = seeded_frames(f"tiny_vit_{kind}", 1, side)
    found = encoder(pixels)
    out: dict[str, np.ndarray] = {"side": np.array(side), "embedding": found[0, ::8, ::8, ::8].numpy()}
    out["embedding/corner"] = found[0, ::8, -8:, -8:].numpy()  # where windows are padded
    for number, stage in enumerate(stages):  # (1, places, C) after each of the four stages
        out[f"stage/{number}"] = stage[0, :: stage.shape[1] // 64, ::8].numpy()
    for key, value in out.items():
        print(key, value.shape, value.std(), np.abs(value).max())
    out["native_shapes"] = np.array(json.dumps(shapes))
    np.savez_compressed(target, **out)


if __name__ == "__main__":
    main()
