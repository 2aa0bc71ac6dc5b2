"""How many parameters a model trains, and how much its circuit matters."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass

__all__ = ["ParameterReport"]


@dataclass(frozen=True, kw_only=True)
class ParameterReport:
    """Counts of one model; ``str`` gives a small table, ``to_dict`` JSON-ready values.

    Attributes:
        n_target: Parameters of the target, tied ones counted once.
        n_generated: Those of them that are generated.
        n_trained: Trained numbers that generate them: angles + mapping + scaling.
        n_kept: Target parameters that are not generated and require a gradient: trained as usual.
        share: ``n_trained / n_generated``.
        breakdown: Trained numbers by part: ``angles``, ``mapping``, ``scaling``; of controls,
            others.
        n_qubits: Qubits of the ansatz; 0 for a control without a vector, as the next three.
        chunk_size: Weights per basis state.
        bins_used: Basis states that feed weights.
        bins: All basis states; those beyond ``bins_used`` are surplus.
        circuit_share: Fraction of the variance of the mapping's outputs that comes from p (see
            ``GeneratedModel.circuit_share``).
    """

    n_target: int
    n_generated: int
    n_trained: int
    n_kept: int
    share: float
    breakdown: Mapping[str, int]
    n_qubits: int
    chunk_size: int
    bins_used: int
    bins: int
    circuit_share: float

    def to_dict(self) -> dict[str, object]:
        """Return the fields as a JSON-ready dictionary."""
        return {**asdict(self), "breakdown": dict(self.breakdown)}

    def __str__(self) -> str:
        """Return a table of two columns."""
        parts = ", ".join(f"{name} {count:,}" for name, count in self.breakdown.items())
        rows = [
            ("target parameters", f"{self.n_target:,}"),
            ("generated", f"{self.n_generated:,}"),
            ("trained for them", f"{self.n_trained:,} ({parts})"),
            ("trained / generated", f"{100 * self.share:.2f} %"),
            ("trained directly", f"{self.n_kept:,}"),
        ]
        if self.bins:
            used = f"{self.bins_used:,} of {self.bins:,}, {self.chunk_size} each"
            rows += [
                ("qubits", f"{self.n_qubits}"),
                ("basis states used", used),
                ("circuit's share", f"{100 * self.circuit_share:.1f} %"),
            ]
        width = max(len(name) for name, _ in rows)
        return "\n".join(f"{name:<{width}}  {value}" for name, value in rows)
