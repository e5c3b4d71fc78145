"""What devices are called."""

from __future__ import annotations

import re
from typing import Final

from delineate.core.errors import ModelError

DEVICES: Final = "auto, cpu, cuda, cuda:N, or mps"
_NAME: Final = re.compile(r"auto|cpu|mps|cuda(:\d{1,3})?")


def device_name(asked: str) -> str:
    """A device as torch calls it; ``gpu`` is ``cuda``. Raises ModelError for what is called otherwise."""
    name = re.sub(r"^gpu(?=$|:)", "cuda", asked.strip().lower())
    if not _NAME.fullmatch(name):
        raise ModelError("E-DEVICE", f'There is no device called "{asked}".', f"Devices are {DEVICES}.")
    return name
