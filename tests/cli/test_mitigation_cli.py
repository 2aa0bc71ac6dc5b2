"""Mitigation as a user types it: foreseen, priced, warned of and shown."""

from __future__ import annotations

from pathlib import Path

import pytest

from qt_hw.cli.shared import read_mitigation_options
from qt_hw.errors import InputError
from qt_hw.mitigation.techniques import TECHNIQUES
from tests.cli.conftest import Call
from tests.cli.test_hardware_cli import SUBMIT, TRAIN, words
from tests.hardware.paper import Vendor


@pytest.fixture(autouse=True)
def _wide(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "140")


def test_mitigation_is_foreseen_priced_and_shown(pair: Path, vendor: Vendor, call: Call) -> None:
    fixed = ("--backend=paper:a4", "--shots=1000", "--max-usd=100", "--mitigation=readout,zne")
    more = ("--mitigation-option=zne.scales=1,3,5", "--mitigation-option=zne.fit=richardson")
    arguments = (str(pair), *fixed, *more, "--calibration-shots=500")
    code, out, _ = call("estimate", *arguments)
    assert code == 0
    assert "20.30 USD" in out  # 1000 + 2 × 500 shots
    assert "no forecast of mitigation: the backend's properties say nothing of its errors" in out
    readout = {"readout_p01": [0.04] * 4, "readout_p10": [0.05] * 4}
    vendor.set(properties={**readout, "gate_errors": {"cx": {"*": 0.01}}})
    code, out, _ = call("estimate", *arguments)
    assert code == 0
    lines = {line.partition(":")[0]: line for line in out.splitlines()}
    for name in ("readout", "readout+rescale", "readout+zne"):
        assert "expected at 1,000 shots" in lines[name]
        assert "pays" in lines[name]
    assert "readout+zne is expected to hurt at 1,000 shots" in lines["warning"]


@pytest.mark.filterwarnings("default::qt_hw.errors.MitigationWarning")
def test_a_warning_is_one_line_and_the_choice_of_auto_is_said(
    pair: Path, vendor: Vendor, call: Call
) -> None:
    readout = {"readout_p01": [0.04] * 4, "readout_p10": [0.05] * 4}
    vendor.set(properties={**readout, "gate_errors": {"cx": {"*": 0.01}}})
    code, out, error = call("submit", str(pair), *SUBMIT, "--mitigation=zne")
    assert (code, "price: 1.30 USD" in out) == (0, True)
    (line,) = error.splitlines()
    assert line.startswith("warning: zne is expected to hurt at 100 shots: ")
    code, out, error = call("submit", str(pair), *SUBMIT, "--max-usd=1000", "--shots=4000",
                            "--mitigation=auto")  # fmt: skip
    assert code == 0
    assert error.splitlines() == ["mitigation auto takes readout+rescale"]
    code, out, error = call("collect", str(pair))
    assert code == 0
    assert "evaluation 2: total variation to the ideal vector: raw" in error
    assert "test accuracy, uncorrected" in out
    line = next(line for line in out.splitlines() if line.startswith("mitigation"))
    assert words(line) == ["mitigation", "none", "none", "zne", "auto:", "readout+rescale"]


def test_options_of_techniques_are_read_as_numbers_lists_and_words() -> None:
    given = ["zne.scales=1,3,5", "zne.fit=richardson", "readout.correlated=true", "cdr.share=0.4"]
    assert read_mitigation_options([*given, "rescale.circuits=[4]"]) == {
        "zne": {"scales": [1, 3, 5], "fit": "richardson"},
        "readout": {"correlated": True},
        "cdr": {"share": 0.4},
        "rescale": {"circuits": [4]},
    }
    with pytest.raises(InputError, match=r"zne\.fit is given twice"):
        read_mitigation_options(["zne.fit=linear", "zne.fit=linear"])


@pytest.mark.parametrize("command", ["estimate", "submit"])
def test_help_lists_all_techniques(command: str, call: Call) -> None:
    code, out, _ = call(command, "--help")
    text = " ".join(out.replace("│", " ").split())
    assert code == 0
    for name in (*TECHNIQUES, "none", "auto", "--mitigation-option"):
        assert name in text


def test_the_calibration_of_a_training_has_a_column(vendor: Vendor, call: Call) -> None:
    code, out, _ = call(
        "estimate", *TRAIN, "--set=mitigation.method=readout",
        "--set=mitigation.calibration_shots=100",
    )  # fmt: skip
    assert code == 0
    assert words(out.splitlines()[1]) == [
        *("one", "step", "last", "evaluation", "calibration", "training")
    ]
    line = next(line for line in out.splitlines() if line.startswith("price"))
    assert words(line)[1::2] == ["8.80", "0.80", "2.30", "20.70"]
