from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from qt_hw.tasks import build_target, get_task
from qt_hw.training.loading import known_presets
from qt_hw.training.run import Run
from tests.cli.conftest import Call

SMALL = [
    "digits-quick",
    "--set=backend.name=statevector",
    "--set=task.options={train_size=200, test_size=100}",
    "--set=optimizer.steps=6",
    "--set=optimizer.eval_every=3",
    "--set=optimizer.checkpoint_every=2",
]
ENVIRONMENT = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "OMP_NUM_THREADS": "1"}


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str, str]:
    """Return the folder of a small pair and what the program printed."""
    out = tmp_path_factory.mktemp("cli") / "pair"
    done = subprocess.run(
        [sys.executable, "-m", "qt_hw.cli", "run", *SMALL, "--out", str(out)],
        capture_output=True,
        text=True,
        env=ENVIRONMENT,
        check=True,
    )
    return out, done.stdout, done.stderr


def test_help_names_the_commands_and_loads_nothing_heavy() -> None:
    code = (
        "import sys\nfrom qt_hw.cli.main import app\n"
        "try:\n    app(['--help'])\nexcept SystemExit:\n    pass\n"
        "heavy = {'torch', 'qiskit', 'numpy', 'pydantic', 'matplotlib', 'scipy'}\n"
        "print('HEAVY', sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=ENVIRONMENT, check=True
    )
    assert "HEAVY []" in done.stdout
    for command in ("run", "export", "presets", "backends", "doctor"):
        assert command in done.stdout


def test_run_prints_one_table(finished: tuple[Path, str, str]) -> None:
    out, printed, progress = finished
    results = {name: Run.open(out / name).results() for name in ("noiseless", "sampled")}
    header = next(line for line in printed.splitlines() if "noiseless" in line)
    assert header.split() == ["noiseless", "sampled"]
    accuracy = next(line for line in printed.splitlines() if line.startswith("test accuracy"))
    assert accuracy.split()[2:] == [f"{r['test_accuracy']:.2%}" for r in results.values()]
    shots = next(line for line in printed.splitlines() if line.startswith("shots used"))
    assert shots.split()[-1] == f"{results['sampled']['shots']:,}"
    # RY on 6 qubits in 2 layers: 12 angles of two terms, and the base circuit.
    assert "25 / 25" in printed
    assert "418 of 2,410 (17.3%)" in printed
    assert str(out) in printed
    assert "noiseless: step 6/6" in progress


def test_a_run_draws_its_figures(finished: tuple[Path, str, str]) -> None:
    for folder in (finished[0], finished[0] / "noiseless", finished[0] / "sampled"):
        for name in ("learning-curves", "probabilities", "weights"):
            stem = folder / "figures" / name
            assert stem.with_suffix(".png").read_bytes().startswith(b"\x89PNG")
            assert "</svg>" in stem.with_suffix(".svg").read_text()


def test_an_existing_folder_is_refused(finished: tuple[Path, str, str], call: Call) -> None:
    code, printed, error = call("run", *SMALL, "--out", str(finished[0]))
    assert (code, printed) == (2, "")
    assert error.startswith("error: ")
    assert "already exists; add --resume" in error
    assert error.count("\n") == 1


def test_resuming_what_is_finished_prints_the_table_again(
    finished: tuple[Path, str, str], call: Call
) -> None:
    code, printed, _ = call("run", *SMALL, "--out", str(finished[0]), "--resume", "--quiet")
    assert code == 0
    assert printed.split() == finished[1].split()


def test_resume_finds_the_newest_folder_of_the_preset(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: Call
) -> None:
    monkeypatch.chdir(tmp_path)
    for _ in range(2):
        assert call("run", *SMALL, "--set=optimizer.steps=1", "--quiet")[0] == 0
    assert {p.name for p in Path("runs").iterdir()} == {"digits-quick", "digits-quick-2"}
    code, printed, _ = call("run", *SMALL, "--set=optimizer.steps=1", "--quiet", "--resume")
    assert code == 0
    assert "runs/digits-quick-2" in printed


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_says_how_to_go_on(tmp_path: Path, number: signal.Signals, code: int) -> None:
    out = tmp_path / "run"
    arguments = ["run", *SMALL, "--set=optimizer.steps=20000", "--out", str(out)]
    process = subprocess.Popen(
        [sys.executable, "-m", "qt_hw.cli", *arguments],
        stderr=subprocess.PIPE,
        text=True,
        env=ENVIRONMENT,
    )
    deadline = time.monotonic() + 120
    while not list(out.glob("noiseless/checkpoints/*.json")) and time.monotonic() < deadline:
        assert process.poll() is None
        time.sleep(0.05)
    process.send_signal(number)
    error = process.communicate(timeout=60)[1]
    assert process.returncode == code
    last = error.strip().splitlines()[-1]
    assert last.startswith("stopped; go on with: qt-hw run digits-quick")
    assert last.endswith(f"--out {out} --resume")
    assert "Traceback" not in error
    assert not list(out.rglob("*.tmp"))


