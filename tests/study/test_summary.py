from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from qt_hw.cli.study_tables import print_conclusions
from qt_hw.errors import InputError
from qt_hw.storage import write_json
from qt_hw.study.condition import Condition
from qt_hw.study.statistics.groups import family_of
from qt_hw.study.statistics.intervals import interval
from qt_hw.study.statistics.paired import signed_rank_p
from qt_hw.study.statistics.plateau import fit_slope
from qt_hw.study.statistics.series import is_ideal
from qt_hw.study.summary import summarise

Rows = list[dict[str, Any]]
SHOTS = (64, 256, 1024, 4096)
EXACT = {seed: 0.9 + 0.01 * seed for seed in range(10)}


def cell(
    name: str, seed: int, values: Mapping[str, float], *, twin: str = "", **where: Any
) -> Rows:
    condition = Condition(**{"base": "digits", "ansatz": "RyCnot", "qubits": 4, **where})
    head = {"cell": name, **vars(condition), "seed": seed, "twin": twin, "repeats": 1}
    return [{**head, "metric": m, "value": v, "spread": 0.0} for m, v in values.items()]


def drop(seed: int, shots: int, backend: str) -> float:
    """Exact law with a coefficient of each seed's own; FakeTorino keeps a floor."""
    floor = 0.05 if backend == "aer:fake_torino" else 0.0
    return floor + (1.0 + 0.05 * seed) / np.sqrt(shots)


def study(seeds: Sequence[int] = tuple(range(10)), shots: Sequence[int] = SHOTS) -> Rows:
    rows: Rows = []
    for seed in seeds:
        twin, exact = f"noiseless-{seed}", EXACT[seed]
        values = {"test_accuracy": exact, "test_loss": 1.0 - exact, "circuits": 0.0}
        rows += cell(twin, seed, values, kind="noiseless", backend="statevector")
        for backend in ("aer", "aer:fake_torino"):
            for s in shots:
                lost = drop(seed, s, backend)
                values = {"test_accuracy": exact - lost, "test_loss": 1.0 - exact + lost}
                where = {"kind": "evaluate", "backend": backend, "shots": s}
                rows += cell(f"{backend}-{s}-{seed}", seed, values, twin=twin, **where)
        for k, control in enumerate(("uniform", "direct"), 1):
            values = {"test_accuracy": exact - 0.1 * k + 0.001 * seed}
            where = {"kind": "control", "control": control, "backend": "statevector"}
            rows += cell(f"{control}-{seed}", seed, values, twin=twin, **where)
    return rows


def test_groups_are_the_seeds_of_a_condition() -> None:
    found = summarise(study())
    assert len(found.groups) == 1 + 2 * len(SHOTS) + 2
    (twin,) = found.twins
    assert (twin.n, twin.seeds, twin.paired) == (10, tuple(range(10)), {})
    assert twin.metrics["test_accuracy"] == interval(list(EXACT.values()))
    assert twin.metrics["circuits"].low == twin.metrics["circuits"].high == 0.0
    assert [group.condition.control for group in found.controls] == ["uniform", "direct"]


def test_differences_are_taken_seed_by_seed() -> None:
    found = summarise(study())
    group = next(g for g in found.groups if g.condition.shots == 1024)
    lost = [drop(seed, 1024, "aer") for seed in range(10)]
    paired = group.paired["test_accuracy"]
    assert paired.difference.mean == pytest.approx(-np.mean(lost))
    # The twins differ by up to 0.09, but in pairs only the drops scatter.
    width = paired.difference.high - paired.difference.low
    assert width == pytest.approx(2 * 2.262157 * np.std(lost, ddof=1) / np.sqrt(10))
    assert paired.p_value == signed_rank_p([-x for x in lost]) == 2 / 2**10
    assert group.paired["test_loss"].difference.mean == pytest.approx(np.mean(lost))


def test_families_are_one_metric_of_one_curve_or_of_all_controls() -> None:
    found = summarise(study())
    sizes = {one.family: one.comparisons for g in found.groups for one in g.paired.values()}
    assert sizes == {
        "digits, evaluate on aer, test_accuracy": 4,
        "digits, evaluate on aer, test_loss": 4,
        "digits, evaluate on aer:fake_torino, test_accuracy": 4,
        "digits, evaluate on aer:fake_torino, test_loss": 4,
        "digits, controls, test_accuracy": 2,
    }
    assert found.n_comparisons == 18
    assert (found.seeds, found.smallest_p) == (10, 2 / 2**10)
    mitigated = Condition(kind="train", base="b", backend="x", mitigation="zne", shots=5)
    assert family_of(mitigated, "m") == "b, train on x with zne, m"


