"""The task: samples, split, great-circle errors, both baselines, and what is refused."""

from __future__ import annotations

from datetime import datetime

import numpy as np
import pytest
import torch
from torch import nn

import qt_hw as qt
from qt_hw.errors import DataError, InputError, UnknownName
from qt_hw.tasks import build_target, get_task
from qt_hw.tasks.typhoon.baselines import cliper, persistence
from qt_hw.tasks.typhoon.geodesy import EARTH_RADIUS_KM, distance_km, encode, moved
from qt_hw.tasks.typhoon.samples import N_STATE, state, truth
from qt_hw.tasks.typhoon.source import standardised
from qt_hw.tasks.typhoon.storm import Storm
from qt_hw.tasks.typhoon.wide import wide_features
from qt_hw.training.loading import load_config
from tests.tasks.typhoon.formats import cma_lines, ibtracs

SMALL = {"storms": 40, "leads": 2}


@pytest.fixture(scope="module")
def task():
    return get_task("typhoon", **SMALL)


@pytest.fixture(scope="module")
def data(task):
    return task.load()


class Constant(nn.Module):
    """Returns the same displacements whatever it sees."""

    def __init__(self, values):
        super().__init__()
        self.register_buffer("values", torch.tensor(values))

    def forward(self, x):
        return self.values.expand(len(x), -1)


def test_great_circle_distances():
    nashville_and_los_angeles = [[36.12, -86.67], [33.94, -118.40]]
    airports = torch.tensor(nashville_and_los_angeles, dtype=torch.float64)
    # Rosetta Code, "Haversine formula": 2,887.2599506 km on a sphere of 6,372.8 km
    wanted = 2887.2599506 * EARTH_RADIUS_KM / 6372.8
    assert float(distance_km(*airports)) == pytest.approx(wanted, rel=1e-9)
    degree = distance_km(torch.tensor([10.0, 359.0]), torch.tensor([11.0, -1.0]))
    assert float(degree) == pytest.approx(np.pi * EARTH_RADIUS_KM / 180, rel=1e-6)


def test_displacements_are_undone():
    source = torch.Generator().manual_seed(0)
    start, way = (torch.rand(20, 2, generator=source, dtype=torch.float64) for _ in range(2))
    start = start * 40 + torch.tensor([5.0, 150.0])
    end = moved(start, 10 * way - 5)
    torch.testing.assert_close(encode(start, end), 10 * way - 5, atol=1e-12, rtol=0)
    east = moved(torch.tensor([60.0, 100.0]), torch.tensor([0.0, 1.0]))
    assert east.tolist() == pytest.approx([60.0, 102.0], abs=1e-4)  # a parallel half as long


def test_samples_hold_what_they_should(task, data):
    x, y = data.train
    assert x.dtype == y.dtype == torch.float32
    assert x.shape[1:] == (8, 6 + 4 * 9)
    assert y.shape[1:] == (N_STATE + 4,)
    # The truth 24 h after a sample is the position of the sample four steps later.
    number = y[:, N_STATE - 1]
    same = torch.nonzero(number[4:] == number[:-4]).flatten()
    torch.testing.assert_close(truth(y)[same, 0], state(y)[same + 4])
    columns = x.flatten(0, 1)
    torch.testing.assert_close(columns.mean(0), torch.zeros(42), atol=1e-4, rtol=0)
    torch.testing.assert_close(columns.std(0), torch.ones(42), atol=1e-3, rtol=0)


def test_no_storm_is_on_both_sides_and_the_test_is_later(data):
    first_train, first_test = (
        {tuple(row.tolist()) for row in part[1][:, :2]} for part in (data.train, data.test)
    )
    assert not first_train & first_test
    facts = data.description
    assert facts["n_train_storms"] + facts["n_test_storms"] + facts["n_storms_too_short"] == 40
    assert facts["n_test_storms"] == round(0.2 * (40 - facts["n_storms_too_short"]))


def test_loading_is_the_same_bit_for_bit(task, data):
    again = task.load()
    for part in ("train", "test"):
        for a, b in zip(getattr(data, part), getattr(again, part), strict=True):
            assert torch.equal(a, b)


