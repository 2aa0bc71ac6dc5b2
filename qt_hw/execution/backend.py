"""The contract between the generator and whatever runs its circuits.

A ``Batch`` is what one training step needs; a ``Backend`` turns it into a ``Job``; a ``Job``
yields ``Counts``. Simulators finish at once, devices much later; both have these methods only.
Every backend passes ``qt_hw.testing.BackendContract``.
"""

from __future__ import annotations

import enum
from abc import ABC, abstractmethod
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from qt_hw.circuits.form import Form

if TYPE_CHECKING:
    from qiskit import QuantumCircuit

    from qt_hw.circuits.ansatz import Ansatz

__all__ = [
    "Backend",
    "Batch",
    "Charge",
    "Cost",
    "Counts",
    "Item",
    "Job",
    "JobStatus",
    "Limits",
    "Origin",
    "Prepared",
]


@dataclass(frozen=True, kw_only=True, eq=False)
class Origin:
    """Bindings that each shift one angle of a base.

    Binding b·R + r is ``base[b]`` with ``shift[r]`` added to its angle ``index[r]``.

    Attributes:
        base: Radians, ``(B, P)``.
        index: ``(R,)``.
        shift: Radians, ``(R,)``.
    """

    base: NDArray[np.float64]
    index: NDArray[np.int64]
    shift: NDArray[np.float64]

    def makes(self, bindings: NDArray[np.float64]) -> bool:
        """Whether ``bindings`` ``(B·R, P)`` really came about so."""
        n_rows = len(self.index)
        if bindings.shape != (len(self.base) * n_rows, self.base.shape[1]):
            return False
        rows = bindings.reshape(len(self.base), n_rows, -1)
        changed = rows != self.base[:, None, :]
        at = np.arange(n_rows)
        shifted = np.array_equal(rows[:, at, self.index], self.base[:, self.index] + self.shift)
        changed[:, at, self.index] = False
        return shifted and not changed.any()


@dataclass(frozen=True, eq=False)
class Item:
    """One circuit with many bindings, all with the same number of shots.

    Attributes:
        circuit: Unmeasured circuit, usually ``Prepared.circuit``; the columns of ``bindings``
            follow ``circuit.parameters``.
        bindings: Radians, ``(B, P)``, float64.
        shots: Shots of each binding; None asks for exact probabilities.
        role: ``"base"``, ``"shift"``, ``"calibration"``, ``"fold(3)"``, ``"twirl(5)"``, …
        part: Which stream of random numbers the item draws from: an item samples from
            ``SeedSequence([*batch.seed, part])``, whatever else is in its batch.
        origin: How the bindings came about, where a simulator can make use of it.
    """

    circuit: QuantumCircuit
    bindings: NDArray[np.float64]
    shots: int | None
    role: str = "base"
    part: int = 0
    origin: Origin | None = None


@dataclass(frozen=True, eq=False)
class Batch:
    """What one step needs; ``seed`` is the entropy that its items extend by their ``part``."""

    items: tuple[Item, ...]
    seed: tuple[int, ...] = (0,)

    @property
    def n_circuits(self) -> int:
        """Number of bound circuits in all items."""
        return sum(len(item.bindings) for item in self.items)

    @property
    def n_shots(self) -> int:
        """Number of shots over all bound circuits (exact items count none)."""
        return sum(len(item.bindings) * (item.shots or 0) for item in self.items)


@dataclass(frozen=True, eq=False)
class Prepared:
    """A circuit as the backend will run it: transpiled once, with parameters left open.

    Attributes:
        circuit: Unmeasured; one plain ``Parameter`` per angle.
        A: Sparse matrix of ``a = A θ + b`` from the ansatz' angles θ to the circuit's,
            ``(angles of the circuit, angles of the ansatz)``.
        b: Offsets, radians, ``(angles of the circuit,)``.
        properties: The backend's properties, as far as they matter for the result.
        calibration_date: ISO 8601 date of the calibration, or None where there is none.
        terms: Terms of each angle's shift rule (see ``Form``); 2 for all by default.
        name: Name of the form, ``"native"``, ``"lowered"`` or ``"isa"``.
    """

    circuit: QuantumCircuit
    A: csr_array
    b: NDArray[np.float64]
    properties: Mapping[str, Any] = field(default_factory=dict)
    calibration_date: str | None = None
    terms: NDArray[np.int64] | None = None
    name: str = "lowered"

    @classmethod
    def of(
        cls,
        form: Form,
        properties: Mapping[str, Any] | None = None,
        calibration_date: str | None = None,
    ) -> Prepared:
        """Return ``form`` as prepared."""
        return cls(
            form.circuit, form.A, form.b, properties or {}, calibration_date, form.terms, form.name
        )

    @cached_property
    def form(self) -> Form:
        """The form in which the circuit is differentiated."""
        terms = np.full(len(self.b), 2, dtype=np.int64) if self.terms is None else self.terms
        return Form(name=self.name, circuit=self.circuit, A=self.A, b=self.b, terms=terms)


