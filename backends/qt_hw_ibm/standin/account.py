"""Who may come in: IAM tokens, the list of instances and the plan they belong to."""

from __future__ import annotations

import base64
import json
import secrets
import time
from collections.abc import Sequence
from typing import Any
from urllib.parse import parse_qs

from qt_hw.execution.loopback import Reply, Request
from qt_hw_ibm.standin.replies import json_reply

__all__ = ["API_KEY", "CRN", "Account"]

#: The only API key that the stand-in accepts. It opens nothing but the stand-in.
API_KEY = "rehearsal-only-this-is-not-an-api-key"

#: The instance of that account; the client takes region and account from it.
CRN = (
    "crn:v1:bluemix:public:quantum-computing:us-east:a/0123456789abcdef0123456789abcdef:"
    "00000000-1111-2222-3333-444444444444::"
)

_PLAN = "rehearsal-plan"

#: A token is accepted for a little longer than it says: requests take time to arrive.
_GRACE_SECONDS = 5.0


class Account:
    """IAM, Global Search and Global Catalog of one account.

    Attributes:
        token_seconds: Lifetime of the access tokens handed out from now on.
    """

    def __init__(self, instances: Sequence[str] = ()) -> None:
        """Accept ``instances``, CRNs or names, besides the account's own."""
        self.token_seconds = 3600
        self._instances = {"rehearsal": CRN}
        for number, given in enumerate(instances):
            is_crn = given.startswith("crn:")
            self._instances[f"rehearsal-{number}" if is_crn else given] = given if is_crn else CRN
        self._tokens: dict[str, float] = {}  # in memory only: credentials are never stored

    def revoke(self) -> None:
        """Forget every access token."""
        self._tokens.clear()

    def admits(self, request: Request) -> bool:
        """Whether the request carries a valid access token."""
        kind, _, token = request.headers.get("authorization", "").partition(" ")
        return kind == "Bearer" and self._tokens.get(token, 0.0) > time.time()

    def route(self, request: Request) -> Reply | None:
        """Answer what needs no access token; None if the request is something else."""
        if request.path.endswith("/identity/token"):
            return self._token(request)
        if request.path.endswith("/v3/resources/search"):
            return json_reply({"limit": 100, "items": self._found()})
        if request.path.endswith(f"/{_PLAN}"):
            return json_reply(
                {
                    "overview_ui": {"en": {"display_name": "Pay-As-You-Go"}},
                    "metadata": {"pricing": {"type": "paygo"}},
                }
            )
        return None

    def _token(self, request: Request) -> Reply:
        if parse_qs(request.body.decode()).get("apikey") != [API_KEY]:
            error = {
                "errorCode": "BXNIM0415E",
                "errorMessage": "Provided API key could not be found.",
            }
            return json_reply(error, 400)
        now = int(time.time())
        until = now + self.token_seconds
        token = _jwt({"iat": now, "exp": until, "jti": secrets.token_hex(16)})
        self._tokens[token] = until + _GRACE_SECONDS
        return json_reply(
            {
                "access_token": token,
                "refresh_token": "not_supported",
                "token_type": "Bearer",
                "expires_in": self.token_seconds,
                "expiration": until,
            }
        )

    def _found(self) -> list[dict[str, Any]]:
        return [
            {
                "crn": crn,
                "name": name,
                "service_plan_unique_id": _PLAN,
                "tags": [],
                "doc": {"extensions": {"backends": "any"}},  # without it the client skips the entry
            }
            for name, crn in self._instances.items()
        ]


def _jwt(claims: dict[str, Any]) -> str:
    """Return a token whose claims the client can read; it does not check the signature."""
    parts = [{"alg": "HS256", "typ": "JWT"}, claims, {"signature": "none"}]
    encoded = [base64.urlsafe_b64encode(json.dumps(part).encode()).decode() for part in parts]
    return ".".join(part.rstrip("=") for part in encoded)