def test_metrics_of_a_known_displacement(task, data):
    y = data.test[1]
    # One degree to the north of the truth at 24 h, one to the east at 48 h (in units of 4°/day).
    away = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    scales = torch.tensor([4.0, 8.0])[:, None]
    output = ((encode(state(y)[:, None], truth(y)) + away) / scales).flatten(1)
    found = task.metrics(output, y)
    degree = np.pi * EARTH_RADIUS_KM / 180
    assert found["track_error_24h"] == pytest.approx(degree, rel=1e-2)
    assert found["track_error_48h"] == pytest.approx(degree, rel=5e-2)  # east along a parallel
    mean = (found["track_error_24h"] + found["track_error_48h"]) / 2
    assert found["track_error"] == pytest.approx(mean, rel=1e-12)
    assert found["loss"] == pytest.approx((1 / 4 + 1 / 8) / 2, rel=1e-3)


def test_means_over_slices_are_means_over_samples(task, data, monkeypatch):
    model = Constant([0.1, -0.5, 0.2, -0.4])
    whole = task.evaluate(model, data)
    monkeypatch.setattr(type(task), "evaluation_batch", 7)
    for name, value in task.evaluate(model, data).items():
        assert value == pytest.approx(whole[name], rel=1e-5), name


def test_persistence_is_exact_for_a_constant_motion():
    records = [(6 * k, 10 + 0.5 * k, 0.0, 20.0) for k in range(20)]  # due north
    storm = Storm.of("A", "A", [(h, y, 140.0, w) for h, y, _, w in records])
    steps = torch.tensor([4, 8])
    y = torch.tensor([[storm.latitude[8], 140.0, 0.5, 0.0, 0.0, 1.0, 0.0]])
    wanted = torch.stack((14.0 + 0.5 * steps, torch.full((2,), 140.0)), dim=1)
    torch.testing.assert_close(persistence(y, (24, 48))[0], wanted.double())


def test_cliper_is_the_least_squares_fit(task, data):
    train, test = data.train[1].double(), data.test[1].double()

    def predictors(y):
        return np.column_stack((np.ones(len(y)), y[:, :6].numpy()))

    wanted = encode(state(train)[:, None], truth(train)).flatten(1).numpy()
    fit = np.linalg.lstsq(predictors(train), wanted, rcond=None)[0]
    displacement = torch.from_numpy(predictors(test) @ fit).reshape(len(test), -1, 2)
    expected = moved(state(test)[:, None], displacement)
    torch.testing.assert_close(cliper(train, test), expected, atol=1e-5, rtol=1e-6)


def test_evaluation_has_both_baselines_and_the_regression_is_the_better(task, data):
    values = task.evaluate(Constant([0.0] * 4), data)
    for key in ("test_track_error", "test_persistence_km", "test_cliper_km"):
        by_lead = [values[f"{key}_{lead}h"] for lead in (24, 48)]
        assert by_lead[0] < by_lead[1]
        assert values[key] == pytest.approx(sum(by_lead) / 2)
    regression, motion = values["test_cliper_km"], values["test_persistence_km"]
    assert regression < motion < values["test_track_error"]


def test_figures_of_a_run(task, data):
    made = task.figures(Constant([0.0] * 4), data)
    assert set(made) == {"tracks", "lead_times"}
    assert made["lead_times"].axes[0].get_ylabel() == "mean track error (km)"
    assert "test storms" in made["tracks"].axes[0].get_title(loc="left")
    for figure in made.values():
        figure.draw_without_rendering()


def test_images_are_taken_by_the_published_network():
    options = {"inputs": "images", "history": 2, "window": 31, "spacing": 1.0, "leads": 1}
    task = get_task("typhoon", storms=10, train_size=8, test_size=4, **options)
    data = task.load()
    assert data.train[0].shape == (8, 53 + 2 * 4 * 31 * 31)
    network = build_target("typhoon-am-convgru", torch.Generator().manual_seed(0))
    task.check(network, data)
    with pytest.raises(InputError, match=r"\(1, 6\), not \(1, 2\): .*leads = 1 for the published"):
        get_task("typhoon", **{**options, "leads": 3}).check(network, data)
    other = build_target("typhoon-gru-2", torch.Generator())
    with pytest.raises(InputError, match="set inputs = 'sequence' for typhoon-gru-H"):
        task.check(other, data)
    # Each image has one mean and one spread over the training part.
    image = data.train[0][:, 53 : 53 + 961]
    assert float(image.mean()) == pytest.approx(0, abs=1e-4)
    assert float(image.std(correction=0)) == pytest.approx(1, rel=1e-3)


