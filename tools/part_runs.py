"""The runs behind ``tools/parts.py``: networks with a part and without it, trained and measured alike."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import torch

from delineate.adapters.slots import DecoderSlot, Slot, remove
from delineate.checkpoints.system_file import SystemCard, write_system
from delineate.core.manifest import RANDOM
from delineate.data.cases import Case, Use
from delineate.data.layouts import read_dataset
from delineate.data.subjects import subject_of
from delineate.echo.phases import temporal_consistency
from delineate.evaluation.metrics import dice
from delineate.models.sizes import NetworkSizes, VitSizes
from delineate.systems import SYSTEMS, BuildOptions, build
from delineate.training.class_clips import LabeledClips
from delineate.training.class_finetune import ClassFinetune, ClassObjective
from delineate.training.finetune import Finetune, TrainedPart
from delineate.training.frames import FrameOptions, LabeledFrames
from delineate.training.loop import LoopOptions, Schedule, train
from delineate.training.recipes import medical_sam_adapter, sam_unet
from delineate.training.recipes.medical_sam_adapter_3d import SlicesObjective, dice_in_box
from delineate.training.recipes.parts_recipe import PartsObjective
from delineate.training.run_files import LAST
from delineate.training.slice_clips import SliceClips
from moving_clips import moving
from tables import DATA, ROOT

OPTIONS = BuildOptions(device="cpu", precision="fp32")
NARROW = VitSizes(width=96, depth=4, heads=4, global_blocks=(0, 1, 2, 3))
Found = Mapping[str, float]
Run = Callable[[int, Path], Found]  # of a seed, in a folder
DICE, SHADOW, CONSISTENCY = "Dice", "Dice in shadow", "temporal consistency"


@dataclass(frozen=True)
class Comparison:
    """Arms that are trained alike; the first has the part, the others lack it.

    columns  what is shown of what a run measures
    """

    name: str
    title: str
    columns: tuple[str, ...]
    seeds: tuple[int, ...]
    arms: Mapping[str, Run]


def narrow(system: str, seed: int, folder: Path, classes: tuple[str, ...] = (), variant: str = "", **sizes: Any) -> Any:
    """A system's predictor with a narrow network of random weights."""
    torch.manual_seed(seed)
    card = SystemCard(system=system, variant=variant, classes=classes, sizes=NetworkSizes(**sizes))
    network: Any = SYSTEMS[system].build.__self__.network(variant, card)  # type: ignore[attr-defined]
    write_system(folder / "start.safetensors", network.host.state_dict(), card)
    return build(f"{system}={folder / 'start.safetensors'}", OPTIONS)


def loop(folder: Path, seed: int, steps: int, rate: float) -> LoopOptions:
    """The same for every arm; the state is saved every 100 steps, and the last weights count."""
    return LoopOptions(
        folder, steps, rate, weight_decay=0.01, warmup=steps // 10, schedule=Schedule.COSINE, every=100, seed=seed,
        resume=(folder / LAST).is_file(), tensorboard=False,
    )  # fmt: skip


def trained(objective: Any, options: LoopOptions) -> None:
    """All steps; nothing is measured meanwhile, so that held-out scans choose nothing. Leaves the system's file."""
    objective.measure = map(float, count()).__next__  # the later, the better
    train(objective, options)
    del objective.measure
    objective.host.eval()
    objective.keep(options.output)


def of_sets(*names: str) -> list[Case]:
    return sorted((c for c in read_dataset(DATA)[1] if c.dataset in names), key=lambda c: c.id)


# MediViSTA: a vessel on clips of ultrasound

FOLDS = (("202201121748100022",), ("202201121815070032",), ("202201121806070027", "202201121808450029"))  # held out
EACH, HELD = 24, 8  # clips of a picture to learn from, and to measure on
CLIPS = ROOT / "runs" / "parts" / "clips"


def clips(seed: int) -> tuple[list[Case], list[Case]]:
    """Clips of three or four people to learn from, and of the others."""
    cases, _ = moving(of_sets("carotid_us_ccaus"), CLIPS, EACH)
    held = [case for case in cases if subject_of(case).rsplit("/", 1)[-1] in FOLDS[seed]]
    return [case for case in cases if case not in held], [c for c in held if int(c.id.rsplit("_", 1)[-1]) < HELD]


