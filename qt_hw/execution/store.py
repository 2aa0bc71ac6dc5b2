"""What a run folder keeps of its requests: batches, prepared circuits, and what came back.

Files are written in one step and named by what they answer to, so that nothing that was paid for
is ever overwritten by something else. QPY and npz without objects: nothing that is read back can
run code.
"""

from __future__ import annotations

import hashlib
import io
import json
import struct
import zlib
from collections.abc import Mapping, Sequence
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
from qt_hw.storage import read_json, taking_turns, write_bytes, write_json

__all__ = ["Store"]

Arrays = Mapping[str, NDArray[Any]]

#: What reading a damaged zip or npy file may raise; its entries are protected by checksums.
_DAMAGE = (
    BadZipFile,
    EOFError,
    KeyError,
    MemoryError,
    NotImplementedError,
    OSError,
    RuntimeError,
    ValueError,
    struct.error,
    zlib.error,
)


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
        shots = np.array([value or 0 for value in counts.shots], dtype=np.int64)
        data = _npz({**arrays, "shots": shots})
        name = f"counts-{key}.npz"
        with taking_turns(self.folder):
            write_bytes(self.folder / name, data)
        return name, hashlib.sha256(data).hexdigest()

    def load_counts(self, name: str, sha256: str) -> Counts:
        """Return the counts in file ``name``.

        Raises:
            StorageError: The file is missing or is not the one that was written.
        """
        path = self.folder / name
        arrays = _arrays(_checked(path, sha256), path)
        shots = tuple(int(value) or None for value in arrays["shots"])
        return Counts(arrays=tuple(arrays[f"counts_{i}"] for i in range(len(shots))), shots=shots)

    # What was asked for

    def save_batch(self, request: str, batch: Batch) -> None:
        """Write the whole batch of a request, so that any process can submit it.

        Raises:
            StorageError: The disk is full or the folder not writable.
        """
        circuits: dict[bytes, Any] = {}
        of_item = [circuit_bytes(item.circuit) for item in batch.items]
        for key, item in zip(of_item, batch.items, strict=True):
            circuits.setdefault(key, item.circuit)
        where = {key: i for i, key in enumerate(circuits)}
        items = [
            {
                "circuit": where[key],
                "shots": _plain(item.shots),
                "role": item.role,
                "part": item.part,
            }
            for key, item in zip(of_item, batch.items, strict=True)
        ]
        head = json.dumps({"seed": [int(value) for value in batch.seed], "items": items})
        arrays = {
            f"bindings_{i}": np.asarray(item.bindings, dtype=np.float64)
            for i, item in enumerate(batch.items)
        }
        texts = {"circuits": _bytes(_qpy(list(circuits.values()))), "head": _bytes(head.encode())}
        data = _npz({**arrays, **texts})
        with taking_turns(self.folder):
            write_bytes(self._batch_path(request), data)

    def load_batch(self, request: str) -> Batch:
        """Return the batch of a request.

        Raises:
            StorageError: Its file is missing or damaged.
        """
        path = self._batch_path(request)
        arrays = _arrays(_read(path), path)
        try:
            circuits = _circuits(arrays["circuits"].tobytes(), path)
            head = json.loads(arrays["head"].tobytes())
            items = tuple(
                Item(circuits[item.pop("circuit")], arrays[f"bindings_{i}"], **item)
                for i, item in enumerate(head["items"])
            )
            return Batch(items=items, seed=tuple(head["seed"]))
        except (IndexError, KeyError, TypeError, ValueError) as error:
            raise _damaged(path, error) from None

    def _batch_path(self, request: str) -> Path:
        return self.folder / f"request-{request[:40]}.npz"

    # What it runs on

    def prepare(self, backend: Backend, ansatz: Ansatz, scope: str = "") -> Prepared:
        """Return the circuit as it was prepared when this folder first needed it for ``scope``.

        A device is calibrated anew every day; preparing again might give another circuit in the
        middle of a run.

        Raises:
            StorageError: The stored circuit is damaged, or cannot be written.
        """
        form = ansatz.form("lowered")
        parts = circuit_bytes(form.circuit), form.A.toarray().tobytes(), form.b.tobytes()
        name = digest(scope, backend.name, *parts)
        path = self.folder / f"prepared-{name[:40]}.json"
        if not path.exists():
            prepared = backend.prepare(ansatz)
            with taking_turns(self.folder):
                if not path.exists():
                    self._save_prepared(path, prepared)
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
        # The last file names the others by their content: no crash can mix two circuits.
        properties = json.dumps(dict(prepared.properties), default=str)
        head = {
            "name": prepared.name,
            "calibration_date": prepared.calibration_date,
            "circuit": self._save_named("circuit", "qpy", _qpy([prepared.circuit])),
            "angles": self._save_named("angles", "npz", _npz(arrays)),
            "properties": json.loads(properties, parse_constant=str),
        }
        write_json(path, head)

    def _save_named(self, kind: str, ending: str, data: bytes) -> str:
        name = f"{kind}-{hashlib.sha256(data).hexdigest()}.{ending}"
        write_bytes(self.folder / name, data)
        return name

    def _load_named(self, name: str) -> bytes:
        path = self.folder / name
        return _checked(path, path.stem.partition("-")[2])

    def _load_prepared(self, path: Path) -> Prepared:
        head = read_json(path)
        try:
            files = self.folder / head["circuit"], self.folder / head["angles"]
            arrays = _arrays(self._load_named(head["angles"]), files[1])
            (circuit,) = _circuits(self._load_named(head["circuit"]), files[0])
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
        except (KeyError, TypeError, ValueError) as error:
            raise _damaged(path, error) from None


def _plain(shots: int | None) -> int | None:
    return None if shots is None else int(shots)


def _bytes(data: bytes) -> NDArray[np.uint8]:
    return np.frombuffer(data, dtype=np.uint8)


def _npz(arrays: Arrays) -> bytes:
    buffer = io.BytesIO()
    np.savez_compressed(buffer, allow_pickle=False, **arrays)
    return buffer.getvalue()


def _arrays(data: bytes, path: Path) -> dict[str, NDArray[Any]]:
    try:
        with np.load(io.BytesIO(data), allow_pickle=False) as file:
            return {name: file[name] for name in file.files}
    except _DAMAGE as error:
        raise _damaged(path, error) from None


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise StorageError(f"cannot read {path}: {error.strerror}") from None


def _checked(path: Path, sha256: str) -> bytes:
    data = _read(path)
    if hashlib.sha256(data).hexdigest() != sha256:
        raise StorageError(f"{path} is damaged (wrong checksum); put a copy of it back")
    return data


def _damaged(path: Path, error: Exception) -> StorageError:
    text = " ".join(str(error).split())
    return StorageError(f"{path} is damaged ({text}); put a copy of it back")


def _qpy(circuits: Sequence[Any]) -> bytes:
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
        raise _damaged(path, error) from None