def test_the_wide_features_of_a_straight_track():
    records = [(6 * k, 10 + 0.5 * k, 140.0, 20.0 + k) for k in range(6)]
    found = wide_features(Storm.of("A", "A", records), np.array([5]))[0]
    assert found.shape == (53,)
    past = [12.0, 11.5, 11.0, 10.5, *[140.0] * 4, 24.0, 23.0, 22.0, 21.0]
    np.testing.assert_allclose(found[:16], [12.5, 140, 25, *past, 1.0])
    np.testing.assert_allclose(found[16:28], [1] * 4 + [0.5] * 4 + [0] * 4)
    np.testing.assert_allclose(found[28:32], [1.0, 1.0, 0.0, 0.0])
    way = 0.5 * 111.195
    acceleration = [2 * way / 36, 2 * way / 36, 4 * way / 144, 4 * way / 144]
    np.testing.assert_allclose(found[32:36], acceleration, rtol=1e-6)
    np.testing.assert_allclose(found[36:42], [12.5**0.5, 140**0.5, 0, 0, 0, 0])
    np.testing.assert_allclose(found[42:], [0] * 4 + [90] * 4 + [0] * 3, atol=1e-9)


def test_an_unknown_wind_is_the_last_one_known():
    winds = [20.0, float("nan"), 30.0, float("nan"), float("nan"), 36.0]
    records = [(6 * k, 10.0, 140.0, wind) for k, wind in enumerate(winds)]
    found = wide_features(Storm.of("A", "A", records), np.array([5]))[0]
    np.testing.assert_allclose([found[2], *found[11:15]], [36, 30, 30, 30, 20])
    nothing = [(h, y, x, float("nan")) for h, y, x, _ in records]
    found = wide_features(Storm.of("A", "A", nothing), np.array([5]))[0]
    assert np.isfinite(found).all()
    assert found[2] == 0


def test_standardising_knows_the_training_part_alone():
    train, test = torch.tensor([[[1.0, 5.0]], [[3.0, 9.0]]]), torch.tensor([[[3.0, 5.0]]])
    a, b = standardised(train, test, ())
    assert (a.tolist(), b.tolist()) == ([[[-1, -1]], [[1, 1]]], [[[1, -1]]])
    shared, _ = standardised(train, test, (2,))
    assert float(shared.mean()) == pytest.approx(0, abs=1e-6)
    assert float(shared.square().mean()) == pytest.approx(1, rel=1e-6)


def _tracks(path, n, records=30):
    storms = []
    for k in range(n):
        points = [(12 + 0.4 * j, 172.0 + 0.5 * j + 0.1 * k, " ") for j in range(records)]
        wrapped = [(y, x if x <= 180 else x - 360, w) for y, x, w in points]
        storms.append((f"S{k}", datetime(2010 + k, 8, 1), 6, wrapped))
    return ibtracs(path, storms)


def test_best_tracks_of_a_file_across_the_date_line(tmp_path):
    path = _tracks(tmp_path / "ib.csv", 5)
    data = get_task("typhoon", source="file", file=str(path), leads=1).load()
    facts = data.description
    assert (facts["format"], facts["n_storms"], facts["n_test_storms"]) == ("IBTrACS", 5, 1)
    assert set(facts["sha256"]) == {"ib.csv"}
    longitudes = data.train[1][:, 1]
    assert 170 < float(longitudes.min()) < 180 < float(longitudes.max()) < 190


def test_short_tracks_are_counted(tmp_path):
    start = datetime(2018, 8, 1)
    long, short = ([(100 + 3 * k, 1350, 20) for k in range(n)] for n in (20, 8))
    lines = [line for points in (long, short, long) for line in cma_lines(start, points)]
    (tmp_path / "a.txt").write_text("\n".join(lines) + "\n")
    options = {"source": "file", "file": str(tmp_path / "a.txt"), "test_share": 0.5}
    facts = get_task("typhoon", leads=1, **options).load().description
    assert (facts["n_storms"], facts["n_storms_too_short"]) == (3, 1)
    with pytest.raises(InputError, match="none of 3 storms has 33 six-hourly records in a row"):
        get_task("typhoon", leads=6, **options).load()


