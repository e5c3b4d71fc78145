"""All systems by name, and how a name, a file or nothing becomes a predictor."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from delineate.checkpoints.array_reading import read_arrays
from delineate.checkpoints.torch_archive import is_torch_archive
from delineate.core.errors import ModelError
from delineate.core.registry import Registry
from delineate.core.terminal_text import printable
from delineate.predictors.bundle_card import is_bundle
from delineate.predictors.frame_predictor import FramePredictor
from delineate.systems.exported import build_exported
from delineate.systems.layout import CheckpointLayout, Shape
from delineate.systems.system import BuildOptions, System

SHIPPED = "quill"  # the model that comes with the package
AUTO = "auto"  # no model: the choice is left to the table of what was measured (``routing``)
_PAPERS = (
    "sam", "mobile_sam", "medsam", "medsam_text", "lite_medsam", "sam_med2d", "sam2", "surgical_sam2", "medsam2",
    "biosam2", "efficient_tam", "edge_tam", "medical_sam_adapter", "medivista", "sam_unet", "class_peers", "alpnet",
    "protosam",
)  # fmt: skip
SYSTEMS: Registry[System] = Registry(
    "delineate.systems",
    System,
    ("delineate.quill.system:QUILL", *(f"delineate.systems.{paper}:SYSTEMS" for paper in _PAPERS)),
)
CHECKPOINTS = (".pt", ".pth", ".safetensors")


def build(model: str = SHIPPED, options: BuildOptions | None = None, system: str | None = None) -> Any:
    """The predictor for a system's name, a published or trained checkpoint, an exported system or Quill (``.onnx``).

    Its ``capabilities`` say which protocol it follows: FramePredictor, VolumePredictor or DensePredictor.

    model   a name, a file, or SYSTEM=FILE; an exported system is given by its folder, or by the ``model.json`` in it
    system  which system a checkpoint belongs to; found from the file unless several share its layout
    Raises ModelError for unknown names and for files no system here reads.
    """
    options = options or BuildOptions()
    before, equals, file = model.rpartition("=")
    if equals and before in SYSTEMS and system in (None, before):
        model, system = file, before
    if system is not None and system not in SYSTEMS:
        raise _unknown(system)
    if model == AUTO:
        raise ModelError(
            "E-MODEL-AUTO",
            '"auto" chooses a model by the scan and its prompts, and there are none here.',
            "Name a model: delineate systems. delineate segment takes -m auto.",
        )
    path = Path(model)
    if options.adapter is not None and (model == SHIPPED or path.suffix == ".onnx"):
        raise ModelError("E-ADAPTER", "Quill has no place for an adapter.", "Name what it was trained on: -m SYSTEM")
    if model in SYSTEMS:
        return _built(SYSTEMS[model], options)
    if path.suffix == ".onnx":
        return _built(SYSTEMS[SHIPPED], replace(options, checkpoint=path))
    if is_bundle(path):
        if options.variant:
            raise ModelError("E-VARIANT", "An exported system is the variant it was exported as.", "Leave it out.")
        return build_exported(path, options, system)
    if path.suffix in CHECKPOINTS:
        return _from_checkpoint(path, options, system)
    if path.exists():
        raise ModelError(
            "E-MODEL-KIND",
            f"{path.name} is no model that can be run.",
            "Give a checkpoint (.pth, .pt, .safetensors), an exported Quill (.onnx), the folder of an exported system "
            "(with its model.json) or a name: delineate systems",
        )
    raise _unknown(model)


def system_named(name: str) -> System:
    """Raises ModelError for names that are not in the table."""
    if name not in SYSTEMS:
        raise ModelError("E-MODEL-UNKNOWN", f'There is no system "{name}".', "See which there are: delineate systems")
    return SYSTEMS[name]


def _built(system: System, options: BuildOptions) -> Any:
    if options.variant and options.variant not in system.variants:
        raise ModelError(
            "E-VARIANT",
            f'{system.name} has no variant "{options.variant}".',
            f"It has {', '.join(system.variants)}." if system.variants else "Leave it out.",
        )
    if options.adapter is not None:
        options = replace(options, adapter=system.adapter_file(options.adapter))
    return system.build(options)


def system_of_file(path: Path) -> str:
    """The system a checkpoint belongs to, by its layout and, where several systems share it, by the file's name.

    Raises ModelError if no system has its layout, or if several have and the name does not tell.
    """
    return system_of_tensors(_shapes(path), path.name)


def system_of_tensors(shapes: Mapping[str, Shape], file: str) -> str:
    """The same for the shapes of a checkpoint's tensors by name."""
    candidates = systems_with_layout(shapes)
    if not candidates:
        raise _unknown_layout(shapes, file)
    by_name = {system.name: layout.matches_file(file) for system, layout in candidates}
    best = max(by_name, key=lambda name: by_name[name])
    if len(candidates) == 1 or by_name[best] > 0:
        return best
    raise ModelError(
        "E-MODEL-AMBIGUOUS",
        f"{file} has the layout of {candidates[0][1].title}, which {len(candidates)} systems share.",
        f"Say which it is: --system {' | '.join(by_name)}",
    )