@pytest.mark.parametrize(
    ("arguments", "code", "parts"),
    [
        (("run", "digts"), 2, ["unknown preset 'digts'", "did you mean 'digits'"]),
        (("run", "missing.toml"), 2, ["no file missing.toml"]),
        (("run", "digits", "--set", "optimizer.stepz=3"), 2, ["mean 'optimizer.steps'"]),
        (("run", "digits", "--set", "backend.shots=0"), 2, ["backend.shots", "got 0"]),
        (("run", "digits", "--set", "backend.name=statevektor"), 2, ["mean 'statevector'"]),
        (("run", "digits", "--set", "ansatz.n_qubits=5"), 2, ["need 6 qubits"]),
        (("export", "missing", "model.safetensors"), 6, ["missing is not a run folder"]),
    ],
)
def test_errors_are_one_line_with_an_exit_code(
    arguments: tuple[str, ...],
    code: int,
    parts: list[str],
    call: Call,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    got, printed, error = call(*arguments)
    assert (got, printed) == (code, "")
    assert error.startswith("error: ")
    assert error.count("\n") == 1
    assert all(part in error for part in parts), error
    assert not list(tmp_path.iterdir())


def test_a_mistyped_command_gets_a_suggestion(call: Call) -> None:
    code, _, error = call("rum")
    assert code == 2
    assert "run" in error


def test_export_writes_the_plain_network(
    finished: tuple[Path, str, str], tmp_path: Path, call: Call
) -> None:
    out, file = finished[0], tmp_path / "model.safetensors"
    for which in ("noiseless", "sampled"):
        code, printed, _ = call("export", str(out), str(file), "--from", which, "--force")
        assert code == 0
        assert "2,410 weights of mlp-64-32-10" in printed
        network = build_target("mlp-64-32-10", torch.Generator())
        network.load_state_dict(load_file(file))
        x, y = get_task("digits", train_size=200, test_size=100).load().test
        accuracy = float((network(x).argmax(1) == y).double().mean())
        assert accuracy == pytest.approx(Run.open(out / which).results()["test_accuracy"])
        described = json.loads(file.with_suffix(".json").read_text())
        assert described["test_accuracy"] == pytest.approx(accuracy)
        assert described["target"]["name"] == "mlp-64-32-10"


def test_export_takes_the_noiseless_run_unless_asked(
    finished: tuple[Path, str, str], tmp_path: Path, call: Call
) -> None:
    call("export", str(finished[0]), str(tmp_path / "a.safetensors"))
    call("export", str(finished[0] / "noiseless"), str(tmp_path / "b.safetensors"))
    same = (tmp_path / "a.safetensors").read_bytes() == (tmp_path / "b.safetensors").read_bytes()
    assert same


def test_export_replaces_nothing_unless_forced(
    finished: tuple[Path, str, str], tmp_path: Path, call: Call
) -> None:
    beside = tmp_path / "model.json"
    beside.write_text("mine")
    arguments = ("export", str(finished[0]), str(tmp_path / "model.safetensors"))
    code, _, error = call(*arguments)
    assert (code, [p.name for p in tmp_path.iterdir()]) == (2, ["model.json"])
    assert "model.json already exists; add --force" in error
    assert beside.read_text() == "mine"
    inside = finished[0] / "sampled" / "results" / "weights.safetensors"
    assert call("export", str(finished[0]), str(inside))[0] == 2
    assert call(*arguments, "--force")[0] == 0
    assert json.loads(beside.read_text())["target"]["name"] == "mlp-64-32-10"


def test_export_does_not_take_the_other_run_for_the_one_asked(
    finished: tuple[Path, str, str], tmp_path: Path, call: Call
) -> None:
    single, file = str(finished[0] / "sampled"), tmp_path / "model.safetensors"
    code, _, error = call("export", single, str(file), "--from", "noiseless")
    assert (code, file.exists()) == (2, False)
    assert "is a single run, the sampled one; leave out --from noiseless" in error
    assert call("export", single, str(file), "--from", "sampled")[0] == 0


@pytest.mark.parametrize("command", ["presets", "run digits --help"])
def test_a_full_output_is_one_line(command: str) -> None:
    with open("/dev/full", "wb") as full:
        done = subprocess.run(
            [sys.executable, "-m", "qt_hw.cli", *command.split()],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            env=ENVIRONMENT,
        )
    assert done.returncode == 6
    assert done.stderr.startswith("error: ")
    assert "No space left" in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_reader_that_went_away_is_no_news() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run(
        [sys.executable, "-m", "qt_hw.cli", "presets"],
        stdout=writing,
        stderr=subprocess.PIPE,
        text=True,
        env=ENVIRONMENT,
    )
    os.close(writing)
    assert (done.returncode, done.stderr) == (1, "")


def test_resuming_nothing_says_so(tmp_path: Path, call: Call) -> None:
    out = tmp_path / "new"
    (out / "noiseless").mkdir(parents=True)
    (out / "noiseless" / ".lock").touch()  # all that a run killed at once leaves
    code, _, _ = call("run", *SMALL, "--set=optimizer.steps=1", "-q", "--resume", f"--out={out}")
    assert code == 0
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "a.jpg").touch()
    for resume in ([], ["--resume"]):
        code, _, error = call("run", *SMALL, *resume, f"--out={tmp_path / 'photos'}")
        assert code == 2
        assert "is not a run folder; choose another --out" in error
    assert [p.name for p in (tmp_path / "photos").iterdir()] == ["a.jpg"]


