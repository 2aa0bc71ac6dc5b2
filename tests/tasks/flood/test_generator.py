from __future__ import annotations

import numpy as np
import pytest

from qt_hw.tasks.flood.generator import Catchment, wave


def test_water_is_conserved() -> None:
    record = Catchment().simulate(5000, seed=3)
    change = record.storage[-1] - record.before
    gone = record.evaporation.sum() + record.runoff.sum()
    assert record.rain.sum() - gone == pytest.approx(change, abs=1e-9)
    assert min(record.evaporation.min(), record.runoff.min(), record.storage.min()) >= 0


def test_discharge_is_runoff_over_the_area() -> None:
    record = Catchment(area=36.0).simulate(100, seed=0)
    # 1 mm/h over 36 km² is 36e6 m² · 1e-3 m / 3600 s = 10 m³/s.
    assert record.discharge == pytest.approx(10 * record.runoff)


def test_after_the_rain_a_single_reservoir_recedes_by_its_time_constant() -> None:
    dry = Catchment(wet_after_dry=0.05, wet_after_wet=0.5, fast_share=0.0, slow_hours=50.0)
    record = dry.simulate(3000, seed=1)
    resting = (record.rain[1:] == 0) & (record.rain[:-1] == 0)
    ratio = record.runoff[1:][resting] / record.runoff[:-1][resting]
    assert ratio == pytest.approx(np.exp(-1 / 50))


def test_cascade_answers_a_pulse_like_two_reservoirs_in_a_row() -> None:
    from qt_hw.tasks.flood.generator import _reservoir

    stores, out = [0.0, 0.0], []
    for hour in range(400):
        flow = 1.0 if hour == 0 else 0.0
        for k in range(2):
            stores[k], flow = _reservoir(stores[k], flow, 8.0)
        out.append(flow)
    hours = np.arange(400) + 0.5
    # Nash's unit hydrograph t/k² e^(−t/k); in hourly steps it lags by half an hour for each store.
    mean = float(np.sum(hours * out))
    assert sum(out) == pytest.approx(1.0)
    assert mean == pytest.approx(2 * 8.0 + 0.5, abs=0.2)


def test_rain_has_the_frequencies_asked_for() -> None:
    steady = Catchment(seasonality=0.0, wet_after_dry=0.1, wet_after_wet=0.7, amount=2.0)
    rain = steady.simulate(20_000, seed=0).rain
    wet = rain > 0
    share, n = 0.1 / (0.1 + 0.3), len(rain)
    # The states of a Markov chain are correlated by λ = 0.6: variance (1 + λ) / (1 − λ) larger.
    sigma = (share * (1 - share) / n * 4) ** 0.5
    assert abs(wet.mean() - share) < 4 * sigma
    deviation = 2.0 / 0.7**0.5
    assert abs(rain[wet].mean() - 2.0) < 4 * deviation / wet.sum() ** 0.5


def test_the_same_seed_gives_the_same_bits_and_prefixes_differ_by_seed() -> None:
    one, again, other = (Catchment().simulate(200, seed=s) for s in (0, 0, 1))
    assert np.array_equal(one.discharge, again.discharge)
    assert not np.array_equal(one.rain, other.rain)


def test_wave_is_the_references() -> None:
    values = wave(250)
    assert values[0] == pytest.approx(np.exp(-3))
    x = 10 * np.pi * 7 / 99
    by_hand = (0.64 * np.sin(x) ** 2 + np.cos(x) + 0.3 * np.sin(x) ** 3) * np.exp(-3)
    assert values[107] == pytest.approx(by_hand)
    assert np.array_equal(values[:100], values[100:200])
