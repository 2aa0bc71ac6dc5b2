"""Exceptions of the AWS client, in the words of this package.

Only the first line of a message is passed on: the rest of it may quote the signed request.
"""

from __future__ import annotations

import re
import threading
from typing import Any

from qt_hw.errors import (
    AmbiguousSubmission,
    BackendError,
    PermanentError,
    TransientError,
)

__all__ = ["Attempts", "code_of", "of_reading", "of_request"]

_LATER = frozenset(
    {
        "ThrottlingException",
        "Throttling",
        "TooManyRequestsException",
        "RequestLimitExceeded",
        "SlowDown",
        "ServiceQuotaExceededException",
    }
)
#: What AWS says to a request that a clock more than five minutes wrong has signed.
_CLOCK = ("Signature expired", "Signature not yet current", "RequestTimeTooSkewed")
#: Said of a request whose token the service knows from another one: that one made a job.
_TOKEN_IS_KNOWN = re.compile(r"client ?token|idempoten", re.IGNORECASE)

#: Errors in which no byte of the request was sent.
_NOT_SENT = ("EndpointConnectionError", "ConnectTimeoutError", "ProxyConnectionError")


def code_of(error: Exception) -> str:
    """Return the service's name of an error, empty for the client's own errors."""
    response: dict[str, Any] = getattr(error, "response", None) or {}
    return str(response.get("Error", {}).get("Code", ""))


def _status_of(error: Exception) -> int:
    response: dict[str, Any] = getattr(error, "response", None) or {}
    return int(response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))


def _text(error: Exception) -> str:
    """Return one line: the service's words, or the client's."""
    response: dict[str, Any] = getattr(error, "response", None) or {}
    message = str(response.get("Error", {}).get("Message", "") or error).strip()
    first = message.splitlines()[0][:300].rstrip(".: ") if message else ""
    name = code_of(error) or type(error).__name__
    return f"{name}: {first}" if first else name


def _advice(error: Exception) -> str:
    """Return what to do about an error that will come back."""
    from botocore import exceptions

    code, status = code_of(error), _status_of(error)
    if any(word in _text(error) for word in _CLOCK):
        return "; set the clock of this machine right and repeat the command"
    if isinstance(error, exceptions.NoCredentialsError | exceptions.PartialCredentialsError):
        return "; give credentials: aws configure, aws sso login, or AWS_PROFILE"
    if isinstance(error, exceptions.NoRegionError):
        return "; set the region: --set account.region=us-east-1, or AWS_DEFAULT_REGION"
    expired = any(word in code for word in ("Token", "Signature", "Expired", "AccessKey"))
    if status == 401 or expired or isinstance(error, exceptions.SSOError):
        return "; log in to AWS anew and repeat the command"
    if status == 403:
        return "; the AWS account needs the right to do this (policy AmazonBraketFullAccess)"
    return ""


def _is_later(error: Exception) -> bool:
    return code_of(error) in _LATER or _status_of(error) == 429


def _is_network(error: Exception) -> bool:
    from botocore.exceptions import ConnectionError, HTTPClientError

    return isinstance(error, HTTPClientError | ConnectionError)


def of_reading(error: Exception, what: str) -> BackendError:
    """Return what to raise when a request that changes nothing failed.

    Args:
        error: An exception of botocore, or a KeyError for an answer that lacks a field.
        what: What was being done, for the message.
    """
    from botocore.exceptions import ClientError, IncompleteReadError
    from botocore.parsers import ResponseParserError

    text = f"{what}: {_text(error)}"
    if isinstance(error, KeyError):
        return TransientError(f"{what}: the answer of AWS is incomplete")
    if _is_network(error) or isinstance(error, IncompleteReadError | ResponseParserError):
        return TransientError(text)
    if isinstance(error, ClientError) and (_is_later(error) or _status_of(error) >= 500):
        return TransientError(text)
    return PermanentError(f"{text}{_advice(error)}; no job is lost")


class Attempts(threading.local):
    """What became of the attempts of one request, of which the client makes several by itself.

    A refusal of the last attempt says nothing of an earlier one whose answer was lost.
    """

    def __init__(self) -> None:
        """Start with none."""
        self.start()

    def start(self) -> None:
        """Forget the attempts of an earlier request."""
        self.sent = self.without_job = 0

    def before_send(self, **event: Any) -> None:
        """Count an attempt; a handler of botocore's event ``before-send``."""
        self.sent += 1

    def received(self, **event: Any) -> None:
        """Count an answer that rules out a job; a handler of ``response-received``."""
        error, answer = event.get("exception"), event.get("response_dict") or {}
        never = error is not None and type(error).__name__ in _NOT_SENT
        status = int(answer.get("status_code", 0))
        if never or (400 <= status < 500 and status != 408):
            self.without_job += 1

    @property
    def may_have_made_a_job(self) -> bool:
        """Whether any attempt may have reached the service and been accepted."""
        return self.sent > self.without_job


def of_request(error: Exception, attempts: Attempts, what: str) -> BackendError:
    """Return what to raise when a request for a task failed.

    Args:
        error: Any exception of the client.
        attempts: What became of its attempts.
        what: What was being done, for the message.
    """
    text = f"{what}: {_text(error)}"
    if attempts.may_have_made_a_job or _TOKEN_IS_KNOWN.search(text):
        return AmbiguousSubmission(f"{text}; it is not known whether there is a job")
    if _is_later(error) or _is_network(error):
        return TransientError(f"{text}; no job was made")
    return PermanentError(f"{text}{_advice(error)}; no job was made")
