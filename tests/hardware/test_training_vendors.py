"""Training on the vendors' devices: a request a step, interrupted or not, and the right gradient.

The unmodified clients talk over HTTP to the vendors' stand-ins, which run in this process. Counts
of a job depend on its token only, and tokens on the run's identity: runs of one identity meet the
same counts, each at a vendor of its own.
"""

from __future__ import annotations

import contextlib
import csv
import io
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from qt_hw.circuits.builtin import U3Cu3
from qt_hw.cli.main import main
from qt_hw.errors import BudgetExceeded, Pending
from qt_hw.execution.journal import Journal
from qt_hw.execution.store import Store
from qt_hw.hardware.estimate import estimate_training
from qt_hw.hardware.home import last_attempts, state_of
from qt_hw.hardware.training import go_on
from qt_hw.testing.oracles import assert_sampled_from, finite_difference, ideal_law
from qt_hw.training.build import make_model
from qt_hw.training.checkpoint import load_checkpoint
from qt_hw.training.config import RunConfig
from qt_hw.training.loading import to_toml
from qt_hw.training.metrics import TIME_COLUMNS
from qt_hw.training.paid import Hardware, open_executor
from qt_hw.training.provenance import run_key
from qt_hw.training.run import Run, train
from tests.hardware.clouds import CLOUDS, Begin, Cloud, wait_for_end
from tests.training.small import small_config

STEPS, SHOTS, IDENTITY = 5, 100, "0123456789abcdef"
#: 3 qubits in one layer: 3 angles of two terms and the base.
CIRCUITS = 7
#: Of one step and of the last evaluation, by the vendors' price lists: USD, and seconds at most.
PRICES = {"braket": (56.30, 8.30), "ibm": (2.30, 2.05)}

ENVIRONMENT = {"PYTHONPATH": os.pathsep.join(sys.path), "OMP_NUM_THREADS": "1"}
VENDORS = pytest.mark.parametrize("name", sorted(CLOUDS))


