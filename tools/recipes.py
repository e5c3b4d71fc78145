"""Every training recipe run for real at small size: ``python tools/recipes.py``; the table goes into training.md.

Networks of the published shapes, but narrow and at 256 px (128 px for clips), learn the two parts of the hippocampus on
sixteen openly licensed volumes marked ``train``. It shows that the recipes learn, not how well the systems do. Names as
arguments run only those; what a recipe starts from must have run before. A quarter of an hour on two cores.

``distill_small`` and ``finetune_*``, by name alone, begin from LiteMedSAM's published weights and are the commands a
person would give (``published_runs.py``).
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import torch

from delineate.adapters.sam_med2d import add_med2d_adapters
from delineate.checkpoints.loading import load_all
from delineate.checkpoints.reading import read_weights
from delineate.compute.engine import Engine, Precision
from delineate.core.manifest import ModelRecord
from delineate.data.cases import Case
from delineate.data.layouts import read_dataset
from delineate.memory.policies import EfficientFramePruning, FrameWindow, MemoryPolicy
from delineate.models.sam import Sam, SamEncoder, SamShape, VitSize
from delineate.models.sam2 import HieraSize, Sam2, Sam2Shape
from delineate.predictors.sam import MaskPrompt, Multimask, SamBehavior, SamPredictor
from delineate.predictors.sam2 import Sam2Predictor
from delineate.preprocess.profiles import SAM_MED2D
from delineate.training.distill import distill
from delineate.training.recipes import RECIPES, RecipeOverrides, distillation_named
from published_runs import PUBLISHED, published_tables
from tables import DATA, ROOT, write

OUTPUT = ROOT / "runs" / "recipes"
PAGE = ROOT / "docs" / "reference" / "training.md"
ENGINE = Engine(torch.device("cpu"), Precision.FP32)
LARGER, SMALLER = VitSize(192, 6, 6, (2, 5)), VitSize(96, 4, 4, (1, 3))
HIERA = HieraSize(32, 1, (1, 2, 5, 2), (4, 7), (8, 4, 14, 7))
TEACHER, BOXES = "medsam", "medsam2_benchmark"


def sam(size: VitSize = LARGER, adapters: bool = False, start: str | None = None, heads: bool = True) -> SamPredictor:
    """A SAM of fresh weights, or those that a recipe left; ``heads``: its decoder too."""
    torch.manual_seed(0)
    network = Sam(SamShape(SamEncoder.VIT_B, 256, size)).eval()
    if start:
        kept = read_weights(weights_of(start))
        network.host.load_state_dict(
            {k: v for k, v in kept.items() if heads or k.startswith("vision_encoder.")}, strict=heads
        )
    if adapters:
        add_med2d_adapters(network.host.vision_encoder)
    multimask = Multimask.ALWAYS if adapters else Multimask.AMBIGUOUS
    behavior = SamBehavior(SAM_MED2D, multimask, MaskPrompt.PROBABILITY if adapters else MaskPrompt.LOGITS)
    return SamPredictor(network, behavior, ENGINE, ModelRecord(name="small SAM", version="0", sha256="", license=""))


def sam2(policy: MemoryPolicy | None = None, start: str | None = None) -> Sam2Predictor:
    """The same of SAM 2's shape.

    Two things that published weights bring along are set by hand: fresh ones must not call everything absent, because
    nothing is learned from that; and an outline asked for with a box is shown even if it is not stable. Otherwise one
    of the three others would be, and where a recipe trains that one alone, the others have learned nothing.
    """
    torch.manual_seed(0)
    network = Sam2(Sam2Shape(side=128, hiera=HIERA)).eval()
    network.host.mask_decoder.dynamic_multimask_via_stability = False
    with torch.no_grad():
        network.host.mask_decoder.pred_obj_score_head.proj_out.bias.fill_(3.0)
    if start:
        load_all(network.host, read_weights(weights_of(start)), start)
    record = ModelRecord(name="small SAM 2", version="0", sha256="", license="")
    return Sam2Predictor(network, ENGINE, record, policy=policy or FrameWindow())


def weights_of(name: str) -> Path:
    folder = OUTPUT / name
    return next(f for f in (folder / "best.safetensors", folder / "stage2" / "best.safetensors") if f.is_file())


def cases(dataset: str, most: int) -> list[Case]:
    """Openly licensed cases of a data set, the first of them by name."""
    own = [c for c in read_dataset(DATA)[1] if c.dataset == dataset and c.use == "train"]
    return sorted(own, key=lambda c: c.id)[:most]


def tuned(
    recipe: str,
    network: Callable[[], SamPredictor | Sam2Predictor],
    learned: Sequence[Case],
    start: str,
    **asked: object,
) -> dict[str, object]:
    """One recipe of fine-tuning: what it was measured at before, and at best."""
    folder = OUTPUT / recipe
    wishes = replace(RecipeOverrides(folder, probe=False), **asked)  # type: ignore[arg-type]
    outcome = RECIPES[recipe].run(network(), learned, wishes, lambda line: print(recipe, json.dumps(line), flush=True))
    return {
        "start": start, "steps": wishes.steps, "measured": "Dice", "before": outcome.before, "after": outcome.best,
    }  # fmt: skip


def distilled(recipe: str, learned: Sequence[Case]) -> dict[str, object]:
    """One recipe of distillation, by the teacher made before."""
    folder = OUTPUT / f"distill_{recipe}"
    steps = 100
    wishes = RecipeOverrides(folder, steps=steps, every=50)
    chosen = wishes.of_distillation(distillation_named(recipe, folder))
    found = distill(
        sam(start=TEACHER), sam(SMALLER), learned, chosen, lambda line: print(recipe, json.dumps(line), flush=True)
    )
    row: dict[str, object] = {"start": "fresh", "steps": steps}
    if found.dice is None:
        return row | {"measured": "error of embeddings", "before": found.before, "after": found.after}
    return row | {"measured": "Dice", "before": found.dice[0], "after": found.dice[1]}


def runs() -> dict[str, Callable[[], dict[str, object]]]:
    """Every recipe, in the order they build on each other."""
    organs = cases("hippocampus_mri_msd", 16)
    fresh, taught = "fresh", f"encoder of {TEACHER}"

    def heads() -> SamPredictor:
        return sam(start=TEACHER, heads=False)

    def boxed() -> Sam2Predictor:
        return sam2(start=BOXES)

    def pruned() -> Sam2Predictor:
        return sam2(EfficientFramePruning(), BOXES)

    return {
        "medsam": lambda: tuned("medsam", sam, organs, fresh, steps=300, every=100, batch=4, rate=3e-4),
        "quick": lambda: tuned("quick", heads, organs, taught, steps=100, every=50, rate=3e-4),
        "medsam_point": lambda: tuned("medsam_point", heads, organs, taught, steps=100, every=50, rate=3e-4),
        "lite_medsam": lambda: tuned(
            "lite_medsam", lambda: sam(SMALLER), organs, f"embeddings of {TEACHER}, learned first",
            steps=150, every=30, rate=1e-4, flips=0.0, teacher=sam(start=TEACHER),
        ),
        "sam_med2d": lambda: tuned(
            "sam_med2d", lambda: sam(adapters=True, start=TEACHER), organs, TEACHER, steps=90, every=45,
        ),
        "sam_iterative": lambda: tuned("sam_iterative", heads, organs, taught, steps=100, every=50, rate=3e-4),
        "medsam2_benchmark": lambda: tuned(BOXES, sam2, organs, fresh, steps=400, every=100, rate=5e-4),
        "sam2": lambda: tuned("sam2", boxed, organs, BOXES, steps=40, every=20, rate=2e-4),
        "surgical_sam2": lambda: tuned(
            "surgical_sam2", pruned, organs, BOXES, steps=40, every=20, batch=1, rate=5e-4,
        ),
        "medsam2": lambda: tuned("medsam2", boxed, organs, BOXES, steps=40, every=20, rate=2e-4),
        "biosam2": lambda: tuned("biosam2", boxed, organs, BOXES, steps=100, every=50, rate=2e-4),
        "distill_mobile_sam": lambda: distilled("mobile_sam", organs),
        "distill_lite_medsam": lambda: distilled("lite_medsam", organs),
        "distill_kd_sam": lambda: distilled("kd_sam", organs),
    }  # fmt: skip


def table() -> str:
    """What has run so far."""
    lines = [
        "| recipe | starts from | steps | measured | before | best |",
        "|---|---|---:|---|---:|---:|",
    ]
    for name in runs():
        file = OUTPUT / name / "row.json"
        if file.is_file():
            row = json.loads(file.read_text())
            lines.append(
                f"| `{name}` | {row['start']} | {row['steps']} | {row['measured']} | {row['before']:.3f} "
                f"| {row['after']:.3f} |"
            )
    return "\n".join(lines)


def main(wanted: Sequence[str]) -> None:
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    for name, run in runs().items():
        if wanted and name not in wanted:
            continue
        row = run()
        (OUTPUT / name).mkdir(parents=True, exist_ok=True)
        (OUTPUT / name / "row.json").write_text(json.dumps(row))
        write(PAGE, "recipes", table())
    for name in wanted:
        if name in PUBLISHED:
            PUBLISHED[name](OUTPUT / name)
            for table_name, text in published_tables(OUTPUT).items():
                write(PAGE, table_name, text)


if __name__ == "__main__":
    main(sys.argv[1:])