@dataclass(frozen=True, kw_only=True)
class Counts:
    """One ``(B, 2**n)`` array per item of the batch, in order, with its shots.

    Sampled items hold integer counts, exact items (``shots`` None) float64 probabilities.
    Index k has qubit 0 as its least significant bit.
    """

    arrays: tuple[NDArray[Any], ...]
    shots: tuple[int | None, ...]

    def frequencies(self, index: int) -> NDArray[np.float64]:
        """Return item ``index`` as relative frequencies (or exact probabilities), ``(B, 2**n)``."""
        array, shots = self.arrays[index], self.shots[index]
        return np.asarray(array, dtype=np.float64) / (1.0 if shots is None else float(shots))


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What a backend accepts; None means no limit.

    Attributes:
        max_qubits: Most qubits of a circuit.
        min_shots: Fewest shots of a binding.
        max_shots: Most shots of a binding.
        split_shots: Most shots of a binding in one job; the dispatcher spreads more of them over
            several jobs.
        max_bindings: Most bindings in one job.
        max_executions: Most bindings × shots in one job.
        max_outcomes: Most bindings × outcomes of one step, base and shifted: what a simulator
            can compute and hold in sensible time.
        memory_limit: Bytes of results that a simulator should hold at a time.
        exact: Whether ``shots=None`` is possible.
        paid: Whether running costs money or a metered quota.
        one_shot_count: Whether all items of a job must have the same number of shots.
        settle_seconds: How long after a request ``find`` may still miss its job.
        may_duplicate: Whether the vendor's client may send a request twice by itself, so that
            each submission is followed by a search.
    """

    max_qubits: int | None = None
    min_shots: int = 1
    max_shots: int | None = None
    split_shots: int | None = None
    max_bindings: int | None = None
    max_executions: int | None = None
    max_outcomes: int | None = None
    memory_limit: int = 4 << 30
    exact: bool = False
    paid: bool = False
    one_shot_count: bool = False
    settle_seconds: float = 0.0
    may_duplicate: bool = False


@dataclass(frozen=True, kw_only=True)
class Cost:
    """Estimated price of a batch: low and high ends. Local backends cost nothing.

    Attributes:
        source: Where the prices are from, and of which date.
    """

    circuits: int
    shots: int
    jobs: int = 1
    usd_low: float = 0.0
    usd_high: float = 0.0
    qpu_seconds_low: float = 0.0
    qpu_seconds_high: float = 0.0
    source: str = ""


@dataclass(frozen=True, kw_only=True)
class Charge:
    """What a finished job cost.

    Attributes:
        usd: US dollars; None where it is not billed in money.
        qpu_seconds: Seconds of the device; None where it is not billed in time.
        source: ``"vendor"`` for the vendor's own figure, ``"price table"`` for ours.
    """

    usd: float | None = None
    qpu_seconds: float | None = None
    source: str = "price table"


class JobStatus(enum.Enum):
    """State of a job at its backend."""

    QUEUED = "queued"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"


class Job(ABC):
    """One submitted request; rebuilt from ``(backend, id)`` alone."""

    id: str

    @abstractmethod
    def status(self) -> JobStatus:
        """Return the present state without waiting."""

    @abstractmethod
    def result(self) -> Counts:
        """Return the counts of a finished job; one that is not finished is waited for.

        Rows come in the order of the batch, each adding up to the shots that were asked for.

        Raises:
            JobFailed: The job failed or was cancelled; ``partial`` holds what came back.
            BadResult: What came back is damaged; asking again may help.
            TransientError: The vendor cannot be reached.
        """

    @abstractmethod
    def cancel(self) -> None:
        """Ask the backend to stop the job; a finished job stays as it is."""

    def queue(self) -> str | None:
        """Return what the vendor says of the job's place in the queue, None if nothing."""
        return None

    def charge(self) -> Charge | None:
        """Return what a finished job cost, None while that is not known."""
        return None


class Backend(ABC):
    """Whatever runs circuits: a simulator or a device.

    Attributes:
        name: As users type it, e.g. ``"aer:fake_torino"``.
        limits: What it accepts.
        remaining_seconds: What is left of a cap on device time, set before each submission for
            vendors that can stop a job there; None: no such cap.
    """

    name: str
    limits: Limits
    remaining_seconds: float | None = None

    @abstractmethod
    def prepare(self, ansatz: Ansatz) -> Prepared:
        """Return the circuit as it will run: transpiled once, symbolically; cached per ansatz."""

    @abstractmethod
    def estimate(self, batch: Batch) -> Cost:
        """Return what ``batch`` would cost, low and high, without running anything."""

    @abstractmethod
    def submit(self, batch: Batch, token: str) -> Job:
        """Hand over ``batch``; never transpiles. Local backends have run when this returns.

        One call is one request that makes at most one job, which carries ``token``.

        Raises:
            InputError: The batch is wrong; nothing was sent.
            PreflightError: The batch exceeds a limit; nothing was sent.
            TransientError: The request was refused for now (too many requests); no job was made.
            PermanentError: The request was refused (no access, device retired); no job was made.
            AmbiguousSubmission: There may be a job or not: the reply was lost.
        """

    @abstractmethod
    def find(self, token: str) -> list[Job]:
        """Return every job that carries ``token``, oldest first."""

    @abstractmethod
    def job(self, id: str) -> Job:
        """Return the job with this id, without a search.

        Raises:
            InputError: The backend knows no such job.
        """

    def bindings_per_job(self, item: Item) -> int | None:
        """Return how many bindings of ``item`` one job takes for the size of its circuit."""
        return None

    def preflight(self) -> list[str]:
        """Return why nothing should be submitted now (device offline, …); empty if all is well."""
        return []

    def grouped(self, n_jobs: int) -> AbstractContextManager[None]:
        """Return a context in which the ``n_jobs`` jobs of one step are submitted together."""
        return nullcontext()

    def describe(self) -> dict[str, Any]:
        """Return what the manifest records of this backend: JSON-ready."""
        return {"name": self.name}
