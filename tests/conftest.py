"""Settings for all tests."""

from __future__ import annotations

import signal

import torch

# Test processes run side by side on few cores: torch's own threads would fight over them.
torch.set_num_threads(1)

# A shell lets what it starts in the background ignore Ctrl-C, which some tests send.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
