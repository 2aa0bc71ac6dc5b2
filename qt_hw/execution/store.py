"""What a run folder keeps of its requests: batches, prepared circuits, and what came back.

Files are written in one step and named by the hash of what they answer to, so that nothing that
was paid for is ever overwritten by something else. QPY and npz without objects: nothing that is
read back can run code.
"""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from qt_hw.circuits.ansatz import Ansatz
from qt_hw.errors import StorageError
from qt_hw.execution.backend import Backend, Batch, Counts, Item, Prepared
from qt_hw.execution.canonical import circuit_bytes, digest
from qt_hw.storage import read_json, write_bytes, write_json

__all__ = ["Store"]

Arrays = Mapping[str, NDArray[Any]]


class Store:
    """Batches, counts and prepared circuits in one folder."""

    def __init__(self, folder: Path) -> None:
        """Use ``folder``; it is made with the first file."""
        self.folder = folder

    # What came back

    def save_counts(self, key: str, counts: Counts) -> tuple[str, str]:
        """Write counts under ``key``; return the name of the file and its sha256.

        Raises:
            StorageError: The disk is full or the folder not writable.
        """
        arrays = {f"counts_{i}": array for i, array in enumerate(counts.arrays)}
        data = _npz({**arrays, "shots": np.array(counts.shots, dtype=np.int64)})
        name = f"counts-{key}.npz"
        write_bytes(self.folder / name, data)
        return name, hashlib.sha256(data).hexdigest()

    def load_counts(self, name: str, sha256: str) -> Counts:
        """Return the counts in file ``name``.

        Raises:
            StorageError: The file is missing or is not the one that was written.
        """
        path = self.folder / name
        try:
            data = path.read_bytes()
        except OSError as error:
            raise StorageError(f"cannot read {path}: {error.strerror}") from None
        if hashlib.sha256(data).hexdigest() != sha256:
            raise StorageError(f"{path} is damaged (wrong checksum); put a copy of it back")
        arrays = _arrays(data, path)
        shots = tuple(int(value) for value in arrays["shots"])
        return Counts(arrays=tuple(arrays[f"counts_{i}"] for i in range(len(shots))), shots=shots)

    # What was asked for

    def save_batch(self, request: str, batch: Batch) -> None:
        """Write the whole batch of a request, so that any process can submit it."""
        path = self._batch_path(request)
        if path.exists():
            return
        circuits = list({id(item.circuit): item.circuit for item in batch.items}.values())
        where = {id(circuit): i for i, circuit in enumerate(circuits)}
        write_bytes(path.with_suffix(".qpy"), _qpy(circuits))
        items = [
            {
                "circuit": where[id(item.circuit)],
                "shots": item.shots,
                "role": item.role,
                "part": item.part,
            }
            for item in batch.items
        ]
        head = json.dumps({"seed": list(batch.seed), "items": items}).encode()
        arrays = {f"bindings_{i}": item.bindings for i, item in enumerate(batch.items)}
        write_bytes(path, _npz({**arrays, "head": np.frombuffer(head, dtype=np.uint8)}))

    def load_batch(self, request: str) -> Batch:
        """Return the batch of a request.

        Raises:
            StorageError: Its files are missing or damaged.
        """
        path = self._batch_path(request)
        arrays = _arrays(_read(path), path)
        circuits = _circuits(_read(path.with_suffix(".qpy")), path.with_suffix(".qpy"))
        head = json.loads(arrays["head"].tobytes())
        items = tuple(
            Item(
                circuit=circuits[item["circuit"]],
                bindings=arrays[f"bindings_{i}"],
                shots=item["shots"],
                role=item["role"],
                part=item["part"],
            )
            for i, item in enumerate(head["items"])
        )
        return Batch(items=items, seed=tuple(head["seed"]))

    def _batch_path(self, request: str) -> Path:
        return self.folder / f"request-{request[:40]}.npz"

    # What it runs on

    def prepare(self, backend: Backend, ansatz: Ansatz, scope: str = "") -> Prepared:
        """Return the circuit as it was prepared when this folder first needed it for ``scope``.

        A device is calibrated anew every day; preparing again might give another circuit in the
        middle of a run.
        """
        form = ansatz.form("lowered")
        parts = (circuit_bytes(form.circuit), form.A.toarray().tobytes(), form.b.tobytes())
        name = digest(scope, backend.name, *parts)
        path = self.folder / f"prepared-{name[:40]}.json"
        if not path.exists():
            self._save_prepared(path, backend.prepare(ansatz))
        return self._load_prepared(path)

    def _save_prepared(self, path: Path, prepared: Prepared) -> None:
        matrix = prepared.A.tocoo()
        arrays = {
            "row": matrix.coords[0],
            "column": matrix.coords[1],
            "value": matrix.data,
            "shape": np.array(matrix.shape),
            "b": prepared.b,
            "terms": prepared.form.terms,
        }
        write_bytes(path.with_suffix(".qpy"), _qpy([prepared.circuit]))
        write_bytes(path.with_suffix(".npz"), _npz(arrays))
        head = {
            "name": prepared.name,
            "calibration_date": prepared.calibration_date,
            "properties": json.loads(json.dumps(dict(prepared.properties), default=str)),
        }
        write_json(path, head)

    def _load_prepared(self, path: Path) -> Prepared:
        head = read_json(path)
        arrays = _arrays(_read(path.with_suffix(".npz")), path.with_suffix(".npz"))
        (circuit,) = _circuits(_read(path.with_suffix(".qpy")), path.with_suffix(".qpy"))
        place = (arrays["row"], arrays["column"])
        return Prepared(
            circuit,
            csr_array((arrays["value"], place), shape=tuple(arrays["shape"])),
            arrays["b"],
            head["properties"],
            head["calibration_date"],
            arrays["terms"],
            head["name"],
        )


def _npz(arrays: Arrays) -> bytes:
    buffer = io.BytesIO()
    np.savez_compressed(buffer, allow_pickle=False, **arrays)
    return buffer.getvalue()


def _arrays(data: bytes, path: Path) -> dict[str, NDArray[Any]]:
    try:
        with np.load(io.BytesIO(data), allow_pickle=False) as file:
            return {name: file[name] for name in file.files}
    except (OSError, ValueError, EOFError, KeyError, BadZipFile) as error:
        raise StorageError(f"{path} is damaged ({error}); put a copy of it back") from None


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise StorageError(f"cannot read {path}: {error.strerror}") from None


def _qpy(circuits: list[Any]) -> bytes:
    from qiskit import qpy

    buffer = io.BytesIO()
    qpy.dump(circuits, buffer)
    return buffer.getvalue()


def _circuits(data: bytes, path: Path) -> list[Any]:
    from qiskit import qpy
    from qiskit.qpy import QpyError

    try:
        return list(qpy.load(io.BytesIO(data)))
    except (QpyError, ValueError, EOFError, OSError) as error:
        raise StorageError(f"{path} is damaged ({error}); put a copy of it back") from None
