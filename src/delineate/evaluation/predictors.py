"""Who can be measured: models and baselines by name."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import cast

from delineate.core.errors import InputError
from delineate.evaluation.baselines import BASELINES, BaselinePredictor
from delineate.evaluation.flow import FLOW, FlowPredictor
from delineate.predictors.bundle_card import CARD, is_bundle
from delineate.predictors.frame_predictor import FramePredictor, Predictor
from delineate.predictors.second_opinion import OpinionPair
from delineate.systems.registry import CHECKPOINTS, SYSTEMS, build
from delineate.systems.system import BuildOptions

SHIPPED = "quill"
FILES = (".onnx", *CHECKPOINTS)  # a name that ends so is the file of a model
TRAINED = (
    "best",
    "last",
    "student",
    "average",
    "quill",
)  # stems of what training writes


def shown_name(name: str) -> str:
    """How tables call a predictor: a model's file by its stem, or by its folder where training named the file."""
    path = Path(name.rpartition("=")[2])
    if "/" not in name:
        return name
    return path.parent.name if path.stem in TRAINED else path.stem


def reported_names(names: Sequence[str]) -> dict[str, str]:
    """What reports call each predictor: without the folders its file lies in, but for those that tell two apart.

    Where training named the file (``best.safetensors``), the run's folder is what tells.
    """
    reported: dict[str, str] = {}
    for name in names:
        system, equals, model = name.rpartition("=")
        path = Path(model)
        parts = path.parts[1:] if path.is_absolute() else path.parts
        least = 2 if path.stem in TRAINED else 1
        tails = ["/".join(parts[-count:]) for count in range(least, len(parts) + 1)] or [model]
        free = (tail for tail in tails if system + equals + tail not in reported.values())
        reported[name] = system + equals + next(free, model)
    return reported


def pair_named(name: str) -> tuple[str, str] | None:
    """Two systems with a ``+`` between them; None for any other name."""
    first, _, second = name.partition("+")
    return (first, second) if first in SYSTEMS and second in SYSTEMS else None


def adapted_named(name: str) -> tuple[str, str] | None:
    """A system and one of the adapters that ship with it, ``SYSTEM:ADAPTER``; None for any other name."""
    system, _, adapter = name.partition(":")
    return (system, adapter) if system in SYSTEMS and adapter in SYSTEMS[system].adapters else None


def is_named(name: str) -> bool:
    """Whether this is the name of a system, with an adapter or not, a baseline or a pair, and no file's."""
    if name in SYSTEMS or name in BASELINES or name == FLOW:
        return True
    return pair_named(name) is not None or adapted_named(name) is not None


def check_predictor(name: str) -> None:
    """Raises InputError, naming those there are, for a name that is no predictor's."""
    if is_named(name):
        return
    system, _, model = name.rpartition("=")
    is_model = model.endswith(FILES) or is_bundle(Path(model))
    if not is_model or (system and system not in SYSTEMS):
        raise InputError(
            "E-EVAL-PREDICTOR",
            f'There is no predictor "{name}".',
            f"Choose from {', '.join((SHIPPED, *BASELINES, FLOW))}; name a system; or give a model: FILE, SYSTEM=FILE, "
            "or the folder of an exported system.",
        )


def weights_file(name: str) -> Path | None:
    """The file of a predictor that is named by one; of an exported system its ``model.json``, which hashes the rest."""
    path = Path(name.rpartition("=")[2])
    path = path / CARD if path.is_dir() else path
    return path if path.is_file() else None


def predictor_named(name: str, options: BuildOptions | None = None) -> Predictor:
    """A predictor by name: a baseline, a system, or the file of a model, with its system before it: ``SYSTEM=FILE``.

    Two of them with a ``+`` between are a pair, whose second is asked about the outlines of the first. An adapter that
    ships comes after a ``:``.
    """
    check_predictor(name)
    if name in BASELINES:
        return BaselinePredictor(name)
    if name == FLOW:
        return FlowPredictor()
    if (pair := pair_named(name)) is not None:
        first, second = (predictor_named(one, options) for one in pair)
        return OpinionPair(cast(FramePredictor, first), cast(FramePredictor, second))
    options = options or BuildOptions()
    if (adapted := adapted_named(name)) is not None:
        return build(adapted[0], replace(options, adapter=Path(adapted[1])))
    system, _, model = name.rpartition("=")
    if options.variant and options.variant not in variants_of(name):
        options = replace(options, variant="")
    return build(model, options, system or None)


def variants_of(name: str) -> tuple[str, ...]:
    """The variants of the system a predictor is named by; none for files that do not say theirs."""
    system, _, model = name.rpartition("=")
    known = SYSTEMS.get(system or model)
    return tuple(known.variants) if known is not None else ()
