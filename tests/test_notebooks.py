"""Every notebook runs from its first cell to its last, in an empty folder, as a reader's would."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

NOTEBOOKS = sorted((Path(__file__).resolve().parents[1] / "notebooks").glob("*.ipynb"))

SMALL = {
    "01_run_on_a_simulator": "STEPS, REPEATS = 10, 2",
    "03_shot_noise_robustness": """
SEEDS, STEPS, SHOTS, TRAINED_SHOTS = 2, 10, [64, 256, 1024], [256]
NOISY = {"backend": "aer", "noise": "depolarizing(p1=5e-4, p2=1e-2) + readout(p=0.03)"}
CONTROLS = ["uniform"]
""",
    "04_language_model_adapters": """
STEPS, SHOTS, REPEATS = 10, [256, 4096], 2
PRETRAINING = {"pretrain_steps": 20, "width": 16}
""",
    "05_forecasting": "STEPS, SHOTS, REPEATS, CONTROLS = 20, [256, 4096], 2, {}",
    "06_reinforcement_learning": """
SEEDS, UPDATES, EPISODES, TESTS, MAX_STEPS, SHOTS, FEWER = 1, 4, 2, 5, 20, 256, [64, 256]
NOISY = {"name": "aer", "noise": "depolarizing(p1=5e-4, p2=1e-2) + readout(p=0.03)"}
""",
}
"""What is put below a notebook's cell of parameters: a training of a few steps, another noise."""

SAID = {
    "01_run_on_a_simulator": [
        "generated            2,410",
        "11 circuits, 0 shots",
        "Torino, readout  distance to the exact vector",
    ],
    "02_submit_to_a_qpu": ["200.30 USD", "(rehearsal)", "on the test images"],
    "03_shot_noise_robustness": [
        "24 cells, 0 failures",
        "too few seeds to decide",
        "smallest p = 2/2^2 = 0.5000",
        "study/report.html",
    ],
    "04_language_model_adapters": [
        "generated            1,152",
        "quantum           1,056",
        "4,096 shots: perplexity",
        "adapter: 1,152 weights of causal-lm",
        "largest difference of the logits",
        "unknown adapter 'lorra'; did you mean 'lora'",
    ],
    "05_forecasting": [
        "12 h ahead: NSE of persistence 0.321",
        "quantum           286",
        "4,096 shots: NSE",
        "broken.csv, line 10: 'Eis' in the column",
        "trained for them     13,327",
    ],
    "06_reinforcement_learning": [
        "mean return of random pushes",
        "trained for them     223",
        "episodes: 1 circuit measured; for the gradient 48 more",
        "noise, readout mitigation",
    ],
}
FIGURES = {
    "01_run_on_a_simulator": 4,
    "02_submit_to_a_qpu": 1,
    "03_shot_noise_robustness": 4,
    "04_language_model_adapters": 3,
    "05_forecasting": 4,
    "06_reinforcement_learning": 4,
}


@pytest.mark.slow
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_runs(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    programs = Path(sys.executable).parent
    monkeypatch.setenv("PATH", f"{programs}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    work = tmp_path / "work"
    work.mkdir()
    notebook = nbformat.read(path, as_version=4)
    make_small(notebook, SMALL.get(path.stem, ""))
    client = NotebookClient(
        notebook, timeout=600, kernel_name="python3", resources={"metadata": {"path": str(work)}}
    )
    client.execute()
    made = [output for cell in notebook.cells for output in outputs(cell)]
    text = "".join(output.get("text", "") for output in made)
    for said in SAID[path.stem]:
        assert said in text
    figures = [output for output in made if "image/png" in output.get("data", {})]
    assert len(figures) == FIGURES[path.stem]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_is_stored_as_it_ran(path: Path) -> None:
    cells = [cell for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
    stored = path.read_text()
    assert "Traceback" not in stored
    assert not re.search("/(home|root|tmp|work)/", stored), "a path of somebody's machine"
    made = [output for cell in cells for output in outputs(cell)]
    assert sum("image/png" in one.get("data", {}) for one in made) == FIGURES[path.stem]


def make_small(notebook: nbformat.NotebookNode, changes: str) -> None:
    """Change the parameters of a notebook, which stand in its cell of that tag."""
    tagged = [cell for cell in notebook.cells if "parameters" in cell.metadata.get("tags", [])]
    assert len(tagged) == bool(changes)
    for cell in tagged:
        cell.source += "\n" + changes


def outputs(cell: nbformat.NotebookNode) -> list[nbformat.NotebookNode]:
    return list(cell.get("outputs", []))
