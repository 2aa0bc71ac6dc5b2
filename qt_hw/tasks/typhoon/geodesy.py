"""Distances and displacements on a sphere, in torch so that batches stay where they are."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["EARTH_RADIUS_KM", "distance_km", "encode", "moved"]

EARTH_RADIUS_KM = 6371.0088  # mean radius of the Earth (IUGG; Moritz, J. Geodesy 74 (2000) 128)


def distance_km(a: Tensor, b: Tensor) -> Tensor:
    """Return great-circle distances in km by the haversine formula.

    Args:
        a: Latitude and longitude in degrees, ``(…, 2)``; any turns of longitude.
        b: The same.

    Sinnott, Sky & Telescope 68 (1984) 159. A quarter of the equator:

    >>> round(float(distance_km(torch.tensor([0.0, 179.0]), torch.tensor([0.0, -91.0]))), 1)
    10007.6
    """
    lat_a, lon_a, lat_b, lon_b = (
        torch.deg2rad(t.to(torch.float64)) for t in (a[..., 0], a[..., 1], b[..., 0], b[..., 1])
    )
    across = torch.sin((lat_b - lat_a) / 2) ** 2
    along = torch.cos(lat_a) * torch.cos(lat_b) * torch.sin((lon_b - lon_a) / 2) ** 2
    return 2 * EARTH_RADIUS_KM * torch.asin((across + along).clamp(0.0, 1.0).sqrt())


def moved(start: Tensor, displacement: Tensor) -> Tensor:
    """Return the positions ``(…, 2)`` reached from ``start`` ``(…, 2)``.

    Args:
        start: Latitude and longitude, degrees.
        displacement: North and east in degrees of a great circle, ``(…, 2)``; east is measured
            at the latitude half way.
    """
    latitude = (start[..., 0] + displacement[..., 0]).clamp(-89.0, 89.0)
    half_way = torch.deg2rad((start[..., 0] + latitude) / 2)
    longitude = start[..., 1] + displacement[..., 1] / torch.cos(half_way)
    return torch.stack((latitude, longitude), dim=-1)


def encode(start: Tensor, end: Tensor) -> Tensor:
    """Return the displacement ``(…, 2)`` with which ``moved`` gets from ``start`` to ``end``."""
    north = end[..., 0] - start[..., 0]
    half_way = torch.deg2rad((start[..., 0] + end[..., 0]) / 2)
    east = (end[..., 1] - start[..., 1]) * torch.cos(half_way)
    return torch.stack((north, east), dim=-1)
