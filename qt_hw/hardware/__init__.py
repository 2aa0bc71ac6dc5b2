"""What a user does with devices that cost money: evaluate, train, watch, collect, pay once.

``evaluate.submit`` and ``collect.collect`` measure a trained run's circuit on a device;
``training.go_on`` takes the next step of a training on one; ``jobs`` and ``status`` are about the
jobs of either.
"""

from __future__ import annotations
