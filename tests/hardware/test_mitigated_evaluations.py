"""Mitigated evaluations from the estimate to the result: priced, sent, collected, judged."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from qt_hw.errors import BudgetExceeded, InputError, MitigationWarning, PreflightError
from qt_hw.hardware.collect import collect
from qt_hw.hardware.estimate import quote_evaluation
from qt_hw.hardware.evaluate import Submission, submit
from qt_hw.hardware.evaluation import records
from qt_hw.hardware.home import Home
from qt_hw.hardware.jobs import retry
from qt_hw.mitigation.calibration import Calibration
from tests.hardware.clouds import Begin
from tests.hardware.paper import Vendor

Array = NDArray[np.float64]


def send(pair: Path, mitigation: Any = "readout", *, shots: int = 1000, **more: Any) -> Submission:
    return submit(
        pair / "noiseless", "paper:a4", shots=shots, max_usd=1e4, mitigation=mitigation, **more
    )


def finished(pair: Path, number: int = 1) -> tuple[dict[str, Any], dict[str, Array]]:
    """Return the result and the arrays of a finished evaluation."""
    assert {outcome.state for outcome in collect(pair).outcomes} == {"finished"}
    folder = pair / "noiseless" / "evaluations" / f"{number:03d}"
    with np.load(folder / "probabilities.npz") as file:
        arrays = {name: file[name] for name in file}
    return json.loads((folder / "result.json").read_text()), arrays


@pytest.mark.parametrize(
    ("mitigation", "options", "circuits", "shots"),
    [
        ("readout", {}, 3, 3_000),
        ("readout", {"readout": {"pairs": 2}}, 5, 5_000),
        ("readout+zne", {}, 4, 3_000),
        ("zne", {"zne": {"scales": [1, 3, 5], "fit": "richardson"}}, 3, 1_000),
        ("readout+rescale", {"rescale": {"circuits": 4}}, 7, 7_000),
        (["twirling", "readout"], {"twirling": {"variants": 4}}, 6, 3_000),
        ("rescale", {"rescale": {"decay": 0.9}}, 1, 1_000),
    ],
)
def test_an_evaluation_is_mitigated_and_judged(
    mitigation: Any, options: dict, circuits: int, shots: int, pair: Path, vendor: Vendor
) -> None:
    quote = quote_evaluation(
        pair / "noiseless", "paper:a4", shots=1000, mitigation=mitigation,
        mitigation_options=options,
    )  # fmt: skip
    done = send(pair, mitigation, mitigation_options=options)
    assert (quote.cost.circuits, quote.cost.shots) == (circuits, shots)
    assert vendor.bill() == pytest.approx(quote.cost.usd_high) == pytest.approx(0.3 + shots / 100)
    result, arrays = finished(pair)
    assert result["mitigation"] == result["techniques"] == done.evaluation.mitigation
    assert arrays["used"].sum() == pytest.approx(1)
    assert result["total_variation"] == pytest.approx(
        0.5 * np.abs(arrays["used"] - arrays["ideal"]).sum(), abs=1e-6
    )
    assert result["raw_total_variation"] == pytest.approx(
        0.5 * np.abs(arrays["measured"] - arrays["ideal"]).sum(), abs=1e-6
    )
    assert 0 <= result["raw_test_accuracy"] <= 1
    (errors,), (line,) = result["errors"], result["verdict"]
    assert errors["mitigated"]["total_variation"] == pytest.approx(
        result["total_variation"], abs=1e-6
    )
    assert errors["raw"]["low"] <= errors["raw"]["total_variation"] <= errors["raw"]["high"]
    assert line.startswith("total variation to the ideal vector: raw 0.")
    calibration = Calibration.load(pair / "noiseless" / "evaluations" / "001" / "calibration.json")
    assert calibration.backend == "paper:a4"
    assert calibration.n_shots == shots - 1000
    # The paper mill makes no errors: raw and mitigated are both the law's, up to the shots.
    spread = 0.5 * np.sqrt(arrays["ideal"] / 200).sum()
    assert result["raw_total_variation"] < 2 * spread
    assert result["total_variation"] < 6 * spread


def test_the_verdict_is_said_when_it_is_collected(pair: Path, vendor: Vendor) -> None:
    send(pair)
    said: list[str] = []
    collect(pair, say=said.append)
    assert said[0].startswith("evaluation 1: total variation to the ideal vector: raw ")
    assert ", mitigated " in said[0]


def test_a_failed_job_that_is_retried_gives_the_same_numbers(pair: Path, vendor: Vendor) -> None:
    send(pair, "readout+zne")
    result, arrays = finished(pair)
    vendor.set(fail=1)
    send(pair, "readout+zne", again=True, options={})
    assert [outcome.state for outcome in collect(pair).outcomes] == ["finished", "failed"]
    retry(pair)
    second, others = finished(pair, 2)
    assert len(vendor.jobs()) == 3
    assert {name: array.tolist() for name, array in arrays.items()} == {
        name: array.tolist() for name, array in others.items()
    }
    assert second["errors"] == result["errors"]


def test_collecting_constructs_nothing(
    pair: Path, vendor: Vendor, monkeypatch: pytest.MonkeyPatch
) -> None:
    send(pair, "readout+zne")

    def never(*given: object, **more: object) -> None:
        raise AssertionError("a circuit was made")

    monkeypatch.setattr("qt_hw.mitigation.variants.fold", never)
    assert finished(pair)[0]["techniques"] == "readout+zne"


def test_records_of_an_earlier_version_are_still_read(pair: Path, vendor: Vendor) -> None:
    send(pair)
    path = pair / "noiseless" / "evaluations" / "001.json"
    record = json.loads(path.read_text())
    for name in ("stored", "chosen", "mitigation_options"):
        del record[name]
    path.write_text(json.dumps(record))
    _, old = finished(pair)
    send(pair, again=True)
    _, new = finished(pair, 2)
    assert old["used"].tolist() == new["used"].tolist()


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"mitigation_options": {"zne": {"scales": [1, 3]}}}, "options of zne, which is not used"),
        ({"calibration_shots": 0}, "at least 1"),
        ({"mitigation": "zne", "mitigation_options": {"zne": {"scales": [0.5, 3]}}}, "1 or more"),
        ({"mitigation": "auto"}, "its properties say nothing of them: name the techniques"),
        ({"mitigation": "readout+auto"}, "goes alone"),
        ({"mitigation": {"zne": 3}}, "mitigation is None, 'auto'"),
    ],
)
def test_what_is_wrong_is_said_before_anything_is_sent(
    more: dict, words: str, pair: Path, vendor: Vendor
) -> None:
    with pytest.raises(InputError, match=words):
        send(pair, **{"mitigation": "readout", **more})
    assert vendor.jobs() == []
    assert records(Home(run=pair / "noiseless", rehearsed=False)) == []


# ---- what the backend says of its errors


def describe(vendor: Vendor, *, readout: float, ry: float = 0.0, cx: float = 0.0) -> None:
    vendor.set(
        properties={
            "readout_p01": [readout] * 4,
            "readout_p10": [readout] * 4,
            "gate_errors": {"ry": {"*": ry}, "cx": {"*": cx}},
        }
    )


@pytest.mark.parametrize(
    ("errors", "shots", "chosen", "circuits"),
    [
        ({"readout": 0.1}, 5_000, "readout", 3),
        ({"readout": 0.05, "cx": 0.05}, 5_000, "readout+rescale", 11),
        ({"readout": 0.001}, 100, "none", 1),
    ],
)
def test_auto_decides_by_the_errors_that_the_backend_gives(
    errors: dict, shots: int, chosen: str, circuits: int, pair: Path, vendor: Vendor
) -> None:
    describe(vendor, **errors)
    said: list[str] = []
    done = send(pair, "auto", shots=shots, say=said.append)
    assert (done.evaluation.mitigation, done.evaluation.chosen) == ("auto", chosen)
    assert said == [f"mitigation auto takes {chosen}"]
    assert sum(job["circuits"] for job in vendor.jobs()) == circuits
    result, _ = finished(pair)
    assert result["mitigation"] == "auto"
    assert result.get("techniques", "none") == chosen
    # Asked for again it is the same evaluation, whatever would be chosen now.
    describe(vendor, readout=0.2)
    assert send(pair, "auto", shots=shots).news == "done"


@pytest.mark.parametrize(
    ("cap", "taken", "jobs_cost"),
    [(200.0, "readout+rescale", 110.3), (50.0, "readout+zne", 30.3), (20.0, "none", 10.3)],
)
def test_auto_takes_what_the_cap_allows(
    cap: float, taken: str, jobs_cost: float, pair: Path, vendor: Vendor
) -> None:
    describe(vendor, readout=0.05, cx=0.05)
    asked = {"shots": 1000, "mitigation": "auto", "max_usd": cap}
    assert quote_evaluation(pair / "noiseless", "paper:a4", **asked).outlook.mitigation == taken
    done = submit(pair / "noiseless", "paper:a4", **asked)
    assert done.evaluation.chosen == taken
    assert vendor.bill() == pytest.approx(jobs_cost)


def test_auto_sends_nothing_where_even_the_raw_vector_is_above_the_cap(
    pair: Path, vendor: Vendor
) -> None:
    describe(vendor, readout=0.05, cx=0.05)
    with pytest.raises(BudgetExceeded, match=r"above max_usd = 5\.00"):
        submit(pair / "noiseless", "paper:a4", shots=1000, mitigation="auto", max_usd=5.0)
    assert vendor.jobs() == []


def test_mitigation_that_is_expected_to_hurt_warns(pair: Path, vendor: Vendor) -> None:
    describe(vendor, readout=0.01, cx=0.01)
    with pytest.warns(MitigationWarning, match=r"zne is expected to hurt at 200 shots.* it pays"):
        send(pair, "zne", shots=200)
    assert len(vendor.jobs()) == 1


def test_the_outlook_names_the_shots_that_each_technique_needs(pair: Path, vendor: Vendor) -> None:
    asked = {"shots": 1000, "mitigation": "readout+zne"}
    quote = quote_evaluation(pair / "noiseless", "paper:a4", **asked)
    assert (quote.outlook.lines, quote.outlook.warnings) == ((), ())
    assert "say nothing of its errors" in quote.outlook.text[0]
    describe(vendor, readout=0.05, cx=0.01)
    quote = quote_evaluation(pair / "noiseless", "paper:a4", **asked)
    names = [line.partition(":")[0] for line in quote.outlook.lines]
    assert names == ["readout", "readout+rescale", "readout+zne"]
    assert all(re.search(r"expected at 1,000 shots, .* pays", x) for x in quote.outlook.lines)
    assert quote.outlook.mitigation == "readout+zne"


# ---- vendors


def test_ionq_refuses_folds_that_its_compiler_would_undo(pair: Path, begin: Begin) -> None:
    pytest.importorskip("braket.aws")
    cloud = begin("braket")
    more = {"shots": 400, "max_usd": 1e4, "account": {"bucket": "amazon-braket-rehearsal"}}
    for mitigation, role in (("zne", "fold"), ("readout+twirling", "twirl")):
        with pytest.raises(PreflightError, match=rf"{role}\(.*IonQ's compiler would undo it"):
            submit(
                pair / "noiseless", "ionq:forte-1", mitigation=mitigation,
                mitigation_options={"twirling": {"variants": 2}} if role == "twirl" else None,
                **more,
            )  # fmt: skip
    assert cloud.posts() == 0
    assert records(Home(run=pair / "noiseless", rehearsed=False)) == []


@pytest.mark.filterwarnings("ignore::qt_hw.errors.MitigationWarning")
@pytest.mark.parametrize("vendor_name", ["ibm", "braket"])
def test_folds_reach_the_device(vendor_name: str, pair: Path, begin: Begin) -> None:
    pytest.importorskip("qiskit_ibm_runtime" if vendor_name == "ibm" else "braket.aws")
    cloud = begin(vendor_name)
    options = {"verbatim": True} if vendor_name == "braket" else {}
    submit(
        pair / "noiseless",
        cloud.backend,
        shots=2000,
        max_usd=1e4,
        max_qpu_seconds=1e4,
        mitigation="readout+zne",
        options=options,
        account={"bucket": "amazon-braket-rehearsal"} if vendor_name == "braket" else None,
    )
    outcomes = collect(pair, waiting=True).outcomes
    assert [outcome.state for outcome in outcomes] == ["finished"]
    result, arrays = finished(pair)
    assert result["techniques"] == "readout+zne"
    # The stand-ins make no errors: 2000 shots, amplified by an extrapolation of equal shares.
    bound = 6 * np.sqrt(5) * 0.5 * np.sqrt(arrays["ideal"] / 2000).sum()
    assert result["total_variation"] < bound
