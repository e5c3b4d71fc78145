"""The models that clients may choose: by name alone, never by a path."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import PurePath

from delineate.checkpoints.store import cached_path
from delineate.core.errors import ModelError
from delineate.predictors.frame_predictor import Predictor
from delineate.server.problems import not_found
from delineate.systems import SYSTEMS


class Models:
    """The server's own model, and systems whose files are on this machine.

    build  makes the predictor of a system's name, or of the model file the server was started with
    own    name of the server's own model, without its folder
    """

    def __init__(self, chosen: str, build: Callable[[str], Predictor]) -> None:
        self._chosen, self._build = chosen, build
        self.own = chosen if chosen in SYSTEMS else PurePath(chosen.replace("\\", "/")).name
        self._made: dict[str, Predictor] = {}

    @property
    def names(self) -> tuple[str, ...]:
        """What can be chosen now, the server's own one first."""
        return (self.own, *(name for name in sorted(SYSTEMS) if name != self.own and _is_here(name)))

    def predictor(self, name: str) -> Predictor:
        """The one of a name, made once. Raises RefusalError (404) for what is not offered."""
        if name not in self._made:
            if name not in self.names:
                raise not_found("model", name)
            self._made[name] = self._build(self._chosen if name == self.own else name)
        return self._made[name]


def _is_here(name: str) -> bool:
    try:
        path = SYSTEMS[name].weights or cached_path(name)
    except ModelError:
        return False
    return path is not None and path.is_file()
