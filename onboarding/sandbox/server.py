"""The sandbox as others use it: start, stop, look inside. The API lies under /api, pages for people beside
it.

Imports nothing of this project, so that the client under test meets an independent reading of the protocol.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Callable
from types import TracebackType
from typing import Any

from . import asked, gateway, pages
from .protocol import Fault, Reply, Request
from .state import State
from .web import Site


class Sandbox:
    """A stand-in for the upstream on one address.

    `company_id` None takes any; `send_limit` counts messages per half hour, kind and recipient; `rate_limit`
    calls per minute and endpoint; `clock` gives seconds since 1970, so that a test may let time pass.
    """

    def __init__(
        self,
        port: int = 0,
        host: str = "127.0.0.1",
        slow_seconds: float = 3.0,
        hang_seconds: float = 60.0,
        company_id: str | None = None,
        send_limit: int = 5,
        review_seconds: float = 20.0,
        rate_limit: int = 3000,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.state = State(
            clock=clock,
            company_id=company_id,
            send_limit=send_limit,
            review_seconds=review_seconds,
            slow_seconds=slow_seconds,
            hang_seconds=hang_seconds,
            rate_limit=rate_limit,
        )
        self._site = Site(host, port, self._answer, self._play)

    @property
    def url(self) -> str:
        return self._site.url

    @property
    def public_key(self) -> str:
        """Base64 of the DER form, as a company would be handed it."""
        return self.state.keys().public_key

    def bind(self) -> Sandbox:
        """Take the port without answering yet, so that a port in use is told before anything is printed."""
        self._site.bind()
        return self

    def start(self) -> Sandbox:
        self.state.stopping.clear()
        self._site.start()
        return self

    def serve_forever(self) -> None:
        self.state.stopping.clear()
        self._site.serve_forever()

    def stop(self) -> None:
        """Close everything; what is remembered stays, so that a new start on the same port goes on."""
        self.state.stopping.set()
        self._site.stop()

    def clear(self) -> None:
        self.state.clear()

    def ask(self, recipient: str, entries: list[Any] | None) -> None:
        """Ask whoever registers with this address or number ("+44 7400…") for exactly these entries.

        For property tests: the entries go out as they are, nonsense included, and what comes back is checked for
        its structure only.
        """
        with self.state.lock:
            self.state.asked[asked.key(recipient)] = copy.deepcopy(entries)

    def inbox(self) -> list[dict[str, Any]]:
        return self._copy(self.state.inbox)

    def registrations(self) -> list[dict[str, Any]]:
        return self._copy(self.state.registrations)

    def applications(self) -> list[dict[str, Any]]:
        return self._copy(self.state.applications)

    def calls(self) -> list[dict[str, Any]]:
        return self._copy(self.state.calls)

    def __enter__(self) -> Sandbox:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _copy(self, entries: Any) -> list[dict[str, Any]]:
        with self.state.lock:
            return [copy.copy(entry) for entry in entries]

    def _answer(self, request: Request) -> Reply:
        if request.path == "/api" or request.path.startswith("/api/"):
            return gateway.answer(request, self.state)
        return pages.answer(request, self.state)

    def _play(self, fault: Fault) -> None:
        if fault is Fault.HANG:
            self.state.wait(self.state.hang_seconds)