@pytest.fixture(scope="module", autouse=True)
def _quick() -> Iterator[None]:
    """Look after jobs again soon, and draw nothing: figures are not what can go wrong."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("qt_hw.execution.watch.FIRST_PAUSE", 0.05)
        patch.setattr("qt_hw.execution.watch.LONGEST_PAUSE", 0.05)
        for figure in ("draw_pair", "draw_run"):
            patch.setattr(f"qt_hw.training.figures.{figure}", lambda *arguments: None)
        yield


def config_for(name: str, *changes: str, shots: int = SHOTS) -> RunConfig:
    """Return a training on a vendor's device; IBM's qubits are not those of the circuit."""
    of_vendor = {
        "ibm": (
            "backend.name=ibm:ibm_manila",
            "backend.options={layout=[3, 1, 2], settle_seconds=0.3}",
            "budget.max_qpu_seconds=100",
        ),
        "braket": ("backend.name=ionq:forte-1", "budget.max_usd=1000"),
    }
    return small_config(
        *of_vendor[name],
        "ansatz.n_qubits=3",
        "ansatz.n_layers=1",
        "mapping.chunk_size=302",
        f"optimizer.steps={STEPS}",
        "optimizer.eval_every=2",
        *changes,
        shots=shots,
    )


def practise(config: RunConfig, out: Path, **more: Any) -> Run:
    return train(config, out=out, progress=False, **more)


def identified(folder: Path) -> Path:
    """Return a new run folder whose run has the identity of this module."""
    folder.mkdir(parents=True)
    with Journal(folder / "journal.sqlite") as journal:
        journal.remember("run", IDENTITY)
    return folder


def let_run(cloud: Cloud) -> None:
    """Let the jobs that are queued run to their end, and keep later ones in the queue."""
    cloud.release()
    wait_for_end(cloud)
    if cloud.name == "ibm":
        cloud.hold()
    else:
        cloud.vendor._seconds["queue_seconds"] = 1e9  # type: ignore[attr-defined]


def numbers(run: Run) -> dict[str, object]:
    """Return everything in a run folder that must not depend on interruptions."""
    results, folder = run.folder / "results", run.folder
    rows = csv.DictReader(io.StringIO((folder / "metrics.csv").read_text()))
    checkpoint = load_checkpoint(folder / "checkpoints", run_key(run.config))
    assert checkpoint is not None
    kept = {k: v for k, v in checkpoint.state.items() if k not in TIME_COLUMNS}
    return {
        "files": {
            path.name: path.read_bytes()
            for path in results.iterdir()
            if path.name.startswith(("counts-", "weights.", "final."))
        },
        "metrics": [{k: v for k, v in row.items() if k not in TIME_COLUMNS} for row in rows],
        "results": {k: v for k, v in run.results().items() if k not in TIME_COLUMNS},
        "checkpoint": (checkpoint.step, _plain(kept)),
    }


def _plain(value: Any) -> Any:
    """Return nested dicts and lists with their tensors as lists, which ``==`` compares."""
    if isinstance(value, dict):
        return {key: _plain(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_plain(inner) for inner in value]
    return value.tolist() if isinstance(value, torch.Tensor) else value


# ---- a request a step, and the same numbers whatever happens in between


@dataclass(frozen=True, kw_only=True)
class Whole:
    """An uninterrupted training, and what its vendor saw of it."""

    run: Run
    tokens: list[str]
    posts: int
    bill: float


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Whole]:
    """Return the uninterrupted training at a vendor, done once."""
    done: dict[str, Whole] = {}

    def of(name: str) -> Whole:
        if name not in done:
            folder = tmp_path_factory.mktemp("whole")
            cloud = CLOUDS[name](folder / "vendor", ())
            with cloud.running():
                run = practise(config_for(name), identified(folder / "run"))
                tokens = [token for token, _ in cloud.jobs()]
                done[name] = Whole(run=run, tokens=tokens, posts=cloud.posts(), bill=cloud.bill())
        return done[name]

    return of


@VENDORS
def test_a_step_is_one_request(name: str, whole: Callable[[str], Whole]) -> None:
    training = whole(name)
    assert training.posts == len(set(training.tokens)) == len(training.tokens) == STEPS + 1
    with Journal(training.run.folder / "journal.sqlite") as journal:
        requests, jobs = journal.requests(), journal.jobs()
        totals = journal.totals()
    assert [request.label for request in requests] == [f"step {n}" for n in range(STEPS + 1)]
    assert [job.token for job in jobs] == training.tokens
    assert [job.request for job in jobs] == [request.id for request in requests]
    assert {job.state for job in jobs} == {"done"}
    assert [job.circuits for job in jobs] == STEPS * [CIRCUITS] + [1]
    results = training.run.results()
    assert results["circuits"] == STEPS * CIRCUITS + 1
    assert results["shots"] == results["circuits"] * SHOTS
    assert totals.usd_spent + totals.qpu_seconds_spent == pytest.approx(training.bill)


@VENDORS
def test_the_estimate_of_a_training_is_kept(
    name: str, begin: Begin, whole: Callable[[str], Whole]
) -> None:
    begin(name)
    quote = estimate_training(config_for(name))
    assert quote.total.jobs == STEPS + 1
    bill, (step, last) = whole(name).bill, PRICES[name]
    if name == "braket":
        assert bill == pytest.approx(quote.total.usd_high, rel=0.01)
        assert quote.total.usd_high == pytest.approx(STEPS * step + last)
    else:
        low, high = quote.total.qpu_seconds_low, quote.total.qpu_seconds_high
        assert low <= bill <= high
        assert high == pytest.approx(STEPS * step + last, abs=0.1)


@VENDORS
def test_interrupted_at_every_step_it_gives_the_same_bytes(
    name: str,
    begin: Begin,
    whole: Callable[[str], Whole],
    tmp_path: Path,
    types: Callable[..., tuple[int, str, str]],
) -> None:
    cloud, folder = begin(name), identified(tmp_path / "run")
    cloud.hold()
    with pytest.raises(Pending, match="step 0"):
        practise(config_for(name), folder, hardware=Hardware(waiting=False))
    for step in range(STEPS + 1):
        assert len(cloud.jobs()) == step + 1
        check_agreement(folder, step)
        if step in (0, 2):  # asked too early
            code, _, told = types("collect", folder, "--continue")
            assert (code, told.count("\n")) == (8, 1)
            assert f"1 job(s) of step {step} are queued or running; go on with: qt-hw" in told
            assert len(cloud.jobs()) == step + 1
        let_run(cloud)
        code, shown, _ = types("collect", folder, "--continue")
        assert code == (0 if step == STEPS else 8)
    assert "test accuracy" in shown
    check_agreement(folder, STEPS, open_ones=False)
    training = whole(name)
    assert [token for token, _ in cloud.jobs()] == training.tokens
    assert cloud.posts() == training.posts
    assert numbers(Run.open(folder)) == numbers(training.run)


def check_agreement(folder: Path, step: int, *, open_ones: bool = True) -> None:
    """Check that the journal ends with the step whose angles the newest checkpoint holds."""
    run, store = Run.open(folder), Store(folder / "results")
    checkpoint = load_checkpoint(folder / "checkpoints", run_key(run.config))
    assert (0 if checkpoint is None else checkpoint.step) == step
    with Journal(folder / "journal.sqlite") as journal:
        requests = journal.requests()
        states = [state_of(last_attempts(journal.jobs(r.id))) for r in requests]
    assert [request.step for request in requests] == list(range(step + 1))
    assert states == step * ["done"] + ["open" if open_ones else "done"]
    if checkpoint is not None:
        (prepared,) = store.folder.glob("prepared-*.json")
        angles = checkpoint.state["model"]["generator.angles"].numpy()
        base = store.load_batch(requests[-1].id).items[0].bindings
        wanted = store._load_prepared(prepared).form.gate_angles(angles[None])
        np.testing.assert_array_equal(base, wanted)


@pytest.fixture
def types(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., tuple[int, str, str]]:
    """Return a function that runs ``qt-hw`` here: (exit code, output, error output)."""

    def run(*words: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["qt-hw", *map(str, words)])
        with pytest.raises(SystemExit) as caught:
            main()
        printed = capsys.readouterr()
        return int(caught.value.code or 0), printed.out, printed.err

    return run


# ---- caps


@VENDORS
def test_a_cap_ends_it_before_the_step_that_would_cross_it(
    name: str, begin: Begin, whole: Callable[[str], Whole], tmp_path: Path
) -> None:
    cloud, folder = begin(name), identified(tmp_path / "run")
    cap = {"ibm": "max_qpu_seconds", "braket": "max_usd"}[name]
    step, _ = PRICES[name]
    most = round(2.6 * step, 2)
    with pytest.raises(BudgetExceeded, match=f"spent .* above {cap} = {most:,.2f}"):
        practise(config_for(name, f"budget.{cap}={most}"), folder)
    assert (cloud.posts(), len(cloud.jobs())) == (2, 2)
    assert cloud.bill() <= most
    run = Run.open(folder)
    assert not run.finished
    assert [row["step"] for row in run.metrics] == [0]
    checkpoint = load_checkpoint(folder / "checkpoints", run_key(run.config))
    assert checkpoint is not None
    assert checkpoint.step == 2
    with pytest.raises(BudgetExceeded):
        go_on(folder, hardware=Hardware())
    assert cloud.posts() == 2
    # With a higher cap nothing is measured twice.
    done = practise(config_for(name), folder, resume=True)
    assert [token for token, _ in cloud.jobs()] == whole(name).tokens
    assert numbers(done) == numbers(whole(name).run)


# ---- Ctrl-C


@VENDORS
def test_ctrl_c_leaves_the_job_in_the_queue(
    name: str, begin: Begin, tmp_path: Path, types: Callable[..., tuple[int, str, str]]
) -> None:
    cloud, out, file = begin(name), tmp_path / "pair", tmp_path / "mine.toml"
    cloud.hold()
    config = config_for(name, "optimizer.steps=1")
    file.write_text(to_toml(config))
    practise(config.noiseless(), out / "noiseless")  # here, where it is quicker
    # Not forked: Qiskit's transpiler, once used, hangs in a forked process.
    process = subprocess.Popen(
        [sys.executable, "-m", "qt_hw.cli", "run", str(file), "--out", str(out), "--resume"],
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, **ENVIRONMENT},
    )
    try:
        end = time.monotonic() + 120
        while _states(out / "sampled") != ["submitted"]:
            assert process.poll() is None
            assert time.monotonic() < end
            time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        told = process.communicate(timeout=60)[1]
    finally:
        process.kill()
        process.wait()
    assert process.returncode == 130
    *_, first, second = told.strip().splitlines()
    command = f"qt-hw collect {out} --continue"
    assert first == f"jobs that were sent go on; without waiting: {command}"
    assert second == f"stopped; go on with: qt-hw run {file} --out {out} --resume"
    assert "Traceback" not in told
    ((token, state),) = cloud.jobs()
    assert state == "QUEUED"
    cloud.release()
    code, shown, _ = types(*command.split()[1:], "--wait")
    assert code == 0
    assert "sampled" in shown
    assert cloud.jobs()[0][0] == token
    assert len(cloud.jobs()) == cloud.posts() == 2


def _states(folder: Path) -> list[str]:
    """Return the states of all jobs in a journal that another process may be making just now."""
    with contextlib.suppress(sqlite3.OperationalError):
        uri = f"file:{folder / 'journal.sqlite'}?mode=ro"
        with contextlib.closing(sqlite3.connect(uri, uri=True)) as db:
            return [state for (state,) in db.execute("select state from jobs order by number")]
    return []


# ---- a large step, and the right gradient


def test_369_circuits_are_one_job_at_ibm(tmp_path: Path) -> None:
    from qt_hw_ibm.standin.billing import qpu_seconds
    from qt_hw_ibm.standin.server import Standin
    from qt_hw_ibm.standin.start import environment, redirected

    service = Standin(tmp_path / "vendor", devices={"ibm_guadalupe": "fake_guadalupe"})
    with service as standin, redirected(environment(standin.url)):
        standin.hold()
        config = large("ibm", "backend.name=ibm:ibm_guadalupe", "backend.options={}")
        with pytest.raises(Pending, match=r"^1 job"):
            practise(config, tmp_path / "run", hardware=Hardware(waiting=False))
        (job,) = standin.jobs
        assert standin.posts == 1
        assert job["estimated_running_time_seconds"] == qpu_seconds(369 * SHOTS)


def test_369_circuits_are_four_program_sets_at_ionq(begin: Begin, tmp_path: Path) -> None:
    cloud = begin("braket")
    cloud.hold()
    with pytest.raises(Pending, match=r"^4 job"):
        practise(large("braket"), tmp_path / "run", hardware=Hardware(waiting=False))
    assert len(cloud.jobs()) == cloud.posts() == 4
    with Journal(tmp_path / "run" / "journal.sqlite") as journal:
        assert [job.circuits for job in journal.jobs()] == [100, 100, 100, 69]


def large(name: str, *changes: str) -> RunConfig:
    """Return a training whose steps take 369 circuits: 184 angles of two terms, and the base."""
    return config_for(
        name,
        "ansatz={name='U3Cu3', n_qubits=8, n_layers=4}",
        "mapping.chunk_size=10",
        "budget={max_usd=1e6, max_qpu_seconds=1000}",
        *changes,
    )


@VENDORS
def test_the_gradient_of_the_whole_path_is_right(name: str, begin: Begin, tmp_path: Path) -> None:
    """From the configuration to ``angles.grad``, against differences of Qiskit's statevector.

    The cotangent g comes out of the loss at the sampled vector. The shifted vectors are sampled
    apart from it, so that g·p has the mean that belongs to g and a variance of at most
    (max g - min g)²/4 for each shot.
    """
    begin(name)
    shots, n = 60_000, 3
    config = config_for(
        name,
        "ansatz={name='U3Cu3', n_qubits=3, n_layers=1}",
        "budget={max_usd=1e6, max_qpu_seconds=1000}",
        shots=shots,
    )
    with open_executor(config, tmp_path, Hardware()) as executor:
        model = make_model(config, executor=executor)
        vectors: list[torch.Tensor] = []
        model.generator.register_forward_hook(lambda _, __, out: _keep(vectors, out))
        inputs = torch.rand((20, 64), generator=torch.Generator().manual_seed(0))
        model(inputs).square().mean().backward()
        setup = model.generator.setup
    (vector,), (factor,) = vectors, setup.factors
    if name == "ibm":
        properties = factor.prepared.properties
        assert properties["initial_layout"] == [3, 1, 2] != properties["layout"]
    assert vector.grad is not None
    assert model.generator.angles.grad is not None
    angles, ansatz = model.generator.angles.detach().numpy(), U3Cu3(n, 1)
    counts = shots * vector.detach().numpy()[None]
    assert_sampled_from(np.rint(counts), ideal_law(ansatz, angles[None]))
    cotangent, found = vector.grad.numpy(), model.generator.angles.grad.numpy()
    wanted = finite_difference(lambda rows: ideal_law(ansatz, rows), angles, cotangent)
    shifts = setup.rule.draw(factor.prepared.form, np.random.default_rng())
    weights = np.linalg.norm(shifts.pull_back(np.eye(len(shifts))), axis=0)
    sigma = weights * np.ptp(cotangent) / 2 / np.sqrt(shots)
    # Angles that move nothing have no shifted circuits, and a gradient of zero.
    assert (np.abs(found - wanted) <= 5 * sigma + 1e-9 * np.abs(cotangent).max()).all()
    assert np.abs(wanted).max() > 10 * sigma.max()


def _keep(vectors: list[torch.Tensor], out: torch.Tensor) -> None:
    out.retain_grad()
    vectors.append(out)
