"""Replies in the form of the runtime API."""

from __future__ import annotations

import json
from typing import Any

from qt_hw.execution.loopback import Reply

__all__ = ["EMPTY", "TRACE", "error_body", "json_reply", "not_found", "refusal", "text_reply"]

#: The service's name of a request; the client garbles errors that come without it.
TRACE = {"uber-trace-id": "0:0:0:0"}

#: The request was carried out; there is nothing to tell.
EMPTY = Reply(status=204)


def json_reply(value: Any, status: int = 200) -> Reply:
    """Return ``value`` as JSON."""
    return Reply(status=status, body=json.dumps(value).encode())


def text_reply(text: str) -> Reply:
    """Return plain text."""
    return Reply(body=text.encode(), content_type="text/plain")


def error_body(code: int, message: str) -> bytes:
    """Return the body of an error; the client shows its code and message."""
    return json.dumps({"error": {"code": code, "message": message}}).encode()


def refusal(status: int, message: str, code: int | None = None) -> Reply:
    """Return an error with an HTTP status and the service's own code."""
    body = error_body(status if code is None else code, message)
    return Reply(status=status, body=body, headers=TRACE)


def not_found(what: str) -> Reply:
    """Return 404."""
    return refusal(404, f"{what} not found")
