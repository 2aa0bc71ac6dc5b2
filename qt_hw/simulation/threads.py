"""One thread for small states.

The products of one block are too small to share between cores: handing them to two threads
costs more than it saves, and many times more on a busy machine.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

__all__ = ["threads_for"]

#: Amplitudes of all rows together above which torch's own number of threads is used.
_LARGE = 1 << 17


@contextmanager
def threads_for(amplitudes: int) -> Iterator[None]:
    """Run on one thread if there are few ``amplitudes``; afterwards as before."""
    before = torch.get_num_threads()
    if before == 1 or amplitudes >= _LARGE:
        yield
        return
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
