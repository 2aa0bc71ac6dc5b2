"""What the rehearsed service checks before it accepts a request."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

from qt_hw_braket.standin.capabilities import GATE_SHOTS
from qt_hw_braket.standin.programs import parse
from qt_hw_braket.standin.refusal import Refusal

__all__ = ["check_clock", "check_request"]

#: By how much the clock of a client may be wrong, and how AWS writes an instant.
_SKEW, _INSTANT = timedelta(minutes=5), "%Y%m%dT%H%M%SZ"


def check_clock(signed: str, now: datetime) -> None:
    """Check when a request was signed, as AWS does.

    Args:
        signed: Header ``x-amz-date`` of the request.
        now: The present instant.

    Raises:
        Refusal: More than five minutes ago, or in the future.
    """
    try:
        then = datetime.strptime(signed, _INSTANT).replace(tzinfo=UTC)
    except ValueError:
        raise Refusal(400, "IncompleteSignature", "the request has no x-amz-date") from None
    if abs(now - then) <= _SKEW:
        return
    early, edge = then < now, now - _SKEW if then < now else now + _SKEW
    first = "Signature expired" if early else "Signature not yet current"
    text = f"{first}: {signed} is {'now earlier' if early else 'still later'} than "
    text += f"{edge.strftime(_INSTANT)} ({now.strftime(_INSTANT)} {'-' if early else '+'} 5 min.)"
    raise Refusal(403, "InvalidSignatureException", text)


def check_request(request: dict[str, Any], caps: dict[str, Any]) -> None:
    """Check the circuits and the shots of a request.

    Raises:
        Refusal: The device does not take it.
    """
    action = json.loads(request["action"])
    programs = action.get("programs")
    sources = [p["source"] for p in ([action] if programs is None else programs)]
    total, n = int(request["shots"]), len(sources)
    if programs is not None:
        _check_set(caps, n, total)
    low, high = caps["service"]["shotsRange"]
    if not low <= total // n <= high:
        raise Refusal.invalid(f"shots must be in [{low}, {high}]")
    if "debias" in request.get("deviceParameters", "").lower():
        (least,) = (m["minimumShots"] for m in caps["provider"]["errorMitigation"].values())
        if total < least:
            raise Refusal.invalid(f"error mitigation takes at least {least} shots")
    if max(len(parse(source).gates) for source in sources) * (total // n) > GATE_SHOTS:
        raise Refusal.invalid(f"gates times shots exceed {GATE_SHOTS}")


def _check_set(caps: dict[str, Any], n: int, total: int) -> None:
    limits = caps["action"].get("braket.ir.openqasm.program_set")
    if limits is None:
        raise Refusal.invalid("the device does not support program sets")
    low = limits.get("minimumTotalShots") or 1
    if n > limits["maximumExecutables"] or total % n:
        failure = {"programIndex": 0, "errors": ["too many executables, or shots not divisible"]}
        raise Refusal.invalid(
            "bad program set",
            reason="ProgramSetValidationFailed",
            programSetValidationFailures=[failure],
        )
    if not low <= total <= limits["maximumTotalShots"]:
        raise Refusal.invalid(f"total shots must be in [{low}, {limits['maximumTotalShots']}]")
