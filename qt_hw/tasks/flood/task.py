"""Flood forecasting: the next hours of a river from its level or discharge and the rain."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, cast

from qt_hw.errors import InputError, UnknownName
from qt_hw.tasks.flood.options import column_names, leads_of, whole, words
from qt_hw.tasks.flood.times import hours_of
from qt_hw.tasks.metric import Metric
from qt_hw.tasks.task import Data, Task, check_count, check_parts, check_texts, first_output

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from torch import Tensor, nn

    from qt_hw.tasks.flood.series import Series
    from qt_hw.tasks.flood.windows import Normalisation, Split

__all__ = ["NSE", "Flood"]

NSE = Metric(
    key="nse",
    label="NSE",
    digits=3,
    high=1.0,
    drops=(0.01, 0.02, 0.05, 0.1),
)
"""Nash-Sutcliffe efficiency, mean over the lead times; 1 is perfect."""

_SOURCES = ("rainfall-runoff", "wave", "file")
_VARIABLES = ("discharge", "level")
_NORMALISATIONS = ("standard", "range")
_GENERATED = {"rainfall-runoff": (8000, 3000), "wave": (99_900, 1000)}
_MOST_TRAIN = 2000


@dataclass(frozen=True, kw_only=True)
class Flood(Task):
    """Forecasts of a river's flow from the last ``length`` steps of flow and rain.

    Inputs are windows ``(N, length, F)``: the flow, and the rain where there is some. What is to
    be learnt is the flow at each lead time after the window, ``(N, H)``. Training windows end
    before the first test window begins, no window crosses a gap, and none ends in an interpolated
    value or is to tell one. The loss is the mean square error of normalised flows. All other
    metrics are means over the lead times, of flows in the series' own unit (m³/s or m): ``nse``,
    ``kge``, ``rmse`` in that unit, ``peak_error`` (as a share of the flow, over the largest 2 % of
    the flows) and ``persistence_nse``, the NSE of taking the last observed flow for the forecast.
    Those of the training part use at most 2,000 of its windows, always the same.

    Attributes:
        source: ``rainfall-runoff``, a simulated catchment in hourly steps (see
            ``qt_hw.tasks.flood.generator``); ``wave``, the periodic wave of the reference; or
            ``file``, which is also meant if a file is given.
        file: Path of a gauge file (see ``qt_hw.tasks.flood.gauge.read_gauge``).
        columns: Headers that are not recognised, ``"time=Messzeit, discharge=Q, rain=N"``.
        variable: What is forecast, ``discharge`` or ``level``; by default the former if the file
            has both.
        rain: Whether rain is an input where there is some.
        time_format: As for ``datetime.strptime``, where times of the file are not recognised.
        missing: Words in the file that stand for missing values, ``"Eis, -777"``.
        step: Length of a step to which a file is resampled: ``1h``, ``15min``, ``1d``.
        max_gap: Steps in a row that may be interpolated.
        length: Steps in a window.
        lead: Lead times in steps: a number for each from 1 on, or text such as ``"1, 3, 6, 12"``.
        train_size: Training windows, the last ones before the test; None takes all of a file
            and generates 8,000 (of the wave, 99,900 as published).
        test_size: Test windows, the last ones; None takes a fifth of a file's and generates
            3,000 (of the wave, 1,000).
        normalise: ``standard``, to mean 0 and deviation 1 of the training part, or ``range``, to
            its range from -1 to 1 (the reference's).
        every_step: Whether the loss counts the forecasts after every step of a window, as in the
            reference; the target needs the same option. Metrics use the last step alone.
        seed: Of the simulated rain.
    """

    name: ClassVar[str] = "flood"
    headline: ClassVar[Metric] = NSE
    source: str | None = None
    file: str | None = None
    columns: str | None = None
    variable: str | None = None
    rain: bool = True
    time_format: str | None = None
    missing: str | float | None = None
    step: str = "1h"
    max_gap: int = 6
    length: int = 24
    lead: int | str | tuple[int, ...] = "1, 3, 6, 12"
    train_size: int | None = None
    test_size: int | None = None
    normalise: str = "standard"
    every_step: bool = False
    seed: int = 0

    def __post_init__(self) -> None:
        """Check the options."""
        check_texts(self, ("file", "columns", "time_format"))
        self._check_source()
        leads_of(self.lead)
        column_names(self.columns)
        hours_of("step", self.step)
        for option, least in (("length", 1), ("max_gap", 0), ("seed", 0)):
            whole(option, getattr(self, option), least)
        if self.seed >= 2**32:
            raise InputError(f"seed must be below 2^32, got {self.seed}")
        for option in ("rain", "every_step"):
            if not isinstance(getattr(self, option), bool):
                raise InputError(f"{option} must be true or false, got {getattr(self, option)!r}")
        if self.normalise not in _NORMALISATIONS:
            raise UnknownName("normalisation", str(self.normalise), _NORMALISATIONS)
        if self.variable is not None and self.variable not in _VARIABLES:
            raise UnknownName("variable", str(self.variable), _VARIABLES)
        check_count("train_size", self.train_size)
        check_count("test_size", self.test_size)

    def _check_source(self) -> None:
        if self.source is not None and self.source not in _SOURCES:
            raise UnknownName("source", str(self.source), _SOURCES)
        if (self.source == "file") > (self.file is not None):
            raise InputError("source = 'file' needs the path of a gauge file: file = 'gauge.csv'")
        if self.file is not None and self.source not in (None, "file"):
            raise InputError(f"file and source = {self.source!r} are both given: leave out one")

    @property
    def leads(self) -> tuple[int, ...]:
        """Lead times in steps."""
        return leads_of(self.lead)

    def load(self) -> Data:
        """Return the data; see ``Task.load``.

        Raises:
            DataError: The file cannot be read or used; names file, line and remedy.
        """
        import torch

        from qt_hw.tasks.flood.windows import normalisation, split_windows, windows

        series, sizes = self._series()
        split = split_windows(series, self.length, self.leads, *sizes)
        norm = normalisation(series, split, to_range=self.normalise == "range")
        values = norm.applied(series.values)
        parts = [
            windows(values, starts, split, every_step=self.every_step)
            for starts in (split.train, split.test)
        ]
        train, test = ((torch.from_numpy(x), torch.from_numpy(y)) for x, y in parts)
        return Data(
            train=train,
            test=test,
            name=self.name,
            description=self._describe(series, split, norm),
        )

    def _series(self) -> tuple[Series, tuple[int | None, int | None]]:
        """Return the whole series, and how many windows of it are for training and testing."""
        from qt_hw.tasks.flood.sources import from_file, rainfall_runoff, wave_series

        if self.file is not None:
            kinds = {"variable": self.variable, "rain": self.rain}
            series = from_file(
                self.file,
                columns=column_names(self.columns),
                time_format=self.time_format,
                missing=words(self.missing),
                hours=hours_of("step", self.step),
                max_gap=self.max_gap,
                **cast("dict[str, Any]", kinds),
            )
            return series, (self.train_size, self.test_size)
        source = self.source or _SOURCES[0]
        default = _GENERATED[source]
        n_train, n_test = self.train_size or default[0], self.test_size or default[1]
        # Two parts of n windows, each with the steps before its first forecast.
        steps = n_train + n_test + 2 * (self.length + max(self.leads) - 1)
        if source == "wave":
            return wave_series(steps), (n_train, n_test)
        return rainfall_runoff(steps, self.seed, rain=self.rain), (n_train, n_test)

    def _describe(self, series: Series, split: Split, norm: Normalisation) -> dict[str, object]:
        reach = self.length + max(self.leads)
        return {
            "source": series.source,
            **series.facts,
            "columns_used": list(series.names),
            "units": list(series.units),
            "step_hours": series.hours,
            "length": self.length,
            "leads": list(self.leads),
            "split": "in time: training windows end before the first test window begins",
            "train_period": [
                series.time(int(split.train[0])),
                series.time(int(split.train[-1]) + reach),
            ],
            "test_period": [
                series.time(int(split.test[0])),
                series.time(int(split.test[-1]) + reach),
            ],
            "test_stretches": _stretches(series, split),
            "normalisation": self.normalise,
            "offset": list(norm.offset),
            "scale": list(norm.scale),
            "n_train": len(split.train),
            "n_test": len(split.test),
        }

    def loss(self, output: Tensor, y: Tensor) -> Tensor:
        """Return the mean square error of the normalised forecasts ``(B, H)``, a scalar.

        Raises:
            InputError: The shapes do not fit.
        """
        import torch.nn.functional as F  # noqa: N812

        _check_shapes(output, y)
        return F.mse_loss(output, y)

    def metrics(self, output: Tensor, y: Tensor) -> dict[str, float]:
        """Return ``loss``, ``nse`` and ``rmse`` of normalised flows; for units see ``evaluate``.

        Raises:
            InputError: The shapes do not fit.
        """
        from qt_hw.tasks.flood.evaluation import last, scored

        loss = float(self.loss(output.detach(), y))
        found = scored(last(y), last(output))
        return {"loss": loss, "nse": found["nse"], "rmse": found["rmse"]}

    def evaluate(self, model: nn.Module, data: Data) -> dict[str, float]:
        """Return the metrics of each part, in the unit of the series; see the class."""
        from qt_hw.tasks.flood.evaluation import in_order, in_units, last, now, scored, some

        found: dict[str, float] = {}
        for part, (x, y) in (("train", some(data.train, _MOST_TRAIN)), ("test", data.test)):
            output = in_order(model, x, self.evaluation_batch)
            found[f"{part}_loss"] = float(self.loss(output, y))
            arrays = (in_units(data, values) for values in (last(y), last(output), now(x)))
            found |= {f"{part}_{name}": value for name, value in scored(*arrays).items()}
        return found

    def check(self, target: nn.Module, data: Data) -> None:
        """Pass one window through a copy of ``target``.

        Raises:
            InputError: It does not take the inputs, or returns another number of lead times.
        """
        check_parts(data)
        inputs, wanted = data.input_shape[-1], (1, *data.train[1].shape[1:])
        options = f"inputs = {inputs}, horizon = {wanted[-1]}" + (
            ", every_step = true" if self.every_step else ""
        )
        advice = f"; an LSTM of this package needs [target] options = {{ {options} }}"
        try:
            output = first_output(target, data)
        except InputError as error:
            raise InputError(f"{error}{advice}") from error
        shape = tuple(getattr(output, "shape", ()))
        if shape != wanted:
            raise InputError(
                f"the target's output for one window must have shape {wanted}, not {shape}{advice}"
            )

    def figures(self, model: nn.Module, data: Data) -> dict[str, Figure]:
        """Return ``forecast``, the largest test flood, and ``skill``, NSE against lead time."""
        from qt_hw.tasks.flood.evaluation import in_order, in_units, last, now
        from qt_hw.tasks.flood.figures import View, hydrograph, skill

        x, y = data.test
        view = View.of(
            data.description,
            observed=in_units(data, last(y)),
            forecast=in_units(data, last(in_order(model, x, self.evaluation_batch))),
            now=in_units(data, now(x))[:, 0],
            rain=in_units(data, now(x, 1), 1)[:, 0] if x.shape[-1] > 1 else None,
        )
        return {"forecast": hydrograph(view), "skill": skill(view)}


def _stretches(series: Series, split: Split) -> list[list[object]]:
    """Return where the test windows do not follow each other: index, and time of the next step."""
    import numpy as np

    jumps = np.flatnonzero(np.diff(split.test, prepend=split.test[0] - 2) != 1)
    return [[int(k), series.time(int(split.test[k]) + split.length)] for k in jumps]


def _check_shapes(output: Tensor, y: Tensor) -> None:
    if output.shape != y.shape or not len(y):
        raise InputError(
            f"the target returned the shape {tuple(output.shape)}, expected {tuple(y.shape)}"
            + ("" if len(y) else " with at least one window")
        )
