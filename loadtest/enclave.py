"""A network of its own for one node: a namespace with a public link, and an internal one that can be cut.

Needs root and `ip`. Out here the links end at 10.77.1.1 and 10.77.2.1, in there at 10.77.1.2 and 10.77.2.2.
"""

from __future__ import annotations

import os
import secrets
import shutil
import subprocess

PUBLIC_OUT, PUBLIC_IN = "10.77.1.1", "10.77.1.2"
INTERNAL_OUT, INTERNAL_IN = "10.77.2.1", "10.77.2.2"


class Enclave:
    """See the module's promise. `close` takes it all away."""

    def __init__(self) -> None:
        name = self._name = f"sd{secrets.token_hex(3)}"
        self.prefix = ["ip", "netns", "exec", name]
        self._ip("netns", "add", name)
        try:
            self._ip("-n", name, "link", "set", "lo", "up")
            self._link(f"{name}p", PUBLIC_OUT, PUBLIC_IN)
            self._link(f"{name}i", INTERNAL_OUT, INTERNAL_IN)
        except subprocess.CalledProcessError:
            self.close()
            raise

    @staticmethod
    def is_possible() -> bool:
        """Whether this machine lets us."""
        if os.geteuid() or shutil.which("ip") is None:
            return False
        name = f"sd{secrets.token_hex(3)}"
        if subprocess.run(["ip", "netns", "add", name], capture_output=True, check=False).returncode:
            return False
        subprocess.run(["ip", "netns", "del", name], check=True)
        return True

    def _link(self, device: str, outer: str, inner: str) -> None:
        self._ip("link", "add", device, "type", "veth", "peer", "name", f"{device}x")
        self._ip("link", "set", f"{device}x", "netns", self._name)
        self._ip("addr", "add", f"{outer}/24", "dev", device)
        self._ip("link", "set", device, "up")
        self._ip("-n", self._name, "addr", "add", f"{inner}/24", "dev", f"{device}x")
        self._ip("-n", self._name, "link", "set", f"{device}x", "up")

    def cut(self) -> None:
        """The internal link carries nothing; nobody is told."""
        self._ip("link", "set", f"{self._name}i", "down")

    def heal(self) -> None:
        """It carries again."""
        self._ip("link", "set", f"{self._name}i", "up")

    def close(self) -> None:
        """Idempotent."""
        for device in (f"{self._name}p", f"{self._name}i"):
            subprocess.run(["ip", "link", "del", device], capture_output=True, check=False)
        subprocess.run(["ip", "netns", "del", self._name], capture_output=True, check=False)

    @staticmethod
    def _ip(*arguments: str) -> None:
        subprocess.run(["ip", *arguments], check=True, capture_output=True)
