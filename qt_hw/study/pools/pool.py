"""What a study asks of the place where its cells run."""

from __future__ import annotations

from abc import ABC, abstractmethod
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Literal

__all__ = ["RUN_CELL", "Job", "Outcome", "Pool"]

RUN_CELL = "qt_hw.study.work:run_cell"
"""The function that computes a cell, as ``module:function``."""


@dataclass(frozen=True, kw_only=True)
class Job:
    """One cell to compute.

    Attributes:
        id: Its id, which is the name of its folder under ``cells``.
        payload: The cell as JSON, given to the work function as it is.
        needs: Folders that it reads, relative to the study's.
    """

    id: str
    payload: str
    needs: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """How a job ended.

    Attributes:
        id: Id of the job.
        state: ``"done"``; ``"failed"`` if the work function said so or raised; ``"lost"`` if
            whatever computed it died each time.
        error: What went wrong; empty when done.
    """

    id: str
    state: Literal["done", "failed", "lost"]
    error: str = ""


class Pool(AbstractContextManager["Pool"], ABC):
    """Computes jobs side by side; leaving the context kills what still runs.

    The work function is named as ``"module:function"`` and called as ``function(study, payload)``
    in another process. It returns an empty text, or what went wrong.

    Attributes:
        slots: How many jobs run at once.
    """

    slots: int

    @abstractmethod
    def submit(self, job: Job) -> None:
        """Begin ``job``, or queue it where every slot is taken."""

    @abstractmethod
    def wait(self, timeout: float) -> list[Outcome]:
        """Return what has ended, as soon as anything has, or nothing after ``timeout`` seconds."""

    @property
    @abstractmethod
    def running(self) -> tuple[str, ...]:
        """Ids of the jobs that were submitted and have not ended."""

    @abstractmethod
    def close(self) -> None:
        """Kill what still runs; a second call does nothing."""

    def __exit__(self, *_: object) -> None:
        """Close the pool."""
        self.close()


def outcome_of(id: str, error: str) -> Outcome:
    """Return how a job ended whose work function said ``error``."""
    return Outcome(id=id, state="failed" if error else "done", error=error)