def systems_with_layout(shapes: Mapping[str, Shape]) -> list[tuple[System, CheckpointLayout]]:
    """Systems whose published checkpoints have tensors like these."""
    layouts = ((system, system.layout) for system in SYSTEMS.values() if system.layout is not None)
    return [(system, layout) for system, layout in layouts if not layout.mismatches(shapes)]


def _shapes(path: Path) -> dict[str, Shape]:
    if path.suffix != ".safetensors" and path.is_file() and is_torch_archive(path):
        return {name: tuple(array.shape) for name, array in read_arrays(path).items()}
    from delineate.systems.building import needs_torch

    needs_torch(path.name)
    from delineate.checkpoints.reading import read_weights

    return {name: tuple(tensor.shape) for name, tensor in read_weights(path).items()}


def _from_checkpoint(path: Path, options: BuildOptions, system: str | None) -> Any:
    if not path.exists():
        raise ModelError("E-MODEL-MISSING", f"There is no checkpoint at {path}.", "Check the path.")
    try:
        return _built(SYSTEMS[system or _said_by(path) or system_of_file(path)], replace(options, checkpoint=path))
    except ModelError as error:
        likely = [one.name for one, _ in systems_with_layout(_shapes(path))] if error.code == "E-MODEL-KEYS" else []
        if not likely or system in likely:
            raise
        hint = f"The file looks like {likely[0]}: --system {' | '.join(likely)}"
        raise ModelError(error.code, error.message, hint) from error


def _said_by(path: Path) -> str | None:
    """The system a file of ours says it is; None of other files."""
    if path.suffix != ".safetensors":
        return None
    from delineate.systems.building import needs_torch

    needs_torch(path.name)
    from delineate.checkpoints.system_file import read_card

    card = read_card(path)
    return card.system if card is not None and card.system in SYSTEMS else None


def _unknown_layout(shapes: Mapping[str, Shape], file: str) -> ModelError:
    layouts = [system.layout for system in SYSTEMS.values() if system.layout is not None]
    closest = min(layouts, key=lambda layout: len(layout.mismatches(shapes)) / (len(layout.shapes) + len(layout.holds)))
    names = ", ".join(printable(name) for name in sorted(shapes)[:4])
    return ModelError(
        "E-MODEL-LAYOUT",
        f"No system here has the layout of {file}, whose tensors are named {names} ... Closest is {closest.title}, but "
        f"{'; '.join(printable(words) for words in closest.mismatches(shapes)[:2])}.",
        "See which there are: delineate systems",
    )


def shipped_predictor(threads: int = 0) -> FramePredictor:
    """The model that came with the package."""
    predictor: FramePredictor = build(options=BuildOptions(threads=threads))
    return predictor


def _unknown(name: str) -> ModelError:
    return ModelError("E-MODEL-UNKNOWN", f'There is no model "{name}".', "See which there are: delineate systems")
