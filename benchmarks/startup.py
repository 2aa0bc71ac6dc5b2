"""Import time and the time until ``qt-hw --help`` has answered, in fresh interpreters.

python -m benchmarks.startup [--repetitions 9]
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

from benchmarks._timing import Route, Row, Table, clock, compare, show, verdict, write

HELP_SECONDS = 0.6


def process(*command: str) -> None:
    """Run ``command`` to its end and throw its output away."""
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


def code(text: str) -> list[str]:
    """Return the command that runs ``text`` in a fresh interpreter."""
    return [sys.executable, "-c", text]


def main() -> None:
    """Parse the command line, measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repetitions", type=int, default=9)
    args = parser.parse_args()
    everything = "import qt_hw as qt; [getattr(qt, name) for name in qt.__all__]"
    program = str(Path(sys.executable).with_name("qt-hw"))
    routes = [
        Route(name="import torch", run=clock(lambda: process(*code("import torch")))),
        Route(name="import qt_hw", run=clock(lambda: process(*code("import qt_hw"))), ceiling=1.5),
        Route(name="import qt_hw and every name", run=clock(lambda: process(*code(everything)))),
        Route(name="qt-hw --help", run=clock(lambda: process(program, "--help"))),
    ]
    table = compare("Start-up, whole process", routes, repetitions=args.repetitions)
    seconds = table.rows[-1].seconds
    assert seconds is not None
    row = Row(
        name="qt-hw --help", seconds=seconds, verdict="s " + verdict(seconds, ceiling=HELP_SECONDS)
    )
    absolute = Table(title="Absolute", rows=(row,), repetitions=args.repetitions)
    show(absolute)
    write("startup", [table, absolute])


if __name__ == "__main__":
    main()
