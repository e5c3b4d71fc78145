"""Small valid files that are no scans: prompts, manifests, data sets, checkpoints, run states."""

from __future__ import annotations

import gzip
import io
import json
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

import small_data_sets as layouts
from delineate import Box, Point
from delineate.core.grid import Grid
from delineate.core.prompt_log import Propagate
from delineate.core.prompts import Lasso, Mask, Scribble, Text
from delineate.core.scan import Scan
from delineate.data.layouts import read_dataset
from delineate.data.shards import write_shards
from delineate.session import Session
from delineate.session.journal import Journal
from delineate.verbs.convert import ConvertRequest
from delineate.verbs.keeping import Kept
from delineate.verbs.records import RequestRecord
from fuzz.seeds import Seed, read_back, single


def bright_volume() -> Scan:
    """A block in a volume, 4 slices of 24 x 20."""
    voxels = np.zeros((24, 20, 4), np.uint8)
    voxels[6:16, 5:15] = 200
    return Scan.from_volume(voxels)


def placed_volume() -> Scan:
    """Six slices of 16 x 12 that say where they lie, as the contours of the seeds do."""
    affine = np.diag([-1.0, -1.0, 2.0, 1.0])
    voxels = np.zeros((16, 12, 6), np.uint8)
    return Scan.from_volume(voxels, Grid(voxels.shape, affine))


def session() -> Session:
    """Everything that a person can do."""
    from bright_predictor import BrightPredictor

    done = Session(bright_volume(), BrightPredictor())
    done.prompt(Box(5, 4, 17, 16, frame=1), "block")
    done.prompt(Point(8, 8, 1), "block")
    done.prompt(Point(20, 2, frame=1, positive=False), "block")
    done.prompt(Scribble(points=((7, 7), (12, 12)), frame=2), "other")
    done.prompt(Lasso(points=((5, 4), (17, 4), (17, 16)), frame=0), "third")
    drawn = np.zeros((20, 24), bool)
    drawn[6:10, 7:12] = True
    done.prompt(Mask.from_array(drawn, frame=3), "third")
    done.propagate(("block",))
    return done


def prompt_files() -> Iterator[Seed]:
    log = session().log.to_json().encode()
    yield single("prompts.json", log)
    yield single("manifest.json", session().manifest([]).to_json().encode())
    words = {"event": "prompt", "object": "a", "prompt": Text("liver", frame=1).model_dump(mode="json")}
    yield single("words.json", json.dumps({"format": "delineate-prompts/1", "events": [words], "done": 1}).encode())


def written_prompts() -> Iterator[Seed]:
    """The short JSON that people write, the long one of every event, and what a stopped run keeps."""
    lines = {"frame": 0, "scribble": [[7, 7], [12, 12]], "lasso": [[5, 4], [17, 4], [17, 16]]}
    said = {"a": {"frame": 1, "box": [5, 4, 17, 16], "limit": [0, 3]}, "b": [lines, {"frame": 2, "neg": [9, 9]}]}
    yield single("short.json", json.dumps(said).encode())
    kept = Kept.of(session())
    kept.journals.append(Journal(event=Propagate(objects=("block",)), finished=True))
    yield single("kept.json", kept.model_dump_json().encode())
    record = RequestRecord.of("convert", ConvertRequest(input=Path("a.nii.gz"), output=Path("b.nrrd")))
    yield single("record.json", record.model_dump_json().encode())


def data_sets() -> Iterator[Seed]:
    """One of each layout."""
    kinds = (
        layouts.nnunet, layouts.vos, layouts.sa_med2d, layouts.camus, layouts.folders, layouts.manifest, layouts.coco,
        layouts.endovis17, layouts.endovis18, layouts.challenge,
    )  # fmt: skip
    for kind in kinds:
        yield _written(kind.__name__, kind)
    yield _written("colors_csv", _class_dict)
    for kind in (layouts.folders, layouts.nnunet, layouts.vos):
        yield _written(f"shards_of_{kind.__name__}", lambda root, kind=kind: _shards(kind, root))


def _class_dict(root: Path) -> None:
    layouts.endovis18(root)
    (root / "labels.json").unlink()
    (root / "class_dict.csv").write_text("name,r,g,b\nbackground,0,0,0\nshaft,0,255,0\nkidney,255,55,0\n")


def _shards(kind: Callable[[Path], Any], root: Path) -> None:
    with tempfile.TemporaryDirectory() as folder:
        kind(Path(folder))
        write_shards(read_dataset(Path(folder))[1], root, size=20_000)


def _written(name: str, write: Callable[[Path], Any]) -> Seed:
    with tempfile.TemporaryDirectory() as folder:
        write(Path(folder))
        return read_back(name, Path(folder), "")