@dataclass(frozen=True)
class ClipRun:
    """A narrow MediViSTA of random weights, all of it trained on clips of ``depth`` frames.

    alone  steps frame by frame, without the temporal parts; both arms begin with what it leaves, as the paper begins
        with SAM
    steps  then, with the temporal parts or still without
    """

    system: str
    side: int
    depth: int
    alone: int
    steps: int

    def measured(self, temporal: bool, seed: int, folder: Path) -> Found:
        """What an arm reaches."""
        learned, held = clips(seed)
        predictor = self._taught(learned, self.alone, False, seed, folder.parents[1] / "alone" / str(seed))
        begun = predictor.network.host.state_dict()
        return classes_measured(self._taught(learned, self.steps, temporal, seed, folder, begun), held)

    def _taught(
        self, learned: Sequence[Case], steps: int, temporal: bool, seed: int, folder: Path,
        begun: Mapping[str, torch.Tensor] | None = None,
    ) -> Any:  # fmt: skip
        folder.mkdir(parents=True, exist_ok=True)
        classes = tuple(learned[0].structures.values())
        predictor = narrow(self.system, seed, folder, classes, side=self.side, depth=self.depth, vit=NARROW)
        host = predictor.network.host
        if not temporal:
            remove(host.vision_encoder, Slot.BEFORE)
        if begun is None:
            know_places(host.vision_encoder)
        else:
            host.load_state_dict(begun, strict=not temporal)  # temporal parts begin as nothing
        recipe = ClassFinetune(loop(folder, seed, steps, 1e-3), batch=1, entropy=0.2, dice=0.8, whole=True, flips=0.5)
        objective = ClassObjective(predictor, LabeledClips(predictor, learned), LabeledClips(predictor, []), recipe)
        trained(objective, recipe.loop)
        return predictor


