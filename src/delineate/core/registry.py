"""Tables that other distributions can add to: built-in entries, entry points, and what a program registers itself."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, MutableMapping
from importlib import import_module
from importlib.metadata import entry_points
from typing import Any, Generic, TypeVar

Item = TypeVar("Item")
_LOG = logging.getLogger(__name__)


class Registry(MutableMapping[str, Item], Generic[Item]):
    """Entries of one kind by name, loaded when the table is first read.

    Parameters
    ----------
    group
        Name of the entry-point group, such as ``delineate.systems``. An entry point refers to one entry or to several
        (a tuple or list); the name of each entry is its own ``name``.
    kind
        The class every entry must be an instance of.
    built_in
        References ``module:attribute`` of the entries that come with the package, in the order they are listed.

    Notes
    -----
    An entry point that fails to load, is of another kind, or takes a name that is used already never hides the others:
    it is left out, logged, and listed in `failures`, which ``delineate doctor`` prints.
    """

    def __init__(self, group: str, kind: type[Item], built_in: Iterable[str]) -> None:
        self.group = group
        self._kind = kind
        self._built_in = tuple(built_in)
        self._entries: dict[str, Item] | None = None
        self._failures: dict[str, str] = {}

    def register(self, entry: Item) -> Item:
        """Add an entry for this process. Raises ValueError if its name is taken, TypeError for another kind."""
        name = self._name(entry)
        if name in self:
            raise ValueError(f'"{name}" is registered already in {self.group}')
        self._loaded()[name] = entry
        return entry

    @property
    def failures(self) -> dict[str, str]:
        """Entry points that could not be used, and why."""
        self._loaded()
        return dict(self._failures)

    def __getitem__(self, name: str) -> Item:
        return self._loaded()[name]

    def __setitem__(self, name: str, entry: Item) -> None:
        self._name(entry)
        self._loaded()[name] = entry

    def __delitem__(self, name: str) -> None:
        del self._loaded()[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._loaded())

    def __len__(self) -> int:
        return len(self._loaded())

    def _loaded(self) -> dict[str, Item]:
        if self._entries is None:
            entries: dict[str, Item] = {}
            for reference in self._built_in:
                module, _, attribute = reference.partition(":")
                self._add(entries, getattr(import_module(module), attribute))
            for point in entry_points(group=self.group):
                try:
                    self._add(entries, point.load())
                except (Exception, SystemExit) as error:  # whatever another distribution does, this package goes on
                    whose = f" of {point.dist.name}" if point.dist is not None else ""
                    self._failures[point.name] = f'"{point.value}"{whose}: {type(error).__name__}: {error}'
                    _LOG.warning("%s of %s is left out: %s", point.name, self.group, self._failures[point.name])
            self._entries = entries
        return self._entries

    def _add(self, entries: dict[str, Item], loaded: Any) -> None:
        added: dict[str, Item] = {}
        for entry in loaded if isinstance(loaded, tuple | list) else (loaded,):
            name = self._name(entry)
            if name in entries or name in added:
                raise ValueError(f'the name "{name}" is taken')
            added[name] = entry
        entries.update(added)

    def _name(self, entry: Any) -> str:
        if not isinstance(entry, self._kind):
            raise TypeError(f"{entry!r} is no {self._kind.__name__}")
        return str(entry.name)  # type: ignore[attr-defined]
