"""What the vendor client's errors mean: nothing was made, or it is not known."""

from __future__ import annotations

import re
from collections.abc import Iterator

from qt_hw.errors import AmbiguousSubmission, PermanentError, QtHwError, TransientError
from qt_hw_ibm.wire import Wire

__all__ = [
    "SAVE_ACCOUNT",
    "is_vendor_error",
    "login_failure",
    "one_line",
    "refused",
    "status_in",
    "submission",
]

SAVE_ACCOUNT = (
    "QiskitRuntimeService.save_account(token=..., instance=..., set_as_default=True), see "
    "quantum.cloud.ibm.com/docs/guides/save-credentials"
)

_MOST_TEXT = 240


def one_line(text: object) -> str:
    """Return a vendor's text in one line, shortened."""
    words = " ".join(str(text).split())
    return words if len(words) <= _MOST_TEXT else words[: _MOST_TEXT - 2] + " …"


#: "409 Client Error: Conflict for url: https://... . What the server says"
_HTTP_ERROR = re.compile(r"\b\d{3} (?:Client|Server) Error: (.*?) for url: \S+ ?(.*)$")


#: ", Error code: 1234.", after which the client may repeat all that the server said.
_SERVICE_CODE = re.compile(r", Error code: (\w+)\..*$")


def _detail(error: BaseException, wire: Wire) -> str:
    """Return the essence of a client's error: what the server says, or how the line failed."""
    text = _words(error)
    found = _HTTP_ERROR.search(" ".join(str(getattr(error, "message", None) or error).split()))
    if found is not None:
        reason, said = found[1], _SERVICE_CODE.sub(r" (\1)", found[2]).strip("{} '\"")
        return one_line(f"{reason}: {said}" if said else reason)
    failure = wire.failure
    if failure is not None and failure.status is not None:
        return f"status {failure.status}"
    return text


def _words(error: BaseException) -> str:
    # The text of a QiskitError is the repr of its message.
    return one_line(getattr(error, "message", None) or error)


def _cause(error: BaseException) -> BaseException:
    """Return what an error came from: the client's own text is about the API key."""
    return error.__cause__ or error


def is_vendor_error(error: BaseException) -> bool:
    """Whether the client raises such an error about the service or its replies.

    A reply with another content than expected comes as a ValueError, KeyError or TypeError.
    """
    import requests
    from qiskit.exceptions import QiskitError

    kinds = (QiskitError, requests.RequestException, OSError, ValueError, KeyError, TypeError)
    return isinstance(error, kinds)


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def status_in(error: BaseException) -> int | None:
    """Return the HTTP status that an error or what caused it carries."""
    for link in _chain(error):
        status = getattr(link, "status_code", None)
        if isinstance(status, int) and status > 0:
            return status
    return None


def _status(error: BaseException, wire: Wire) -> int | None:
    from qiskit_ibm_runtime.exceptions import IBMNotAuthorizedError

    if any(isinstance(link, IBMNotAuthorizedError) for link in _chain(error)):
        return 401
    failure = wire.failure
    return status_in(error) if failure is None else failure.status


def refused(error: BaseException, wire: Wire, doing: str) -> QtHwError:
    """Return the error for a request that made no job.

    Args:
        error: What the client raised.
        wire: What was exchanged.
        doing: Its purpose, after "IBM ... while".
    """
    import requests

    status, text = _status(error, wire), f"{doing}: {_detail(error, wire)}"
    if status is None and wire.mounted and wire.failure is None:
        if isinstance(error, ValueError) and not isinstance(error, requests.RequestException):
            return PermanentError(f"IBM's client refuses ({text})")
        return TransientError(f"IBM's reply cannot be read ({text})")
    return _refusal(status, text)


def _refusal(status: int | None, text: str) -> QtHwError:
    if status is None:
        return TransientError(f"IBM cannot be reached ({text})")
    if status == 401:
        return PermanentError(
            f"IBM does not accept the login any more ({text}); no job is lost: repeat the command "
            f"to log in anew, or save another key: {SAVE_ACCOUNT}"
        )
    if status == 403:
        return PermanentError(f"this IBM account may not do that ({text})")
    if status == 429:
        return TransientError(f"IBM takes no more requests for now ({text})")
    if status in (404, 410, 424):
        return PermanentError(f"IBM has no such device or job any more ({text})")
    if status < 500:
        return PermanentError(f"IBM refuses the request ({text})")
    return TransientError(f"IBM's service has a fault, status {status} ({text})")


def submission(error: Exception, wire: Wire, device: str) -> Exception:
    """Return the error for a request for a job that ended with ``error``.

    Only a request that never left, or one refused at the first attempt, surely made no job.
    """
    doing = f"submitting to {device}"
    request, repeated = wire.job_request, False
    if wire.mounted:
        if request is None and not is_vendor_error(error):
            return error
        if request is None or not request.sent:
            return refused(error, wire, doing)
        status, repeated = request.status, request.repeated
    else:
        status = status_in(error)
    if status is not None and 400 <= status < 500 and status != 408 and not repeated:
        return _refusal(status, f"{doing}: {_detail(error, wire)}")
    if status is None:
        how = "the connection broke before IBM's reply"
    elif status >= 400:
        how = f"IBM answered with status {status}"
    else:
        how = "IBM's reply cannot be read"
    return AmbiguousSubmission(f"{how}: the request may have made a job on {device}, or not")


def login_failure(error: BaseException) -> QtHwError:
    """Return the error for a login that failed."""
    from qiskit_ibm_runtime.accounts.exceptions import AccountNotFoundError

    if isinstance(error, AccountNotFoundError):
        return PermanentError(f"no IBM account is saved on this machine; save one: {SAVE_ACCOUNT}")
    status = status_in(error)
    if status in (400, 401, 403):
        return PermanentError(f"IBM does not know the API key; save the right one: {SAVE_ACCOUNT}")
    if status is not None or any(isinstance(link, OSError) for link in _chain(error)):
        return TransientError(f"the login at IBM failed ({_words(_cause(error))})")
    return PermanentError(
        f"IBM does not accept the account or its instance ({_words(error)}); check 'instance' "
        f"and the saved account: {SAVE_ACCOUNT}"
    )
