"""Angles that cannot change any outcome.

A rotation exp(-i a P/2) is dead if P can be carried past all later gates and arrives as a
product of Z's (a phase of each outcome), or past all earlier gates and arrives at |0…0⟩ as a
product of Z's (a global phase). A Pauli word is carried past a rotation about Q if the two
commute, or if the rotation is a fixed one by a multiple of π/2.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Literal

from qt_hw.circuits.gates import ELEMENTARY, Op

__all__ = ["dead_operations"]

Side = Literal["either", "end", "start"]

#: A Pauli word without its sign: bit masks of the qubits with an X part and with a Z part.
Word = tuple[int, int]

#: A generator and how often its rotation is by π/2, or None for an angle that may be anything.
Turn = tuple[Word, int | None]


def _words(op: Op) -> list[Word]:
    words = []
    for letters in ELEMENTARY[op.kind].paulis:
        pairs = list(zip(letters, op.qubits, strict=True))
        x = sum(1 << q for letter, q in pairs if letter in "XY")
        z = sum(1 << q for letter, q in pairs if letter in "YZ")
        words.append((x, z))
    return words


def _turns(op: Op) -> list[Turn]:
    """Return the rotations that make up an operation; they commute with each other."""
    entry = ELEMENTARY[op.kind]
    if entry.factor == 0.0:
        quarter: int | None = 1
    elif op.slot is not None:
        quarter = None
    else:
        # The generators of a controlled rotation or phase turn by half of its angle each.
        share = op.offset / (math.pi / 2) / (1 if len(entry.paulis) == 1 else 2)
        quarter = round(share) if abs(share - round(share)) < 1e-12 else None
    return [(word, quarter) for word in _words(op)]


def _carried(word: Word, path: Iterable[list[Turn]]) -> Word | None:
    """Carry a word past rotations; None if one of them spoils it."""
    x, z = word
    for turns in path:
        for (qx, qz), quarter in turns:
            if ((x & qz).bit_count() + (z & qx).bit_count()) % 2 == 0:
                continue
            if quarter is None:
                return None
            if quarter % 2:
                x, z = x ^ qx, z ^ qz
    return x, z


def _harmless(words: list[Word], path: Sequence[list[Turn]]) -> bool:
    carried = (_carried(word, path) for word in words)
    return all(word is not None and word[0] == 0 for word in carried)


def dead_operations(operations: Sequence[Op], side: Side = "either") -> list[bool]:
    """Tell for each operation with an angle whether the angle is dead (else False).

    Each answer holds by itself. Operations that are dead by the same side commute, so all of
    them may be left out together; those of different sides may not.

    Args:
        operations: The circuit, in time order.
        side: ``"end"``: carried past all later gates; ``"start"``: past all earlier ones.

    >>> dead_operations([Op("rz", (0,), 0), Op("ry", (0,), 1), Op("rz", (0,), 2)])
    [True, False, True]
    """
    turns = [_turns(op) for op in operations]
    backwards = turns[::-1]
    n = len(turns)
    dead = []
    for i, op in enumerate(operations):
        if ELEMENTARY[op.kind].factor == 0.0:
            dead.append(False)
            continue
        words = _words(op)
        end = side != "start" and _harmless(words, _Tail(turns, i + 1))
        dead.append(end or (side != "end" and _harmless(words, _Tail(backwards, n - i))))
    return dead


class _Tail(Sequence[list[Turn]]):
    """The part of a list from ``start`` on, without a copy."""

    def __init__(self, items: list[list[Turn]], start: int) -> None:
        self._items, self._start = items, start

    def __len__(self) -> int:
        return len(self._items) - self._start

    def __getitem__(self, index: int) -> list[Turn]:  # type: ignore[override]
        if not 0 <= index < len(self):
            raise IndexError(index)
        return self._items[self._start + index]
