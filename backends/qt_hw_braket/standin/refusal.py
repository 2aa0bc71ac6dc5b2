"""An error reply of the rehearsed service."""

from __future__ import annotations

__all__ = ["Refusal"]


class Refusal(Exception):
    """What the service answers instead of a result.

    Attributes:
        status: HTTP status.
        code: Name of the error.
        fields: Further fields of the reply.
    """

    def __init__(self, status: int, code: str, message: str, **fields: object) -> None:
        super().__init__(message)
        self.status, self.code, self.message, self.fields = status, code, message, fields

    @classmethod
    def invalid(cls, message: str, **fields: object) -> Refusal:
        """Return the answer to a request that the service cannot run."""
        return cls(400, "ValidationException", message, **fields)

    @classmethod
    def unknown(cls, what: str) -> Refusal:
        """Return the answer to an ARN that does not exist."""
        return cls(404, "ResourceNotFoundException", f"{what} not found")
