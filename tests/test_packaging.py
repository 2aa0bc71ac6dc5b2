"""What is installed, what importing it costs, and which folder may import which."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Iterator
from importlib.metadata import entry_points
from pathlib import Path

import pytest

import qt_hw

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = {
    "qt_hw": ROOT / "qt_hw",
    "qt_hw_aer": ROOT / "backends/qt_hw_aer",
    "qt_hw_braket": ROOT / "backends/qt_hw_braket",
    "qt_hw_ibm": ROOT / "backends/qt_hw_ibm",
}
VENDORS = {"boto3", "botocore", "braket", "cirq", "mitiq", "qiskit_aer", "qiskit_ibm_runtime"}
#: mitiq is no vendor's, but as heavy: imported in one room, within functions.
MITIQ, MITIQ_ROOM = {"cirq", "mitiq"}, ROOT / "qt_hw/mitigation/bound"
HEAVY = VENDORS | {"gymnasium", "peft", "ray", "transformers", "xarray"}

# Each part imports only parts of a smaller rank, and itself; the last ones also the root, which
# exports from every floor, lazily.
FLOORS = [
    ("errors",),
    ("storage",),
    ("circuits",),
    ("simulation",),
    ("execution",),
    ("mitigation",),
    ("model",),
    ("tasks",),
    ("training",),
    ("hardware",),
    ("study",),
    ("cli", "testing"),
]
RANK = {part: rank for rank, parts in enumerate(FLOORS) for part in parts}


def python(code: str) -> str:
    """Return what ``code`` prints in a fresh interpreter."""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    return done.stdout


def sources(folder: Path) -> list[Path]:
    return sorted(folder.rglob("*.py"))


def imports(path: Path, package: str) -> Iterator[tuple[int, str]]:
    """Yield (line, absolute dotted name) of everything imported anywhere in ``path``."""
    here = [package, *path.relative_to(PACKAGES[package]).with_suffix("").parts]
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = here[: -node.level] if node.level else []
            stem = ".".join([*base, *filter(None, [node.module])])
            yield from ((node.lineno, f"{stem}.{alias.name}") for alias in node.names)


# ---- the installed distribution


def test_every_backend_entry_point_loads() -> None:
    found = {e.name: e.load() for e in entry_points(group="qt_hw.backends")}
    assert set(found) >= {"aer", "braket", "ibm", "ionq"}
    assert all(callable(open_) for open_ in found.values())


def test_the_program_is_installed() -> None:
    (script,) = entry_points(group="console_scripts", name="qt-hw")
    assert callable(script.load())


def test_wheel_holds_the_packages_and_nothing_else(tmp_path: Path) -> None:
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    done = subprocess.run(build, capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    (wheel,) = tmp_path.glob("*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    info = "qt_hw-0.1.0.dist-info/"
    assert f"{info}licenses/LICENSE" in names
    shipped = {name for name in names if not name.startswith(info)}
    on_disk = {
        f"{package}/{path.relative_to(folder).as_posix()}"
        for package, folder in PACKAGES.items()
        for path in folder.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert shipped == on_disk
    page = {".css", ".html", ".js"}
    assert {Path(name).suffix for name in shipped} == {".json", ".py", ".toml", ".typed", *page}
    assert shipped >= {f"{package}/py.typed" for package in PACKAGES}
    assert {"qt_hw/presets/digits.toml", "qt_hw_braket/forte-1.json"} <= shipped


def test_constraints_pin_everything_that_is_declared() -> None:
    lines = (ROOT / "constraints.txt").read_text().split("\n")[:-1]
    assert [line for line in lines if not re.fullmatch(r"[A-Za-z0-9._-]+==[0-9][\w.]*", line)] == []
    pinned = {canonical(line.split("==")[0]) for line in lines}
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    declared = [*project["dependencies"], *(d for extra in extras.values() for d in extra)]
    names = {canonical(re.match(r"[\w.-]+", d)[0]) for d in declared}  # type: ignore[index]
    assert names - pinned == {"qt-hw"}
    (everything,) = extras["all"]
    assert everything == f"qt-hw[{','.join(e for e in extras if e != 'all')}]"


def canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


# ---- imports


def test_all_names_resolve_and_are_listed() -> None:
    assert dir(qt_hw) == sorted(qt_hw.__all__)
    for name in set(qt_hw.__all__) - {"__version__", "backend"}:
        assert getattr(qt_hw, name).__name__ == name
    assert qt_hw.backend("statevector").name == "statevector"
    with pytest.raises(AttributeError, match="no_such_name"):
        _ = qt_hw.no_such_name


def test_type_checkers_see_the_same_names() -> None:
    tree = ast.parse((PACKAGES["qt_hw"] / "__init__.py").read_text())
    (block,) = [node for node in tree.body if isinstance(node, ast.If)]
    assert ast.unparse(block.test) == "TYPE_CHECKING"
    seen = {
        alias.asname or alias.name: f"{node.module}.{alias.name}"
        for node in block.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    assert {*seen, "__version__"} == set(qt_hw.__all__)
    for name, origin in seen.items():
        value = getattr(qt_hw, name)
        assert f"{value.__module__}.{value.__name__}" == origin


def test_importing_everything_public_loads_no_vendor_package() -> None:
    code = "import sys, qt_hw; [getattr(qt_hw, n) for n in qt_hw.__all__]; print(*sys.modules)"
    loaded = {name.split(".")[0] for name in python(code).split()}
    assert loaded & HEAVY == set()


def test_the_program_starts_without_the_numeric_packages() -> None:
    code = "import sys, qt_hw.cli.main; print(*sys.modules)"
    loaded = {name.split(".")[0] for name in python(code).split()}
    heavy = {"matplotlib", "numpy", "pydantic", "qiskit", "scipy", "sklearn", "torch"}
    assert loaded & (heavy | HEAVY) == set()


@pytest.mark.parametrize("path", sources(PACKAGES["qt_hw"]), ids=lambda p: str(p.relative_to(ROOT)))
def test_floors(path: Path) -> None:
    part = path.relative_to(PACKAGES["qt_hw"]).with_suffix("").parts[0]
    if part == "__init__":
        return
    assert part in RANK, f"{part} has no floor"
    free = {part, "__version__", *([""] if part in FLOORS[-1] else [])}
    wrong = []
    for line, name in imports(path, "qt_hw"):
        package, _, rest = name.partition(".")
        other = rest.split(".")[0]
        if package in PACKAGES and package != "qt_hw":
            wrong.append(f"{path}:{line} imports the backend {name}")
        elif package in VENDORS - (MITIQ if path.parent == MITIQ_ROOM else set()):
            wrong.append(f"{path}:{line} imports the vendor package {name}")
        elif package == "qt_hw" and other not in free:
            above = RANK.get(other, len(RANK)) >= RANK[part]
            wrong += [f"{path}:{line} imports {name} from above"] if above else []
    assert wrong == []


@pytest.mark.parametrize("package", ["qt_hw_aer", "qt_hw_braket", "qt_hw_ibm"])
def test_backends_stand_on_the_lower_floors(package: str) -> None:
    allowed = {part for part in RANK if RANK[part] <= RANK["mitigation"]}
    wrong = [
        f"{path}:{line} imports {name}"
        for path in sources(PACKAGES[package])
        for line, name in imports(path, package)
        if name.startswith("qt_hw.") and name.split(".")[1] not in allowed
    ]
    assert wrong == []


@pytest.mark.parametrize("package", ["qt_hw_aer", "qt_hw_braket", "qt_hw_ibm"])
def test_importing_a_backend_loads_no_vendor_package(package: str) -> None:
    code = f"import sys, {package}; print(*sys.modules)"
    assert {name.split(".")[0] for name in python(code).split()} & HEAVY == set()


def test_the_examples_of_the_readme_run_one_after_the_other() -> None:
    readme = (ROOT / "README.md").read_text()
    examples = re.findall(r"```python\n(.*?)```", readme, flags=re.DOTALL)
    assert len(examples) == 2
    said = python("\n".join([*examples, 'print("mitigated", float(p.sum()), tuple(p.shape))']))
    assert re.search(r"trained for them +430 ", said)
    assert re.search(r"mitigated 1\.0\d* \(32,\)|mitigated 0\.99999\d* \(32,\)", said)