def test_fields_of_a_file_are_seen_and_their_lack_is_an_error(tmp_path):
    import xarray

    path = _tracks(tmp_path / "ib.csv", 3, records=14)
    axes = ("valid_time", "pressure_level", "latitude", "longitude")
    times = np.concatenate(
        [np.datetime64(f"{2010 + k}-08-01", "h") + 6 * np.arange(14) for k in range(2)]
    )
    grid = np.arange(0.0, 41.0, 5.0), np.arange(160.0, 201.0, 5.0)
    shape = (len(times), 1, len(grid[0]), len(grid[1]))
    values = np.random.RandomState(0).normal(size=shape)
    coords = dict(zip(axes, (times.astype("datetime64[ns]"), [500.0], *grid), strict=True))
    xarray.Dataset({"z": (axes, values)}, coords=coords).to_netcdf(tmp_path / "z.nc")
    options = {
        "source": "file",
        "file": str(path),
        "fields": str(tmp_path / "z.nc"),
        "variables": "z",
        "levels": "500",
        "leads": 1,
        "test_share": 0.3,
    }
    with pytest.raises(DataError, match=r"z.nc has no fields at 2012-08-01 00 UTC"):
        get_task("typhoon", **options).load()
    path.write_text("\n".join(path.read_text().splitlines()[:30]) + "\n")  # two storms
    data = get_task("typhoon", **{**options, "test_share": 0.5}).load()
    assert data.train[0].shape[1:] == (8, 6 + 9)
    assert data.description["channels"] == "z500"


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"source": "web"}, "unknown source 'web'"),
        ({"source": "file"}, "source = 'file' and file = 'PATH' belong together"),
        ({"file": "a.csv"}, "source = 'file' and file = 'PATH' belong together"),
        ({"inputs": "image"}, "did you mean 'images'"),
        ({"lead_hours": 8}, "lead_hours must be a multiple of 6"),
        ({"leads": 0}, "leads must be a whole number of at least 1"),
        ({"basin": 5}, "basin must be text, got 5"),
        ({"spacing": 0.0}, "spacing must lie between 0 and 30"),
        ({"test_share": 1}, "test_share must lie between 0 and 1"),
        ({"levels": "850,low"}, "variables and levels must be lists with commas"),
        ({"seed": -1}, "seed must be a whole number of at least 0"),
    ],
)
def test_wrong_options_are_named(options, said):
    with pytest.raises(InputError, match=said):
        get_task("typhoon", **options)


def test_too_few_storms_and_samples_are_named():
    with pytest.raises(
        InputError, match=r"test_share = 0.2 leaves one part empty: take more storms"
    ):
        get_task("typhoon", storms=2).load()
    with pytest.raises(InputError, match=r"train_size = 99,999, there are \d"):
        get_task("typhoon", storms=10, train_size=99_999).load()
    with pytest.raises(UnknownName, match="unknown option 'horizon' of the task 'typhoon'"):
        get_task("typhoon", horizon=3)


def test_outputs_of_another_shape_are_refused(task, data):
    y = data.test[1]
    with pytest.raises(InputError, match=r"returned the shape \(3, 2\) for 3 samples: expected"):
        task.loss(torch.zeros(3, 2), y[:3])
    with pytest.raises(InputError, match="the batch is empty"):
        task.loss(torch.zeros(0, 4), y[:0])
    with pytest.raises(InputError, match=r"set target.options.leads = 2"):
        task.check(Constant([0.0] * 6), data)
    other = build_target("typhoon-gru-2", torch.Generator(), options={"inputs": 9})
    with pytest.raises(InputError, match=r"inputs of shape \(8, 42\).*target.options.inputs = 42"):
        task.check(other, data)


def test_a_short_exact_training_beats_persistence(tmp_path):
    overrides = [
        "task.options={storms = 60, history = 2}",
        "target.name=typhoon-gru-6",
        "mapping.chunk_size=15",
        "optimizer.steps=60",
        "optimizer.eval_every=60",
        "optimizer.lr_angles=5e-2",
        "optimizer.lr_mapping=5e-2",
        "backend.name=statevector",
        "backend.shots=",
    ]
    run = qt.train(load_config("typhoon-quick", overrides), out=tmp_path / "run")
    results = run.results()
    assert results["test_track_error"] < 0.9 * run.metrics[-1]["test_persistence_km"]