def test_export_refuses_other_file_types(
    finished: tuple[Path, str, str], tmp_path: Path, call: Call
) -> None:
    code, _, error = call("export", str(finished[0]), str(tmp_path / "model.pt"))
    assert code == 2
    assert "must end in .safetensors" in error


def test_presets_are_listed_with_their_descriptions(call: Call) -> None:
    code, printed, _ = call("presets")
    assert code == 0
    for name, description in known_presets().items():
        assert name in printed
        assert description.split(",")[0] in printed
    assert "mnist-qt{L}" in printed
    assert "L = 1, 4, 7, 10, 13, 16" in printed


def test_backends_are_listed(call: Call) -> None:
    code, printed, _ = call("backends")
    assert code == 0
    line = next(line for line in printed.splitlines() if line.startswith("statevector"))
    assert "ready" in line
    assert "exact" in line


def test_doctor_says_what_is_missing_and_how_to_get_it(call: Call) -> None:
    code, printed, _ = call("doctor")
    assert code == 0
    assert torch.__version__ in printed
    for line in printed.splitlines():
        if " missing " in line:
            extra = line.split()[0]
            assert f"pip install 'qt-hw[{extra}]'" in line
    assert "next version" not in printed
    shown = {line.split()[0] for line in printed.splitlines() if line.strip()}
    assert {"aer", "ibm", "braket", "mitigation", "study", "tasks"} <= shown
    (line,) = (x for x in printed.splitlines() if x.startswith("mitigation"))
    assert all(name in line for name in ("ddd", "cdr", "pec", "lre", "exponential zne"))


def test_a_mitigated_training_is_shown_beside_its_noiseless_twin(
    tmp_path: Path, call: Call
) -> None:
    more = [
        "--set=ansatz.n_qubits=4",
        "--set=mapping.chunk_size=151",
        "--set=backend.shots=100",
        "--set=mitigation.method=readout",
        "--set=mitigation.calibration_shots=300",
    ]
    code, printed, error = call("run", *SMALL, *more, "--out", str(tmp_path / "new"), "--quiet")
    assert (code, error) == (0, "")
    lines = {line.split("  ")[0]: line.split() for line in printed.splitlines()}
    assert lines["mitigation"] == ["mitigation", "none", "readout"]
    # Six steps of 17 circuits and the base at the end; two calibration circuits.
    assert lines["circuits run"][-1] == "105"
    assert lines["shots used"][-1] == f"{103 * 100 + 2 * 300:,}"
    results = Run.open(tmp_path / "new" / "sampled").results()
    assert (results["mitigation"], results["techniques"]) == ("readout", "readout")
