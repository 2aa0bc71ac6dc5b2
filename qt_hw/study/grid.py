"""From a study to its cells: every combination once, each noisy one with its noiseless twin."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from qt_hw.errors import ConfigError
from qt_hw.execution.rehearsal import costs_money
from qt_hw.study.cell import PERMUTED, Cell
from qt_hw.study.config import (
    ApproximationBlock,
    Block,
    EvaluateBlock,
    GradientBlock,
    StudyConfig,
    TrainBlock,
)
from qt_hw.study.sizing import requbited, resized
from qt_hw.training.config import ControlConfig, RunConfig, SeedsConfig
from qt_hw.training.loading import config_from_dict, load_config

__all__ = ["cells_of", "read_bases"]


def read_bases(study: StudyConfig) -> dict[str, RunConfig]:
    """Return the bases by name, changed as the study says.

    Raises:
        ConfigError: A base or a change is wrong.
        UnknownName: There is no such preset.
    """
    return {name: load_config(name, study.set) for name in study.base}


def cells_of(study: StudyConfig, bases: Mapping[str, RunConfig]) -> tuple[Cell, ...]:
    """Return the cells, each once, those that others need first.

    Raises:
        ConfigError: A combination makes no sense; the message names the key.
    """
    found: dict[str, Cell] = {}
    for name in study.base:
        for seed in study.seeds:
            for cell in _Grid(study, name, bases[name], seed).cells():
                found.setdefault(cell.id, cell)
    return tuple(sorted(found.values(), key=lambda cell: len(cell.needs) > 0))


@dataclass(frozen=True)
class _Grid:
    """The cells of one base and one seed."""

    study: StudyConfig
    base: str
    run: RunConfig
    seed: int

    def cells(self) -> Iterator[Cell]:
        twin = self._noiseless(self._seeded(self.run))
        yield twin
        for control in self.study.control_names():
            yield self._control(twin, control)
        for train in self.study.train:
            yield from self._trained(train)
        for evaluate in self.study.evaluate:
            yield from self._evaluated(evaluate)
        for gradient in self.study.gradients:
            yield from self._gradients(gradient)
        for approximation in self.study.approximation:
            yield from self._approximated(approximation)

    def _seeded(self, config: RunConfig) -> RunConfig:
        seeds = SeedsConfig(data=self.seed, init=self.seed, sampling=self.seed)
        update: dict[str, Any] = {"seeds": seeds, "description": "", "budget": self.study.budget}
        return config.model_copy(update=update)

    def _circuits(self, block: Block) -> Iterator[RunConfig]:
        for ansatz, qubits, layers in block.circuits():
            config = self._seeded(self.run)
            if ansatz is not None:
                config = _with_ansatz(config, ansatz)
            if qubits is not None or layers is not None:
                config = requbited(config, qubits, layers)
            yield config

    def _noiseless(self, config: RunConfig) -> Cell:
        return Cell(kind="noiseless", base=self.base, config=config.noiseless())

    def _control(self, twin: Cell, name: str) -> Cell:
        if name == PERMUTED:
            return Cell(
                kind="control", base=self.base, config=twin.config, twin=twin.id, control=name
            )
        update = {"control": ControlConfig.model_validate({"name": name})}
        config = twin.config.model_copy(update=update)
        return Cell(kind="control", base=self.base, config=config, twin=twin.id)

    def _trained(self, block: TrainBlock) -> Iterator[Cell]:
        for config in self._circuits(block):
            for backend, noise, scale, mitigation, shots in block.places():
                for gradient in block.gradient or (config.gradient.method,):
                    tables: dict[str, Any] = {"gradient": {"method": gradient}}
                    if mitigation != "none":
                        tables["mitigation"] = {
                            "method": mitigation,
                            "calibration_shots": block.calibration_shots,
                        }
                    place = _place(backend, noise, scale, shots, block.options)
                    noisy = _changed(config, {**place, **tables})
                    twin = self._noiseless(noisy)
                    yield twin
                    yield Cell(kind="train", base=self.base, config=noisy, twin=twin.id)

    def _evaluated(self, block: EvaluateBlock) -> Iterator[Cell]:
        for config in self._circuits(block):
            twin = self._noiseless(config)
            yield twin
            for backend, noise, scale, mitigation, shots in block.places():
                yield Cell(
                    kind="evaluate",
                    base=self.base,
                    config=_changed(config, _place(backend, noise, scale, shots, block.options)),
                    twin=twin.id,
                    mitigation=mitigation,
                    calibration_shots=block.calibration_shots,
                    repeats=block.repeats,
                )

    def _gradients(self, block: GradientBlock) -> Iterator[Cell]:
        for name in block.backend:
            if costs_money(name):
                raise ConfigError(
                    f"gradients: {name} costs money; these blocks take simulators only"
                )
        for config in self._circuits(block):
            shots: tuple[int | None, ...] = block.shots or (None,)
            for backend in block.backend:
                for n in shots:
                    yield Cell(
                        kind="gradient",
                        base=self.base,
                        config=_changed(config, _place(backend, None, 1.0, n, {})),
                        repeats=1 if n is None else block.repeats,
                    )

    def _approximated(self, block: ApproximationBlock) -> Iterator[Cell]:
        update = {"control": ControlConfig(name="direct")}
        for config in self._circuits(block):
            for width in block.widths:
                sized = resized(config.noiseless(), width)
                # The circuit does not matter to it: one for all circuits.
                own = resized(self._seeded(self.run).noiseless(), width)
                direct = Cell(
                    kind="control",
                    base=self.base,
                    config=own.model_copy(update=update),
                    width=width,
                )
                yield direct
                yield Cell(
                    kind="approximation",
                    base=self.base,
                    config=sized,
                    twin=direct.id,
                    steps=block.steps,
                    width=width,
                )


def _with_ansatz(config: RunConfig, name: str) -> RunConfig:
    old = config.ansatz
    if old.name == "product":
        raise ConfigError("ansatz: a base with a product ansatz cannot be given another one")
    table = {"name": name, "n_qubits": old.n_qubits, "n_layers": old.n_layers}
    return _changed(config, {"ansatz": table})


def _place(
    backend: str, noise: str | None, scale: float, shots: int | None, options: Mapping[str, Any]
) -> dict[str, Any]:
    """Return the tables of a run that is measured there."""
    scaled = {} if scale == 1.0 else {"noise_scale": scale}
    table = {"name": backend, "shots": shots, "noise": noise, "options": {**options, **scaled}}
    return {"backend": table, "mitigation": {}}


def _changed(config: RunConfig, tables: Mapping[str, Any]) -> RunConfig:
    """Return the run with whole tables replaced.

    Raises:
        ConfigError: A value is wrong.
    """
    old = config.model_dump(mode="json", exclude_none=True)
    return config_from_dict({**old, **tables}, "study")
