"""What the run folder keeps: the same content after any crash, or an error that says so."""

from __future__ import annotations

import json
import resource
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from qiskit.providers.fake_provider import GenericBackendV2

import qt_hw as qt
from qt_hw.errors import StorageError
from qt_hw.execution.backend import Batch, Counts, Item, Prepared
from qt_hw.execution.canonical import circuit_bytes, payload
from qt_hw.execution.store import Store
from qt_hw.execution.transpile import transpile
from tests.execution.cloud import Cloud, make_batch, make_item
from tests.execution.killing import run_child, together
from tests.execution.test_canonical import ansaetze, shared_and_scaled


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "results")


def files(store: Store) -> list[str]:
    return sorted(path.name for path in store.folder.iterdir() if path.name != ".turn")


COUNTS = Counts(
    arrays=(np.arange(8).reshape(2, 4), np.array([[0.25, 0.75]])),
    shots=(6, None),
)


# Counts


def test_counts_come_back_as_they_were(store):
    name, sha = store.save_counts("k-0", COUNTS)
    found = store.load_counts(name, sha)
    assert name == "counts-k-0.npz" and found.shots == COUNTS.shots
    for array, expected in zip(found.arrays, COUNTS.arrays, strict=True):
        assert array.dtype == expected.dtype
        np.testing.assert_array_equal(array, expected)


def test_the_same_counts_are_the_same_file(store, tmp_path):
    again = Store(tmp_path / "other")
    assert store.save_counts("k", COUNTS) == again.save_counts("k", COUNTS)


@pytest.mark.parametrize("damage", ["missing", "empty", "cut", "one bit", "another"])
def test_damaged_counts_are_never_read(store, damage):
    name, sha = store.save_counts("k", COUNTS)
    spoil(store.folder / name, damage)
    with pytest.raises(StorageError, match=r"cannot read|wrong checksum"):
        store.load_counts(name, sha)


