from __future__ import annotations

import json

from qt_hw.model.report import ParameterReport

REPORT = ParameterReport(
    n_target=2_410,
    n_generated=2_080,
    n_trained=430,
    n_kept=330,
    share=430 / 2_080,
    breakdown={"angles": 24, "mapping": 406, "scaling": 0},
    n_qubits=6,
    chunk_size=38,
    bins_used=55,
    bins=64,
    circuit_share=0.4861,
)


def test_table_names_every_number() -> None:
    rows = [line.split("  ", 1) for line in str(REPORT).splitlines()]
    table = {name: value.strip() for name, value in rows}
    assert table == {
        "target parameters": "2,410",
        "generated": "2,080",
        "trained for them": "430 (angles 24, mapping 406, scaling 0)",
        "trained / generated": "20.67 %",
        "trained directly": "330",
        "qubits": "6",
        "basis states used": "55 of 64, 38 each",
        "circuit's share": "48.6 %",
    }


def test_dictionary_survives_json() -> None:
    data = json.loads(json.dumps(REPORT.to_dict()))
    assert ParameterReport(**data) == REPORT
