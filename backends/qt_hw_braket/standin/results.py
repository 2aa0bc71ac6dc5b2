"""``results.json`` of a finished task: its circuits simulated, its shots drawn.

The seed follows from the request's token, so that the same request always gives the same counts,
whichever process of the service runs it.
"""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qt_hw_braket.standin.programs import Parsed, parse, probabilities
from qt_hw_braket.standin.tasks import Task

__all__ = ["Files", "result_files"]

#: Path below the task's folder → JSON.
Files = dict[str, dict[str, Any]]

_FAILURE = {"failureReason": "injected", "retryable": False, "category": "DEVICE"}


def _header(name: str) -> dict[str, str]:
    return {"name": f"braket.task_result.{name}", "version": "1"}


def result_files(task: Task, *, split: bool = False) -> Files:
    """Return the files that the service writes for a finished task.

    Args:
        task: The task.
        split: Whether each circuit of a program set has a file of its own.
    """
    digest = hashlib.sha256(task.token.encode()).digest()
    generator = np.random.Generator(np.random.PCG64(int.from_bytes(digest, "big")))
    sources = task.sources
    shots = int(task.request["shots"]) // len(sources)
    results = [_circuit(task, source, shots, generator) for source in sources]
    if not task.is_set:
        return {"results.json": _single(task, results[0])}
    return _split_set(task, results) if split else {"results.json": _whole_set(task, results)}


def _circuit(task: Task, source: str, shots: int, generator: np.random.Generator) -> dict[str, Any]:
    program = parse(source)
    law = probabilities(program)
    frequencies = _debiased(law, shots, generator) if task.debiased else None
    if frequencies is None:
        frequencies = generator.multinomial(shots, law) / shots
    return {
        "measurementProbabilities": _as_dict(frequencies, program),
        "measuredQubits": list(program.measured),
    }


def _debiased(
    law: NDArray[np.float64], shots: int, generator: np.random.Generator
) -> NDArray[np.float64]:
    """Average three variants with shots of their own: no whole number of shots any more."""
    parts = (shots // 2, shots // 3, shots - shots // 2 - shots // 3)
    variants = [generator.multinomial(part, law) / part for part in parts]
    return np.asarray(np.mean(variants, axis=0), dtype=np.float64)


def _as_dict(frequencies: NDArray[np.float64], program: Parsed) -> dict[str, float]:
    n = len(program.measured)
    return {f"{i:0{n}b}": float(frequencies[i]) for i in np.flatnonzero(frequencies)}


def _single(task: Task, result: dict[str, Any]) -> dict[str, Any]:
    return {
        "braketSchemaHeader": _header("gate_model_task_result"),
        **result,
        "taskMetadata": {
            "braketSchemaHeader": _header("task_metadata"),
            "id": task.arn,
            "shots": task.request["shots"],
            "deviceId": task.request["deviceArn"],
        },
        "additionalMetadata": {"action": task.action},
    }


def _entries(task: Task, results: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return each circuit's result or failure."""
    failed = set(range(1, 2 * task.n_failed, 2))
    done = {"braketSchemaHeader": _header("program_set_executable_result"), "inputsIndex": 0}
    lost = {
        "braketSchemaHeader": _header("program_set_executable_failure"),
        "inputsIndex": 0,
        "failureMetadata": _FAILURE,
    }
    return [lost if i in failed else {**done, **result} for i, result in enumerate(results)]


def _set_metadata(task: Task) -> dict[str, Any]:
    return {
        "braketSchemaHeader": _header("program_set_task_metadata"),
        "id": task.arn,
        "deviceId": task.request["deviceArn"],
        "requestedShots": task.request["shots"],
        "successfulShots": task.successful_shots,
        "programMetadata": [{"executables": [{}]} for _ in range(task.n_circuits)],
        "totalFailedExecutables": task.n_failed,
    }


def _program(source: Any, entry: Any) -> dict[str, Any]:
    return {
        "braketSchemaHeader": _header("program_result"),
        "executableResults": [entry],
        "source": source,
        "additionalMetadata": {},
    }


def _whole_set(task: Task, results: list[dict[str, Any]]) -> dict[str, Any]:
    programs = zip(task.action["programs"], _entries(task, results), strict=True)
    return {
        "braketSchemaHeader": _header("program_set_task_result"),
        "programResults": [_program(source, entry) for source, entry in programs],
        "taskMetadata": _set_metadata(task),
    }


def _split_set(task: Task, results: list[dict[str, Any]]) -> Files:
    """Return the layout of large results: paths in place of what lies in other files."""
    files: Files = {"metadata.json": _set_metadata(task)}
    paths = []
    for i, entry in enumerate(_entries(task, results)):
        paths.append(f"programs/{i}/results.json")
        files[paths[-1]] = _program("program.json", "executables/0.json")
        files[f"programs/{i}/program.json"] = task.action["programs"][i]
        files[f"programs/{i}/executables/0.json"] = entry
    files["results.json"] = {
        "braketSchemaHeader": _header("program_set_task_result"),
        "programResults": paths,
        "taskMetadata": "metadata.json",
        "s3Location": [task.request["outputS3Bucket"], task.folder],
    }
    return files