def spoil(path: Path, damage: str, at: float = 0.5) -> None:
    data = bytearray(path.read_bytes())
    if damage == "missing":
        path.unlink()
        return
    if damage == "one bit":
        data[int(at * len(data))] ^= 4
    new = {"empty": b"", "cut": data[: len(data) // 2], "one bit": data, "another": b"PK" * 99}
    path.write_bytes(new[damage])


# Batches


def assert_same(first: Batch, second: Batch) -> None:
    assert payload(first) == payload(second) and first.seed == second.seed
    for a, b in zip(first.items, second.items, strict=True):
        assert (a.shots, a.role, a.part) == (b.shots, b.role, b.part)
        assert a.bindings.dtype == np.float64
        assert np.asarray(a.bindings).tobytes() == np.asarray(b.bindings).tobytes()


def isa(ansatz) -> Prepared:
    target = GenericBackendV2(6, seed=3, coupling_map=[[i, i + 1] for i in range(5)]).target
    compiled = transpile(
        ansatz.form("lowered"),
        target,
        optimization_level=1,
        seed_transpiler=2,
        layout=[5, 2, 0, 3][: ansatz.n_qubits],
    )
    return Prepared.of(compiled.form, {"layout": compiled.physical}, "2026-01-01")


def of_form(form, rows: int = 3) -> tuple[Item, ...]:
    angles = np.random.default_rng(1).uniform(-9, 9, (rows, form.A.shape[1]))
    bindings = form.gate_angles(angles)
    bindings[0, 0] = np.nextafter(0.0, 1.0)
    return (
        Item(form.circuit, bindings, 100),
        Item(form.circuit, bindings[::-1].copy(), 200, "shift", 1),
        Item(form.circuit, np.asfortranarray(bindings), np.int64(7), "fold(3)", 2),
    )


@pytest.mark.parametrize("number", range(len(ansaetze())))
@pytest.mark.parametrize("kind", ["native", "lowered", "isa"])
def test_batches_of_every_kind_come_back_bit_for_bit(store, number, kind):
    ansatz = ansaetze()[number]
    form = isa(ansatz).form if kind == "isa" else ansatz.form(kind)
    batch = Batch(items=of_form(form), seed=(3, np.int64(4)))
    store.save_batch("a" * 64, batch)
    found = store.load_batch("a" * 64)
    assert_same(found, batch)
    assert found.items[0].circuit.num_ancillas == form.circuit.num_ancillas
    assert found.items[0].circuit is found.items[1].circuit, "equal circuits are stored once"
    assert files(store) == [f"request-{'a' * 40}.npz"]


def test_equal_circuits_that_are_not_one_object_are_stored_once(store):
    circuit = make_item().circuit
    batch = Batch(items=(make_item(), make_item(circuit=circuit.copy(), seed=3)))
    store.save_batch("b", batch)
    found = store.load_batch("b")
    assert found.items[0].circuit is found.items[1].circuit
    assert_same(found, batch)


def test_different_circuits_keep_their_items(store):
    other = make_item().circuit.copy()
    other.x(0)
    items = (make_item(), make_item(circuit=other), make_item(seed=5), make_item(circuit=other))
    store.save_batch("b", Batch(items=items))
    assert_same(store.load_batch("b"), Batch(items=items))


@pytest.mark.parametrize("damage", ["missing", "empty", "cut", "another"])
def test_damaged_batches_are_reported(store, damage):
    store.save_batch("b", make_batch())
    spoil(store.folder / "request-b.npz", damage)
    with pytest.raises(StorageError, match=r"cannot read|damaged") as caught:
        store.load_batch("b")
    assert "\n" not in str(caught.value)


def test_no_changed_bit_of_a_batch_goes_unnoticed(store):
    """Either nothing that counts has changed, or the file is called damaged."""
    store.save_batch("b", make_batch())
    path, wanted = store.folder / "request-b.npz", payload(make_batch())
    whole = path.read_bytes()
    noticed = 0
    for at in range(0, len(whole), 7):
        path.write_bytes(whole)
        spoil(path, "one bit", at / len(whole))
        try:
            assert payload(store.load_batch("b")) == wanted
        except StorageError:
            noticed += 1
    assert noticed > len(whole) / 7 / 2


# Prepared circuits


def test_a_prepared_circuit_is_the_first_one_for_ever(store, tmp_path):
    cloud = Cloud(tmp_path / "vendor")
    first = store.prepare(cloud, qt.RyCnot(3, 2))
    cloud.calibration = 2
    second = store.prepare(cloud, qt.RyCnot(3, 2))
    assert first.calibration_date == second.calibration_date == "2026-01-01"
    assert second.properties == {"calibration": 1, "t1": "NaN"}
    assert store.prepare(cloud, qt.RyCnot(3, 3)).calibration_date == "2026-01-02"
    assert store.prepare(cloud, qt.RyCnot(3, 2), "evaluation").calibration_date == "2026-01-02"
    cloud.name = "cloud:other"
    assert store.prepare(cloud, qt.RyCnot(3, 2)).calibration_date == "2026-01-02"


class Device(Cloud):
    """A cloud whose circuits are transpiled; every calibration gives another one."""

    def prepare(self, ansatz):
        return replace(isa(ansatz), calibration_date=f"2026-01-{self.calibration:02d}")


@pytest.mark.parametrize("number", range(len(ansaetze())))
@pytest.mark.parametrize("kind", [Cloud, Device])
def test_reloaded_circuits_give_the_same_requests(tmp_path, number, kind):
    """A run that is resumed must ask for the same, or it would pay again."""
    cloud, store = kind(tmp_path / "vendor"), Store(tmp_path / "results")
    ansatz = ansaetze()[number]
    first = store.prepare(cloud, ansatz)
    fresh = cloud.prepare(ansatz)
    for again in (store.prepare(cloud, ansatz), Store(tmp_path / "results").prepare(cloud, ansatz)):
        assert circuit_bytes(again.circuit) == circuit_bytes(first.circuit)
        assert again.form.n_qubits == ansatz.n_qubits
        assert payload(Batch(of_form(again.form))) == payload(Batch(of_form(first.form)))
        assert np.array_equal(again.A.toarray(), fresh.A.toarray())
        assert np.array_equal(again.b, fresh.b)
        assert np.array_equal(again.form.terms, fresh.form.terms)
        assert again.name == fresh.name
    assert circuit_bytes(first.circuit) == circuit_bytes(fresh.circuit)


def test_product_factors_are_prepared_each_by_itself(tmp_path):
    cloud, store = Cloud(tmp_path / "vendor"), Store(tmp_path / "results")
    product = qt.ProductAnsatz([qt.RyCnot(3, 2), qt.RyCnot(3, 2), qt.U3Cu3(2, 1)])
    sizes = [store.prepare(cloud, factor).circuit.num_qubits for factor in product.factors()]
    assert sizes == [3, 3, 2]
    assert len(list(store.folder.glob("prepared-*.json"))) == 2


@pytest.mark.parametrize(
    ("ending", "damage"),
    [(end, how) for end in ("json", "npz", "qpy") for how in ("missing", "empty", "cut")]
    + [("npz", "one bit"), ("qpy", "one bit")],
)
def test_damaged_prepared_circuits_are_reported(store, tmp_path, ending, damage):
    cloud = Cloud(tmp_path / "vendor")
    prepared = store.prepare(cloud, shared_and_scaled())
    [path] = store.folder.glob(f"*.{ending}")
    spoil(path, damage)
    if ending == "json" and damage == "missing":
        again = store.prepare(cloud, shared_and_scaled())
        assert circuit_bytes(again.circuit) == circuit_bytes(prepared.circuit)
        return
    with pytest.raises(StorageError, match=r"cannot read|damaged") as caught:
        store.prepare(cloud, shared_and_scaled())
    assert "\n" not in str(caught.value)


def test_processes_that_prepare_different_circuits_at_once_share_one(tmp_path):
    def work(number: int) -> int:
        cloud, store, sizes = Cloud(tmp_path / "vendor"), Store(tmp_path / "results"), []
        for step in range(10):
            form = qt.RyCnot(2, number + 1).form("lowered")
            cloud.prepare = lambda a, form=form: Prepared.of(form)  # type: ignore[method-assign]
            prepared = store.prepare(cloud, qt.RyCnot(2, 1), f"step {step}")
            assert prepared.A.shape[0] == prepared.circuit.num_parameters == len(prepared.b)
            sizes.append(len(prepared.b))
            store.save_counts("k", COUNTS)
            store.save_batch("b", make_batch())
        (tmp_path / f"sizes-{number}").write_text(json.dumps(sizes))
        return 0

    assert together(4, work) == [0] * 4
    sizes = {path.read_text() for path in tmp_path.glob("sizes-*")}
    assert len(sizes) == 1, "two processes work with different circuits"
    assert_same(Store(tmp_path / "results").load_batch("b"), make_batch())


# A full disk


def test_a_full_disk_leaves_the_old_file_or_none(store):
    """The limit on the size of files stands in for a full disk."""
    big = Counts(arrays=(np.random.default_rng(0).integers(0, 9, (64, 64)),), shots=(1,))
    name, sha = store.save_counts("k", COUNTS)

    def work():
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
        for write in (
            lambda: store.save_counts("k", big),
            lambda: store.save_counts("new", big),
            lambda: store.save_batch("b", make_batch()),
        ):
            with pytest.raises(StorageError, match="cannot write"):
                write()

    assert run_child(work).status == 0
    assert files(store) == ["counts-k.npz"]
    store.load_counts(name, sha)


def test_nothing_stored_can_run_code(store):
    """No pickles: object arrays are refused on the way in and on the way out."""
    wrong = Counts(arrays=(np.array([[object()]]),), shots=(1,))
    with pytest.raises(ValueError, match="allow_pickle=False"):
        store.save_counts("k", wrong)
    store.save_batch("b", make_batch())
    np.savez(store.folder / "request-b.npz", head=np.array([{}], dtype=object))
    with pytest.raises(StorageError, match="damaged"):
        store.load_batch("b")


def test_the_description_is_readable(store, tmp_path):
    store.prepare(Cloud(tmp_path / "vendor"), qt.RyCnot(3, 2))
    [path] = store.folder.glob("prepared-*.json")
    head = json.loads(path.read_text())
    assert head["name"] == "lowered" and head["calibration_date"] == "2026-01-01"
    assert (store.folder / head["circuit"]).suffix == ".qpy"
