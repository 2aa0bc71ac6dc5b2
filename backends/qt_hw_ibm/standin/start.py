"""Start a stand-in, and send the unmodified client to it."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from qt_hw.errors import UnknownName
from qt_hw.execution.loopback import child
from qt_hw_ibm.standin.account import API_KEY, CRN
from qt_hw_ibm.standin.devices import check_packages
from qt_hw_ibm.standin.faults import check_names

__all__ = ["environment", "redirected", "rehearse"]

_MODULE = "qt_hw_ibm.standin"
_OPTIONS = ("faults", "instance", "noise", "queue_seconds")


def environment(url: str) -> dict[str, str]:
    """Return the environment variables that send ``QiskitRuntimeService()`` to a stand-in.

    A URL with "experimental" in it is taken by the client as it stands; IAM, Global Search and
    Global Catalog have variables of their own. Source: ``api/utils.py`` and
    ``accounts/management.py`` of qiskit-ibm-runtime.
    """
    around = [os.environ.get("no_proxy") or os.environ.get("NO_PROXY"), "127.0.0.1"]
    no_proxy = ",".join(entry for entry in around if entry)
    return {
        "QISKIT_IBM_CHANNEL": "ibm_quantum_platform",
        "QISKIT_IBM_TOKEN": API_KEY,
        "QISKIT_IBM_URL": f"{url}/experimental/api/v1",
        "QISKIT_IBM_INSTANCE": CRN,
        "IAM_URL": url,
        "GLOBAL_SEARCH_URL": url,
        "GLOBAL_CATALOG_URL": f"{url}/catalog",
        "USAGE_DATA_OPT_OUT": "True",
        "NO_PROXY": no_proxy,
        "no_proxy": no_proxy,
    }


@contextlib.contextmanager
def redirected(variables: Mapping[str, str]) -> Iterator[None]:
    """Set environment variables, and put back what was there."""
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


@contextlib.contextmanager
def rehearse(
    device: str | None,
    state: Path,
    *,
    queue_seconds: float = 2.0,
    faults: Sequence[str] = (),
    noise: bool = False,
    instance: str | None = None,
    **unknown: Any,
) -> Iterator[None]:
    """Within this context ``ibm:<device>`` is a stand-in in a process of its own.

    Args:
        device: E.g. ``"ibm_torino"``. A device without a snapshot gets that of a Heron processor.
        state: Folder of the stand-in's jobs.
        queue_seconds: How long a job waits.
        faults: Names of faults that happen once each.
        noise: Whether the device is as noisy as its snapshot.
        instance: The user's own instance, CRN or name: the stand-in knows it then.
        **unknown: Refused.

    Raises:
        UnknownName: There is no such fault or option.
        MissingExtra: There is no Qiskit Aer or no client.
        BackendError: The stand-in did not start.
    """
    for name in unknown:
        raise UnknownName("option of the rehearsal", name, _OPTIONS)
    check_names(faults)
    check_packages()
    arguments = ["--state", str(state), "--queue-seconds", str(queue_seconds)]
    for name in faults:
        arguments += ["--fault", name]
    if device is not None:
        arguments += ["--device", device]
    if instance is not None:
        arguments += ["--instance", instance]
    if noise:
        arguments.append("--noise")
    with child(_MODULE, arguments) as url, redirected(environment(url)):
        yield
