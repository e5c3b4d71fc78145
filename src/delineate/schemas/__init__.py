"""JSON schemas of prompts, prompt logs and manifests, as published; ``python -m delineate.schemas`` writes them."""

from __future__ import annotations

import json
from pathlib import Path

from pydantic import BaseModel

from delineate.core.manifest import Manifest
from delineate.core.prompt_log import PromptLog
from delineate.core.written_prompts import WrittenStructures

FOLDER = Path(__file__).parent
MODELS: dict[str, type[BaseModel]] = {
    "structures.schema.json": WrittenStructures,
    "prompts.schema.json": PromptLog,
    "manifest.schema.json": Manifest,
}


def schema_text(model: type[BaseModel]) -> str:
    """A model's JSON schema as it is published."""
    return json.dumps(model.model_json_schema(), indent=1, sort_keys=True) + "\n"


def write_schemas() -> None:
    for name, model in MODELS.items():
        (FOLDER / name).write_text(schema_text(model))
