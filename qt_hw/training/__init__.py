"""A training and its folder: configuration, checkpoints, metrics, manifest, figures."""

from __future__ import annotations
