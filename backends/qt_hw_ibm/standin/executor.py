"""The program ``executor``, which ``executor_sampler.Sampler`` posts, in its schema v2.0.

A result must repeat ``semantic_role`` and ``passthrough_data`` of its request: the client turns
it into a ``PrimitiveResult`` by them.
"""

from __future__ import annotations

import datetime
import math
from collections.abc import Callable
from typing import Any

import numpy as np

from qt_hw_ibm.standin.simulate import Simulator

__all__ = ["executions", "run", "without_last_row"]


def executions(params: dict[str, Any]) -> int:
    """Return bound circuits × shots of a request, from the shapes in it."""
    program = params["quantum_program"]
    return int(program["shots"]) * sum(math.prod(_shape(item)) for item in program["items"])


def _shape(item: dict[str, Any]) -> list[int]:
    if item["item_type"] == "samplex":
        return list(item["shape"])
    return list(item["circuit_arguments"]["shape"][:-1])


def run(params: dict[str, Any], simulator: Simulator, seed: Callable[[int], int]) -> str:
    """Return the result of a request as JSON; ``seed`` gives the seed of each item."""
    from ibm_quantum_schemas.common import CompressedTensorModel
    from ibm_quantum_schemas.executor import version_2_0 as schema

    request = schema.ParamsModel(**params)
    program, posted = request.quantum_program, params["quantum_program"]["items"]
    start = datetime.datetime.now(datetime.UTC)
    items = []
    for index, (circuit, item) in enumerate(
        zip(program.circuits.to_python(), program.items, strict=True)
    ):
        arrays = _sample(circuit, item, program.shots, simulator, seed(index))
        results = {
            name: CompressedTensorModel.from_numpy(np.ascontiguousarray(array))
            for name, array in arrays.items()
        }
        items.append(
            schema.QuantumProgramResultItemModel(
                results=results, metadata=schema.ItemMetadataModel()
            )
        )
    span = schema.ChunkSpan(
        start=start,
        stop=datetime.datetime.now(datetime.UTC),
        parts=[_part(schema, index, item) for index, item in enumerate(posted)],
    )
    result = schema.QuantumProgramResultModel(
        data=items,
        metadata=schema.MetadataModel(chunk_timing=[span]),
        passthrough_data=program.passthrough_data,
        semantic_role=program.semantic_role,
    )
    text: str = result.model_dump_json()
    return text


def _part(schema: Any, index: int, item: dict[str, Any]) -> Any:
    shape = _shape(item)
    size = math.prod(shape)
    return schema.ChunkPart(
        idx_item=index,
        size=size,
        permutation=list(range(len(shape))),
        element_range=(0, size, 1),
    )


def _sample(
    circuit: Any, item: Any, shots: int, simulator: Simulator, seed: int
) -> dict[str, np.ndarray[Any, Any]]:
    """Return the arrays of one item: bits ``(..., shots, bits)``, for twirling its flips too."""
    if item.item_type == "circuit":
        extra, values = {}, item.circuit_arguments.to_numpy()
    else:
        extra = _twirls(item, seed)
        values = extra.pop("parameter_values")
    data = simulator.sample(circuit, values, shots, seed)
    bits = {name: array.to_bool_array(order="little") for name, array in data.items()}
    return {**extra, **bits}


def _twirls(item: Any, seed: int) -> dict[str, np.ndarray[Any, Any]]:
    """Draw the random gates of a twirled item: parameters of its circuit, flips of its bits."""
    from ibm_quantum_schemas.common import CompressedTensorModel
    from qiskit_ibm_runtime.fake_provider.executor.broadcast_sample import broadcast_sample

    samplex = item.samplex.to_samplex()
    samplex.finalize()
    inputs = samplex.inputs().make_broadcastable()
    for name, value in item.samplex_arguments.items():
        inputs[name] = value.to_numpy() if isinstance(value, CompressedTensorModel) else value
    drawn: dict[str, np.ndarray[Any, Any]] = broadcast_sample(
        samplex, inputs, tuple(item.shape), np.random.default_rng(seed)
    )
    return drawn


def without_last_row(text: str) -> str:
    """Return a result that lacks the last row of its first item, the last shot if it has one."""
    from ibm_quantum_schemas.common import CompressedTensorModel
    from ibm_quantum_schemas.executor import version_2_0 as schema

    result = schema.QuantumProgramResultModel.model_validate_json(text)
    results = result.data[0].results
    for name, tensor in results.items():
        array = tensor.to_numpy()
        axis = max(array.ndim - 3, 0)
        less = np.take(array, range(array.shape[axis] - 1), axis=axis)
        results[name] = CompressedTensorModel.from_numpy(np.ascontiguousarray(less))
    cut: str = result.model_dump_json()
    return cut
