"""The calls to AWS: the SDK's own session, with errors in the words of this package."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from qt_hw.errors import BadResult, InputError, PermanentError
from qt_hw_braket.failures import Attempts, code_of, of_reading, of_request

__all__ = ["Service"]


@contextmanager
def _reading(what: str) -> Iterator[None]:
    from botocore.exceptions import BotoCoreError, ClientError
    from botocore.parsers import ResponseParserError

    try:
        yield
    except (BotoCoreError, ClientError, ResponseParserError, KeyError) as error:
        raise of_reading(error, what) from None


class Service:
    """Tasks of one device, and the files with their results.

    Credentials come from the user's ordinary AWS configuration, which only the SDK reads. The
    session is made when it is first needed, once per process: a connection that a forked child
    shared with its parent would mix up their answers. A backend of a rehearsal never turns to the
    real AWS after it.
    """

    def __init__(self, arn: str, region: str | None) -> None:
        """Use the device ``arn``, in ``region`` or, if that is None, the configured one."""
        self._arn, self._region = arn, region
        self._address = os.environ.get(_ADDRESS)
        self._clear()

    def _clear(self) -> None:
        self._lock, self._attempts = threading.Lock(), Attempts()
        self._session: Any = None
        self._owner = 0

    def __getstate__(self) -> dict[str, Any]:
        """Leave the connection out of copies and pickles."""
        return {"_arn": self._arn, "_region": self._region, "_address": self._address}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Start without a connection."""
        self.__dict__.update(state)
        self._clear()

    def _aws(self) -> Any:
        """Return the session of this process."""
        if os.environ.get(_ADDRESS) != self._address:
            raise PermanentError(
                f"the address of AWS ({_ADDRESS}) has changed, as when a rehearsal begins or ends: "
                "open the backend again"
            )
        if self._owner != os.getpid():
            self._clear()
            self._owner = os.getpid()
        with self._lock:
            if self._session is None:
                self._session = self._connect()
            return self._session

    def _connect(self) -> Any:
        import boto3
        from braket.aws import AwsSession

        session = AwsSession(boto_session=boto3.Session(region_name=self._region))
        events = session.braket_client.meta.events
        events.register("before-send.braket.CreateQuantumTask", self._attempts.before_send)
        events.register("response-received.braket.CreateQuantumTask", self._attempts.received)
        return session

    def device(self) -> dict[str, Any]:
        """Return the reply of GetDevice.

        Raises:
            InputError: There is no such device.
            TransientError: AWS cannot be reached.
            PermanentError: AWS refuses.
        """
        with _reading(f"asking AWS for {self._arn}"):
            try:
                reply: dict[str, Any] = self._aws().get_device(self._arn)
            except Exception as error:
                if code_of(error) == "ResourceNotFoundException":
                    raise InputError(f"Amazon Braket knows no device {self._arn}") from None
                raise
            return {key: reply[key] for key in _DEVICE_FIELDS}

    def create(self, request: dict[str, Any]) -> str:
        """Send one request for a task and return its ARN.

        The client sends it again by itself if the answer is lost; ``clientToken`` makes that the
        same task.

        Raises:
            TransientError: Refused for now, no task was made.
            PermanentError: Refused, no task was made.
            AmbiguousSubmission: There may be a task.
        """
        what = f"submitting to {self._arn}"
        with _reading(what):
            session = self._aws()
        self._attempts.start()
        try:
            return str(session.create_quantum_task(**request))
        except Exception as error:
            raise of_request(error, self._attempts, what) from None

    def search(self) -> list[dict[str, Any]]:
        """Return all tasks of the device, oldest first.

        Tags are no filter of the service, and a filter by time would trust the local clock.

        Raises:
            TransientError: AWS cannot be reached.
            PermanentError: AWS refuses.
        """
        rule = {"name": "deviceArn", "operator": "EQUAL", "values": [self._arn]}
        with _reading(f"searching the tasks of {self._arn}"):
            pages = self._aws().braket_client.get_paginator("search_quantum_tasks")
            found = {
                task["quantumTaskArn"]: task
                for page in pages.paginate(filters=[rule], PaginationConfig={"PageSize": 100})
                for task in page["quantumTasks"]
            }
            return sorted(found.values(), key=lambda t: (t["createdAt"], t["quantumTaskArn"]))

    def task(self, arn: str) -> dict[str, Any]:
        """Return the reply of GetQuantumTask.

        Raises:
            InputError: There is no such task.
            TransientError: AWS cannot be reached.
            PermanentError: AWS refuses.
        """
        with _reading(f"asking AWS for the task {arn}"):
            try:
                reply: dict[str, Any] = self._aws().get_quantum_task(arn)
            except Exception as error:
                if code_of(error) in ("ResourceNotFoundException", "ValidationException"):
                    raise InputError(f"Amazon Braket knows no task {arn}") from None
                raise
            return reply

    def cancel(self, arn: str) -> None:
        """Ask for the end of a task; one that has ended stays as it is.

        Raises:
            TransientError: AWS cannot be reached.
            PermanentError: AWS refuses.
        """
        with _reading(f"cancelling the task {arn}"):
            try:
                self._aws().cancel_quantum_task(arn)
            except Exception as error:
                if code_of(error) != "ConflictException":
                    raise

    def file(self, bucket: str, key: str) -> bytes | None:
        """Return a file in S3, None if there is none.

        Raises:
            BadResult: It was cut off on its way.
            TransientError: AWS cannot be reached.
            PermanentError: AWS refuses.
        """
        from botocore import exceptions

        place = f"s3://{bucket}/{key}"
        with _reading(f"reading {place}"):
            try:
                reply = self._aws().s3_client.get_object(Bucket=bucket, Key=key)
                return bytes(reply["Body"].read())
            except (exceptions.IncompleteReadError, exceptions.ResponseStreamingError):
                raise BadResult(f"the result {place} was cut off on its way") from None
            except exceptions.ClientError as error:
                if code_of(error) in ("NoSuchKey", "NoSuchBucket", "404"):
                    return None
                raise


#: Where the client finds Amazon Braket; a rehearsal sets it.
_ADDRESS = "AWS_ENDPOINT_URL_BRAKET"

_DEVICE_FIELDS = ("deviceArn", "providerName", "deviceStatus", "deviceCapabilities")
