"""Devices: snapshots of real ones, as the vendor ships them for its fake backends."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from qt_hw.errors import MissingExtra, UnknownName
from qt_hw.execution.loopback import Reply
from qt_hw.storage import read_json
from qt_hw_ibm.standin.replies import json_reply, not_found

__all__ = ["DEVICES", "Devices", "check_packages", "fake_backend", "snapshot_of"]

#: Devices of a stand-in and the snapshots that they are made of.
DEVICES: Mapping[str, str] = {
    "ibm_torino": "fake_torino",
    "ibm_fez": "fake_fez",
    "ibm_marrakesh": "fake_marrakesh",
    "ibm_kingston": "fake_kingston",
    "ibm_sherbrooke": "fake_sherbrooke",
    "ibm_brisbane": "fake_brisbane",
    "ibm_guadalupe": "fake_guadalupe",
    "ibm_manila": "fake_manila",
}

_DATES = {"date", "last_update_date"}
_IMPORTING = threading.Lock()


def check_packages() -> None:
    """Check that devices can be simulated.

    Raises:
        MissingExtra: There is no client, which has the snapshots, or no Qiskit Aer.
    """
    for module, extra in (("qiskit_ibm_runtime", "ibm"), ("qiskit_aer", "aer")):
        if find_spec(module) is None:
            raise MissingExtra("the rehearsal of an IBM device", extra)


@cache
def _classes() -> Mapping[str, type[Any]]:
    from qiskit_ibm_runtime import fake_provider

    found = [entry for entry in vars(fake_provider).values() if hasattr(entry, "conf_filename")]
    return {entry.backend_name: entry for entry in found if hasattr(entry, "backend_name")}


@cache
def fake_backend(snapshot: str) -> Any:
    """Return the vendor's fake backend of a snapshot, e.g. ``"fake_torino"``."""
    return _class_of(snapshot)()


def _class_of(snapshot: str) -> type[Any]:
    with _IMPORTING:  # requests come in several threads
        classes = _classes()
    if snapshot not in classes:
        raise UnknownName("snapshot of a device", snapshot, sorted(classes))
    return classes[snapshot]


def snapshot_of(device: str) -> str:
    """Return the snapshot for a device's name: its own, else that of a Heron processor."""
    name = "fake_" + device.removeprefix("ibm_").removeprefix("fake_")
    with _IMPORTING:
        return name if name in _classes() else "fake_torino"


class Devices:
    """The devices of one stand-in.

    Attributes:
        snapshots: Snapshot of each device.
        status: What ``GET /backends/<name>/status`` answers, except for jobs of the stand-in that
            are queued; tests change it.
    """

    def __init__(self, snapshots: Mapping[str, str]) -> None:
        self.snapshots = dict(snapshots)
        self.status: dict[str, dict[str, Any]] = {
            name: {"state": True, "status": "active", "length_queue": 0} for name in snapshots
        }

    def listing(self, queued: Mapping[str, int]) -> Reply:
        """Answer ``GET /backends``; ``queued`` counts the waiting jobs of each device."""
        entries = []
        for name in self.snapshots:
            qubits, status = self._document(name, "configuration")["n_qubits"], self.status[name]
            entries.append(
                {
                    "name": name,
                    "qubits": qubits,
                    "physical_qubits": qubits,
                    "queue_length": status["length_queue"] + queued.get(name, 0),
                    "status": {
                        "name": "online" if status["state"] else "offline",
                        "reason": status["status"],
                    },
                }
            )
        return json_reply({"devices": entries})

    def route(self, name: str, what: str, queued: int) -> Reply:
        """Answer ``GET /backends/<name>/<what>``."""
        if name not in self.snapshots:
            return not_found(f"backend {name}")
        if what == "status":
            status = self.status[name]
            length = status["length_queue"] + queued
            return json_reply({"backend_version": "1.0.0", **status, "length_queue": length})
        if what in ("configuration", "properties"):
            return json_reply(self._document(name, what))
        return not_found(what)

    def _document(self, name: str, what: str) -> dict[str, Any]:
        return {**_snapshot_file(self.snapshots[name], what), "backend_name": name}


@cache
def _snapshot_file(snapshot: str, what: str) -> dict[str, Any]:
    kind = _class_of(snapshot)
    file = kind.conf_filename if what == "configuration" else kind.props_filename
    document: dict[str, Any] = _in_utc(read_json(Path(kind.dirname) / file))
    return document


def _in_utc(value: Any) -> Any:
    """Return a document with its dates in UTC, as the service sends them.

    Snapshots have dates of other time zones, and the client ignores the zone.
    """
    if isinstance(value, list):
        return [_in_utc(entry) for entry in value]
    if not isinstance(value, dict):
        return value
    out = {key: _in_utc(entry) for key, entry in value.items()}
    for key in _DATES & out.keys():
        if isinstance(out[key], str):
            date = datetime.fromisoformat(out[key])
            out[key] = date.astimezone(UTC).isoformat().replace("+00:00", "Z")
    return out
