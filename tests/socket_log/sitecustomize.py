"""With this folder on the path, every Python process notes whom it asks for an address or connects to."""

import os
import sys


def note(event: str, arguments: tuple) -> None:
    if event in ("socket.getaddrinfo", "socket.gethostbyname"):
        whom = arguments[0]
    elif event in ("socket.connect", "socket.sendto") and isinstance(arguments[1], tuple):  # no local pipe
        whom = arguments[1][0]
    else:
        return
    with open(os.environ["SOCKET_LOG"], "a") as log:  # noqa: PTH123  (as few imports as possible)
        log.write(f"{event} {whom}\n")


if "SOCKET_LOG" in os.environ:
    sys.addaudithook(note)
