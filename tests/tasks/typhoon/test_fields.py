"""Fields from NetCDF files: what is interpolated, and what is said where something is missing."""

from __future__ import annotations

import numpy as np
import pytest

from qt_hw.errors import DataError, InputError, MissingExtra
from qt_hw.tasks.typhoon.netcdf import NetcdfFields
from qt_hw.tasks.typhoon.storm import Storm
from qt_hw.tasks.typhoon.window import AnalyticFields, Window

WINDOW = Window(size=3, spacing=2.0)
LEVELS = (850.0, 250.0)
ERA5 = {"time": "valid_time", "level": "pressure_level", "lat": "latitude", "lon": "longitude"}
SHORT = {"time": "time", "level": "plev", "lat": "lat", "lon": "lon"}


def _storm(longitude=140.0, hours=(0, 6, 12)):
    steps = np.arange(len(hours))
    records = zip(hours, 15 + 0.3 * steps, longitude + 0.7 * steps, 20 + 0 * steps, strict=True)
    return Storm.of("A", "TESTING", [(int(h), *map(float, rest)) for h, *rest in records])


def _linear(time, level, latitude, longitude):
    """Linear in latitude and longitude: interpolation is exact."""
    return 2.0 * latitude - 0.5 * longitude + 0.01 * level + 3.0 * time


def _file(path, *, names=ERA5, latitude=None, longitude=None, hours=(0, 6, 12), field=_linear):
    import xarray

    latitude = np.arange(40.0, -1.0, -2.0) if latitude is None else latitude
    longitude = np.arange(100.0, 181.0, 2.5) if longitude is None else longitude
    levels = np.array(LEVELS)
    grid = np.meshgrid(np.arange(len(hours)), levels, latitude, longitude, indexing="ij")
    axes = (names["time"], names["level"], names["lat"], names["lon"])
    times = np.array(hours, dtype="datetime64[h]").astype("datetime64[ns]")
    pressure = levels * 100 if names["level"] == "plev" else levels
    data = xarray.Dataset(
        {"u": (axes, field(*grid).astype(np.float32)), "v": (axes, -field(*grid))},
        coords=dict(zip(axes, (times, pressure, latitude, longitude), strict=True)),
    )
    data.to_netcdf(path, engine="netcdf4")
    return path


@pytest.mark.parametrize("names", [ERA5, SHORT], ids=["ERA5", "short names, Pa"])
def test_a_linear_field_comes_back_exactly(tmp_path, names):
    fields = NetcdfFields(str(_file(tmp_path / "f.nc", names=names)), ("u", "v"), LEVELS)
    assert fields.channels == ("u850", "u250", "v850", "v250")
    storm = _storm()
    found = fields.around(storm, WINDOW)
    assert found.shape == (3, 4, 3, 3)
    latitude, longitude = WINDOW.positions(storm)
    for k in range(3):
        rows, columns = latitude[k][:, None], longitude[k][None, :]
        for channel, (sign, level) in enumerate([(1, 850), (1, 250), (-1, 850), (-1, 250)]):
            wanted = sign * _linear(k, level, rows, columns)
            np.testing.assert_allclose(found[k, channel], wanted, atol=2e-4)  # float32 in the file


def test_a_global_grid_closes_at_the_meridian_where_it_is_cut(tmp_path):
    around = np.arange(-180.0, 180.0, 2.5)
    path = _file(
        tmp_path / "f.nc",
        longitude=around,
        field=lambda t, p, y, x: np.cos(np.deg2rad(x)) + 0 * y,
    )
    fields = NetcdfFields(str(path), ("u",), (850.0,))
    found = fields.around(_storm(longitude=179.4), WINDOW)
    _, longitude = WINDOW.positions(_storm(longitude=179.4))
    wanted = np.cos(np.deg2rad(longitude))
    np.testing.assert_allclose(found[:, 0, 1], wanted, atol=3e-4)  # curvature over 2.5 degrees


def test_a_region_across_180_degrees_in_either_way_of_writing(tmp_path):
    east = np.arange(150.0, 211.0, 2.5)
    for name, longitude in (("a", east), ("b", (east + 180) % 360 - 180)):
        path = _file(
            tmp_path / f"{name}.nc", longitude=longitude, field=lambda t, p, y, x: x % 360.0
        )
        found = NetcdfFields(str(path), ("u",), (850.0,)).around(_storm(longitude=179.0), WINDOW)
        np.testing.assert_allclose(found[0, 0, 1], [177.0, 179.0, 181.0], atol=1e-4)


