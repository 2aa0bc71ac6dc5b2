"""A stand-in of the IBM Quantum services on loopback, for rehearsals and tests.

It answers the unmodified ``qiskit_ibm_runtime`` client: IAM tokens, Global Search, Global Catalog
and the Quantum runtime API with its programs ``executor`` and ``sampler``. Jobs run on Qiskit Aer
and live as files in a folder, so that a stand-in that was killed goes on where it stopped.

    standin.server   the service: ``Standin``
    standin.start    the service in a process of its own: ``rehearse``, ``environment``
"""

from __future__ import annotations

__all__: list[str] = []
