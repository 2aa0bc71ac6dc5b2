"""What the tests of devices in Amazon's cloud share."""

from __future__ import annotations

import json
from typing import Any

import numpy as np

from qt_hw.circuits.builtin import U3Cu3
from qt_hw.execution.backend import Batch, Item
from qt_hw_braket.cloud import BraketDevice
from qt_hw_braket.standin import Standin

ANSATZ = U3Cu3(3, 1)


def items(backend: BraketDevice, *rows: int, shots: int = 200, **changes: Any) -> tuple[Item, ...]:
    """Return an item for each number of rows, all with angles of their own."""
    prepared = backend.prepare(ANSATZ)
    out = []
    for number, n in enumerate(rows):
        angles = np.random.default_rng(number).uniform(-np.pi, np.pi, (n, ANSATZ.n_angles))
        bindings = prepared.form.gate_angles(angles)
        out.append(Item(prepared.circuit, bindings, shots, part=number, **changes))
    return tuple(out)


def batch(backend: BraketDevice, *rows: int, **changes: Any) -> Batch:
    """Return a batch of ``items``."""
    return Batch(items(backend, *(rows or (2,)), **changes))


def creations(standin: Standin) -> list[dict[str, Any]]:
    """Return the bodies of all requests for a task."""
    log = [r for r in standin.log if (r.method, r.path) == ("POST", "/quantum-task")]
    return [json.loads(request.body) for request in log]
