"""``python -m qt_hw_ibm.standin``: a stand-in that serves until its standard input ends."""

from __future__ import annotations

import argparse
from pathlib import Path

from qt_hw.execution.loopback import serve_as_child
from qt_hw_ibm.standin.devices import DEVICES, snapshot_of
from qt_hw_ibm.standin.server import Standin


def main() -> None:
    """Read the command line and serve."""
    parser = argparse.ArgumentParser(prog="python -m qt_hw_ibm.standin")
    parser.add_argument("--state", type=Path, required=True)
    parser.add_argument("--queue-seconds", type=float, default=2.0)
    parser.add_argument("--fault", action="append", default=[])
    parser.add_argument("--device", action="append", default=[])
    parser.add_argument("--instance", action="append", default=[])
    parser.add_argument("--noise", action="store_true")
    options = parser.parse_args()
    serve_as_child(
        Standin(
            options.state,
            devices={**DEVICES, **{name: snapshot_of(name) for name in options.device}},
            queue_seconds=options.queue_seconds,
            noise=options.noise,
            faults=options.fault,
            instances=options.instance,
        )
    )


if __name__ == "__main__":
    main()
