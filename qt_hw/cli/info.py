"""``qt-hw presets``, ``backends`` and ``doctor``: what there is, and what is missing."""

from __future__ import annotations

__all__ = ["backends", "doctor", "presets"]

_EXTRAS = (
    ("aer", "qiskit_aer", "noisy and ideal simulation with Qiskit Aer"),
    ("ibm", "qiskit_ibm_runtime", "IBM devices (ibm:…), their stored calibrations (aer:fake_…)"),
    ("braket", "braket.devices", "Amazon Braket (braket:…) and IonQ through it (ionq:…)"),
    ("mitigation", "mitiq", "mitigation by ddd, cdr, pec, lre, exponential zne (GPL-3.0)"),
    ("study", "plotly", "reports of studies, Ray clusters, TensorBoard"),
    ("tasks", "peft", "the tasks language, flood, reinforcement and typhoon"),
)
#: Backends that are opened with a device only, and the extra that they need.
_EXTRA_OF = {"braket": "braket", "ibm": "ibm", "ionq": "braket"}


def presets() -> None:
    """List the ready-made runs (qt-hw run) and studies (qt-hw study)."""
    from qt_hw.cli.table import print_table, simple_table
    from qt_hw.study.loading import known_studies
    from qt_hw.training.presets import known_families, known_presets

    print_table(simple_table(("preset", "what it trains"), list(known_presets().items())))
    print()
    families = [(family.name, family.text) for family in known_families().values()]
    print_table(simple_table(("presets of a table", "what they train"), families))
    print()
    print_table(simple_table(("study", "what it asks"), list(known_studies().items())))


def backends() -> None:
    """List the backends, what to type, and what is missing. Nobody is asked over the network."""
    from qt_hw.cli.table import print_table, simple_table
    from qt_hw.execution.registry import known_backends

    rows = [(name, *_state_of(name)) for name in known_backends()]
    print_table(simple_table(("backend", "state", "note"), rows))


def doctor() -> None:
    """Say what is installed, what is missing, and how to get it."""
    import torch

    from qt_hw.cli.table import print_table, simple_table
    from qt_hw.training.provenance import versions

    print_table(simple_table(("package", "version"), list(versions().items())))
    extras = [
        (name, "installed", what)
        if _is_installed(module)
        else (name, "missing", f"{what}: pip install 'qt-hw[{name}]'")
        for name, module, what in _EXTRAS
    ]
    print()
    print_table(simple_table(("extra", "state", "for"), extras))
    print()
    gpu = torch.cuda.get_device_name(0) if torch.cuda.is_available() else "none"
    machine = [
        ("threads", str(torch.get_num_threads())),
        ("GPU", gpu),
        *((f"backends {state}", ", ".join(names)) for state, names in _by_state().items()),
    ]
    print_table(simple_table(("machine", ""), machine))


def _by_state() -> dict[str, list[str]]:
    """Return the names of the backends by what can be done with them."""
    from qt_hw.execution.registry import known_backends

    found: dict[str, list[str]] = {}
    for name in known_backends():
        found.setdefault(_state_of(name)[0], []).append(name)
    return found


def _is_installed(module: str) -> bool:
    import importlib.util

    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:  # nor is the package that it would be in
        return False


def _state_of(name: str) -> tuple[str, str]:
    """Return whether the backend can be opened, and what it says about itself."""
    from qt_hw.errors import InputError, MissingExtra, QtHwError
    from qt_hw.execution.registry import open_backend

    modules = {extra: module for extra, module, _ in _EXTRAS}
    extra = _EXTRA_OF.get(name)
    if extra is not None and not _is_installed(modules[extra]):
        return "missing", str(MissingExtra(f"the backend {name!r}", extra))
    try:
        limits = open_backend(name).limits
    except InputError as error:
        return "ready", str(error)  # it needs a device, and says how to write one
    except MissingExtra as error:
        return "missing", str(error)
    except QtHwError as error:
        return "not ready", str(error)
    qubits = "any number of" if limits.max_qubits is None else f"up to {limits.max_qubits}"
    exact = "exact or with shots" if limits.exact else "with shots"
    return "ready", f"{qubits} qubits, {exact}{', paid' if limits.paid else ''}"
