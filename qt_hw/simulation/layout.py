"""Moves of the state's axes, planned once per program.

A block acts on the leading axes. Its result stays in that order until the next block asks for
another one, so each block costs one copy, and runs of neighbouring qubits move as one axis.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from math import prod
from typing import Literal

from qt_hw.simulation.program import Program

__all__ = ["Move", "Moves", "moves"]

#: The axis of the rows; the others are qubits.
_ROW = -1


#: Sizes and strides of a view.
Strided = tuple[tuple[int, ...], tuple[int, ...]]

Kind = Literal["batch", "shared"]

_SURROUNDINGS: dict[Kind, tuple[tuple[int, ...], tuple[int, ...]]] = {
    "batch": ((_ROW,), ()),
    "shared": ((), (_ROW,)),
}


@dataclass(frozen=True, slots=True)
class Move:
    """A permutation of axes, with neighbours joined: view as ``shape``, permute by ``order``.

    The axis of the rows (bindings or vectors) has length -1 in ``shape``.
    """

    shape: tuple[int, ...]
    order: tuple[int, ...]

    def strided(self, rows: int) -> Strided:
        """Return sizes and strides of the permuted view of a contiguous tensor."""
        shape = [rows if s == -1 else s for s in self.shape]
        strides = [prod(shape[i + 1 :]) for i in range(len(shape))]
        return tuple(shape[i] for i in self.order), tuple(strides[i] for i in self.order)

    def inverse(self) -> Move:
        """Return the move back."""
        back = [0] * len(self.order)
        for to, source in enumerate(self.order):
            back[source] = to
        return Move(tuple(self.shape[i] for i in self.order), tuple(back))


def _move(old: tuple[int, ...], new: tuple[int, ...]) -> Move:
    at = {axis: i for i, axis in enumerate(old)}
    runs: list[list[int]] = []
    for axis in new:
        joins = runs and _ROW not in (axis, runs[-1][-1]) and at[axis] == at[runs[-1][-1]] + 1
        if joins:
            runs[-1].append(axis)
        else:
            runs.append([axis])
    ranked = sorted(range(len(runs)), key=lambda r: at[runs[r][0]])
    place = {r: i for i, r in enumerate(ranked)}
    shape = tuple(-1 if runs[r][0] == _ROW else 2 ** len(runs[r]) for r in ranked)
    return Move(shape, tuple(place[r] for r in range(len(runs))))


@dataclass(frozen=True)
class Moves:
    """The moves of one program for a number of rows, as arguments of ``as_strided``.

    One strided view instead of a view and a permutation: between small states the calls cost as
    much as the copies.

    Attributes:
        before: The move before each block.
        last: The move from the last block's order to the natural one.
        undo: The inverse of each move in ``before``.
        undo_last: The inverse of ``last``.
    """

    before: tuple[Strided, ...]
    last: Strided
    undo: tuple[Strided, ...]
    undo_last: Strided


@lru_cache(maxsize=256)
def moves(program: Program, kind: Kind, rows: int) -> Moves:
    """Return the moves of a program for ``rows`` rows.

    They are for contiguous tensors: ``x.as_strided(*move)`` is the permuted view.
    """
    steps, last = _plan(program, kind)
    return Moves(
        tuple(move.strided(rows) for move in steps),
        last.strided(rows),
        tuple(move.inverse().strided(rows) for move in steps),
        last.inverse().strided(rows),
    )


@lru_cache(maxsize=64)
def _plan(program: Program, kind: Kind) -> tuple[tuple[Move, ...], Move]:
    """Plan the moves of a program.

    The natural order is ``(row, n-1, …, 0)``.

    Args:
        program: The compiled circuit.
        kind: Where the rows are while a block acts. ``"batch"``: each row has block matrices of
            its own, ``(row, d, rest)``. ``"shared"``: all rows share the block matrices,
            ``(d, row, rest)``, one large product.
    """
    before, after = _SURROUNDINGS[kind]
    natural = (_ROW, *range(program.width - 1, -1, -1))
    now, out = natural, []
    for block in program.blocks:
        rest = tuple(axis for axis in now if axis not in (_ROW, *block.qubits))
        new = (*before, *block.qubits, *after, *rest)
        out.append(_move(now, new))
        now = new
    return tuple(out), _move(now, natural)
