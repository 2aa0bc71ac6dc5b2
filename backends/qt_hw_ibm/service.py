"""The connection to IBM: made when first needed, with the user's own account."""

from __future__ import annotations

import logging
import os
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, TypeVar

from qt_hw.errors import PermanentError, QtHwError, TransientError, UnknownName
from qt_hw_ibm import failures
from qt_hw_ibm.wire import Wire

__all__ = ["Connection", "quiet"]

T = TypeVar("T")

#: The vendor's search returns pages of at most this many jobs; one token has one, rarely two.
_MOST_FOUND = 50

#: Where the client finds IBM; a rehearsal sets it.
_ADDRESS = "QISKIT_IBM_URL"


@contextmanager
def quiet() -> Iterator[None]:
    """Keep the client's warnings back: they repeat what preflight says, or name the account."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


class Connection:
    """The vendor's client for one device.

    Credentials stay with the client, which finds the account by itself. The login is made when it
    is first needed, once per process: a connection that a forked child shared with its parent would
    mix up their answers. A backend of a rehearsal never turns to the real IBM after it.

    Attributes:
        device: Name of the device.
        wire: What was exchanged.
        login: Counts logins: objects of the client belong to one.
    """

    def __init__(self, device: str, instance: str | None, *, retry_posts: bool) -> None:
        """Remember what to connect to.

        Args:
            device: E.g. ``"ibm_torino"``.
            instance: Name or CRN of the account's instance; None leaves it to the client.
            retry_posts: See ``Wire``.
        """
        self.device, self._instance = device, instance
        self.wire = Wire(retry_posts)
        self.login = 0
        self._address, self._owner = os.environ.get(_ADDRESS), os.getpid()
        self._service: Any = None
        self._backend: Any = None
        self._crn: str | None = None

    def _check_process(self) -> None:
        """Forget the login of a parent process.

        Raises:
            PermanentError: A rehearsal has begun or ended since the backend was opened.
        """
        if os.environ.get(_ADDRESS) != self._address:
            raise PermanentError(
                f"the address of IBM ({_ADDRESS}) has changed, as when a rehearsal begins or ends: "
                "open the backend again"
            )
        if self._owner != os.getpid():
            self.drop()
            self._owner = os.getpid()

    @property
    def service(self) -> Any:
        """Return the client; logs in when first asked.

        Raises:
            PermanentError: No account, or IBM does not accept it; or a rehearsal has begun or
                ended since the backend was opened.
            TransientError: IBM cannot be reached.
        """
        self._check_process()
        if self._service is None:
            from qiskit_ibm_runtime import QiskitRuntimeService

            if not os.environ.get("QISKIT_IBM_RUNTIME_LOG_LEVEL"):
                # The client prints a line with plan and instance at each call.
                logging.getLogger("qiskit_ibm_runtime").setLevel(logging.ERROR)
            given = {} if self._instance is None else {"instance": self._instance}
            with quiet():
                try:
                    self._service = QiskitRuntimeService(**given)
                except Exception as error:
                    if not failures.is_vendor_error(error):
                        raise
                    raise failures.login_failure(error) from error
            self.login += 1
        # Clients of further instances come later.
        self.wire.mount(self._service)
        return self._service

    @property
    def backend(self) -> Any:
        """Return the vendor's object of the device.

        Raises:
            UnknownName: The account has no such device.
            PermanentError: It is retired; or see ``service``.
            TransientError: See ``service``.
        """
        self._check_process()
        if self._backend is None:
            self.ask(self._find_backend, f"looking for {self.device}")
        return self._backend

    def _find_backend(self) -> None:
        from qiskit.providers.exceptions import QiskitBackendNotFoundError

        service = self.service
        try:
            self._backend = service.backend(self.device)
        except QiskitBackendNotFoundError:
            if self.wire.failure is not None:  # the client hides it behind "not found"
                raise
            known = sorted(entry.name for entry in service.backends())
            if not known:
                raise TransientError("IBM lists no device for this account now") from None
            raise UnknownName("device of the backend 'ibm'", self.device, known) from None
        self._crn = service.active_instance()

    def ask(self, call: Callable[[], T], doing: str) -> T:
        """Return what ``call`` returns, which asks IBM for something but a job.

        After a login that has expired it is called once more with a new one, so it must take
        the client's objects from this connection.

        Raises:
            PermanentError: IBM refuses.
            TransientError: IBM cannot be reached, or its reply cannot be read.
        """
        try:
            return self._translated(call, doing)
        except PermanentError:
            if not self.wire.unauthorised:
                raise
        self.drop()
        return self._translated(call, doing)

    def _translated(self, call: Callable[[], T], doing: str) -> T:
        self.wire.reset()
        with quiet():
            try:
                return call()
            except QtHwError:
                raise
            except Exception as error:
                if not failures.is_vendor_error(error):
                    raise
                raise failures.refused(error, self.wire, doing) from error

    def drop(self) -> None:
        """Forget the login; the next call makes a new one."""
        self._service = self._backend = None

    def jobs(self, token: str) -> list[Any]:
        """Return the vendor's objects of all jobs tagged ``token``, oldest first.

        No time is given: the local clock may be wrong. Every instance of the account is asked: a
        device may belong to several, and which of them a job went through is not kept.
        """

        def search() -> list[Any]:
            found = {
                str(job.job_id()): job
                for instance in self._instances()
                for job in self._tagged(token, instance)
            }
            return sorted(found.values(), key=lambda job: job.creation_date)

        if self._crn is None:
            # The jobs of a device that is retired are still there.
            with suppress(PermanentError, UnknownName):
                _ = self.backend
        return self.ask(search, f"looking for the jobs of {token}")

    def _instances(self) -> list[str]:
        """Return the CRNs of the account, that of the device last: the client stays with it."""
        found = dict.fromkeys(str(entry["crn"]) for entry in self.service.instances())
        return sorted(found, key=lambda crn: crn == self._crn)

    def _tagged(self, token: str, instance: str) -> list[Any]:
        try:
            found = self.service.jobs(
                limit=_MOST_FOUND, job_tags=[token], instance=instance, descending=False
            )
        except Exception as error:
            # An instance that the user may not look into has no job of theirs, unless it is the
            # one with the device.
            if failures.status_in(error) == 403 and self._crn not in (None, instance):
                self.wire.reset()
                return []
            raise
        return [job for job in found if token in (job.tags or ())]
