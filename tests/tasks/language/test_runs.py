"""Language models in whole runs, and what a LoRA and the control ``direct`` start from."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from torch import nn

import qt_hw as qt
from qt_hw.errors import ConfigError, InputError
from qt_hw.hardware.home import chosen_run
from qt_hw.tasks import build_target, get_task, target_info
from qt_hw.training.build import make_model, make_target
from qt_hw.training.checkpoint import load_checkpoint
from qt_hw.training.compare import train_pair
from qt_hw.training.export import export_run
from qt_hw.training.loading import load_config
from qt_hw.training.provenance import run_key

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning")

SMALL = {"model": "tiny-gpt2", "pretrain_steps": 0, "width": 16, "heads": 2, "context": 24}
IDS = torch.arange(12).reshape(2, 6)


@pytest.fixture(autouse=True)
def _data_folder(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QT_HW_DATA", str(tmp_path_factory.mktemp("data")))


def _built(**options: object) -> nn.Module:
    generator = torch.Generator().manual_seed(3)
    return build_target("causal-lm", generator, options={**SMALL, **options})


def _select(**options: object) -> tuple[str, ...]:
    chosen = target_info("causal-lm", {**SMALL, **options}).select
    assert chosen is not None
    return chosen


def test_a_lora_changes_the_layer_by_the_product_of_its_factors() -> None:
    network, select = _built(modules="lm_head", alpha=6.0), _select(modules="lm_head")
    plain = _built(modules="lm_head", alpha=6.0).eval()(IDS)  # B is 0 at the start
    a, b = (network.get_parameter(name) for name in sorted(select))
    hidden: list[torch.Tensor] = []
    layer = network.get_submodule("peft.base_model.model.lm_head")
    layer.register_forward_hook(lambda _, inputs, __: hidden.append(inputs[0]))
    with torch.no_grad():
        b.normal_(generator=torch.Generator().manual_seed(0))
        found = network.eval()(IDS)
        wanted = plain + 6.0 / 4 * hidden[0] @ a.T @ b.T
    torch.testing.assert_close(found, wanted)


def test_the_control_direct_starts_where_peft_does() -> None:
    config = load_config(
        "language-quick",
        ["target.options.pretrain_steps=0", "target.options.width=16", "control.name=direct"],
    ).noiseless()
    model = make_model(config)
    weights = model.weights()
    zeros = [name for name, value in weights.items() if not value.any()]
    assert zeros == [name for name in weights if "lora_B" in name]


def _config(*changes: str) -> list[str]:
    return [
        "task.options.length=16",
        "task.options.train_size=64",
        "task.options.test_size=16",
        "target.options.width=8",
        "target.options.layers=1",
        "target.options.context=16",
        "target.options.pretrain_steps=3",
        "ansatz.n_qubits=3",
        "ansatz.n_layers=1",
        "mapping.chunk_size=36",
        "backend.name=statevector",
        "backend.shots=512",
        "optimizer.steps=6",
        "optimizer.eval_every=3",
        "optimizer.checkpoint_every=3",
        *changes,
    ]


def test_a_pair_of_runs_and_its_export(tmp_path: Path) -> None:
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    pair = train_pair(load_config("language-quick", _config()), out=tmp_path / "run")
    run = chosen_run(tmp_path / "run", None)
    assert run.metric.key == "ppl" and not run.metric.higher_is_better
    results = pair.results()["sampled"]
    assert results["test_ppl"] == pytest.approx(math.exp(results["test_loss"]), rel=1e-6)
    assert results["target_parameters"] == run.manifest["parameters"]["n_generated"]
    (tmp_path / "adapter.tmp").mkdir()
    (tmp_path / "adapter.tmp" / "notes").touch()
    described = export_run(run, tmp_path / "adapter")
    beside = {path.name for path in tmp_path.iterdir() if path.name.startswith("adapter")}
    assert beside == {"adapter", "adapter.tmp"}
    assert (tmp_path / "adapter.tmp" / "notes").is_file()
    assert described["weights"] == run.manifest["parameters"]["n_generated"]
    with pytest.raises(InputError, match="already exists; add --force"):
        export_run(run, tmp_path / "adapter")
    export_run(run, tmp_path / "adapter", force=True)
    with pytest.raises(InputError, match="run is not an earlier export: name a new folder"):
        export_run(run, tmp_path / "run", force=True)
    assert (tmp_path / "run" / "comparison.csv").is_file()
    base = AutoModelForCausalLM.from_pretrained(tmp_path / "adapter" / "base")
    loaded = PeftModel.from_pretrained(base, tmp_path / "adapter").eval()
    ids = get_task("language", length=16, test_size=4).load().test[0]
    with torch.no_grad():
        wanted = run.export().eval()(ids)
        torch.testing.assert_close(loaded(input_ids=ids).logits, wanted)


def test_checkpoints_leave_out_what_is_frozen(tmp_path: Path) -> None:
    config = load_config("language-quick", _config()).noiseless()
    run = qt.train(config, out=tmp_path / "a", progress=False)
    checkpoint = load_checkpoint(tmp_path / "a" / "checkpoints", run_key(config))
    assert checkpoint is not None
    stored, frozen = checkpoint.state["model"], checkpoint.state["frozen"]
    assert any("wte" in name for name in frozen) and not any("wte" in name for name in stored)
    restored, kept = run.model().export().state_dict(), run.export().state_dict()
    assert all(torch.equal(restored[name], kept[name]) for name in kept)
    # The weights of another model are noticed, although their names and shapes are the same.
    other = make_target(load_config("language-quick", _config("target.options.pretrain_seed=1")))
    with pytest.raises(ConfigError, match="has other values than in the run, where it was frozen"):
        run.model(other)
