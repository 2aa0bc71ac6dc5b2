"""QPA step beside a plain LoRA step of PEFT, at GPT-2's shape.

    python -m benchmarks.language [--repetitions 5] [--lengths 128,512]

GPT-2 of full shape with random weights and LoRA of rank 4 on ``lm_head``, batch 1, AdamW. Both
routes are a step of the same loop: batch, forward, loss, backward, norm of the gradient, update.
The QPA step is that of ``qt_hw.training.trainer.Trainer`` on the preset ``gpt2-lora-qpa``: circuit
of 7 qubits, mapping and 106,264 trained numbers come on top; the plain step trains the 204,100
LoRA weights themselves. The reference implementation's 0.05 s is of a GPU.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable

import torch
from torch import Tensor, nn

from benchmarks._timing import Route, Table, clock, compare, write
from qt_hw.model.trainable import Trainable
from qt_hw.tasks import Data, build_target
from qt_hw.tasks.language.scores import mean_loss
from qt_hw.tasks.language.task import Language
from qt_hw.training.build import make_model
from qt_hw.training.config import RunConfig
from qt_hw.training.loading import load_config
from qt_hw.training.trainer import Trainer

CEILING = 1.3
VOCABULARY = 50_257


def configuration() -> RunConfig:
    """Return the paper's preset with random weights, which cost as much as trained ones."""
    return load_config("gpt2-lora-qpa", ['target.options.model="gpt2-random"'])


def text(length: int) -> Data:
    """Return random tokens: their values do not change the time."""
    generator = torch.Generator().manual_seed(0)
    ids = torch.randint(VOCABULARY, (8, length), generator=generator)
    facts: dict[str, object] = {"vocabulary": VOCABULARY}
    return Data(train=(ids, ids), test=(ids, ids), name="random", description=facts)


def ours(config: RunConfig, model: Trainable, data: Data) -> Callable[[], object]:
    """Return a step of our trainer."""
    trainer = Trainer(config, model, Language(train_on_padding=True), data)
    return trainer._train_step


def plain(config: RunConfig, network: nn.Module, data: Data) -> Callable[[], object]:
    """Return a step of an ordinary loop that trains the adapters themselves."""
    trained = [p for p in network.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=config.optimizer.lr_mapping)
    ids = data.train[0]
    count = iter(range(1 << 30))

    def step() -> float:
        network.train()
        now: Tensor = ids[next(count) % len(ids)][None]
        optimizer.zero_grad(set_to_none=True)
        loss = mean_loss(network(now), now)
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(trained, math.inf)
        optimizer.step()
        return float(loss.detach())

    return step


def measure(config: RunConfig, length: int, repetitions: int) -> Table:
    """Time both steps at one length."""
    target = config.target
    network = build_target(target.name, torch.Generator().manual_seed(0), options=target.options)
    model, data = make_model(config, network), text(length)
    report = model.parameter_report()
    return compare(
        f"GPT-2 shape, LoRA rank 4 on lm_head, batch 1, length {length}: one step",
        [
            Route(
                name="PEFT LoRA",
                run=clock(plain(config, network, data), at_least=2.0),
                note=f"{report.n_generated:,} trained",
            ),
            Route(
                name="QPA",
                run=clock(ours(config, model, data), at_least=2.0),
                note=f"{report.n_trained:,} trained, {report.n_qubits} qubits, exact",
                ceiling=CEILING,
            ),
        ],
        repetitions=repetitions,
    )


def main() -> None:
    """Parse the command line, measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--repetitions", type=int, default=5)
    parser.add_argument("--lengths", default="128,512")
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    config = configuration()
    lengths = [int(length) for length in args.lengths.split(",")]
    tables = [measure(config, length, args.repetitions) for length in lengths]
    write("language", tables, threads=args.threads)


if __name__ == "__main__":
    main()
