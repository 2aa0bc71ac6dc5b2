"""The task: where a typhoon will be in one, two and three days."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from qt_hw.errors import InputError, UnknownName
from qt_hw.tasks.metric import Metric
from qt_hw.tasks.task import Data, Task, check_count, check_parts, check_texts, first_output
from qt_hw.tasks.typhoon.options import (
    channels_of,
    check_between,
    check_lead,
    check_seed,
    fitting,
)

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from torch import Tensor, nn

    from qt_hw.tasks.typhoon.samples import Plan
    from qt_hw.tasks.typhoon.source import Tracks

__all__ = ["Typhoon"]

_SOURCES = ("synthetic", "file")
_INPUTS = ("sequence", "images")
_SCALE = 4.0  # degrees per day: the unit of the network's outputs


@dataclass(frozen=True, kw_only=True)
class Typhoon(Task):
    """Track forecasts from best tracks and the steering flow around the storm.

    A sample is a storm at a time with its last ``history`` six-hourly records. The network's
    outputs ``(B, 2 L)`` are displacements from there, north and east for each lead time, in units
    of 4 degrees of a great circle per day. No storm is in both parts: the earliest storms are
    for training, the latest for the test.

    Attributes:
        source: ``"synthetic"``, tracks of the generator, or ``"file"``.
        file: A best-track file (IBTrACS v04 CSV or CMA text) or a folder of them.
        basin: Of IBTrACS files, storms that begin in this basin; empty for all.
        fields: NetCDF file with gridded fields; without one the generator's own analytic steering
            flow is seen, of storms from a file its mean.
        variables: Names of the fields, separated by commas.
        levels: Their pressure levels in hPa, separated by commas.
        inputs: ``"sequence"``, x ``(N, T, 6 + C·H·W)``, or ``"images"``, x ``(N, 53 + T·C·H·W)``
            as the published network takes it.
        window: Points H = W on a side of the window around the storm.
        spacing: Degrees between them.
        history: Records T.
        leads: Number L of lead times.
        lead_hours: Hours from one lead time to the next, a multiple of six.
        storms: Number of synthetic storms.
        test_share: Share of the storms that are for the test.
        train_size: Keep that many training samples, evenly spread; None keeps all.
        test_size: The same for the test samples.
        seed: Of the synthetic storms.
    """

    name: ClassVar[str] = "typhoon"
    headline: ClassVar[Metric] = Metric(
        key="track_error",
        label="track error",
        unit="km",
        higher_is_better=False,
        digits=1,
        low=0.0,
        drops=(5.0, 10.0, 25.0),
    )
    evaluation_batch: ClassVar[int] = 250  # images of more samples would fill the memory
    source: str = "synthetic"
    file: str | None = None
    basin: str = "WP"
    fields: str | None = None
    variables: str = "u,v"
    levels: str = "850,250"
    inputs: str = "sequence"
    window: int = 3
    spacing: float = 5.0
    history: int = 8
    leads: int = 3
    lead_hours: int = 24
    storms: int = 300
    test_share: float = 0.2
    train_size: int | None = None
    test_size: int | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        """Check the options."""
        check_texts(self, ("file", "basin", "fields"))
        if self.source not in _SOURCES:
            raise UnknownName("source", str(self.source), _SOURCES)
        if self.inputs not in _INPUTS:
            raise UnknownName("kind of inputs", str(self.inputs), _INPUTS)
        if (self.source == "file") != bool(self.file):
            raise InputError(
                "source = 'file' and file = 'PATH' belong together: set both, or neither"
            )
        for name in ("window", "history", "leads", "storms", "train_size", "test_size"):
            check_count(name, getattr(self, name))
        check_lead(self.lead_hours)
        check_between("spacing", self.spacing, 0.0, 30.0)
        check_between("test_share", self.test_share, 0.0, 1.0)
        check_seed(self.seed)
        channels_of(self.variables, self.levels)

    def load(self) -> Data:
        """Return the samples; x is standardised by mean and spread of its training part.

        x is as ``inputs`` says; y is ``(N, 7 + 2L)`` (see ``qt_hw.tasks.typhoon.samples``), both
        float32. Tracks too short for a sample are left out and counted.

        Raises:
            MissingExtra: A NetCDF file is asked for and xarray is not installed.
            DataError: A file is missing, of another format or damaged, or the fields do not
                cover the tracks.
            InputError: There are too few storms or samples.
        """
        from qt_hw.tasks.typhoon.samples import samples_of
        from qt_hw.tasks.typhoon.source import split_storms, standardised, subset

        tracks, plan = self._tracks(), self._plan()
        early, late = split_storms(tracks.storms, self.test_share)
        parts = [samples_of(part, tracks.fields, plan) for part in (early, late)]
        train = subset("train_size", parts[0], self.train_size)
        test = subset("test_size", parts[1], self.test_size)
        x_train, x_test = standardised(train.x, test.x, self._columns())
        return Data(
            train=(x_train, train.y),
            test=(x_test, test.y),
            name=self.name,
            description={
                **tracks.description,
                "channels": ", ".join(tracks.fields.channels),
                "split": "by storm, the latest are for the test",
                "normalisation": "mean and spread of the training part",
                "n_train_storms": len({storm.id for storm in early}),
                "n_test_storms": len({storm.id for storm in late}),
                "n_train": len(x_train),
                "n_test": len(x_test),
            },
        )

    def loss(self, output: Tensor, y: Tensor) -> Tensor:
        """Return the mean distance of forecast and observed displacement, a scalar.

        In units of 4 degrees per day, so that each lead time counts about the same.

        Raises:
            InputError: The shapes do not fit.
        """
        from qt_hw.tasks.typhoon.geodesy import encode
        from qt_hw.tasks.typhoon.samples import state, truth

        wanted = encode(state(y)[:, None], truth(y)) / self._scales(y)
        miss = self._pairs(output, y) - wanted.to(output.dtype)
        return (miss.square().sum(-1) + 1e-8).sqrt().mean()

    def metrics(self, output: Tensor, y: Tensor) -> dict[str, float]:
        """Return ``loss``, ``track_error`` in km, and ``track_error_24h``, … by lead time.

        Errors are means of great-circle distances; ``track_error`` is the mean over lead times.

        Raises:
            InputError: The shapes do not fit.
        """
        values = {"loss": float(self.loss(output, y))}
        return values | self._errors("track_error", self.positions(output, y), y)

    def positions(self, output: Tensor, y: Tensor) -> Tensor:
        """Return the positions ``(B, L, 2)`` that the outputs ``(B, 2 L)`` stand for, degrees."""
        from qt_hw.tasks.typhoon.geodesy import moved
        from qt_hw.tasks.typhoon.samples import state

        displacement = self._pairs(output.detach(), y).double() * self._scales(y)
        return moved(state(y).double()[:, None], displacement)

    def evaluate(self, model: nn.Module, data: Data) -> dict[str, float]:
        """Return the metrics of both parts, and of the test the errors of both baselines, km.

        These are ``test_persistence_km`` and ``test_cliper_km`` and, by lead time,
        ``test_persistence_km_24h``, …; the regression is fitted to the training part.
        """
        from qt_hw.tasks.typhoon.baselines import cliper, persistence

        train, test = data.train[1], data.test[1]
        values = super().evaluate(model, data)
        values |= self._errors("test_persistence_km", persistence(test, self.lead_times), test)
        return values | self._errors("test_cliper_km", cliper(train, test), test)

    def check(self, target: nn.Module, data: Data) -> None:
        from torch import Tensor

        check_parts(data)
        try:
            output, wanted = first_output(target, data), (1, 2 * self.leads)
        except InputError as error:
            raise InputError(f"{error}: {fitting(self.inputs, data.input_shape[-1])}") from error
        if not isinstance(output, Tensor) or output.shape != wanted:
            shape = tuple(output.shape) if isinstance(output, Tensor) else type(output).__name__
            raise InputError(
                f"{self.leads} lead times need a target whose output for one sample has the shape "
                f"{wanted}, not {shape}: set target.options.leads = {self.leads} "
                "(typhoon-gru-H), or the option leads = 1 for the published networks"
            )

    def figures(self, model: nn.Module, data: Data) -> dict[str, Figure]:
        """Return ``tracks``, a map of test storms, and ``lead_times``, the errors by lead time."""
        import torch

        from qt_hw.tasks.typhoon.baselines import cliper, persistence
        from qt_hw.tasks.typhoon.figures import draw_lead_times, draw_tracks

        x, y = data.test
        parts = range(0, len(x), self.evaluation_batch)
        with torch.no_grad():
            output = torch.cat([model(x[k : k + self.evaluation_batch]) for k in parts])
        forecast = self.positions(output, y)
        routes = {
            "network": forecast,
            "CLIPER-like": cliper(data.train[1], y),
            "persistence": persistence(y, self.lead_times),
        }
        errors = {name: self._by_lead(positions, y) for name, positions in routes.items()}
        return {
            "tracks": draw_tracks(y, forecast),
            "lead_times": draw_lead_times(self.lead_times, errors),
        }

    @property
    def lead_times(self) -> tuple[int, ...]:
        """Hours of each lead time."""
        return tuple(self.lead_hours * k for k in range(1, self.leads + 1))

    def _plan(self) -> Plan:
        from qt_hw.tasks.typhoon.samples import Plan
        from qt_hw.tasks.typhoon.window import Window

        return Plan(
            history=self.history,
            leads=self.lead_times,
            window=Window(size=self.window, spacing=float(self.spacing)),
            images=self.inputs == "images",
        )

    def _tracks(self) -> Tracks:
        from qt_hw.tasks.typhoon.source import file_tracks, synthetic_tracks

        given: dict[str, Any] = {
            "channels": channels_of(self.variables, self.levels),
            "least": self._plan().least,
        }
        if self.file is None:
            return synthetic_tracks(self.storms, self.seed, self.fields, **given)
        return file_tracks(self.file, self.basin or None, self.fields, **given)

    def _columns(self) -> Sequence[int]:
        """Return the sizes of the groups of columns of x that are standardised together."""
        if self.inputs == "sequence":
            return ()
        from qt_hw.tasks.typhoon.wide import N_WIDE

        names, levels = channels_of(self.variables, self.levels)
        pixels = self.window**2
        return [1] * N_WIDE + [pixels] * (self.history * len(names) * len(levels))

    def _pairs(self, output: Tensor, y: Tensor) -> Tensor:
        """Return the outputs ``(B, 2 L)`` as ``(B, L, 2)``."""
        if output.ndim != 2 or output.shape != (len(y), 2 * self.leads):
            raise InputError(
                f"the target returned the shape {tuple(output.shape)} for {len(y)} samples: "
                f"expected ({len(y)}, {2 * self.leads})"
            )
        if not len(y):
            raise InputError("the batch is empty: at least one sample is needed")
        return output.reshape(len(y), self.leads, 2)

    def _scales(self, y: Tensor) -> Tensor:
        """Return the unit of the outputs in degrees for each lead time, ``(L, 1)``."""
        return y.new_tensor([[_SCALE * lead / 24] for lead in self.lead_times])

    def _by_lead(self, positions: Tensor, y: Tensor) -> list[float]:
        """Return the mean errors in km, ``(L,)``."""
        from qt_hw.tasks.typhoon.geodesy import distance_km
        from qt_hw.tasks.typhoon.samples import truth

        values: list[float] = distance_km(positions, truth(y)).mean(0).tolist()
        return values

    def _errors(self, key: str, positions: Tensor, y: Tensor) -> dict[str, float]:
        errors = self._by_lead(positions, y)
        by_lead = {
            f"{key}_{lead}h": value for lead, value in zip(self.lead_times, errors, strict=True)
        }
        return {key: sum(errors) / len(errors), **by_lead}
