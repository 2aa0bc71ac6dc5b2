"""All tasks side by side: classical, exact, with shots, under noise, mitigated.

    python -m benchmarks.table [--task digits …] [--seeds 5] [--jobs 2] [--show]

Each task of the study ``all-tasks`` is a study of its own in a folder below ``--out``, so that one
that fails stops no other and a task that is added computes nothing anew. What is finished is kept:
the same command goes on where it was stopped. The table goes to ``benchmarks/table.md``.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from pathlib import Path

from benchmarks._task_table import Line, line_of, markdown
from qt_hw.errors import QtHwError
from qt_hw.study.config import StudyConfig
from qt_hw.study.folder import StudyFolder
from qt_hw.study.loading import load_study
from qt_hw.study.study import Finished, run_study

NAME = "all-tasks"
PAGE = Path(__file__).parent / "table.md"
TEXT = """# All tasks at their minutes-long size

`make table` (`python -m benchmarks.table`) prints this table anew and goes on where it was stopped.
The study is `{study}`, for each task in a folder of its own with its own report page.

{table}
Mean of seeds {seeds} ± half its 95 % interval (Student's t), on the test part.

- trained: numbers that are trained through the circuit, and numbers that the classical run trains.
- classical: the target itself, trained with the same steps, batches, rates and schedule.
- exact: circuits without shots or noise. 4,096 shots: trained with so many shots of each circuit.
- FakeTorino: the exactly trained circuit, measured with 4,096 shots under the stored calibration of
  that device, mean of 3 measurements; mitigated: the same with the mitigation `readout`.
- time: of one exact training and of one with shots, one thread each.

The papers' figures are not beside these, as their data and sizes are others.
"""


def main() -> int:
    """Parse the command line, run what is not finished, write and print the table."""
    arguments = _arguments()
    os.environ["OMP_NUM_THREADS"] = "1"
    study = _study(arguments)
    lines, failed, start = list[Line](), False, time.monotonic()
    for base in study.base:
        out = arguments.out / Path(base).stem
        try:
            if not arguments.show:
                failed |= not _run(study, base, out, arguments.jobs)
            lines.append(line_of(StudyFolder(out), base))
        except QtHwError as error:
            print(f"{base}: {error}", file=sys.stderr, flush=True)
            failed = True
        print(f"{base}: {(time.monotonic() - start) / 60:.1f} min", file=sys.stderr, flush=True)
    if lines:
        text = _page(study, lines)
        arguments.page.write_text(text, "utf-8")
        print(text)
    return int(failed)


def _study(arguments: argparse.Namespace) -> StudyConfig:
    changes = [] if arguments.seeds is None else [f"seeds={arguments.seeds}"]
    study = load_study(NAME, [*changes, *(arguments.set or ())])
    if not arguments.task:
        return study
    return study.model_copy(update={"base": tuple(arguments.task)})


def _run(study: StudyConfig, base: str, out: Path, jobs: int | None) -> bool:
    """Run one task, or go on with it; return whether all its cells are done."""
    finished: Finished = run_study(
        study.model_copy(update={"base": (base,)}),
        out=out,
        resume=(out / "study.json").exists(),
        jobs=jobs,
        name=f"{NAME}: {base}",
    )
    for failure in finished.failures:
        print(f"{failure.cell}: {failure.error}", file=sys.stderr)
    return not finished.failures and not finished.open


def _page(study: StudyConfig, lines: list[Line]) -> str:
    seeds = ", ".join(str(seed) for seed in study.seeds)
    note = "".join(f"\n{line.base}: {line.failed} cells failed.\n" for line in lines if line.failed)
    return TEXT.format(study=NAME, table=markdown(lines), seeds=seeds) + note


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--task", nargs="+", help="presets or files in place of the study's own")
    parser.add_argument("--seeds", type=int, help="their number")
    parser.add_argument("--set", nargs="+", help="changes of all runs: optimizer.steps=100")
    parser.add_argument("--out", type=Path, default=Path("studies") / NAME)
    parser.add_argument("--page", type=Path, default=PAGE)
    parser.add_argument("--jobs", type=int, help="worker processes; one for each core")
    parser.add_argument("--show", action="store_true", help="the table of what is finished")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
