"""IonQ's native gates: GPi2 and ZZ, with every rotation about Z done in software.

A pulse GPi2(φ) is a quarter turn about the axis at the angle φ in the xy plane. A rotation about
Z moves past it by turning that axis, and past ZZ unchanged, so it costs no pulse; those left at
the end change no outcome. Two pulses make any rotation of one qubit, one makes a quarter turn.

Gates: https://docs.ionq.com/guides/getting-started-with-native-gates; virtual Z: McKay et al.,
Phys. Rev. A 96, 022330.
"""

from __future__ import annotations

import cmath
import math
from collections.abc import Iterable, Sequence
from typing import Any

from qt_hw.errors import UnsupportedGate
from qt_hw_braket.emit import Gate

__all__ = ["NativeGate", "circuit", "native_gates", "openqasm"]

#: ``("gpi2", qubit, radians)`` or ``("zz", qubit, qubit, radians)``.
NativeGate = tuple[str, int, float] | tuple[str, int, int, float]

#: Rotations about an axis of the xy plane by less than this are none.
_NO_ANGLE = 1e-12

_QUARTER, _HALF = math.pi / 2, math.pi


class _Qubit:
    """What waits on a qubit: a matrix of SU(2), and a rotation about Z.

    The matrix is [[a, -b*], [b, a*]]; it is still to be made of pulses. The angle ``frame`` is
    that of a rotation about Z which all later pulses take into account.
    """

    def __init__(self) -> None:
        self.a, self.b, self.frame = 1.0 + 0.0j, 0.0j, 0.0

    def rz(self, angle: float) -> None:
        turn = cmath.exp(-0.5j * angle)
        self.a, self.b = turn * self.a, turn.conjugate() * self.b

    def ry(self, angle: float) -> None:
        c, s = math.cos(angle / 2), math.sin(angle / 2)
        self.a, self.b = c * self.a - s * self.b, s * self.a + c * self.b

    def hadamard(self) -> None:
        self.rz(_HALF)
        self.ry(_QUARTER)

    def pulses(self) -> list[float]:
        """Return the phases of the pulses that make the matrix, and forget it."""
        a, b, self.a, self.b = self.a, self.b, 1.0 + 0.0j, 0.0j
        theta = 2 * math.atan2(abs(b), abs(a))
        # The matrix is rz(s + d) ry(theta) rz(s - d).
        s = -cmath.phase(a) if abs(a) > _NO_ANGLE else 0.0
        if theta < _NO_ANGLE:
            self.frame += 2 * s
            return []
        d = cmath.phase(b)
        if abs(theta - _QUARTER) < _NO_ANGLE:
            # ry(pi/2) = rz(pi/2) rx(pi/2) rz(-pi/2)
            return [self._after(s - d - _QUARTER, then=s + d + _QUARTER)]
        # ry(theta) = rz(pi) rx(pi/2) rz(theta + pi) rx(pi/2)
        return [self._after(s - d), self._after(theta + _HALF, then=s + d + _HALF)]

    def _after(self, angle: float, then: float = 0.0) -> float:
        """Return the phase of rx(pi/2) after a turn of the frame; another turn may follow."""
        self.frame += angle
        phase = math.remainder(-self.frame, 2 * math.pi)
        self.frame += then
        return phase


def native_gates(n_qubits: int, gates: Iterable[Gate]) -> list[NativeGate]:
    """Return gpi2 and zz gates with the same outcome probabilities, in time order.

    Rotations between two cnots are merged; cnots are not, one zz each.

    Args:
        n_qubits: Number of qubits.
        gates: rz, ry and cnot, see ``qt_hw_braket.emit.gate_list``.

    Raises:
        UnsupportedGate: Another gate.
    """
    qubits = [_Qubit() for _ in range(n_qubits)]
    out: list[NativeGate] = []

    def flush(number: int) -> None:
        out.extend(("gpi2", number, phase) for phase in qubits[number].pulses())

    for name, first, second in gates:
        if name == "cnot":
            # cnot = H cz H on the target; cz = rz(-pi/2) rz(-pi/2) zz(pi/2) up to a phase.
            target = int(second)
            qubits[target].hadamard()
            flush(first)
            flush(target)
            out.append(("zz", first, target, _QUARTER))
            for number in (first, target):
                qubits[number].frame -= _QUARTER
            qubits[target].hadamard()
        elif name in ("rz", "ry"):
            getattr(qubits[first], name)(second)
        else:
            raise UnsupportedGate(f"gate {name!r} has no native form here; emit rz, ry and cnot")
    for number in range(n_qubits):
        flush(number)
    return out


def openqasm(n_qubits: int, gates: Sequence[NativeGate]) -> str:
    """Return native gates as OpenQASM 3: one verbatim box on the physical qubits 0 … n-1.

    The text is the SDK's own serialisation of ``Circuit().add_verbatim_box(…)`` with all qubits
    measured. The device runs exactly these gates on exactly these qubits.
    """
    lines = ["OPENQASM 3.0;", f"bit[{n_qubits}] b;"]
    if gates:
        body = [
            f"{name}({places[-1]!r}) {', '.join(f'${qubit}' for qubit in places[:-1])};"
            for name, *places in gates
        ]
        lines += ["#pragma braket verbatim", "box{", *body, "}"]
    lines += [f"b[{qubit}] = measure ${qubit};" for qubit in range(n_qubits)]
    return "\n".join(lines)


def circuit(n_qubits: int, gates: Sequence[NativeGate], *, measured: bool = True) -> Any:
    """Return native gates as the SDK's ``Circuit`` with one verbatim box.

    Args:
        n_qubits: Number of qubits.
        gates: See ``native_gates``.
        measured: Whether the measurements are in it.
    """
    from braket.circuits import Circuit

    body = Circuit()
    for name, *places in gates:
        getattr(body, name)(*places)
    out = Circuit().add_verbatim_box(body)
    return out.measure(range(n_qubits)) if measured else out
