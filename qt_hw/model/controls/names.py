"""The controls by name, and the question that each answers."""

from __future__ import annotations

from qt_hw.errors import UnknownName

__all__ = ["CONTROLS", "VECTOR_CONTROLS", "WEIGHT_CONTROLS", "describe"]

_VECTORS = {
    "porter-thomas": (
        "a frozen random vector, as of a random complex state: does training the circuit matter? "
        "(merlinquantum/reproduced_papers, DQNN)"
    ),
    "dirichlet": (
        "a frozen random vector, Dirichlet(1/2), as of a random real state: does it matter which "
        "kind of random vector?"
    ),
    "uniform": "the uniform vector, so that only the labels remain: do the labels suffice?",
    "learned-vector": (
        "a freely learned vector, one logit for each outcome: what could any circuit reach?"
    ),
    "frozen-angles": "the circuit with its random initial angles: does training them matter?",
    "product": "n trained independent bits in place of the circuit: does entanglement matter?",
}

_WEIGHTS = {
    "hypernetwork": (
        "a classical network from label to weights with at most as many trained parameters: is "
        "the circuit worth its parameters? (Ha et al., arXiv:1609.09106)"
    ),
    "direct": "the target trained directly: what does the compression cost?",
    "smaller-target": (
        "a narrower target with at most as many trained parameters: is generating weights better "
        "than having fewer?"
    ),
    "pruned": (
        "the target pruned by magnitude to as many weights half-way: is generating weights better "
        "than dropping them? (Han et al., arXiv:1506.02626)"
    ),
    "shared": (
        "weights that share as many buckets by a hash: is generating weights better than sharing "
        "them? (Chen et al., arXiv:1504.04788)"
    ),
    "low-rank": (
        "a low-rank change of the untrained target with at most as many trained parameters (rank "
        "1 where even that takes more): is the circuit better than factors? (Hu et al., "
        "arXiv:2106.09685)"
    ),
}

_EVALUATED = {
    "permuted": (
        "the trained circuit with its outcomes exchanged afterwards: does the network use p?"
    ),
}

VECTOR_CONTROLS = tuple(_VECTORS)
"""Those in which only the probability vector is another."""

WEIGHT_CONTROLS = tuple(_WEIGHTS)
"""Those whose weights are made without a vector."""

CONTROLS = VECTOR_CONTROLS + WEIGHT_CONTROLS
"""All that are trained, in the order of reports."""


def describe(name: str) -> str:
    """Return in one line what a control is and which question it answers.

    Raises:
        UnknownName: There is no such control.

    >>> describe("direct")
    'the target trained directly: what does the compression cost?'
    """
    known = {**_VECTORS, **_WEIGHTS, **_EVALUATED}
    if name not in known:
        raise UnknownName("control", name, tuple(known))
    return known[name]
