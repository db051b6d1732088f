# SPDX-License-Identifier: GPL-2.0
"""The QEMU Machine Protocol."""

from __future__ import annotations

import json
import select
import socket
from typing import Any


class QmpError(Exception):
    """QEMU refused a command."""


class Qmp:
    """A line of JSON each way, and events in between."""

    def __init__(self, connection: socket.socket) -> None:
        self.connection = connection
        self.unread = b""
        self.execute("qmp_capabilities")

    def execute(self, command: str, **arguments: object) -> Any:
        self.connection.sendall(json.dumps({"execute": command, "arguments": arguments}).encode())
        while True:
            reply = json.loads(self._line())
            if "error" in reply:
                raise QmpError(f"{command}: {reply['error']['desc']}")
            if "return" in reply:
                return reply["return"]

    def get(self, path: str, name: str) -> Any:
        """A property of an object."""
        return self.execute("qom-get", path=path, property=name)

    def set(self, path: str, name: str, value: object) -> None:
        self.execute("qom-set", path=path, property=name, value=value)

    def wait(self, timeout: float) -> None:
        """Wait, but not for an answer: there may be events, or the end of QEMU."""
        if select.select([self.connection], [], [], timeout)[0]:
            self._receive()

    def _line(self) -> bytes:
        while b"\n" not in self.unread:
            self._receive()
        line, _, self.unread = self.unread.partition(b"\n")
        return line

    def _receive(self) -> None:
        piece = self.connection.recv(65536)
        if not piece:
            raise ConnectionError("QEMU has ended")
        self.unread += piece