def test_three_seeds_decide_nothing_and_the_notes_say_so() -> None:
    found = summarise(study(range(3)))
    assert found.smallest_p == 0.25
    assert {one.significant for g in found.groups for one in g.paired.values()} == {None}
    said = "3 seeds: the smallest two-sided p of a paired test is 0.25; corrected for 4 comparisons"
    assert any(n.startswith(said) and "nothing can be called" in n for n in found.notes)


def test_ten_seeds_decide_what_is_clear() -> None:
    found = summarise(study())
    assert {one.significant for g in found.groups for one in g.paired.values()} == {True}
    assert any("corrected for 4 comparisons 0.0078; diff" in note for note in found.notes)
    # 8 comparisons of test_loss, 10 of test_accuracy: 10 x 2 / 1024.
    assert any("all 10 comparisons" in n and "would be 0.02." in n for n in found.notes)


def test_laws_of_the_curves_are_recovered() -> None:
    ideal, noisy = summarise(study()).series
    assert (ideal.condition.shots, ideal.shots) == (None, SHOTS)
    assert ideal.twin is not None and ideal.twin.condition.kind == "noiseless"
    for metric in ("test_accuracy", "test_loss"):
        law = ideal.laws[metric]
        assert not law.with_floor and law.consistent
        assert law.coefficient.value == pytest.approx(np.mean([1 + 0.05 * s for s in range(10)]))
        assert noisy.laws[metric].with_floor
        assert noisy.laws[metric].floor.value == pytest.approx(0.05)
    assert ideal.laws["test_accuracy"].shots_for(0.01).value == math.ceil((1.225 / 0.01) ** 2)
    assert noisy.laws["test_accuracy"].shots_for(0.01).value == math.inf


def test_the_notes_say_what_the_laws_come_to() -> None:
    notes = "\n".join(summarise(study()).notes)
    assert "Evaluated on aer, ideal (digits, RyCnot with 4 qubits" in notes
    assert "within 0.01 of the noiseless twin's from about 15,000 shots (" in notes
    assert "outside of the counts that were measured" in notes
    assert "more than 0.01 below the noiseless twin's however many shots: its floor" in notes


@pytest.mark.parametrize(
    ("where", "ideal"),
    [
        ({"backend": "aer"}, True),
        ({"backend": "braket:local", "mitigation": "readout"}, True),
        ({"backend": "aer", "noise": "depolarizing:0.01"}, False),
        ({"backend": "aer:fake_torino"}, False),
        ({"backend": "aer:fake_torino", "noise_scale": 0.0}, True),
    ],
)
def test_only_noise_leaves_a_floor(where: dict[str, Any], ideal: bool) -> None:
    assert is_ideal(Condition(kind="train", shots=64, **where)) is ideal


def test_two_shot_counts_and_one_seed_have_no_law() -> None:
    assert not any(one.laws for one in summarise(study(shots=(64, 128))).series)
    lonely = summarise(study(seeds=(3,)))
    assert not any(one.laws for one in lonely.series)
    assert any("With one seed there is no interval" in note for note in lonely.notes)


def test_a_cell_without_its_twin_is_left_out_of_pairs_and_named() -> None:
    rows = [row for row in study() if row["cell"] != "noiseless-3"]
    found = summarise(rows)
    group = next(g for g in found.groups if g.condition.shots == 64)
    assert (group.n, group.paired["test_accuracy"].difference.n) == (10, 9)
    assert found.series[0].laws["test_accuracy"].seeds == 9
    (note,) = (n for n in found.notes if "without noiseless twin" in n)
    assert note.startswith("10 cells") and "aer-64-3" in note and "5 more" in note


def test_a_failed_noisy_cell_costs_the_law_its_seed_only() -> None:
    found = summarise([row for row in study() if row["cell"] != "aer-256-7"])
    group = next(g for g in found.groups if g.condition.shots == 256)
    assert group.seeds == (0, 1, 2, 3, 4, 5, 6, 8, 9)
    assert found.series[0].laws["test_accuracy"].seeds == 9


def test_cells_that_share_condition_and_seed_count_once() -> None:
    rows, where = study(range(3)), {"kind": "evaluate", "backend": "aer", "shots": 64}
    for seed in range(3):
        values = {"test_accuracy": 0.0, "test_loss": 0.0}
        rows += cell(f"again-{seed}", seed, values, twin=f"noiseless-{seed}", **where)
    found = summarise(rows)
    group = next(g for g in found.groups if g.condition.shots == 64)
    mean = np.mean([0.5 * (EXACT[s] - drop(s, 64, "aer")) for s in range(3)])
    assert group.n == 3
    assert group.metrics["test_accuracy"].mean == pytest.approx(mean)
    assert any(n.startswith("3 cells sharing") and "again-0" in n for n in found.notes)


