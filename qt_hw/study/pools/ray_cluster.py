"""The connection to a Ray cluster: quiet, quick to refuse, and checked before it is used."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from typing import Any

from qt_hw import __version__
from qt_hw.errors import InputError, MissingExtra
from qt_hw.study.pools.local import cores

__all__ = ["Connection"]

_PROBE_SECONDS = 60.0
_STORE_BYTES = 256 * 2**20
#: RFC 9113, section 3.4: a client's first bytes, here with empty settings; the server's first
#: frame has the type "settings" too.
_SETTINGS_FRAME = b"\x04"
_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\x00\x00\x00" + _SETTINGS_FRAME + bytes(5)
#: For Ray, unless the user has set them: no reports of usage to its makers, the same devices as in
#: an ordinary process, and an end to trying again after a cell that needs more memory than there
#: is (without it Ray tries for ever).
_SETTINGS = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_task_oom_retries": "3",
}


class Connection:
    """A connection to a cluster; an older one of this process is used and left open.

    Attributes:
        ray: The module.
    """

    def __init__(self, address: str, jobs: int | None, timeout: float) -> None:
        """Connect.

        Args:
            address: See ``RayPool``.
            jobs: Cores of a cluster that is started here; None: those of this machine.
            timeout: Seconds after which a silent address is given up.

        Raises:
            InputError: The cluster cannot be reached.
            MissingExtra: Ray is not installed.
        """
        for name, value in _SETTINGS.items():
            os.environ.setdefault(name, value)
        try:
            import ray
        except ImportError:
            raise MissingExtra("--ray", "study") from None
        self.ray: Any = ray
        self._ours = not ray.is_initialized()
        if self._ours:
            if address not in ("auto", "local"):
                _check_reachable(address, timeout)
            self._connect(address, jobs)

    def _connect(self, address: str, jobs: int | None) -> None:
        here: dict[str, Any] = {}
        if address == "local":
            here = {
                "num_cpus": jobs or cores(),
                "include_dashboard": False,
                "object_store_memory": _STORE_BYTES,
            }
        try:
            self.ray.init(address, log_to_driver=False, logging_level="error", **here)
        except (ConnectionError, RuntimeError, ValueError) as error:
            raise _unreachable(address, str(error).strip().partition("\n")[0]) from None

    def cores(self) -> int:
        """Return the cores of the cluster, at least one."""
        return max(1, int(self.ray.cluster_resources().get("CPU", 1)))

    def check(self, study: str, token: str) -> bool:
        """Return whether every node sees the study's folder.

        Raises:
            InputError: A node lacks this package or has another version of it.
        """
        probe = self.ray.remote(_probe())
        near = self.ray.util.scheduling_strategies.NodeAffinitySchedulingStrategy
        nodes = {node["NodeID"]: node for node in self.ray.nodes() if node["Alive"]}
        asked = [
            probe.options(num_cpus=0, scheduling_strategy=near(id, soft=False)).remote(study, token)
            for id in nodes
        ]
        try:
            found = self.ray.get(asked, timeout=_PROBE_SECONDS)
        except self.ray.exceptions.RayError as error:
            reason = type(error).__name__
            raise InputError(
                f"a node of the cluster does not answer ({reason}); try again"
            ) from None
        for node, (version, _) in zip(nodes.values(), found, strict=True):
            if version != __version__:
                has = f"has qt-hw {version}" if version else "has no qt-hw"
                where = node["NodeManagerAddress"]
                raise InputError(f"node {where} {has}: install qt-hw {__version__} there too")
        return all(shared for _, shared in found)

    def close(self) -> None:
        """Leave the cluster, or end it if it was started here."""
        if self._ours:
            self._ours = False
            self.ray.shutdown()


def _probe() -> Callable[[str, str], tuple[str, bool]]:
    """Return a function that Ray sends as code, so that nodes without this package can run it."""

    def probe(study: str, token: str) -> tuple[str, bool]:
        try:
            from qt_hw import __version__
            from qt_hw.study.pools.ray_task import sees
        except ImportError:
            return "", False
        return __version__, sees(study, token)

    return probe


def _check_reachable(address: str, timeout: float) -> None:
    """Try the address: Ray itself goes on trying for minutes."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if not (host and port.isdigit()):
        raise InputError(f"{address!r} is no Ray address; give host:port, auto or local")
    try:
        with socket.create_connection((host.strip("[]"), int(port)), timeout) as server:
            if os.environ.get("RAY_USE_TLS") != "1":
                _check_speaks(server, address)
    except (OSError, OverflowError) as error:
        raise _unreachable(address, str(error)) from None


def _check_speaks(server: socket.socket, address: str) -> None:
    """Refuse a server that does not speak as Ray's do: gRPC, which begins as HTTP/2 does."""
    server.sendall(_PREFACE)
    answer = b""
    while len(answer) < 4 and (more := server.recv(4 - len(answer))):
        answer += more
    if answer[3:] != _SETTINGS_FRAME:
        raise _unreachable(address, "something else answers there")


def _unreachable(address: str, reason: str) -> InputError:
    return InputError(
        f"no Ray cluster at {address!r} ({reason}); start one with `ray start --head`, "
        "or use --ray local"
    )