@torch.no_grad()
def know_places(encoder: Any) -> None:
    """Positions begin as sines and cosines: SAM's know places, which attention over frames needs; random ones are 0."""
    if encoder.pos_embed is None:
        return
    _, rows, columns, width = encoder.pos_embed.shape
    rates = 4 * 2.0 ** -torch.linspace(0, 4, width // 4) * np.pi / rows
    turns = [at[..., None] * rates for at in torch.meshgrid(torch.arange(rows), torch.arange(columns), indexing="ij")]
    waves = torch.cat([wave(turn) for turn in turns for wave in (torch.sin, torch.cos)], dim=-1)
    encoder.pos_embed.copy_(0.5 * waves[None])


def classes_measured(predictor: Any, held: Sequence[Case]) -> Found:
    """Mean Dice of frames and of those in a shadow; of clips the consistency of the area, the truth's beside it."""
    _, shadows = moving([], CLIPS, EACH)
    scores, shadowed, steady, true = list[float](), list[float](), list[float](), list[float]()
    for case in held:
        opened = case.open()
        found = [logits.argmax(0) == 1 for _, logits in predictor.predict(opened.scan)]
        truth = [opened.labels.pixels(n) > 0 for n in range(len(found))]
        of_frames = [dice(a, b) for a, b in zip(truth, found, strict=True)]
        scores += of_frames
        shadowed += [of_frames[n] for n in shadows[case.id]]
        steady.append(temporal_consistency([one.sum() for one in found]))
        true.append(temporal_consistency([one.sum() for one in truth]))
    return {
        DICE: float(np.mean(scores)), SHADOW: float(np.mean(shadowed)), CONSISTENCY: float(np.nanmean(steady)),
        "truth": float(np.mean(true)),
    }  # fmt: skip


# Medical SAM Adapter: the two parts of the hippocampus in volumes; one click on pictures


def hippocampus() -> tuple[list[Case], list[Case]]:
    """Volumes to learn from, and those marked for testing."""
    cases = of_sets("hippocampus_mri_msd")
    return [c for c in cases if c.use is Use.TRAIN][:24], [c for c in cases if c.use is Use.TEST]


def slices(depth: bool, seed: int, folder: Path) -> Found:
    """A narrow Medical SAM Adapter in 3D of random weights, all of it trained; a 3D box round each structure."""
    learned, held = hippocampus()
    predictor = narrow("medical_sam_adapter_3d", seed, folder, side=128, depth=6, vit=NARROW)
    if not depth:
        remove(predictor.frames.network.host.vision_encoder, Slot.ATTENTION_PARALLEL)
    recipe = Finetune(loop(folder, seed, 600, 1e-3), TrainedPart.ALL, batch=1, probe=False, flips=0.5)
    training, testing = (SliceClips(predictor.frames, cases, predictor.depth) for cases in (learned, held))
    objective = SlicesObjective(predictor, training, testing, recipe)
    trained(objective, recipe.loop)
    volumes = replace(predictor)
    return {DICE: float(np.mean([dice_in_box(volumes, *one) for one in objective.held.structures()]))}


LITE = "medical_sam_adapter_lite_medsam"
SETS = {  # shown as, data set, pictures of it
    "carotid": ("carotid_us_ccaus", 7), "skin": ("skin_lesion_isic2017", 4), "breast": ("breast_us_busi", 8),
    "fetal head": ("fetal_head_hc18", 6), "polyp": ("polyp_kvasir", 3),
}  # fmt: skip


def clicked(steps: int, hyper: bool, seed: int, folder: Path) -> Found:
    """Adapters on LiteMedSAM's published weights, from one click; carotid and skin are learned, but for some people."""
    predictor = build(LITE, replace(OPTIONS, untrained=True))  # parts at their start, on the host's kept weights
    if predictor.record.sha256 == RANDOM:
        raise SystemExit("First: delineate models pull lite_medsam")
    if not hyper:
        remove(predictor.network.host.mask_decoder, DecoderSlot.HYPER)
    sets = {shown: of_sets(name)[:most] for shown, (name, most) in SETS.items()}
    held = [c for n, c in enumerate(sets["skin"]) if n % 2 == seed % 2]
    held += [c for c in sets["carotid"] if subject_of(c).rsplit("/", 1)[-1] in FOLDS[seed]]
    learned = [c for c in sets["carotid"] + sets["skin"] if c not in held]
    recipe = replace(medical_sam_adapter.options(folder), loop=loop(folder, seed, max(1, steps), 1e-3), batch=2)
    objective = PartsObjective(predictor, LabeledFrames(predictor, learned, recipe.frames), [], recipe)
    if steps:
        trained(objective, recipe.loop)
    scores = {}
    for shown, cases in sets.items():
        kept = [c for c in cases if c not in learned]
        objective.testing = LabeledFrames(predictor, kept, FrameOptions(slices=1))
        scores[shown] = objective.measure()
    return scores


# SAM-UNet: the same parts on slices, from a box


def beside(branch: bool, seed: int, folder: Path) -> Found:
    """A narrow SAM-UNet of random weights, all of it trained, from a box on a slice."""
    learned, held = hippocampus()
    predictor = narrow("sam_unet", seed, folder, variant="released", side=128, vit=NARROW)
    if not branch:
        remove(predictor.network.host.vision_encoder, Slot.BEFORE)
    recipe = replace(
        sam_unet.options(folder), loop=loop(folder, seed, 150, 1e-3), part=TrainedPart.ALL, batch=2, of_each=2
    )
    training, testing = (LabeledFrames(predictor, cases, recipe.frames) for cases in (learned, held))
    objective = PartsObjective(predictor, training, testing, recipe)
    trained(objective, recipe.loop)
    return {DICE: objective.measure()}


ALL, SEEDS = "all parts", (0, 1, 2)


def temporal(title: str, one: ClipRun) -> Comparison:
    arms = {ALL: True, "no temporal parts": False}
    runs = {arm: partial(one.measured, kept) for arm, kept in arms.items()}
    return Comparison(one.system, title, (DICE, SHADOW, CONSISTENCY), SEEDS, runs)


COMPARISONS = {
    one.name: one
    for one in (
        temporal("MediViSTA (2025)", ClipRun("medivista", 64, 8, 300, 400)),
        Comparison(
            "slices", "Medical SAM Adapter in 3D", (DICE,), SEEDS,
            {ALL: partial(slices, True), "no depth branch": partial(slices, False)},
        ),
        Comparison(
            "clicks", "Medical SAM Adapter on LiteMedSAM", tuple(SETS), SEEDS[:2],
            {
                ALL: partial(clicked, 40, True), "no hyper-prompt adapter": partial(clicked, 40, False),
                "LiteMedSAM itself": partial(clicked, 0, True),
            },
        ),
        Comparison(
            "branch", "SAM-UNet", (DICE,), SEEDS, {ALL: partial(beside, True), "no branch": partial(beside, False)}
        ),
        temporal("MediViSTA-SAM (2023)", ClipRun("medivista_sam", 64, 8, 500, 700)),
    )
}  # fmt: skip
