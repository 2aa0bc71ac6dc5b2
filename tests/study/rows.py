"""A made-up table of a small study: known laws plus seeded scatter, so figures have oracles."""

from __future__ import annotations

from typing import Any

import numpy as np

SEEDS = tuple(range(1, 11))
SHOTS = (64, 256, 1024, 4096, 65536)
PLACES = {"aer": 0.0, "aer:fake_torino": 0.06}  # backend: floor of the drop in accuracy
MITIGATIONS = {"none": 1.0, "readout": 0.55}  # method: what is left of the floor
CONTROLS = {  # name: (accuracy, trained parameters)
    "porter-thomas": (0.931, 249),
    "uniform": (0.118, 249),
    "hypernetwork": (0.938, 401),
    "direct": (0.962, 2410),
}
SLOPES = {1: -0.4, 4: -0.8}  # layers: of log2 of the gradient's variance per qubit
COEFFICIENT = 3.2  # of the drop in accuracy, times 1 / sqrt(shots)
WHERE = {
    "base": "digits",
    "task": "digits",
    "ansatz": "U3Cu3",
    "qubits": 6,
    "layers": 2,
    "width": None,
    "noise": "",
    "noise_scale": 1.0,
    "gradient": "auto",
    "control": "",
    "mitigation": "none",
    "shots": None,
    "backend": "statevector",
    "twin": "",
}

Rows = list[dict[str, Any]]


def rows(seeds: tuple[int, ...] = SEEDS) -> Rows:
    """Return the whole table, the same at each call."""
    random = np.random.default_rng(20)
    made: Rows = []
    for seed in seeds:
        made += _trained(random, seed)
        made += _gradients(random, seed)
        made += _approximations(random, seed)
    return made


def _trained(random: np.random.Generator, seed: int) -> Rows:
    twin = f"noiseless-{seed}"
    exact = 0.945 + 0.008 * random.standard_normal()
    made = _cell(twin, {"kind": "noiseless", "seed": seed}, _metrics(exact))
    for name, (accuracy, parameters) in CONTROLS.items():
        value = accuracy + 0.006 * random.standard_normal()
        where = {"kind": "control", "control": name, "seed": seed, "twin": twin}
        made += _cell(f"control-{name}-{seed}", where, _metrics(value, parameters=parameters))
    for backend, floor in PLACES.items():
        for method, left in MITIGATIONS.items():
            for shots in SHOTS:
                drop = floor * left + COEFFICIENT / np.sqrt(shots)
                drop += 0.004 * random.standard_normal() + 0.3 / np.sqrt(shots) * random.uniform()
                where = {"kind": "evaluate", "backend": backend, "mitigation": method}
                where |= {"shots": shots, "seed": seed, "twin": twin}
                values = _metrics(max(exact - drop, 0.1), shots=shots, floor=floor)
                name = f"evaluate-{backend}-{method}-{shots}-{seed}".replace(":", "-")
                made += _cell(name, where, values, repeats=5)
    for shots in SHOTS[1:4]:
        value = exact - 0.5 / np.sqrt(shots) + 0.004 * random.standard_normal()
        where = {"kind": "train", "backend": "aer", "shots": shots, "seed": seed, "twin": twin}
        made += _cell(f"train-{shots}-{seed}", where, _metrics(value, shots=shots))
    return made


def _metrics(
    accuracy: float, *, parameters: int = 393, shots: int | None = None, floor: float = 0.0
) -> dict[str, float]:
    values = {
        "test_accuracy": accuracy,
        "train_accuracy": min(accuracy + 0.02, 1.0),
        "test_loss": 3.0 * (1.0 - accuracy),
        "train_loss": 3.0 * (1.0 - accuracy) - 0.06 * accuracy,
        "generalisation_gap": 0.06 * accuracy,
        "trained_parameters": float(parameters),
        "target_parameters": 2410.0,
        "circuits": 0.0 if shots is None else 5.0,
        "shots_used": 0.0 if shots is None else 5.0 * shots,
        "seconds": 2.0 + accuracy,
    }
    if shots is not None:
        theory, empty = 3.1 / np.sqrt(shots), np.exp(-shots / 64)
        values |= {
            "total_variation": float(np.hypot(theory * (1.0 + 0.03 * accuracy), floor)),
            "expected_total_variation": float(theory),
            "empty_bins": float(empty * (0.9 + 0.1 * accuracy)),
            "expected_empty_bins": float(empty),
        }
    return values


def _gradients(random: np.random.Generator, seed: int) -> Rows:
    made: Rows = []
    for layers in SLOPES:
        for qubits in (2, 4, 6, 8):
            for shots in (None, 1024):
                exact = 2.0 ** (SLOPES[layers] * qubits - 2.0)
                exact *= np.exp(0.2 * random.standard_normal())
                values = {"gradient_variance": exact, "gradient_norm": exact**0.5}
                if shots is not None:
                    noise = 1.0 / shots * np.exp(0.1 * random.standard_normal())
                    values |= {"noise_variance": noise, "snr": exact / noise}
                    values |= {"cosine": exact / (exact + noise)}
                where = {"kind": "gradient", "qubits": qubits, "layers": layers, "shots": shots}
                name = f"gradient-{layers}-{qubits}-{shots}-{seed}"
                made += _cell(name, where | {"seed": seed, "backend": "aer"}, values)
    return made


def _approximations(random: np.random.Generator, seed: int) -> Rows:
    made: Rows = []
    for width in (4, 8, 16, 32):
        weights = 75.0 * width + 10.0
        error = 0.9 * (1.0 - np.exp(-weights / 800)) + 0.02 * random.standard_normal()
        values = {"relative_error": error, "n_weights": weights, "trained_parameters": 393.0}
        values |= {"test_accuracy": 0.95 - 0.3 * error, "target_test_accuracy": 0.96}
        where = {"kind": "approximation", "width": width, "seed": seed}
        made += _cell(f"approximation-{width}-{seed}", where, values)
    return made


def _cell(name: str, where: dict[str, Any], values: dict[str, float], repeats: int = 1) -> Rows:
    common = WHERE | {"cell": name, "repeats": repeats, "spread": 0.002 * (repeats > 1)} | where
    return [common | {"metric": metric, "value": value} for metric, value in values.items()]


INFO: dict[str, Any] = {
    "title": "a <em>study</em> & more",
    "description": "Made-up numbers.",
    "command": "qt-hw study made-up --out studies/made-up",
    "created": "2026-01-02T03:04:05+00:00",
    "toml": '[[evaluate]]\nbackend = "aer"  # <em>\n',
    "versions": {"qt-hw": "1.0", "torch": "2.9"},
    "backends": [
        {"name": "aer", "calibration_date": None},
        {"name": "aer:fake_torino", "calibration_date": "2024-01-02"},
    ],
    "cost": {"usd": 1.25, "qpu_seconds": 7.0, "rehearsed": True},
    "cells": {"total": 300, "done": 298, "failed": 2},
    "failures": [{"cell": "train-64", "error": "StorageError: <disk> is full"}],
    "seeds": list(SEEDS),
    "controls": {"uniform": "the uniform vector"},
}
