"""Devices of Amazon Braket behind the contract of ``qt_hw.execution.backend``."""

from __future__ import annotations

import json
import os
import re
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from functools import cached_property
from importlib import metadata
from typing import TYPE_CHECKING, Any

from qt_hw.errors import InputError, PreflightError
from qt_hw.execution.backend import Backend, Batch, Cost, Item, Job, Limits, Prepared
from qt_hw.execution.checks import check_batch, check_job
from qt_hw.execution.splitting import split
from qt_hw_braket.cloud_options import CloudOptions, read_cloud_options
from qt_hw_braket.devices import IONQ, Device, arn_of, is_ionq, read_device, region_of
from qt_hw_braket.jobs import BraketJob
from qt_hw_braket.pricing import Price, read_price
from qt_hw_braket.request import TOKEN, body_of, check_token, most_bytes, n_gates, shape_of, tags_of
from qt_hw_braket.service import Service

if TYPE_CHECKING:
    from qt_hw.circuits.ansatz import Ansatz

__all__ = ["BraketDevice", "open_device"]

#: The SDK's own variable for the bucket of results.
_BUCKET = "AMZN_BRAKET_OUT_S3_BUCKET"

#: Variables with which the SDK silently changes a request: a reservation is billed by the hour.
_RESERVED = ("AMZN_BRAKET_RESERVATION_DEVICE_ARN", "AMZN_BRAKET_RESERVATION_TIME_WINDOW_ARN")
_JOB_TOKEN = "AMZN_BRAKET_JOB_TOKEN"

#: How long a new task may be missing from searches; Amazon does not say.
_SETTLE_SECONDS = 30.0

#: Circuits whose gates cancel on purpose.
_REPEATED = re.compile(r"(fold|twirl)\(")

_TASK = re.compile(r"arn:aws[\w-]*:braket:[\w-]+:\d+:quantum-task/[\w-]+")

#: Bytes of a request beside its circuits.
_REQUEST_BYTES = 4000


def open_device(device: str, options: Mapping[str, Any]) -> BraketDevice:
    """Return the backend of a device; nothing is asked of AWS yet.

    Args:
        device: ``"forte-1"``, ``"forte-enterprise-1"`` or an ARN.
        options: See ``qt_hw_braket.cloud_options.CloudOptions``.

    Raises:
        UnknownName: No such option.
        InputError: No such device, or an option has a wrong value.
    """
    arn = arn_of(device)
    name = f"{'ionq' if device in IONQ else 'braket'}:{device}"
    return BraketDevice(name, arn, read_cloud_options(name, arn, options))


