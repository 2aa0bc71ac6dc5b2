"""Settings for all tests."""

from __future__ import annotations

import torch

# Test processes run side by side on few cores: torch's own threads would fight over them.
torch.set_num_threads(1)
