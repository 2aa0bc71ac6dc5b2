"""Devices of Amazon Braket behind the contract of ``qt_hw.execution.backend``."""

from __future__ import annotations

import json
import os
import re
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from functools import cached_property
from importlib import metadata
from typing import TYPE_CHECKING, Any

from qt_hw.errors import InputError, PreflightError
from qt_hw.execution.backend import Backend, Batch, Cost, Item, Job, Limits, Prepared
from qt_hw.execution.checks import check_batch, check_job
from qt_hw.execution.splitting import split
from qt_hw_braket.cloud_options import CloudOptions, read_cloud_options
from qt_hw_braket.devices import IONQ, Device, arn_of, read_device, region_of, stated_errors
from qt_hw_braket.jobs import BraketJob
from qt_hw_braket.pricing import Price, read_price
from qt_hw_braket.reasons import (
    account_reasons,
    circuit_reasons,
    device_reasons,
    request_reasons,
    variables_set,
)
from qt_hw_braket.request import TOKEN, body_of, check_token, most_bytes, shape_of, tags_of
from qt_hw_braket.service import Service

if TYPE_CHECKING:
    from qt_hw.circuits.ansatz import Ansatz

__all__ = ["BraketDevice", "open_device"]

#: The SDK's own variable for the bucket of results.
_BUCKET = "AMZN_BRAKET_OUT_S3_BUCKET"

#: How long a new task may be missing from searches; Amazon does not say.
_SETTLE_SECONDS = 30.0

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
        """Return how many circuits fit into a request.

        A calibration circuit goes alone: it must not fail with what it is to correct.
        """
        if item.role == "calibration":
            return 1
        room = self._options.payload_bytes - _REQUEST_BYTES
        fitting = room // most_bytes(item, self._options.verbatim)
        sets, most = self.device.sets, self.device.shots[1]
        if sets is not None and sets.max_shots < most and item.shots is not None:
            # The limits allow for a single circuit with more shots than a program set takes.
            fitting = min(fitting, sets.max_shots // min(int(item.shots), most))
        return max(1, fitting)

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
            # With debiasing, circuits run on many places: one readout does not describe them.
            known = {} if self._options.debias else self.device.calibration
            errors = stated_errors(known, ansatz.n_qubits)
            self._prepared[ansatz] = Prepared.of(
                ansatz.form("lowered", "cx"), {**self._properties(), **errors}, self.device.updated
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
        reasons = [
            *account_reasons(self.arn, self._bucket),
            *device_reasons(self.name, self.device, self._options),
        ]
        if status != "ONLINE":
            reasons.append(f"{self.name} is {status} now")
        return reasons

    @property
    def _bucket(self) -> str | None:
        return self._options.bucket or os.environ.get(_BUCKET) or None

    def _check(self, batch: Batch) -> None:
        """Check a batch, split or not.

        Raises:
            InputError: See ``check_batch``; or a circuit cannot be sent.
            PreflightError: All reasons at once.
        """
        check_batch(batch, self.limits)
        _refuse(
            circuit_reasons(batch, self.name, self.device, self._options),
            device_reasons(self.name, self.device, self._options),
        )

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
        body = body_of(batch, token, self.arn, str(self._bucket), self._options)
        _refuse(
            account_reasons(self.arn, self._bucket),
            request_reasons(batch, len(json.dumps(body)), self.name, self.device, self._options),
        )
        return self._job(self._service.create(body), tags_of(batch, token))

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
            "options": {**asdict(self._options), "bucket": self._bucket},
            "prices": None if price is None else price.source,
            "environment": variables_set(),
            "versions": {package: metadata.version(package) for package in packages},
        }
        result: dict[str, Any] = json.loads(json.dumps(text, default=str))
        return result


def _refuse(*sources: Iterable[str]) -> None:
    """Raise all reasons at once, if there are any."""
    reasons = list(dict.fromkeys(reason for source in sources for reason in source))
    if reasons:
        raise PreflightError(reasons)