def test_values_that_are_not_finite_are_left_out_and_named() -> None:
    rows = study(range(3))
    rows[0]["value"] = math.nan
    found = summarise(rows)
    assert found.twins[0].metrics["test_accuracy"].n == 2
    assert any("noiseless-0: test_accuracy" in note for note in found.notes)


def test_gradients_against_qubits() -> None:
    rows: Rows = []
    for seed in range(5):
        for qubits in (6, 2, 4):
            variance = 2.0 ** (-1.5 * qubits) * (1 + 0.1 * seed)
            values = {"gradient_variance": variance, "snr": 3.0, "noise_variance": 0.1}
            where = {"kind": "gradient", "qubits": qubits, "layers": 2, "shots": 64}
            rows += cell(f"g-{qubits}-{seed}", seed, values, **where)
    (found,) = summarise(rows).plateaus
    assert (found.qubits, found.condition.qubits) == ((2, 4, 6), 0)
    assert found.variance[1] == interval([2.0**-6 * (1 + 0.1 * seed) for seed in range(5)])
    assert (found.slope, found.low, found.high) == pytest.approx((-1.5, -1.5, -1.5))
    assert [one.mean for one in found.snr] == pytest.approx([3.0] * 3)
    assert [one.mean for one in found.noise] == pytest.approx([0.1] * 3)


def test_the_slope_has_an_interval_that_covers() -> None:
    rng, hits = np.random.default_rng(11), 0
    qubits = (2, 3, 4, 5, 6)
    for _ in range(150):
        draws = {n: 2.0**-n * rng.exponential(size=10) for n in qubits}
        slope, low, high = fit_slope({n: dict(enumerate(v)) for n, v in draws.items()})
        assert slope is not None and low is not None and high is not None
        assert low <= slope <= high
        hits += low <= -1.0 <= high
    assert hits / 150 >= 0.95 - 0.03 - 2 * np.sqrt(0.95 * 0.05 / 150)


def test_slopes_that_cannot_be_had() -> None:
    assert fit_slope({}) == (None, None, None)
    assert fit_slope({2: {0: 1.0}}) == (None, None, None)
    assert fit_slope({2: {0: 1.0}, 3: {0: 0.5}}) == (-1.0, None, None)
    assert fit_slope({2: {0: 1.0}, 3: {1: 0.5}}) == (None, None, None)
    assert fit_slope({2: {0: 1.0}, 3: {0: 0.5}, 4: {0: 0.0}}) == (-1.0, None, None)


def test_errors_against_target_size() -> None:
    rows: Rows = []
    for seed in range(3):
        for width in (16, 8):
            values = {"relative_error": width / 100 + seed / 1000, "n_weights": 75.0 * width + 10}
            values |= {"trained_parameters": 40.0, "test_accuracy": 0.9}
            values |= {"target_test_accuracy": 0.95}
            where = {"kind": "approximation", "width": width}
            rows += cell(f"a-{width}-{seed}", seed, values, twin=f"direct-{width}-{seed}", **where)
            direct = {"kind": "control", "control": "direct", "width": width}
            rows += cell(f"direct-{width}-{seed}", seed, {"test_accuracy": 0.95}, **direct)
    found = summarise(rows)
    (sizes,) = found.sizes
    assert (sizes.widths, sizes.n_weights) == ((8, 16), (610, 1210))
    assert sizes.relative_error[0] == interval([0.08, 0.081, 0.082])
    assert sizes.trained_parameters == (40, 40)
    assert found.controls == () and found.n_comparisons == 0


def test_slopes_of_several_bases_are_told_apart() -> None:
    rows: Rows = []
    for seed, base, qubits in product(range(3), ("digits", "other"), (2, 4)):
        values = {"gradient_variance": 2.0**-qubits * (1 + seed)}
        where = {"kind": "gradient", "base": base, "qubits": qubits, "layers": 2}
        rows += cell(f"{base}-{qubits}-{seed}", seed, values, **where)
    slopes = [note for note in summarise(rows).notes if "exact gradient" in note]
    assert [note.partition("(")[2].partition(",")[0] for note in slopes] == ["digits", "other"]


def test_an_exponent_at_the_ends_of_what_is_tried_is_not_told_as_found() -> None:
    rows: Rows = []
    rng = np.random.default_rng(0)
    for seed in range(3):
        rows += cell(f"noiseless-{seed}", seed, {"test_accuracy": 0.9}, kind="noiseless")
        for shots, scatter in zip(SHOTS, rng.normal(size=len(SHOTS)), strict=True):
            where = {"kind": "evaluate", "backend": "aer", "shots": shots}
            values = {"test_accuracy": 0.88 + 0.02 * float(scatter)}
            rows += cell(f"{shots}-{seed}", seed, values, twin=f"noiseless-{seed}", **where)
    found = summarise(rows)
    exponent = found.series[0].laws["test_accuracy"].exponent
    assert exponent.low == 0.1 or exponent.high == 2.0
    (note,) = (note for note in found.notes if "exponent" in note or "1/S^b" in note)
    assert "those of what is tried, 0.1 to 2: these data hardly tell it" in note


