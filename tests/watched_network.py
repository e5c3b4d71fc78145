"""A network of its own, without any way out, in which every question to the DNS is written down.

Run as a program within new user, network and mount namespaces, it starts a server that answers no name, makes it the
only one that is asked, and runs a command: ``unshare -rnm python watched_network.py LOG COMMAND ...``
"""

from __future__ import annotations

import ctypes
import fcntl
import os
import shutil
import socket
import struct
import subprocess
import sys
import tempfile
import threading
from functools import cache
from pathlib import Path

BIND, PRIVATE_ALL = 0x1000, 0x40000 | 0x4000  # of mount(2): MS_BIND, MS_PRIVATE | MS_REC
SET_FLAGS, UP = 0x8914, 0x1  # of netdevice(7): SIOCSIFFLAGS, IFF_UP
MADE_UP = "telemetry.example.invalid"
RESOLVING = {"/etc/resolv.conf": "nameserver 127.0.0.1\n", "/etc/nsswitch.conf": "hosts: files dns\n"}


def watched(log: Path, *command: object) -> list[str]:
    """A command line that runs another one in such a network; the log then holds one name a line."""
    return ["unshare", "-rnm", sys.executable, "-S", __file__, str(log), *map(str, command)]


@cache
def why_not() -> str:
    """Why there cannot be such a network here, or ""; a name nobody has must be found in the log."""
    if not sys.platform.startswith("linux") or shutil.which("unshare") is None:
        return "network namespaces need Linux and unshare"
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "names"
        ask = f"import socket; socket.getaddrinfo({MADE_UP!r}, 443)"
        ran = subprocess.run(
            watched(log, sys.executable, "-c", ask), capture_output=True, text=True, check=False, timeout=60
        )
        if log.is_file() and MADE_UP in log.read_text():
            return ""
        return f"no namespaces of one's own here: {ran.stderr.strip().splitlines()[-1:]}"


def _name_in(question: bytes) -> str:
    """The name asked for: labels, each after its length, from byte 12 on (RFC 1035, 4.1.2)."""
    labels, at = [], 12
    while length := question[at]:
        labels.append(question[at + 1 : at + 1 + length].decode("ascii", "replace"))
        at += 1 + length
    return ".".join(labels)


def _refusal(question: bytes) -> bytes:
    """The question, as an answer that there is no such name (RFC 1035, 4.1.1)."""
    return question[:2] + struct.pack(">HHHHH", 0x8183, 1, 0, 0, 0) + question[12:]


def _serve(server: socket.socket, log: Path) -> None:
    while True:
        question, asker = server.recvfrom(4096)
        with log.open("a") as names:
            names.write(_name_in(question) + "\n")
        server.sendto(_refusal(question), asker)


def _mount(source: str, target: str, flags: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.mount(source.encode(), target.encode(), None, ctypes.c_ulong(flags), None):
        raise OSError(ctypes.get_errno(), f"mount {target}: {os.strerror(ctypes.get_errno())}")


def _ask_only_here() -> None:
    """Names are looked up in this namespace's own server alone."""
    _mount("none", "/", PRIVATE_ALL)
    with tempfile.TemporaryDirectory() as folder:  # a mount outlives the name of its file
        for target, text in RESOLVING.items():
            source = Path(folder) / Path(target).name
            source.write_text(text)
            if Path(target).exists():
                _mount(str(source), os.path.realpath(target), BIND)


def main(log: Path, *command: str) -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as device:
        fcntl.ioctl(device, SET_FLAGS, struct.pack("16sh14x", b"lo", UP))
    server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    server.bind(("127.0.0.1", 53))
    log.touch()
    threading.Thread(target=_serve, args=(server, log), daemon=True).start()
    _ask_only_here()
    return subprocess.run(command, check=False).returncode


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), *sys.argv[2:]))
