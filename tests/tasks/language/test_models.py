"""What is known of a model before it is built, and what PEFT reads of an export."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from qt_hw import QuantumTrain
from qt_hw.circuits.builtin import RyCnot
from qt_hw.errors import DataError, InputError
from qt_hw.model.mapping import MlpMapping
from qt_hw.tasks import build_target, get_task, target_info
from qt_hw.tasks.language.export import export_adapter

TINY = {"width": 16, "context": 40, "pretrain_steps": 0}
IDS = torch.arange(48).reshape(2, 24) % 257


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QT_HW_DATA", str(tmp_path / "data"))


def build(**options: Any) -> nn.Module:
    generator = torch.Generator().manual_seed(0)
    return build_target("causal-lm", generator, options={**TINY, **options})


def test_the_facts_of_the_default_are_those_of_what_is_built() -> None:
    known, built = target_info("causal-lm"), target_info("causal-lm", {"rank": 4})
    assert known == built


@pytest.mark.parametrize(
    "options",
    [
        {"modules": "lm_head,c_attn"},
        {"adapter": "dora", "gain": "zero"},
        {"adapter": "prefix"},
        {"adapter": "prompt"},
        {"peft_init_lora_weights": "pissa"},  # it changes the model too
        {"peft_modules_to_save": ("ln_f",)},
        {"adapter": "boft", "modules": "lm_head"},  # looks at values when it is made
        {"adapter": "shira", "modules": "lm_head"},
    ],
    ids=lambda options: " ".join(f"{name}={value}" for name, value in options.items()),
)
@pytest.mark.filterwarnings("ignore::FutureWarning")
@pytest.mark.filterwarnings("ignore::UserWarning")  # what PEFT says of GPT-2's layers
def test_peft_loads_what_is_exported(options: dict[str, Any], tmp_path: Path) -> None:
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    network = build(**options)
    select = target_info("causal-lm", {**TINY, **options}).select
    model = QuantumTrain(
        network, ansatz=RyCnot(4, 2), mapping=MlpMapping((4,), chunk_size=256), select=select
    )
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.endswith(".gain"):
                parameter.fill_(0.7)
    export_adapter(model, tmp_path / "adapter")
    assert {"adapter_config.json", "adapter_model.safetensors", "base"} <= {
        path.name for path in (tmp_path / "adapter").iterdir()
    }
    base = AutoModelForCausalLM.from_pretrained(tmp_path / "adapter" / "base")
    loaded = PeftModel.from_pretrained(base, tmp_path / "adapter").eval()
    with torch.no_grad():
        expected = model.eval()(IDS)
        found = loaded(input_ids=IDS, use_cache=False).logits[:, -IDS.shape[1] :]
        assert (expected - network.eval()(IDS)).abs().max() > 1e-3
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)


def test_a_folder_without_a_model_is_named(tmp_path: Path) -> None:
    (tmp_path / "adapter_config.json").write_text("{}")
    with pytest.raises(DataError, match="holds adapters without a model"):
        target_info("causal-lm", {"model": str(tmp_path)})
    with pytest.raises(DataError, match="cannot load the model"):
        target_info("causal-lm", {"model": str(tmp_path / "nowhere")})


def _saved(folder: Path, kind: str, **options: Any) -> str:
    import transformers

    size = {"vocab_size": 257, "hidden_size": 8, "intermediate_size": 16, "num_hidden_layers": 1}
    size |= {"num_attention_heads": 2, "max_position_embeddings": 32}
    model, config = getattr(transformers, kind), transformers.LlamaConfig
    if kind.startswith("Bert"):
        config = transformers.BertConfig
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model(config(**size, **options)).save_pretrained(folder)
    return str(folder)


def test_a_model_that_lacks_weights_or_whose_file_is_cut_is_refused(tmp_path: Path) -> None:
    folder, generator = _saved(tmp_path / "headless", "LlamaModel"), torch.Generator()
    with pytest.raises(DataError, match=r"comes without its weights 'lm_head\.weight'"):
        build_target("causal-lm", generator, options={"model": folder})
    file = tmp_path / "headless" / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-9])
    with pytest.raises(DataError, match=r"cannot load the model .*deserializing"):
        build_target("causal-lm", generator, options={"model": folder})


def test_a_model_that_sees_what_it_is_to_tell_is_refused(tmp_path: Path) -> None:
    task = get_task("language", length=16, train_size=2, test_size=2)
    for name, decoder in (("blind", True), ("seeing", False)):
        folder = _saved(tmp_path / name, "BertLMHeadModel", is_decoder=decoder)
        options = {"model": folder, "modules": "query"}
        network = build_target("causal-lm", torch.Generator().manual_seed(0), options=options)
        if decoder:
            task.check(network, task.load())
            continue
        with pytest.raises(InputError, match="sees the tokens that it is to tell"):
            task.check(network, task.load())


def test_an_adapter_that_sees_ahead_once_it_is_trained_is_refused() -> None:
    task = get_task("language", length=24, train_size=2, test_size=2)
    network = build(adapter="lily", modules="lm_head")
    with pytest.raises(InputError, match=r"sees the tokens that it is to tell.*another adapter"):
        task.check(network, task.load())
    for adapter in ("lora", "dora", "prefix", "prompt", "bottleneck", "ia3"):
        task.check(build(adapter=adapter), task.load())


def test_another_tokenizer_than_the_models_is_warned_of(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    task = get_task("language", length=16, train_size=2, test_size=2)
    network = build()
    task.check(network, task.load())
    assert not caplog.records
    network.vocabulary = 50_257
    task.check(network, task.load())
    assert "the target knows 50,257 tokens, the data use 257" in caplog.text


def test_data_that_do_not_fit_the_model_are_refused() -> None:
    task = get_task("language", length=41, train_size=2, test_size=2)
    with pytest.raises(InputError, match=r"context is 40, the data need 41"):
        task.check(build(), task.load())