def test_a_file_of_one_level_needs_no_axis_for_it(tmp_path):
    import xarray

    path = _file(tmp_path / "f.nc")
    with xarray.open_dataset(path) as data:
        data.isel(pressure_level=0).to_netcdf(tmp_path / "one.nc")
    fields = NetcdfFields(str(tmp_path / "one.nc"), ("u",), (850.0,))
    assert fields.around(_storm(), WINDOW).shape == (3, 1, 3, 3)
    with pytest.raises(DataError, match="'u' has no pressure levels, so levels must name one"):
        NetcdfFields(str(tmp_path / "one.nc"), ("u",), LEVELS)


def test_what_the_file_lacks_is_named(tmp_path):
    path = str(_file(tmp_path / "f.nc"))
    with pytest.raises(DataError, match=r"f.nc has no variable 'z', only u, v: set variables"):
        NetcdfFields(path, ("z",), LEVELS)
    with pytest.raises(DataError, match=r"'u' has no level 500 hPa, only 850, 250: set levels"):
        NetcdfFields(path, ("u",), (500.0,))
    fields = NetcdfFields(path, ("u",), LEVELS)
    with pytest.raises(
        DataError, match=r"no fields at 1970-01-01 18 UTC, which the storm A \(TEST"
    ):
        fields.around(_storm(hours=(6, 12, 18)), WINDOW)
    with pytest.raises(DataError, match=r"covers the longitudes 100 to 180; the window around the"):
        fields.around(_storm(longitude=179.0), WINDOW)
    with pytest.raises(DataError, match=r"covers the latitudes 0 to 40; .*take a larger file"):
        fields.around(_storm(), Window(size=3, spacing=20.0))


def test_other_files_are_refused(tmp_path):
    with pytest.raises(DataError, match=r"none.nc does not exist: set fields to a NetCDF file"):
        NetcdfFields(str(tmp_path / "none.nc"), ("u",), LEVELS)
    (tmp_path / "text.nc").write_text("no NetCDF")
    with pytest.raises(DataError, match=r"text.nc cannot be read as NetCDF .*get the file anew"):
        NetcdfFields(str(tmp_path / "text.nc"), ("u",), LEVELS)
    other = {**ERA5, "lat": "y"}
    with pytest.raises(DataError, match=r"has no latitude axis \(known names: latitude, lat; it"):
        NetcdfFields(str(_file(tmp_path / "f.nc", names=other)), ("u",), LEVELS)


def test_axes_that_are_too_many_or_without_units_are_refused(tmp_path):
    import xarray

    with xarray.open_dataset(_file(tmp_path / "f.nc")) as data:
        data.expand_dims(member=2).to_netcdf(tmp_path / "members.nc")
        numbers = np.arange(3.0)
        data.assign_coords(valid_time=numbers).to_netcdf(tmp_path / "numbers.nc")
    with pytest.raises(DataError, match=r"'u' lies on member, valid_time, .*select the other axes"):
        NetcdfFields(str(tmp_path / "members.nc"), ("u",), LEVELS)
    with pytest.raises(DataError, match=r"the time axis has no units as 'hours since"):
        NetcdfFields(str(tmp_path / "numbers.nc"), ("u",), LEVELS)


def test_missing_values_are_refused(tmp_path):
    path = _file(tmp_path / "f.nc", field=lambda t, p, y, x: np.where(y == 14, np.nan, x))
    with pytest.raises(DataError, match="has missing values around the storm A"):
        NetcdfFields(str(path), ("u",), LEVELS).around(_storm(), WINDOW)


def test_without_xarray_the_extra_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(MissingExtra, match=r"needs the extra 'tasks'"):
        NetcdfFields(str(tmp_path / "f.nc"), ("u",), LEVELS)


def test_the_analytic_flow_has_winds_alone():
    fields = AnalyticFields(("u", "v"), (500.0,), {})
    assert fields.channels == ("u500", "v500")
    assert fields.around(_storm(), WINDOW).shape == (3, 2, 3, 3)
    with pytest.raises(InputError, match="has u and v, not 'z': set fields to a NetCDF file"):
        AnalyticFields(("z",), (500.0,), {})


@pytest.mark.parametrize(
    ("minutes", "said"),
    [([90, 450], "no fields at a full hour"), ([0, 450], r"needs \(2 of its 3 .*00 UTC to")],
)
def test_fields_between_full_hours(tmp_path, minutes, said):
    import xarray

    path = _file(tmp_path / "a.nc", hours=(0, 6))
    with xarray.open_dataset(path) as data:
        moved = data.load().assign_coords(
            valid_time=np.array(minutes, dtype="datetime64[m]").astype("datetime64[ns]")
        )
    moved.to_netcdf(tmp_path / "b.nc", engine="netcdf4")
    with pytest.raises(DataError, match=said):
        NetcdfFields(str(tmp_path / "b.nc"), ("u", "v"), LEVELS).around(_storm(), WINDOW)
