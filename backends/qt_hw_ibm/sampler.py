"""The vendor's sampler, whichever of its classes is installed."""

from __future__ import annotations

from typing import Any

from qt_hw.errors import PreflightError
from qt_hw_ibm.options import Options
from qt_hw_ibm.pubs import Request

__all__ = ["make_sampler", "run", "twirl_shape"]

#: Angles are kept to this many decimals of π/2 in the client's local mode, which rounds them to 5.
_ANGLE_DECIMALS = 12

_FEWEST_TWIRLS, _MOST_TWIRLS = 8, 32


def twirl_shape(shots: int) -> tuple[int, int]:
    """Return (random circuits, shots of each) whose product is ``shots``.

    The client's own choice would round the shots up.

    Raises:
        PreflightError: There is no such choice.

    >>> twirl_shape(1000)
    (25, 40)
    """
    for n in range(_MOST_TWIRLS, _FEWEST_TWIRLS - 1, -1):
        if shots % n == 0:
            return n, shots // n
    more = -(-shots // _MOST_TWIRLS) * _MOST_TWIRLS
    raise PreflightError(
        [
            f"twirling=true splits the shots over {_FEWEST_TWIRLS} to {_MOST_TWIRLS} random "
            f"circuits, and {shots} has no divisor of that size; use {more} shots"
        ]
    )


def _sampler_class() -> tuple[Any, bool]:
    """Return the client's class, and whether it is the present one.

    The one it replaces is deprecated since 0.50, and without it older clients would not run.
    """
    try:
        from qiskit_ibm_runtime.executor_sampler import Sampler
    except ImportError:
        from qiskit_ibm_runtime import SamplerV2

        return SamplerV2, False
    return Sampler, True


def make_sampler(mode: Any, options: Options, shots: int) -> Any:
    """Return a sampler with our options.

    Args:
        mode: The vendor's backend, batch or session.
        options: Checked.
        shots: Of every binding.

    Raises:
        PreflightError: See ``twirl_shape``.
    """
    kind, present = _sampler_class()
    sampler = kind(mode=mode)
    chosen = sampler.options
    chosen.default_shots = shots
    if options.dynamical_decoupling:
        chosen.dynamical_decoupling.enable = True
        chosen.dynamical_decoupling.sequence_type = options.dynamical_decoupling
    if options.twirling:
        chosen.twirling.enable_gates = chosen.twirling.enable_measure = True
        n, each = twirl_shape(shots)
        chosen.twirling.num_randomizations, chosen.twirling.shots_per_randomization = n, each
    if options.rep_delay is not None:
        chosen.execution.rep_delay = float(options.rep_delay)
    if present:
        chosen.simulator.angle_decimals = _ANGLE_DECIMALS
    return sampler


def run(sampler: Any, request: Request) -> Any:
    """Return the vendor's job for ``request``: one call, one request."""
    return sampler.run(request.pubs, shots=request.shots)
