"""What building any torch system has in common: its file, its weights, its record."""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec
from typing import TYPE_CHECKING

from delineate.checkpoints.store import require_unchanged
from delineate.core.errors import ModelError
from delineate.core.hashing import both_hashes, sha256_of
from delineate.core.manifest import RANDOM, ModelRecord
from delineate.systems.on_graph import no_weights
from delineate.systems.system import BuildOptions

if TYPE_CHECKING:
    from torch import nn

    from delineate.checkpoints.reading import Weights
    from delineate.compute.engine import Engine

SEED = 0  # of random weights


def needs_torch(name: str) -> None:
    """Raise ModelError with the way out where torch and transformers are not installed."""
    try:
        import torch  # noqa: F401
        import transformers  # noqa: F401
    except ImportError as error:
        raise ModelError(
            "E-MODEL-EXTRA", f"{name} needs {error.name}, which is not installed.", 'pip install "delineate[models]"'
        ) from None


def require_weights(name: str, options: BuildOptions) -> None:
    """Raise ModelError, before anything heavy is imported, where there is no file and random weights are not wanted.

    Without torch nothing is said: that comes first (``needs_torch``).
    """
    absent = not options.untrained and options.weights_of(name) is None
    if absent and find_spec("torch") is not None:
        raise no_weights(name)


def loaded(
    name: str, options: BuildOptions, network: nn.Module, host: nn.Module, named: Callable[[Weights], Weights]
) -> tuple[nn.Module, str]:
    """The network with its weights, an adapter put in, and the file's sha256 (with an adapter: that of both hashes).

    host   the part of the network whose keys ``named`` gives
    named  published names to the host's
    Raises ModelError where there is no file, unless random weights are wanted, and where a kept one was changed.
    """
    network, sha256 = _with_weights(name, options, network, host, named)
    if options.adapter is None:
        return network, sha256
    from delineate.checkpoints.loading import put_adapter

    put_adapter(host, options.adapter)
    return network, both_hashes(sha256, options.adapter)


def _with_weights(
    name: str, options: BuildOptions, network: nn.Module, host: nn.Module, named: Callable[[Weights], Weights]
) -> tuple[nn.Module, str]:
    from delineate.checkpoints.loading import load_all
    from delineate.checkpoints.reading import read_weights

    path = options.weights_of(name)
    if path is not None:
        weights = read_weights(path)
        known = any(key.startswith("vision_encoder.") for key in weights)  # saved by this package
        load_all(host, weights if known else named(weights), path.name)
        sha256 = sha256_of(path)
        if options.checkpoint is None:
            require_unchanged(name, sha256)
        return network.eval(), sha256
    if not options.untrained:
        raise no_weights(name)
    return network.eval(), RANDOM


def record_of(
    name: str,
    sha256: str,
    license: str,
    preprocessing: str,
    engine: Engine,
    backend: str = "torch",
    variant: str = "",
) -> ModelRecord:
    """What manifests say of a model."""
    return ModelRecord(
        name=name,
        version="published",
        sha256=sha256,
        license=license,
        preprocessing=f"{preprocessing}; {engine.summary}, {backend}",
        device=str(engine.device),
        precision=engine.precision.value,
        backend=backend,
        variant=variant,
    )
