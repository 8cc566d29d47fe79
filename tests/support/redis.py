"""Real redis-servers on free ports of 127.0.0.1, each in a directory of its own, without persistence."""

from __future__ import annotations

import asyncio
import ctypes
import os
import shutil
import signal
import socket
import tempfile
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path

from redis.asyncio import Redis
from redis.crc import key_slot
from redis.exceptions import RedisError

_LIBC = ctypes.CDLL(None)


class RedisServer:
    """One server process; may be stopped, started again on its port, paused."""

    def __init__(self, directory: Path, port: int, *options: str) -> None:
        self.directory = directory
        self.port = port
        self.url = f"redis://127.0.0.1:{port}/0"
        self._options = options
        self._process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        program = shutil.which("redis-server")
        assert program, "install redis-server: nodes meet in a real one"
        arguments = ["--port", str(self.port), "--bind", "127.0.0.1", "--dir", os.fspath(self.directory)]
        arguments += ["--save", "", "--appendonly", "no", "--loglevel", "warning", *self._options]
        self._process = await asyncio.create_subprocess_exec(
            program,
            *arguments,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
            preexec_fn=_die_with_parent,
        )
        async with asyncio.timeout(30), self.client() as client:
            while True:
                with suppress(RedisError, OSError):
                    await client.ping()
                    return
                await asyncio.sleep(0.02)

    async def stop(self) -> None:
        process, self._process = self._process, None
        if process is not None and process.returncode is None:
            process.send_signal(signal.SIGCONT)
            process.kill()
            await process.wait()

    def pause(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    def client(self) -> Redis:
        return Redis(port=self.port, socket_timeout=2)


def _die_with_parent() -> None:
    _LIBC.prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG: a test run that is killed leaves no server behind


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@asynccontextmanager
async def redis_server(*options: str) -> AsyncIterator[RedisServer]:
    with tempfile.TemporaryDirectory(prefix="streamd-redis-") as directory:
        server = RedisServer(Path(directory), free_port(), *options)
        await server.start()
        try:
            yield server
        finally:
            await server.stop()


class RedisMasters:
    """A Redis Cluster of masters without replicas."""

    def __init__(self, servers: list[RedisServer]) -> None:
        self.servers = servers
        self.url = f"redis+cluster://127.0.0.1:{servers[0].port}"

    async def slots(self) -> dict[tuple[int, int], int]:
        """Ranges, and the port of the master that has them, as any living server tells it."""
        for server in self.servers:
            with suppress(RedisError, OSError):
                async with server.client() as client:
                    found = await client.execute_command("CLUSTER SLOTS")
                    return {(first, last): master[1] for first, last, master, *_ in found}
        raise AssertionError("no server of the cluster answers")

    async def master_of(self, key: str) -> RedisServer:
        slot = key_slot(key.encode())
        port = next(port for (first, last), port in (await self.slots()).items() if first <= slot <= last)
        return next(server for server in self.servers if server.port == port)

    async def cli(self, *arguments: str) -> str:
        """`redis-cli --cluster …`."""
        process = await asyncio.create_subprocess_exec(
            "redis-cli",
            "--cluster",
            *arguments,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        async with asyncio.timeout(60):
            told, _ = await process.communicate(b"yes\n" * 10)
        assert process.returncode == 0, told.decode()
        return told.decode()


@asynccontextmanager
async def redis_masters(count: int = 3) -> AsyncIterator[RedisMasters]:
    """Masters that share the slots evenly; one that is away makes its own slots unavailable and no others."""
    async with AsyncExitStack() as stack:
        servers = []
        for _ in range(count):
            options = ["--cluster-enabled", "yes", "--cluster-node-timeout", "1000"]
            # The port between servers would be the plain one plus 10 000, which there may not be.
            options += ["--cluster-port", str(free_port()), "--cluster-require-full-coverage", "no"]
            servers.append(await stack.enter_async_context(redis_server(*options)))
        masters = RedisMasters(servers)
        await masters.cli("create", *(f"127.0.0.1:{server.port}" for server in servers), "--cluster-yes")
        yield masters