@pytest.mark.parametrize(("floor", "told"), [(-0.0009, False), (-0.005, True)])
def test_a_floor_below_zero_is_told_where_it_matters(floor: float, told: bool) -> None:
    rows: Rows = []
    for seed in range(10):
        rows += cell(f"noiseless-{seed}", seed, {"test_accuracy": 0.9}, kind="noiseless")
        for shots in SHOTS:
            values = {"test_accuracy": 0.9 - floor - (1.0 + 0.05 * seed) / np.sqrt(shots)}
            where = {"kind": "evaluate", "backend": "aer:fake_torino", "shots": shots}
            rows += cell(f"{shots}-{seed}", seed, values, twin=f"noiseless-{seed}", **where)
    found = summarise(rows)
    assert found.series[0].laws["test_accuracy"].floor.value == pytest.approx(floor)
    (note,) = (note for note in found.notes if "within 0.01 of" in note)
    assert ("a fit whose floor is below 0 (-0.005), as if" in note) == told


def test_the_file_tells_the_shots_of_the_fit_that_agrees() -> None:
    rows: Rows = []
    for seed in range(10):
        rows += cell(f"noiseless-{seed}", seed, {"test_accuracy": 0.9}, kind="noiseless")
        for shots in SHOTS:
            values = {"test_accuracy": 0.9 - (20.0 + seed) / shots}
            where = {"kind": "evaluate", "backend": "aer", "shots": shots}
            rows += cell(f"{shots}-{seed}", seed, values, twin=f"noiseless-{seed}", **where)
    found = summarise(rows)
    law = found.series[0].laws["test_accuracy"]
    assert not law.consistent
    wanted = law.shots_for(0.01, free=True)
    assert wanted.value != law.shots_for(0.01).value
    told = found.to_dict()["series"][0]["laws"]["test_accuracy"]["shots_for"]["0.01"]
    assert told["value"] == wanted.value


def test_printed_rows_tell_circuits_apart_and_points_from_percent(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "160")
    shallow = study(range(3), shots=(64,))
    deep = [row | {"layers": 7, "cell": f"deep-{row['cell']}"} for row in shallow]
    for row in deep:
        row["twin"] = row["twin"] and f"deep-{row['twin']}"
    for rows, several in ((shallow, False), (shallow + deep, True)):
        write_json(tmp_path / "summary.json", summarise(rows).to_dict())
        print_conclusions(tmp_path)
        lines = capsys.readouterr().out.splitlines()
        assert "points" in "".join(lines[:3])
        shown = [line.partition("  ")[0] for line in lines if " % [" in line and "  -" in line]
        assert len(shown) == len(set(shown)) == (8 if several else 4)
        assert ("evaluated on aer, ideal, 64 shots, RyCnot(4, 7)" in shown) is several
        assert not any("% [+" in line or "% [-" in line for line in lines)


def test_a_narrow_terminal_cuts_no_number(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    write_json(tmp_path / "summary.json", summarise(study(range(3), shots=(64,))).to_dict())
    print_conclusions(tmp_path)
    table = capsys.readouterr().out.partition("*: significant")[0]
    assert "n.d." in table and "…" not in table
    assert max(map(len, table.splitlines())) <= 80


def test_it_is_written_as_json() -> None:
    made = json.loads(json.dumps(summarise(study()).to_dict(), allow_nan=False))
    assert made["series"][0]["laws"]["test_accuracy"]["shots_for"]["0.01"]["value"] == 15_007
    assert made["series"][1]["laws"]["test_accuracy"]["shots_for"]["0.01"]["value"] is None
    assert made["groups"][1]["label"] == "evaluated on aer, ideal, 64 shots"
    assert made["groups"][1]["paired"]["test_loss"]["comparisons"] == 4


def test_it_is_written_to_a_file(tmp_path: Any) -> None:
    write_json(tmp_path / "summary.json", summarise(study(range(2))).to_dict())


def test_the_same_rows_give_the_same_summary() -> None:
    assert summarise(study()) == summarise(study())


def test_no_rows_give_an_empty_summary() -> None:
    found = summarise([])
    assert (found.groups, found.series, found.notes) == ((), (), ())
    assert (found.seeds, found.smallest_p, found.n_comparisons) == (0, 1.0, 0)


@pytest.mark.parametrize("alpha", [0.0, 1.0, -0.1])
def test_a_level_out_of_range_is_refused(alpha: float) -> None:
    with pytest.raises(InputError, match="between 0 and 1"):
        summarise([], alpha=alpha)