def learned() -> Iterator[Seed]:
    said = {"format": "delineate-learned-from/2", "learned": ["0" * 64, "1" * 64], "held_out": 3}
    yield Seed("learned", {"learned_from.json": json.dumps(said).encode(), "model.pt": b"x"}, "model.pt")


def store_records() -> Iterator[Seed]:
    record = {"file": "sam_vit_b.pt", "sha256": "0" * 64, "source": "https://example.org/a", "size": 1, "mtime_ns": 5}
    yield Seed("record", {"sam_vit_b.json": json.dumps(record).encode(), "sam_vit_b.pt": b"x"}, "sam_vit_b.json")


def vocabularies() -> Iterator[Seed]:
    lines = "#version\n" + "\n".join(f"{chr(97 + n % 20)} {chr(97 + n // 20)}" for n in range(40)) + "\n"
    yield single("merges.txt", lines.encode())
    yield single("bpe.txt.gz", gzip.compress(lines.encode()))


# what needs torch


def checkpoints() -> Iterator[Seed]:
    """A few arrays of each published layout, as .safetensors and as .pt with wrappers."""
    import torch
    from safetensors.torch import save

    def zeros(**shapes: tuple[int, ...]) -> dict[str, torch.Tensor]:
        return {name.replace("__", "."): torch.zeros(shape) for name, shape in shapes.items()}

    heads = {f"prompt_encoder__point_embeddings__{n}__weight": (1, 4) for n in range(4)}
    heads |= {
        "mask_decoder__iou_token__weight": (1, 4),
        "prompt_encoder__pe_layer__positional_encoding_gaussian_matrix": (2, 4),
    }
    sam = zeros(
        image_encoder__pos_embed=(1, 16, 16, 768),
        image_encoder__blocks__2__attn__rel_pos_h=(31, 4),
        image_encoder__blocks__2__attn__rel_pos_w=(31, 4),
        **heads,
    )
    tiny = zeros(image_encoder__patch_embed__seq__0__c__weight=(4, 3, 3, 3), **heads)
    sam2_heads = {f"sam_{name}": shape for name, shape in heads.items()}
    trunk = {f"image_encoder__trunk__blocks__{n}__norm1__weight": (4,) for n in range(12)}
    sam2 = zeros(
        image_encoder__trunk__patch_embed__proj__weight=(96, 3, 1, 1),
        **trunk,
        **sam2_heads,
        no_obj_embed_spatial=(1, 4),
    )
    light = zeros(
        image_encoder__trunk__patch_embed__proj__weight=(192, 3, 1, 1),
        image_encoder__trunk__blocks__0__attn__qkv__weight=(4, 4),
        image_encoder__trunk__pos_embed=(1, 17, 4), **sam2_heads,
    )  # fmt: skip
    edge = zeros(
        spatial_perceiver__latents=(4, 4), spatial_perceiver__layers__0__attn__to_kv__weight=(8, 4), **sam2_heads
    )
    for name, weights in (("sam", sam), ("mobile", tiny), ("sam2", sam2), ("light", light), ("edge", edge)):
        yield single(f"{name}.safetensors", save(weights, {"format": "pt"}))
        stream = io.BytesIO()
        torch.save({"model": {f"module.{key}": value for key, value in weights.items()}, "epoch": 3}, stream)
        yield single(f"{name}.pt", stream.getvalue())


def adapters() -> Iterator[Seed]:
    """LoRA, DoRA and AdaLoRA beside one layer of 8 inputs and 6 outputs, and a whole weight."""
    import torch
    from safetensors.torch import save

    for kind, more in (("lora", {}), ("dora", {"magnitude_vector": (6,)}), ("adalora", {"E": (2, 1)})):
        shapes = {"A": (2, 8), "B": (6, 2), **more}
        arrays = {f"adapter.block.lora_{name}.weight": torch.ones(shape) for name, shape in shapes.items()}
        arrays["head.weight"] = torch.ones(3, 6)
        said = {"adapter": json.dumps({"kind": kind, "alpha": 4.0, "rank": 2}), "base": "sam_vit_b", "base_layers": ""}
        yield single(f"{kind}.safetensors", save(arrays, said))


def run_states() -> Iterator[Seed]:
    """A training run after one step."""
    import torch
    from safetensors.torch import save

    arrays = {f"param/{name}": torch.ones(shape) for name, shape in (("weight", (3, 4)), ("bias", (3,)))}
    arrays |= {f"ema/{name[6:]}": value.clone() for name, value in arrays.items()}
    for name in ("weight", "bias"):
        arrays |= {f"adam/{key}/{name}": arrays[f"param/{name}"].clone() for key in ("exp_avg", "exp_avg_sq")}
        arrays[f"adam/step/{name}"] = torch.tensor(1.0)
    arrays["extra/pool"] = torch.zeros(2)
    yield single(
        "last.safetensors", save(arrays, {"run": json.dumps({"counts": {"step": 1, "seen": 4}, "scaler": {}})})
    )
