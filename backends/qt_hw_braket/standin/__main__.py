"""``python -m qt_hw_braket.standin FOLDER OPTIONS``: the stand-in as a child process."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from qt_hw.execution.loopback import serve_as_child
from qt_hw_braket.standin.server import Standin

if __name__ == "__main__":
    serve_as_child(Standin(Path(sys.argv[1]), **json.loads(sys.argv[2])))
