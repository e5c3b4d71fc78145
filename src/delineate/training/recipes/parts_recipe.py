"""A recipe that trains what a paper put into a prompted system, and what a person may ask of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from torch import Tensor

from delineate.adapters.freeze import FreezeTable
from delineate.adapters.lowrank import RankBudget, Svd, orthogonality
from delineate.checkpoints.store import cached_path
from delineate.checkpoints.system_file import SystemCard, write_system
from delineate.core.errors import ModelError
from delineate.data.cases import Case
from delineate.models.sam2_pictures import on_pictures
from delineate.models.sizes import NetworkSizes
from delineate.systems import SYSTEMS
from delineate.training.adapted import ADAPTER
from delineate.training.class_finetune import policy_of
from delineate.training.finetune import Finetune, FinetuneObjective, TrainedPart, run_finetune
from delineate.training.frames import split_frames
from delineate.training.loop import BEST, Tell, TrainingOutcome
from delineate.training.parts_memory_plan import planned_pictures
from delineate.training.recipes.recipe import Recipe, RecipeOverrides

ORTHOGONAL = 0.1  # weight of AdaLoRA's penalty, as Medical SAM Adapter's repository has it


class PartsObjective(FinetuneObjective):
    """An ``Objective``: what the system's own table says learns; with ``part = all`` everything.

    Of matrices in AdaLoRA's form half of the ranks are left at the end, and both stay near to orthogonal; warm-up and
    rest are shares of a run as in Medical SAM Adapter's repository (500 and 1500 of 3000 steps).
    """

    def __init__(self, predictor: Any, training: Any, testing: Any, recipe: Finetune) -> None:
        super().__init__(predictor, training, testing, recipe)
        self.network = on_pictures(self.network)
        ranks = [len(module.values) for module in self.host.modules() if isinstance(module, Svd)]
        steps = recipe.loop.steps
        self.budget = RankBudget(self.host, max(1, max(ranks) // 2), steps, steps // 6, steps // 2) if ranks else None

    def trained(self) -> list[dict[str, Any]]:
        policy = policy_of(self.predictor.record, self.recipe.part is TrainedPart.ALL)
        return [{"params": [p for n, p in self.host.named_parameters() if policy.learns(n)], "name": "adapters"}]

    def keep(self, folder: Path) -> None:
        """The weights with a header, and what learned alone where its host is kept on this machine."""
        card, state = self.card(), self.weights()
        write_system(folder / BEST, state, card)
        start = SYSTEMS[card.system].build.__self__.files.start  # type: ignore[attr-defined]
        if self.recipe.part is not TrainedPart.ALL and cached_path(start) is not None and card.sizes.is_published:
            names = policy_of(self.predictor.record).names(self.host)
            write_system(folder / ADAPTER, state, card.model_copy(update={"host": start}), names)

    def with_penalty(self, losses: dict[str, Tensor]) -> dict[str, Tensor]:
        if self.budget is None:
            return losses
        extra = ORTHOGONAL * orthogonality(self.host)
        return losses | {"orthogonality": extra, "total": losses["total"] + extra}

    def stepped(self, step: int) -> None:
        if self.budget is not None:
            self.budget.stepped(step)

    def state(self) -> dict[str, Tensor]:
        """What AdaLoRA remembers of its values' importance."""
        known = [] if self.budget is None else self.budget.importance
        return {f"importance/{n}": one for n, one in enumerate(known)}

    def restore(self, state: dict[str, Tensor]) -> None:
        for n, one in enumerate([] if self.budget is None else self.budget.importance):
            one.copy_(state[f"importance/{n}"])

    def keep_statistics(self) -> None:
        policy_of(self.predictor.record).keep_statistics(self.host)

    def card(self) -> SystemCard:
        """What the file says of itself."""
        record = self.predictor.record
        return SystemCard(system=record.name, variant=record.variant, sizes=self.sizes())

    def sizes(self) -> NetworkSizes:
        """Of the network, where they are not the published ones."""
        sizes: NetworkSizes = self.network.shape.sizes
        return sizes

    def weights(self) -> dict[str, Tensor]:
        return dict(self.host.state_dict())


def learned_parts(predictor: Any, recipe: Finetune) -> FreezeTable:
    """What learns of a prompted system, part by part."""
    frames = getattr(predictor, "frames", predictor)
    return policy_of(frames.record, recipe.part is TrainedPart.ALL).table(frames.network.host)


def own_parts(wishes: RecipeOverrides, recipe: Finetune) -> Finetune:
    """A recipe's figures with what was asked for.

    Raises ModelError for low-rank adapters beside the paper's parts, and for the decoder alone.
    """
    if wishes.adapter is not None or wishes.part is TrainedPart.DECODER:
        raise ModelError(
            "E-TRAIN-OPTION",
            "This recipe trains the parts its paper put into the system.",
            "Leave --peft out and --part at encoder (these parts) or all; of medical_sam_adapter LoRA is a variant: "
            "--variant lora, adalora.",
        )
    return wishes.of(recipe)


def parts_recipe(name: str, summary: str, source: str, options: Callable[[Path], Finetune]) -> Recipe:
    """A row of the table of recipes, for the system of its name and that one's variants on other hosts.

    options  its figures for an output folder
    """

    def asked(wishes: RecipeOverrides) -> Finetune:
        return own_parts(wishes, options(wishes.output))

    def run(
        predictor: Any, cases: Sequence[Case], wishes: RecipeOverrides, tell: Tell | None = None
    ) -> TrainingOutcome:
        recipe = asked(wishes)
        if not predictor.record.name.startswith(name):
            raise ModelError(
                "E-TRAIN-SYSTEM",
                f"{predictor.record.name} has none of the parts of {name}.",
                f"Take -m {name}, or another recipe: delineate train recipes",
            )
        parts = split_frames(predictor, cases, recipe.frames)
        return run_finetune(PartsObjective(predictor, *parts, recipe), tell)

    return Recipe(name, name, summary, source, run, asked, plan=planned_pictures, prompted=True, learned=learned_parts)
