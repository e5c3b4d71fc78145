"""Every verb of the command line in one process, each as small as its work gets, which then lives on to be watched.

``python every_verb.py FOLDER SECONDS``: works in the folder, lives at least so long, prints what failed.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image

from delineate.cli import app
from delineate.cli.guard import DONE, EMPTY
from delineate.predictors.frame_predictor import FramePredictor
from delineate.systems import SYSTEMS, BuildOptions

SCAN, BOX = "data/images/case0.png", ("--box", "60,60,190,190")
TINY = ("-m", "tiny_sam", "--untrained")
WORDS: dict[str, tuple[tuple[str, ...], ...]] = {
    "segment": (
        (SCAN, *BOX, "-o", "onnxruntime.png", "--threads", "999"),
        (SCAN, *BOX, "-o", "openvino.png", "--backend", "openvino"),
        *(
            (SCAN, *BOX, "-o", f"sam_{backend}.png", "-m", "lite_medsam", "--untrained", "--precision", "fp32",
             "--backend", backend)
            for backend in ("torch", "onnx", "openvino")
        ),
    ),
    "replay": (("onnxruntime.manifest.json", "--input", SCAN),),
    "auto": ((SCAN, *TINY, "--points-per-side", "2", "-o", "auto.png"),),
    "oneshot": (
        ("data/images/case1.png", "--support", SCAN, "data/masks/case0.png", "--places", "1", "--threshold", "0.3",
         "-o", "oneshot"),
    ),
    "batch": (("data/images", *BOX, "-o", "batch", "-q"),),
    "inspect": ((SCAN,),),
    "clean": (("onnxruntime.png", "--largest", "-o", "cleaned.png"),),
    "combine": (("onnxruntime.png", "--rename", "structure = disc", "-o", "combined.png"),),
    "fill-between": (("drawn.npz", "-o", "filled.npz"),),
    "measure": (("onnxruntime.png", "--scan", SCAN, "-o", "measured.csv"),),
    "compare": (("onnxruntime.png", "cleaned.png", "--picture", "compared.png"),),
    "convert": (("onnxruntime.png", "-o", "converted.nii.gz"),),
    "demo": (("-o", "demo"),),
    "doctor": ((),),
    "distill": (
        ("data", "--teacher", "tiny_sam", "--student", "tiny_sam", "--untrained", "--steps", "1", "--batch", "1",
         "-o", "distilled"),
    ),
    "evaluate": (("--data", "data", "--predictors", "quill,ellipse", "--limit", "1", "-o", "evaluation"),),
    "systems": ((),),
    "models list": ((),),
    "models pull": (("quill",),),
    "models import": (("tiny.pt", "--system", "tiny_sam"),),
    "models export": (("tiny_sam", "--untrained", "-o", "exported"),),
    "models verify": ((),),
    "dataset check": (("data",),),
    "dataset shard": (("data", "-o", "shards"),),
    "dataset prepare": (("polyps", "polyps", "-o", "prepared", "--superpixels", "none"),),
    "dataset synthesize": (("-o", "made", "--count", "2", "--size", "96"),),
    "train quill": (("-o", "quill", "--minutes", "0.01", "--batch", "1", "--threads", "1"),),
    "train finetune": (
        ("data", *TINY, "--recipe", "quick", "--steps", "1", "--batch", "1", "-o", "finetuned"),
        ("data", *TINY, "--recipe", "medsam", "--peft", "lora", "--rank", "4", "--steps", "1", "--batch", "1",
         "-o", "adapted"),
    ),
    "train recipes": ((),),
    "bench": (("--quick",),),
    "bench reproduce": (("box-2d", "--data", "data", "--predictors", "ellipse", "--limit", "1", "-o", "reproduced"),),
    "serve": (("--smoke", "--state", "served"),),
    "open": ((SCAN, "--no-browser", "--smoke", "--state", "served"),),
    "bench corruptions": ((SCAN, "-o", "corruptions.png"),),
    "bench compare": (("--data", "data", "--models", "quill,ellipse", "--limit", "1", "-o", "compared"),),
}  # fmt: skip


def verbs() -> Iterator[str]:
    """What there is to type, asked of the command line itself."""
    from typer.main import get_command

    def under(command: object, words: tuple[str, ...]) -> Iterator[str]:
        inner = getattr(command, "commands", {})
        if words and (not inner or getattr(command, "invoke_without_command", False)):
            yield " ".join(words)
        for name, one in inner.items():
            yield from under(one, (*words, name))

    return under(get_command(app), ())


def _prepare(folder: Path) -> None:
    """Labeled pictures, a checkpoint, a tiny system in the table, short clips and little to warm up."""
    import torch

    from delineate import bench
    from delineate.checkpoints import key_maps
    from delineate.demo import run as demo
    from delineate.quill.train import training as quill_training
    from delineate.systems.building import loaded, record_of
    from training_discs import discs, tiny_predictor

    def built(options: BuildOptions) -> FramePredictor:
        one = tiny_predictor(side=128)
        _, sha256 = loaded("tiny_sam", options, one.network, one.network.host, key_maps.sam_weights)
        return replace(one, record=record_of("tiny_sam", sha256, "Apache-2.0", "", one.engine))

    discs(folder / "data", 4)
    drawn = np.zeros((5, 16, 16), np.uint8)
    drawn[[0, 4], 4:9, 4:9] = 1
    np.savez(folder / "drawn.npz", segs=drawn)
    for place in ("TrainDataset", "TestDataset/Kvasir"):
        for kind in ("images", "masks"):
            path = folder / "polyps" / place / kind / "a.png"
            path.parent.mkdir(parents=True)
            Image.fromarray(np.kron(drawn[0], np.full((4, 4), 255, np.uint8))).save(path)
    torch.save(tiny_predictor(side=128).network.host.state_dict(), folder / "tiny.pt")
    SYSTEMS["tiny_sam"] = replace(SYSTEMS["sam_vit_b"], name="tiny_sam", build=built)  # type: ignore[index]
    bench.bench = partial(_hasty, bench.bench)  # type: ignore[assignment]
    for module in (bench, demo):
        module.ultrasound_clip = partial(module.ultrasound_clip, frames=2)  # type: ignore[assignment]
    quill_training.POOL, quill_training.HELD_OUT, quill_training.MEASURED = 8, 4, 1


def _hasty(bench: Callable[..., object], *_: object, **more: object) -> object:
    return bench(1, 2, **more)


def main(folder: Path, seconds: float) -> int:
    began = time.monotonic()
    _prepare(folder)
    os.chdir(folder)
    failed = 0
    for verb in verbs():
        for words in WORDS[verb]:
            started = time.monotonic()
            try:
                code = app([*verb.split(), *words], standalone_mode=False)
            except Exception as error:
                code = f"{type(error).__name__}: {error}"
            failed += code not in (None, DONE, EMPTY)  # untrained networks may outline nothing
            spent = time.monotonic() - started
            sys.stderr.write(f"{'FAILED' if code else 'done'} {verb} ({spent:.1f} s): {code or ''}\n")
    while time.monotonic() - began < seconds:
        time.sleep(0.2)
    return failed


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), float(sys.argv[2])))