class BraketDevice(Backend):
    """A device in the cloud: one task, or one program set, per job.

    What it takes is read from Amazon when it is first needed.

    Attributes:
        name: As users type it.
        arn: Amazon's name of the device.
        limits: From the device's properties, on demand.
    """

    def __init__(self, name: str, arn: str, options: CloudOptions) -> None:
        """Take checked options."""
        self.name, self.arn, self._options = name, arn, options
        self._service = Service(arn, region_of(arn) or options.region)
        self._prepared: OrderedDict[Ansatz, Prepared] = OrderedDict()

    # What the device takes

    @cached_property
    def device(self) -> Device:
        """What the device says of itself.

        Raises:
            InputError: There is no such device.
            PreflightError: It runs no circuits of rz, ry and cnot.
            TransientError: AWS cannot be reached.
            PermanentError: AWS refuses.
        """
        return read_device(self._service.device())

    @cached_property
    def limits(self) -> Limits:  # type: ignore[override]  # read when it is first needed
        """What the device takes; raises what ``device`` raises."""
        device, options = self.device, self._options
        low, high = device.shots
        if options.debias:
            low = max(low, device.debias_shots or 0)
        sets = None if options.debias or options.program_sets is False else device.sets
        return Limits(
            max_qubits=device.n_qubits,
            min_shots=low,
            split_shots=high,
            max_bindings=1 if sets is None else sets.max_executables,
            max_executions=None if sets is None else max(sets.max_shots, high),
            paid=True,
            one_shot_count=True,
            settle_seconds=_SETTLE_SECONDS,
        )

    def bindings_per_job(self, item: Item) -> int | None:
        """Return how many circuits fit into a request."""
        room = self._options.payload_bytes - _REQUEST_BYTES
        return max(1, room // most_bytes(item, self._options.verbatim))

    def prepare(self, ansatz: Ansatz) -> Prepared:
        """Return the circuit as rz, ry and cx; made once per ansatz.

        Native gates, where they are asked for, are emitted at submission: they depend on the
        angles.

        Raises:
            PreflightError: More qubits than the device has.
        """
        if ansatz not in self._prepared:
            most = self.device.n_qubits
            if ansatz.n_qubits > most:
                raise PreflightError(
                    [f"the circuit has {ansatz.n_qubits} qubits, {self.name} has {most}"]
                )
            self._prepared[ansatz] = Prepared.of(
                ansatz.form("lowered", "cx"), self._properties(), self.device.updated
            )
            if len(self._prepared) > 32:
                self._prepared.popitem(last=False)
        return self._prepared[ansatz]

    def _properties(self) -> dict[str, Any]:
        device = self.device
        return {
            "device": device.arn,
            "provider": device.provider,
            "qubits": device.n_qubits,
            "gates": "gpi2, zz (verbatim)" if self._options.verbatim else "rz, ry, cnot (compiled)",
            "debias": self._options.debias,
            "updated": device.updated,
            "calibration": device.calibration,
        }

    # Checks

    def preflight(self) -> list[str]:
        """Return why nothing should be submitted now.

        Raises:
            TransientError: AWS cannot be reached.
            PermanentError: AWS refuses.
        """
        status = str(self._service.device()["deviceStatus"])
        reasons = [*self._account_reasons(), *self._device_reasons()]
        if status != "ONLINE":
            reasons.append(f"{self.name} is {status} now")
        return reasons

    def _account_reasons(self) -> Iterator[str]:
        if self._bucket is None:
            yield (
                "no S3 bucket for the results: set [account] bucket, e.g. "
                "--set account.bucket=amazon-braket-NAME"
            )
        window, device = (os.environ.get(name) for name in reversed(_RESERVED))
        if window and device == self.arn:
            yield (
                f"{_RESERVED[1]} is set: tasks would run under a reservation, for which the prices "
                "and limits here do not hold; unset it"
            )

    def _device_reasons(self) -> Iterator[str]:
        options, device = self._options, self.device
        if options.program_sets is True and device.sets is None:
            yield f"{self.name} takes no program sets; leave out program_sets=True"
        if options.debias and device.debias_shots is None:
            yield f"{self.name} offers no debiasing now; leave out debias=True"
        if options.verbatim and not {"gpi2", "zz"} <= device.native_gates:
            yield f"{self.name} has no native gates gpi2 and zz now; leave out verbatim=True"

    @property
    def _bucket(self) -> str | None:
        return self._options.bucket or os.environ.get(_BUCKET) or None

    def _circuit_reasons(self, batch: Batch) -> Iterator[str]:
        options = self._options
        cap = options.gateshot_cap if is_ionq(self.arn) else 0
        most = self.limits.split_shots or 10**12
        for item in batch.items:
            if _REPEATED.match(item.role) and not options.verbatim:
                yield self._undone(item.role)
            gates, shots = n_gates(item, options.verbatim), min(int(item.shots or 0), most)
            if cap and gates * shots > cap:
                yield (
                    f"{gates} gates × {shots} shots = {gates * shots:,} gate-shots of a circuit, "
                    f"above gateshot_cap={cap:,} (gates counted as they are sent, which Amazon "
                    f"does not specify): at most {cap // gates} shots fit; a larger gateshot_cap, "
                    "or 0, lifts this check"
                )

    def _undone(self, role: str) -> str:
        if is_ionq(self.arn):
            return f"{role}: IonQ's compiler would undo it; set verbatim=True"
        return f"{role}: the compiler of {self.name} would undo it; use an IonQ device"

    def _check(self, batch: Batch) -> None:
        """Check a batch, split or not.

        Raises:
            InputError: See ``check_batch``; or a circuit cannot be sent.
            PreflightError: All reasons at once.
        """
        check_batch(batch, self.limits)
        if reasons := list(dict.fromkeys([*self._circuit_reasons(batch), *self._device_reasons()])):
            raise PreflightError(reasons)

    # Money

    @cached_property
    def price(self) -> Price:
        """What the device costs.

        Raises:
            InputError: That is not known.
        """
        return read_price(self.arn, self._options.prices)

    def estimate(self, batch: Batch) -> Cost:
        """Return the price of ``batch`` in as many tasks as it needs.

        Raises:
            InputError: The batch is wrong, or the price is not known.
            PreflightError: The batch exceeds a limit.
        """
        self._check(batch)
        tasks = len(split(batch, self.limits, self.bindings_per_job))
        usd = self.price.usd(tasks, batch.n_shots)
        return Cost(
            circuits=batch.n_circuits,
            shots=batch.n_shots,
            jobs=tasks,
            usd_low=usd,
            usd_high=usd,
            source=self.price.source,
        )

    # Jobs

    def submit(self, batch: Batch, token: str) -> Job:
        check_token(token)
        check_job(batch, self.limits)
        self._check(batch)
        reasons = [*self._account_reasons(), *self._set_reasons(batch)]
        if reasons:
            raise PreflightError(reasons)
        body = body_of(batch, token, self.arn, str(self._bucket), self._options)
        self._check_size(body, batch)
        arn = self._service.create(body)
        return self._job(arn, tags_of(batch, token))

    def _set_reasons(self, batch: Batch) -> Iterator[str]:
        sets, n = self.device.sets, batch.n_circuits
        if n > 1 and sets is not None and batch.n_shots < sets.min_shots:
            yield (
                f"{batch.n_shots} shots in a program set of {n} circuits, {self.name} takes at "
                f"least {sets.min_shots}: raise the shots, or pass program_sets=False"
            )

    def _check_size(self, body: dict[str, Any], batch: Batch) -> None:
        size, most = len(json.dumps(body)), self._options.payload_bytes
        if size > most:
            raise PreflightError(
                [
                    f"the request of {batch.n_circuits} circuits has {size:,} bytes, above "
                    f"payload_bytes={most:,}: submit fewer at a time, or raise payload_bytes "
                    "(Amazon does not document its own limit)"
                ]
            )

    def find(self, token: str) -> list[Job]:
        check_token(token)
        tasks = [
            task for task in self._service.search() if task.get("tags", {}).get(TOKEN) == token
        ]
        return [self._job(task["quantumTaskArn"], task["tags"]) for task in tasks]

    def job(self, id: str) -> Job:
        if not _TASK.fullmatch(id):
            raise InputError(f"{self.name} has no task {id!r}: a task is named by its ARN")
        task = self._service.task(id)
        if task["deviceArn"] != self.arn:
            raise InputError(f"the task {id} runs on {task['deviceArn']}, not on {self.name}")
        return self._job(id, task.get("tags", {}))

    def _job(self, arn: str, tags: Mapping[str, str]) -> BraketJob:
        shape = shape_of(tags)
        if shape is None:
            raise InputError(f"the task {arn} was not made by qt-hw, or its tags were removed")
        return BraketJob(self._service, arn, shape, self._known_price())

    def _known_price(self) -> Price | None:
        try:
            return self.price
        except InputError:
            return None

    def describe(self) -> dict[str, Any]:
        """Return what the manifest records; JSON-ready, and without asking AWS."""
        packages = ("amazon-braket-sdk", "amazon-braket-schemas", "boto3")
        price = self._known_price()
        text = {
            "name": self.name,
            "device": self.arn,
            "options": {
                key: None
                if value is None
                else value
                if isinstance(value, bool | int)
                else str(value)
                for key, value in {**asdict(self._options), "bucket": self._bucket}.items()
            },
            "prices": None if price is None else price.source,
            # Only whether they are set: a job token is a secret.
            "environment": [name for name in (*_RESERVED, _JOB_TOKEN) if os.environ.get(name)],
            "versions": {package: metadata.version(package) for package in packages},
        }
        result: dict[str, Any] = json.loads(json.dumps(text))
        return result
