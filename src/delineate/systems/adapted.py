"""Weights of systems that put a paper's parts into a host: published files, our own, or the host's to start from."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from delineate.core.errors import ModelError
from delineate.core.manifest import RANDOM
from delineate.systems.on_graph import no_weights
from delineate.systems.sources import how_to_get
from delineate.systems.system import BuildOptions

if TYPE_CHECKING:
    from pathlib import Path

    from torch import nn

    from delineate.checkpoints.reading import Weights
    from delineate.checkpoints.system_file import SystemCard

ENCODER = "vision_encoder."  # names of the image encoder begin so
Renaming = Callable[["Weights"], "Weights"]


@dataclass(frozen=True)
class AdaptedWeights:
    """Where the weights of an adapted host come from.

    name         of the system
    start        the system whose weights its host starts from
    renamed      published names to the network's
    host_names   the host's published names to the network's
    fresh        patterns of the names that are the paper's own: no host's file has them
    remade       patterns of names that a host's file has, but not in this shape
    dropped      patterns of the host's names that have no place in this network
    """

    name: str
    start: str
    renamed: Renaming
    host_names: Renaming
    fresh: tuple[str, ...]
    remade: tuple[str, ...] = ()
    dropped: tuple[str, ...] = ()

    def card(self, options: BuildOptions) -> SystemCard | None:
        """What the file says of itself, where this package wrote it, or what is begun; the network is made by it.

        Raises ModelError if it is another system's, and for a file where one is begun.
        """
        from delineate.checkpoints.system_file import read_card

        path = self.file(options)
        card = None if path is None else read_card(path)
        if path is not None and card is not None and card.system != self.name:
            raise ModelError(
                "E-MODEL-SYSTEM", f"{path.name} holds weights of {card.system}, not of {self.name}.",
                f"Say: -m {card.system}={path}",
            )  # fmt: skip
        if path is not None and options.begun is not None:
            raise ModelError(
                "E-MODEL-BEGUN", f"The classes and sizes of {self.name} are those of {path.name}.",
                "Leave --class and --narrow out.",
            )  # fmt: skip
        return card or options.begun

    def load(self, options: BuildOptions, network: nn.Module) -> str:
        """Put weights, and an adapter, into a network; the sha256 of their file (of both), or "random weights".

        Raises ModelError where there is no file, or it does not fit, and where parts would be untrained unwanted.
        """
        from delineate.checkpoints.loading import put_adapter
        from delineate.checkpoints.system_file import read_card
        from delineate.core.hashing import both_hashes

        adapter = options.adapter
        if adapter is None:
            return self._load(options, network)
        if (card := read_card(adapter)) is not None:  # what learned alone: a file of its own, beside its host
            if card.is_whole:
                raise ModelError(
                    "E-ADAPTER", f"{adapter.name} holds a whole system.", f"Say: -m {card.system}={adapter}"
                )
            return self._load(options, network)
        sha256 = self._load(options, network)
        put_adapter(network, adapter)
        return both_hashes(sha256, adapter)

    def _load(self, options: BuildOptions, network: nn.Module) -> str:
        from delineate.checkpoints.reading import read_weights
        from delineate.checkpoints.store import cached_path, require_unchanged
        from delineate.core.hashing import sha256_of

        path = self.file(options)
        if path is None:
            if not options.untrained:
                raise no_weights(self.name)
            narrow = options.begun is not None and not options.begun.sizes.is_published
            host = None if narrow else cached_path(self.start)
            if host is None:
                return RANDOM
            self.load_host(network, read_weights(host), host.name)
            return f"{self.start} {sha256_of(host)}, the rest random"
        weights = read_weights(path)
        card = self.card(options)
        if card is not None and not card.is_whole:
            self._load_learned(network, weights, card, path, options.checkpoint)
        elif _is_ours(weights):
            self._load_whole(network, weights, path, options)
        else:
            found = self.renamed(weights)
            if not any(_matches(name, self.fresh) for name in found):
                found = self.host_names(weights)
            self._load_whole(network, found, path, options)
        sha256 = sha256_of(path)
        if path not in (options.checkpoint, options.adapter):
            require_unchanged(self.name, sha256)
        return sha256

    def load_host(self, network: nn.Module, weights: Weights, file: str) -> None:
        """Put a host's own weights into the network: all but what is the paper's own.

        Raises ModelError if any is missing, left over or of another shape.
        """
        from delineate.checkpoints.loading import COUNTERS
        from delineate.checkpoints.matching import require_match

        if not _is_ours(weights):
            weights = self.host_names(weights)
        own = (*self.fresh, *self.remade)
        given = {n: v for n, v in weights.items() if not _matches(n, (*own, *self.dropped))}
        shapes = {n: tuple(v.shape) for n, v in network.state_dict().items() if not _matches(n, own)}
        counters = {name: shape for name, shape in shapes.items() if name.endswith(COUNTERS)}
        wanted = {name: shape for name, shape in shapes.items() if name not in counters}
        require_match(wanted, {n: tuple(v.shape) for n, v in given.items()}, file, optional=counters)
        network.load_state_dict(given, strict=False)

    def file(self, options: BuildOptions) -> Path | None:
        """Where this system's weights are: what learned alone, what is given, or what is kept; None: nowhere."""
        from delineate.checkpoints.system_file import read_card

        if options.adapter is not None and read_card(options.adapter) is not None:
            return options.adapter
        return options.weights_of(self.name)

    def _load_whole(self, network: nn.Module, weights: Weights, path: Path, options: BuildOptions) -> None:
        from delineate.checkpoints.loading import load_all

        if any(_matches(name, self.fresh) and name in weights for name in network.state_dict()):
            beside = {n: v for n, v in network.state_dict().items() if n not in weights}
            if beside and all(n.startswith(ENCODER) and not _matches(n, self.fresh) for n in beside):
                self._load_start(network, path)  # what learned alone was published
                weights = {**{n: network.state_dict()[n] for n in beside}, **weights}
            load_all(network, weights, path.name)
            return
        if not options.untrained:
            raise ModelError(
                "E-MODEL-PARTS",
                f"{path.name} holds weights of the host alone, none of what {self.name} puts into it.",
                f"Give a checkpoint of {self.name}; or add --untrained to begin from these.",
            )
        self.load_host(network, weights, path.name)

    def _load_start(self, network: nn.Module, path: Path) -> None:
        """The host's own weights, which a published file leaves out. Raises ModelError where they are not here."""
        from delineate.checkpoints.reading import read_weights
        from delineate.checkpoints.store import cached_path

        host = cached_path(self.start)
        if host is None:
            raise ModelError(
                "E-MODEL-WEIGHTS", f"{path.name} holds what learned beside {self.start}, which is not on this machine.",
                how_to_get(self.start),
            )  # fmt: skip
        self.load_host(network, read_weights(host), host.name)

    def _load_learned(
        self, network: nn.Module, weights: Weights, card: SystemCard, path: Path, given: Path | None
    ) -> None:
        """What learned, beside the host's weights: those that are ``given`` in a file, else those kept here."""
        from delineate.checkpoints.matching import require_match
        from delineate.checkpoints.reading import read_weights
        from delineate.checkpoints.store import cached_path
        from delineate.checkpoints.system_file import host_fingerprint

        host = cached_path(card.host) if given in (None, path) else given
        if host is None:
            raise ModelError(
                "E-MODEL-WEIGHTS", f"{path.name} was trained beside {card.host}, which is not on this machine.",
                how_to_get(card.host),
            )  # fmt: skip
        self.load_host(network, read_weights(host), host.name)
        state = network.state_dict()
        wanted = {n: tuple(state[n].shape) for n in weights if n in state}
        require_match(wanted, {n: tuple(v.shape) for n, v in weights.items()}, path.name)
        if host_fingerprint(state, set(weights)) != card.host_sha256:
            raise ModelError(
                "E-MODEL-HOST", f"{path.name} was trained beside other weights of {card.host} than {host.name}.",
                f"Fetch the published ones anew: delineate models pull {card.host}",
            )  # fmt: skip
        network.load_state_dict(weights, strict=False)


def _is_ours(weights: Weights) -> bool:
    """Whether a file's names are those of this package's networks."""
    return any(name.startswith(ENCODER) for name in weights)


def _matches(name: str, patterns: tuple[str, ...]) -> bool:
    return any(re.search(pattern, name) for pattern in patterns)


def require_torch_backend(name: str, options: BuildOptions, why: str) -> None:
    """Raise ModelError where another backend is asked for than what a system can be computed by."""
    if options.encoder_backend != "torch":
        raise ModelError("E-BACKEND", f"{name} is computed by torch alone: {why}.", "Leave --backend out.")
