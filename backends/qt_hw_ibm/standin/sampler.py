"""The program ``sampler``, which the older class ``SamplerV2`` of the client posts."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from typing import Any

import numpy as np

from qt_hw_ibm.standin.simulate import Simulator

__all__ = ["executions", "run", "without_last_row"]

_DEFAULT_SHOTS = 4096


def _decoded(params: dict[str, Any]) -> list[tuple[Any, np.ndarray[Any, Any], int]]:
    """Return circuit, values and shots of each PUB."""
    from qiskit_ibm_runtime import RuntimeDecoder

    request = json.loads(json.dumps(params), cls=RuntimeDecoder)
    default = request.get("options", {}).get("default_shots") or _DEFAULT_SHOTS
    pubs = []
    for circuit, *rest in request["pubs"]:
        values = np.asarray(rest[0] if rest else [], dtype=float)
        pubs.append((circuit, values, (rest[1] if len(rest) > 1 else None) or default))
    return pubs


def executions(params: dict[str, Any]) -> int:
    """Return bound circuits × shots of a request."""
    return sum(math.prod(values.shape[:-1]) * shots for _, values, shots in _decoded(params))


def run(params: dict[str, Any], simulator: Simulator, seed: Callable[[int], int]) -> str:
    """Return the result of a request as JSON; ``seed`` gives the seed of each PUB."""
    from qiskit.primitives.containers import PrimitiveResult, SamplerPubResult
    from qiskit_ibm_runtime import RuntimeEncoder

    results = [
        SamplerPubResult(
            simulator.sample(circuit, values, shots, seed(index)),
            {"shots": shots, "circuit_metadata": circuit.metadata or {}},
        )
        for index, (circuit, values, shots) in enumerate(_decoded(params))
    ]
    return json.dumps(PrimitiveResult(results, {"version": 2}), cls=RuntimeEncoder)


def without_last_row(text: str) -> str:
    """Return a result that lacks its last PUB."""
    from qiskit.primitives.containers import PrimitiveResult
    from qiskit_ibm_runtime import RuntimeDecoder, RuntimeEncoder

    result = json.loads(text, cls=RuntimeDecoder)
    return json.dumps(PrimitiveResult(list(result)[:-1], result.metadata), cls=RuntimeEncoder)
