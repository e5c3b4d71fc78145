"""What a server may be asked for, and how much."""

from __future__ import annotations

import os
import secrets
from dataclasses import dataclass, field
from ipaddress import ip_address
from pathlib import Path
from typing import Final

from delineate.core.errors import InputError

MEGABYTE: Final = 2**20
LOOPBACK_NAMES: Final = ("localhost", "127.0.0.1", "[::1]")


@dataclass(frozen=True, kw_only=True)
class ServerSettings:
    """How a server is reached, what it may open, and how much it keeps.

    host, port      where it listens; port 0: a free one
    token           what a request has to carry; "" lets everybody on this machine in, and is refused elsewhere
    root            the folder below which scans are opened by their path; None: none is
    state           where uploads and session logs are kept; they come back after a restart
    model           the system that answers unless a session names another
    public_names    names other than the loopback ones that requests may be addressed to
    allow_origins   pages of other origins that may ask, each exactly as a browser sends it
    max_sessions    sessions kept in memory; others come back from their log when they are used again
    max_upload      bytes of one scan
    max_uploads     bytes of all uploads on the disk
    max_body        bytes of any other request
    max_waiting     requests that may wait for the engine
    scan_bytes      voxels of scans in memory, of all sessions together; the one at work may be larger
    feature_bytes   encoded frames, of all sessions together
    idle_seconds    after which an unused session leaves the memory
    nninteractive_v1  whether 3D Slicer's NNInteractive extensions of before its version 2 are let in
    itksnap         whether ITK-SNAP is let in, which has no field for a token: on this machine alone
    """

    host: str = "127.0.0.1"
    port: int = 8765
    token: str = field(default_factory=lambda: secrets.token_urlsafe(16), repr=False)
    root: Path | None = None
    state: Path
    model: str = "quill"
    public_names: tuple[str, ...] = ()
    allow_origins: tuple[str, ...] = ()
    max_sessions: int = 64
    max_upload: int = 4096 * MEGABYTE
    max_uploads: int = 65536 * MEGABYTE
    max_body: int = 16 * MEGABYTE
    max_waiting: int = 32
    scan_bytes: int = 2048 * MEGABYTE
    feature_bytes: int = 512 * MEGABYTE
    idle_seconds: float = 1800.0
    nninteractive_v1: bool = False
    itksnap: bool = False

    def __post_init__(self) -> None:
        if not self.is_loopback and not self.token:
            raise InputError(
                "E-SERVE-OPEN",
                f"A server on {self.host} without a token would let everybody on the network in.",
                "Give --token, or leave --host out to listen on this machine alone.",
            )
        if self.itksnap and not self.is_loopback:
            raise InputError(
                "E-SERVE-ITKSNAP",
                "ITK-SNAP sends no token, so it is served on this machine alone.",
                "Leave --host out; from another machine use the SSH tunnel that ITK-SNAP has.",
            )
        if any(origin == "*" for origin in self.allow_origins):
            raise InputError(
                "E-SERVE-ORIGIN",
                "--allow-origin takes one origin, such as https://viewer.example, not *.",
                "Name each page's origin.",
            )

    @property
    def max_array(self) -> int:
        """Bytes of a volume that is sent unpacked in memory: a quarter of the machine's, or of one upload."""
        try:
            memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
        except (AttributeError, ValueError, OSError):  # Windows
            memory = 2**34
        return min(self.max_upload, memory // 4)

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine can reach it."""
        if self.host == "localhost":
            return True
        try:
            return ip_address(self.host).is_loopback
        except ValueError:
            return False

    @property
    def allowed_hosts(self) -> frozenset[str]:
        """Names that a Host header may have, without the port."""
        given = () if self.host in ("0.0.0.0", "::") else (self.host,)
        return frozenset(name.lower() for name in (*LOOPBACK_NAMES, *given, *self.public_names))


def state_folder() -> Path:
    """Where a server keeps uploads and logs by default: ``$DELINEATE_STATE``, else a folder in the user's cache."""
    if chosen := os.environ.get("DELINEATE_STATE"):
        return Path(chosen)
    cache = os.environ.get("XDG_CACHE_HOME")
    return (Path(cache) if cache else Path.home() / ".cache") / "delineate" / "server"
