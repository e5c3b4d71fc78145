"""Files this package writes of a system with a paper's parts: all of it, or only what learned, and what it was.

The header says which system and variant it is, its classes and its sizes, so that a narrow network that was trained
here is opened as easily as one of published size. A file of what learned alone says which host it was trained beside,
by the sha256 of the host's weights.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from delineate.checkpoints.adapter_file import fingerprint
from delineate.core.errors import ModelError
from delineate.core.json_file import fault
from delineate.core.reading import reading
from delineate.io.atomic import replacing
from delineate.models.sizes import NetworkSizes

HEADER = "delineate-system"
WAY_OUT = "Give a file that training here wrote, or the published checkpoint."


class SystemCard(BaseModel):
    """What the header says.

    classes  names of what is outlined without a prompt; none for systems that are prompted
    sizes    of the network, where they are not the published ones
    host     the system whose weights the others are, where the file holds only what learned; "" where it holds all
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    system: str
    variant: str = ""
    classes: tuple[str, ...] = ()
    sizes: NetworkSizes = NetworkSizes()
    host: str = ""
    host_sha256: str = ""

    @property
    def is_whole(self) -> bool:
        return not self.host


def read_card(path: Path) -> SystemCard | None:
    """The card of a file; None of files that have none. Raises ModelError for one that is damaged."""
    if path.suffix != ".safetensors" or not path.is_file():
        return None
    with reading(path, "E-MODEL-DAMAGED", ModelError, "cannot be read", WAY_OUT), safe_open(path, "np") as file:
        text = (file.metadata() or {}).get(HEADER)
    if text is None:
        return None
    try:
        return SystemCard.model_validate_json(text)
    except ValidationError as error:
        raise ModelError("E-MODEL-DAMAGED", f"{path.name}: its header has {fault(error)}.", WAY_OUT) from None


def card_words(card: SystemCard) -> dict[str, str]:
    """A card as words of a header, without what it does not say: earlier versions refuse fields they do not know."""
    return {HEADER: json.dumps(card.model_dump(exclude_none=True))}


def write_system(path: Path, weights: Mapping[str, Tensor], card: SystemCard, learned: set[str] | None = None) -> None:
    """Write a system's weights; ``learned``: only these, beside the host that ``card`` names, whose hash is added."""
    if learned is not None:
        card = card.model_copy(update={"host_sha256": host_fingerprint(weights, learned)})
        weights = {name: value for name, value in weights.items() if name in learned}
    with replacing(path) as temporary:
        save_file({k: v.detach().cpu().contiguous().clone() for k, v in weights.items()}, temporary, card_words(card))


def host_fingerprint(weights: Mapping[str, Tensor], learned: Collection[str]) -> str:
    """sha256 of what is not ``learned``: the host's weights, which are the same after training."""
    return fingerprint({n: v.detach().float().cpu().numpy() for n, v in weights.items() if n not in learned})
