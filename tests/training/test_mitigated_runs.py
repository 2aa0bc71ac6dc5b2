"""Runs with mitigation: configuration, calibration in the folder, resume, shots, prices."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from torch import Tensor

import qt_hw as qt
from qt_hw.errors import ConfigError, InputError, StorageError
from qt_hw.execution.executor import LocalExecutor
from qt_hw.mitigation import Calibration, Zne
from qt_hw.tasks.digits import Digits
from qt_hw.training.build import make_mitigation, make_model
from qt_hw.training.config import MitigationConfig, RunConfig
from qt_hw.training.loading import load_config, to_toml
from qt_hw.training.provenance import run_key
from qt_hw.training.quote import quote_training
from qt_hw.training.run import Run, train
from tests.training.small import small_config, small_tables

NOISE = 'backend.noise="depolarizing(p1=1e-3, p2=1e-2)+readout(p=0.03)"'
STEPS, SHOTS, CALIBRATION_SHOTS = 6, 256, 1000
#: Two circuits for the readout, eight for the decay; 8 angles of two terms in each gradient.
CALIBRATION_CIRCUITS, SHIFTED = 2 + 8, 16


pytestmark = pytest.mark.usefixtures("unrendered")


def noisy(*changes: str, method: str = "readout+rescale") -> RunConfig:
    return small_config(
        "backend.name=aer",
        NOISE,
        f"optimizer.steps={STEPS}",
        "optimizer.eval_every=2",
        "optimizer.checkpoint_every=2",
        f"mitigation.method={method}",
        f"mitigation.calibration_shots={CALIBRATION_SHOTS}",
        *changes,
        shots=SHOTS,
    )


def practise(config: RunConfig, out: Path, **options: Any) -> Run:
    return train(config, out=out, progress=False, **options)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return practise(noisy(), tmp_path_factory.mktemp("runs") / "whole", data=stopping(99))


def stopping(at: int) -> Digits:
    """Data that behave like Ctrl-C at one call of their loss."""
    calls = {"left": at}

    class Stopping(Digits):
        def loss(self, output: Tensor, y: Tensor) -> Tensor:
            if output.requires_grad:
                calls["left"] -= 1
            if calls["left"] < 0:
                raise KeyboardInterrupt
            return super().loss(output, y)

    return Stopping(train_size=200, test_size=100)


def test_the_run_keeps_its_calibration(whole: Run) -> None:
    calibration = Calibration.load(whole.folder / "calibration.json")
    assert calibration.backend == "aer"
    assert calibration.n_circuits == CALIBRATION_CIRCUITS
    assert calibration.n_shots == CALIBRATION_CIRCUITS * CALIBRATION_SHOTS
    (one,) = calibration.circuits
    assert one.confusion is not None
    np.testing.assert_allclose(one.confusion.matrices[:, 1, 0], 0.03, atol=5 * 0.0054)
    assert 0.85 < one.decays["readout"].value < 1.0
    told = whole.manifest["generator"]["mitigation"]
    assert told["name"] == "readout+rescale" and told["circuits_per_vector"] == [1]
    assert told["calibration"] == calibration.to_dict()


def test_shots_are_those_of_calibration_and_steps(whole: Run) -> None:
    first, last = whole.metrics[0], whole.metrics[-1]
    extra = CALIBRATION_CIRCUITS * CALIBRATION_SHOTS
    assert first["step"] == 0 and first["shots"] - extra in (SHOTS, (1 + SHIFTED) * SHOTS)
    assert last["shots"] == extra + (STEPS * (1 + SHIFTED) + 1) * SHOTS
    assert last["circuits"] == CALIBRATION_CIRCUITS + STEPS * (1 + SHIFTED) + 1
    assert whole.results()["shots"] == last["shots"]


@pytest.mark.parametrize("at", [0, 3])
def test_an_interrupted_run_goes_on_bit_for_bit(whole: Run, tmp_path: Path, at: int) -> None:
    with pytest.raises(KeyboardInterrupt):
        practise(noisy(), tmp_path / "cut", data=stopping(at))
    path = tmp_path / "cut" / "calibration.json"
    before = path.read_bytes()
    resumed = practise(noisy(), tmp_path / "cut", data=stopping(99), resume=True)
    # The date would tell: it was not measured again.
    assert path.read_bytes() == before
    rows = [
        [{k: v for k, v in row.items() if k != "seconds"} for row in run.metrics]
        for run in (whole, resumed)
    ]
    assert rows[0] == rows[1]
    for name in ("results/weights.safetensors", f"checkpoints/step-{STEPS:08d}.safetensors"):
        assert (whole.folder / name).read_bytes() == (resumed.folder / name).read_bytes(), name


def test_a_stored_calibration_is_what_the_model_uses(whole: Run, tmp_path: Path) -> None:
    model = whole.model()
    mitigator = model.generator.setup.mitigator
    stored = Calibration.load(whole.folder / "calibration.json")
    assert mitigator is not None and mitigator.calibration is not None
    assert mitigator.calibration.to_dict() == stored.to_dict()
    # Elsewhere there is nothing to mitigate, nor a calibration of it.
    elsewhere = whole.model(executor=LocalExecutor(qt.backend("statevector")))
    assert elsewhere.generator.setup.mitigator is None
    path = whole.folder / "calibration.json"
    given = noisy(f"mitigation.calibration={json.dumps(str(path))}", "optimizer.steps=1")
    run = practise(given, tmp_path / "given", data=stopping(99))
    assert run.metrics[-1]["circuits"] == 1 + SHIFTED + 1
    assert Calibration.load(run.folder / "calibration.json").to_dict() == stored.to_dict()


def test_a_cut_run_with_a_given_calibration_counts_none(whole: Run, tmp_path: Path) -> None:
    path = whole.folder / "calibration.json"
    given = noisy(f"mitigation.calibration={json.dumps(str(path))}", "optimizer.steps=1")
    with pytest.raises(KeyboardInterrupt):
        practise(given, tmp_path / "cut", data=stopping(0))
    run = practise(given, tmp_path / "cut", data=stopping(99), resume=True)
    assert run.metrics[-1]["circuits"] == 1 + SHIFTED + 1


def test_auto_is_chosen_once_for_a_run(tmp_path: Path) -> None:
    config = noisy("optimizer.steps=3", method="auto")
    one = practise(config, tmp_path / "one", data=stopping(99))
    choice = Calibration.load(one.folder / "calibration.json").circuits[0].choice
    assert choice in ("readout", "readout+rescale")
    assert one.manifest["generator"]["mitigation"]["combinations"] == [choice]
    with pytest.raises(KeyboardInterrupt):
        practise(config, tmp_path / "cut", data=stopping(2))
    two = practise(config, tmp_path / "cut", data=stopping(99), resume=True)
    assert one.arrays()["angles"].tolist() == two.arrays()["angles"].tolist()
    assert one.metrics[-1]["shots"] == two.metrics[-1]["shots"]


def test_a_damaged_calibration_is_said(tmp_path: Path) -> None:
    config = noisy("optimizer.steps=3")
    with pytest.raises(KeyboardInterrupt):
        practise(config, tmp_path / "cut", data=stopping(2))
    path = tmp_path / "cut" / "calibration.json"
    path.write_text("{}")
    with pytest.raises(StorageError, match=r"calibration\.json"):
        practise(config, tmp_path / "cut", data=stopping(99), resume=True)


def test_mitigation_is_another_run(whole: Run) -> None:
    with pytest.raises(ConfigError):
        practise(noisy(method="readout"), whole.folder, data=stopping(99), resume=True)


# Configurations


def test_runs_without_mitigation_keep_their_key() -> None:
    tables = small_tables()
    plain = load_config(tables)
    assert run_key(plain) == run_key(load_config({**tables, "mitigation": {"method": "none"}}))
    assert plain.mitigation == MitigationConfig() and make_mitigation(plain.mitigation) is None
    # As of the versions before there was mitigation, whose runs go on.
    assert "zne" not in to_toml(plain) and "calibration" not in to_toml(plain)


def test_toml_says_everything() -> None:
    config = noisy(
        'mitigation.method=["readout", "zne"]',
        "mitigation.zne.scales=[1, 3, 5]",
        "mitigation.zne.fit=richardson",
        "mitigation.readout.pairs=2",
    )
    again = load_config_text(to_toml(config))
    assert again == config and run_key(again) == run_key(config)
    made = make_mitigation(again.mitigation)
    assert made is not None and made.name == "readout+zne"
    assert made.calibration_shots == CALIBRATION_SHOTS
    assert made.combination.techniques[1] == Zne(scales=(1, 3, 5), fit="richardson")


def load_config_text(text: str) -> RunConfig:
    import tomllib

    return load_config(tomllib.loads(text))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (["mitigation.method=redout"], "did you mean 'readout'"),
        (["mitigation.method=zne+rescale"], "both undo the errors of the gates"),
        (["mitigation.method=cdr"], "gradients do not pass through cdr"),
        (["mitigation.zne.fit=exponential"], r"do not pass through zne \(fit='exponential'\)"),
        (["mitigation.method=rescale", "mitigation.rescale.fit=data"], "not pass through rescale"),
        (["mitigation.zne.scales=[1]"], "needs 2 or more different scale factors"),
        (["mitigation.zne.scales=[0.5, 3]"], "scale factors are 1 or more"),
        (["mitigation.zne.scale=[1, 3]"], "did you mean 'scales'"),
        (["mitigation.rescale.decay=0.9"], "options of rescale, which is not used"),
        (["mitigation.znee.fit=linear"], "mitigation.zne"),
        (["mitigation.calibration_shots=0"], "calibration_shots"),
    ],
)
def test_wrong_tables_are_said_in_one_line(changes: list[str], words: str) -> None:
    with pytest.raises(ConfigError, match=words) as caught:
        noisy(*["mitigation.method=zne", *changes])
    assert "\n" not in str(caught.value)


def test_the_noiseless_twin_has_nothing_to_mitigate() -> None:
    twin = noisy().noiseless()
    assert twin.mitigation == MitigationConfig() and twin.is_noiseless
    assert make_model(twin).generator.setup.mitigator is None


def test_exact_runs_refuse_mitigation(tmp_path: Path) -> None:
    config = small_config("mitigation.method=readout", shots=None)
    with pytest.raises(InputError, match="no errors to mitigate"):
        practise(config, tmp_path / "run")


# Prices


@pytest.mark.parametrize(
    ("method", "calibration", "variants"),
    [("readout", 2, 1), ("readout+rescale", 10, 1), ("readout+zne", 2 + 16, 2)],
)
def test_prices_include_the_calibration(method: str, calibration: int, variants: int) -> None:
    quote = quote_training(noisy(method=method), qt.backend("aer", noise=NOISE.split('"')[1]))
    assert quote.calibration is not None
    assert quote.calibration.circuits == calibration
    assert quote.calibration.shots == calibration * CALIBRATION_SHOTS
    assert quote.step.circuits == (1 + SHIFTED) * variants
    assert quote.step.shots == (1 + SHIFTED) * SHOTS
    assert quote.total.shots == quote.calibration.shots + (STEPS * (1 + SHIFTED) + 1) * SHOTS
    assert quote.total.circuits == calibration + variants * (STEPS * (1 + SHIFTED) + 1)


def test_the_price_is_what_a_run_uses(whole: Run) -> None:
    quote = quote_training(noisy(), qt.backend("aer", noise=NOISE.split('"')[1]))
    assert quote.total.shots == whole.metrics[-1]["shots"]
    assert quote.total.circuits == whole.metrics[-1]["circuits"]
