"""The commands for devices, as a user types them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.cli.conftest import Call
from tests.hardware.paper import SECRET, Vendor

ROOT = Path(__file__).resolve().parents[2]
SUBMIT = ("--backend", "paper:a4", "--shots", "100", "--max-usd", "10")
ZNE = ("--mitigation=zne", "--mitigation-option")
TRAIN = (
    "digits-quick",
    "--set=task.options={train_size=100, test_size=50}",
    "--set=ansatz.n_qubits=4",
    "--set=mapping.chunk_size=151",
    "--set=backend.name=paper:a4",
    "--set=backend.shots=50",
    "--set=optimizer.steps=2",
    "--set=budget.max_usd=50",
)


@pytest.fixture(autouse=True)
def _wide(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "140")  # test runners set fewer, and tables would wrap


def words(text: str) -> list[str]:
    return text.split()


def test_from_estimate_to_the_table(pair: Path, vendor: Vendor, call: Call) -> None:
    code, out, _ = call("estimate", str(pair), "--backend=paper:a4", "--shots=100", "--max-usd=10")
    assert code == 0
    assert "price" in out
    assert "1.30 USD" in out
    assert "prices of 2025-01 (paper)" in out
    assert "it fits under max_usd = 10.00" in out

    code, out, _ = call("submit", str(pair), *SUBMIT)
    (job,) = vendor.jobs()
    assert code == 0
    assert "1 circuit, 100 shots, 1 job\nprice: 1.30 USD (prices of 2025-01 (paper))" in out
    assert f"job {job['id']}  ({job['token']})" in out
    assert f"go on with: qt-hw collect {pair}" in out

    code, out, _ = call("status", str(pair))
    assert code == 0
    assert f"{pair / 'noiseless'}: 0.00 USD spent + 1.30 queued of at most 10.00" in out
    line = next(line for line in out.splitlines() if line.startswith("evaluation 1"))
    assert "done, not collected" in line
    assert "~1.30 USD" in line

    code, out, error = call("collect", str(pair))
    assert (code, error) == (0, "")
    assert words(out.splitlines()[0]) == ["noiseless", "sampled", "evaluation", "1"]
    accuracy = json.loads((pair / "evaluations.json").read_text())[2]["test_accuracy"]
    assert f"{accuracy:.2%}" in out

    code, out, _ = call("cost", str(pair))
    assert code == 0
    line = next(line for line in out.splitlines() if line.startswith("evaluation 1"))
    assert words(line)[2:] == ["done", "1.30", "USD", "1.30", "USD", "vendor", "00000"]
    assert "in all: 1.30 USD spent + 0.00 queued of at most 10.00" in out


def test_the_same_command_again_pays_nothing(pair: Path, vendor: Vendor, call: Call) -> None:
    call("submit", str(pair), *SUBMIT)
    code, out, _ = call("submit", str(pair), *SUBMIT)
    assert code == 0
    assert "evaluation 1 asks for the same and is under way; nothing more is paid" in out
    call("collect", str(pair))
    code, out, _ = call("submit", str(pair), *SUBMIT)
    assert code == 0
    assert "is measured: qt-hw collect" in out
    assert "to measure anew: --again" in out
    assert len(vendor.jobs()) == 1


def test_queued_jobs_are_exit_code_8(pair: Path, vendor: Vendor, call: Call) -> None:
    vendor.set(held=True)
    call("submit", str(pair), *SUBMIT)
    code, out, error = call("collect", str(pair))
    assert (code, out) == (8, "")
    assert error == "pending: evaluation 1: 1 job is queued or running\n"
    vendor.set(held=2)
    code, out, error = call("collect", str(pair), "--wait")
    assert (code, error) == (0, "")
    assert "evaluation 1" in out


def test_a_failed_job_is_exit_code_5_until_it_is_retried(
    pair: Path, vendor: Vendor, call: Call
) -> None:
    vendor.set(fail=1)
    call("submit", str(pair), *SUBMIT)
    code, _, error = call("collect", str(pair))
    assert code == 5
    assert error.splitlines()[-1].startswith("error: evaluation 1: job paper/00000 failed: the ink")
    code, out, _ = call("retry", str(pair))
    assert code == 0
    assert "evaluation 1 once more: 1 circuit, 100 shots, price: 1.30 USD" in out
    assert call("collect", str(pair))[0] == 0


def test_cancel_says_what_became_of_each_job(pair: Path, vendor: Vendor, call: Call) -> None:
    vendor.set(held=True)
    call("submit", str(pair), *SUBMIT)
    code, out, _ = call("cancel", str(pair))
    assert (code, out) == (0, "evaluation 1: job paper/00000 is cancelled\n")
    assert call("cancel", str(pair))[1] == f"no open jobs in {pair}\n"
    code, out, _ = call("collect", str(pair))
    assert (code, out) == (0, "evaluation 1 was cancelled; qt-hw retry pays for it anew\n")


def test_a_rehearsal_is_marked_everywhere(pair: Path, vendor: Vendor, call: Call) -> None:
    code, out, _ = call("submit", str(pair), *SUBMIT, "--rehearse", "--queue-seconds=0.1")
    assert code == 0
    assert out.startswith(f"rehearsal of {pair / 'noiseless'} on paper:a4")
    assert "evaluation 1 (rehearsal) is submitted" in out
    assert "(rehearsal): " in call("status", str(pair))[1]
    code, out, _ = call("collect", str(pair), "--wait")
    assert code == 0
    assert "evaluation 1 (rehearsal)" in out
    assert f"{pair / 'noiseless'} (rehearsal)" in call("cost", str(pair))[1]
    assert vendor.jobs() == []


@pytest.mark.parametrize(
    ("arguments", "code", "parts"),
    [
        (("submit", "RUN", "--backend=paper:a4", "--shots=100"), 3, ["set --max-usd or"]),
        (("submit", "RUN", *SUBMIT[:5], "1"), 3, ["above max_usd = 1.00", "give a higher one"]),
        (("submit", "RUN", *SUBMIT, "--max-usd=-1"), 2, ["budget.max_usd"]),
        (("submit", "RUN", *SUBMIT, "--shots=9"), 3, ["at least 10"]),
        (("submit", "RUN", *SUBMIT, "--backend=papre:a4"), 2, ["did you mean 'paper'"]),
        (("submit", "RUN", *SUBMIT, "--backend=paper"), 2, ["write 'paper:a4'"]),
        (("submit", "RUN", *SUBMIT, "--backend=aer"), 2, ["costs nothing"]),
        (("submit", "RUN", *SUBMIT, "--option=x"), 2, ["write KEY=VALUE"]),
        (("submit", "RUN", *SUBMIT, "--option=colour=red"), 2, ["colour"]),
        (("submit", "RUN", *SUBMIT, "--mitigation=zen"), 2, ["did you mean 'zne'"]),
        (("submit", "RUN", *SUBMIT, "--mitigation=zne+cdr"), 2, ["zne and cdr both undo"]),
        (("submit", "RUN", *SUBMIT, "--mitigation=auto"), 2, ["properties say nothing of them"]),
        (("submit", "RUN", *SUBMIT, *ZNE, "zne.scales=0.5,3"), 2, ["1 or more"]),
        (("submit", "RUN", *SUBMIT, *ZNE, "zne.scale=3"), 2, ["did you mean 'scales'"]),
        (("submit", "RUN", *SUBMIT, *ZNE, "zne=3"), 2, ["write NAME.KEY=VALUE"]),
        (("submit", "RUN", *SUBMIT, *ZNE, "cdr.circuits=3"), 2, ["cdr, which is not used"]),
        (("submit", "RUN", *SUBMIT, "--calibration-shots=9"), 2, ["belongs to --mitigation"]),
        (("submit", "RUN", *SUBMIT, "--fault=500"), 2, ["belong to --rehearse"]),
        (("submit", "RUN", *SUBMIT, "--rehearse", "--queue-seconds=-1"), 2, ["at least 0"]),
        (("submit", "missing", *SUBMIT), 6, ["is not a run folder"]),
        (("estimate", "RUN"), 2, ["give --backend and --shots"]),
        (("estimate", "digits", "--from=sampled"), 2, ["--from belongs to"]),
        (("estimate", "digits", "--mitigation=zne"), 2, ["--set mitigation.method=zne"]),
        (("estimate", "digts"), 2, ["did you mean 'digits'"]),
        (("status", "missing"), 6, ["is not a run folder"]),
        (("collect", "missing"), 6, ["is not a run folder"]),
        (("collect", "RUN", "--continue"), 2, ["no training on a device is under way"]),
        (("cancel", "RUN", "--job=nonsense"), 2, ["no job nonsense in", "qt-hw status"]),
        (("retry", "RUN"), 2, ["nothing to retry"]),
        (("cost", "missing"), 6, ["is not a run folder"]),
        (("run", "digits", "--rehearse", "--out=new"), 2, ["needs no rehearsal"]),
        (("run", *TRAIN, "--set=budget.max_usd=", "--out=new"), 3, ["set a cap"]),
    ],
)
def test_what_is_wrong_is_one_line(
    arguments: tuple[str, ...],
    code: int,
    parts: list[str],
    pair: Path,
    vendor: Vendor,
    call: Call,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    got, _, error = call(*(str(pair) if word == "RUN" else word for word in arguments))
    assert got == code, error
    lines = error.splitlines()
    assert lines[-1].startswith("error: ")
    assert len(lines) == 1
    assert all(part in error for part in parts), error
    assert vendor.jobs() == []


def test_empty_folders_are_said_to_be_empty(pair: Path, call: Call) -> None:
    assert "qt-hw submit" in call("status", str(pair))[1]
    assert "nothing to collect" in call("collect", str(pair))[1]
    assert call("cost", str(pair))[1] == f"no jobs in {pair}\n"


def test_status_shows_the_journal_when_the_vendor_is_silent(
    pair: Path, vendor: Vendor, call: Call
) -> None:
    call("submit", str(pair), *SUBMIT)
    vendor.set(unreachable=True)
    code, out, _ = call("status", str(pair))
    assert code == 0
    assert "submitted" in out
    assert "cannot be asked" in out
    code, _, error = call("collect", str(pair))
    assert code == 5
    assert error == "error: evaluation 1: the paper mill does not answer\n"


@pytest.mark.parametrize(
    ("more", "price"),
    [
        ((), "200.30 USD"),
        (("--mitigation=readout", "--calibration-shots=500"), "280.90 USD"),
    ],
)
def test_forte_1_costs_what_the_price_sheet_says(
    more: tuple[str, ...], price: str, pair: Path, call: Call
) -> None:
    pytest.importorskip("braket.devices")
    arguments = (str(pair), "--backend=ionq:forte-1", "--shots=2500", "--rehearse", *more)
    code, out, _ = call("estimate", *arguments, "--max-usd=285")
    assert code == 0
    assert price in out
    code, out, _ = call("submit", *arguments, "--max-usd=285")
    assert code == 0
    assert f"price: {price} (prices of" in out


# ---- training


def test_a_training_is_priced_first_and_gone_on_with(
    vendor: Vendor, call: Call, tmp_path: Path
) -> None:
    out = str(tmp_path / "runs")
    code, printed, _ = call("estimate", *TRAIN)
    # 8 angles of two terms and the base: 17 circuits a step, 17 × 50 × 0.01 + 0.30.
    assert code == 0
    assert words(next(line for line in printed.splitlines() if line.startswith("price"))) == [
        *("price", "8.80", "USD", "0.80", "USD", "18.40", "USD")
    ]
    vendor.set(fail=1)
    code, _, error = call("run", *TRAIN, "--out", out, "--quiet")
    assert code == 5
    assert "paper:a4: 2 steps, 35 circuits, 3 jobs; price: 18.40 USD" in error
    assert call("retry", out)[0] == 0
    vendor.set(held=True)
    code, printed, error = call("collect", out, "--continue")
    assert (code, printed) == (8, "")
    assert error.startswith("pending: 1 job(s) of step 0 are queued or running; go on with: qt-hw")
    vendor.set(held=0)
    code, printed, error = call("collect", out)
    assert (code, printed) == (
        0,
        "step 0 is measured; --continue takes it and submits the next\n",
    )
    code, printed, _ = call("collect", out, "--continue", "--wait")
    assert code == 0
    assert words(printed.splitlines()[0]) == ["noiseless", "sampled"]
    assert len(vendor.jobs()) == 4
    assert "step 0, attempt 2" in call("status", out)[1]


def test_a_cap_that_ends_a_training_says_how_to_go_on(
    vendor: Vendor, call: Call, tmp_path: Path
) -> None:
    out = str(tmp_path / "runs")
    code, _, error = call("run", *TRAIN, "--set=budget.max_usd=10", "--out", out, "--quiet")
    assert code == 3
    assert "budget.max_usd = 10.00 ends it after about 1 step" in error
    assert error.splitlines()[-1].endswith(
        "--resume with a higher --set budget.max_usd=… or budget.max_qpu_seconds=…"
    )
    assert vendor.bill() == pytest.approx(8.8)
    code, printed, _ = call("collect", out)
    assert (code, printed) == (0, "step 1 is planned but not all sent; --continue does\n")
    assert call("run", *TRAIN, "--out", out, "--resume", "--quiet")[0] == 0
    assert vendor.bill() == pytest.approx(18.4)


@pytest.mark.parametrize("command", ["run", "collect"])
def test_ctrl_c_leaves_the_jobs_and_says_how_to_go_on(
    command: str, vendor: Vendor, installed: Path, pair: Path, call: Call, tmp_path: Path
) -> None:
    often = 10**6
    vendor.set(held=often)
    out = tmp_path / "runs"
    arguments = ["run", *TRAIN, "--quiet", "--out", str(out)]
    if command == "collect":
        call("submit", str(pair), *SUBMIT)
        arguments = ["collect", str(pair), "--wait"]
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(installed), str(ROOT)]),
        "OMP_NUM_THREADS": "1",
    }
    process = subprocess.Popen(
        [sys.executable, "-m", "qt_hw.cli", *arguments],
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
    )
    try:
        deadline = time.monotonic() + 120
        while vendor.control("held") > often - 2 and time.monotonic() < deadline:
            assert process.poll() is None
            time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        error = process.communicate(timeout=60)[1]
    finally:
        process.kill()
    assert process.returncode == 130
    assert "Traceback" not in error
    folder = out if command == "run" else pair
    assert f"qt-hw collect {folder}" in error
    assert SECRET not in error
    vendor.set(held=0)
    options = ["--continue"] if command == "run" else []
    code, *_ = call("collect", str(folder), *options, "--wait")
    assert code == 0
    assert len(vendor.jobs()) == (3 if command == "run" else 1)


def test_backends_say_what_to_type(vendor: Vendor, call: Call) -> None:
    code, out, _ = call("backends")
    assert code == 0
    lines = {line.split()[0]: line for line in out.splitlines() if line[:1].isalpha()}
    assert "ready" in lines["paper"]
    assert "write 'paper:a4'" in lines["paper"]
    for name in ("braket", "ibm", "ionq"):
        assert words(lines[name])[1] in ("ready", "missing")
        assert "next version" not in lines[name]
