"""A customer of the faults: the way to the end, and the planned disturbance on it.

What must hold at the end stands in books.py.
"""

from __future__ import annotations

import random
import re
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from tests.faults.browser import Browser, Page, World, Wrong
from tests.faults.plan import KILLS, Disturbance, Ending, Fault, Kind, Plan

_LINK = re.compile(r'class="link"[^>]*>[^<]*?(/h/[^<]+)<')

PACE = 2.2  # seconds between two looks at the status page, at first; the page looks by itself as often
PATIENCE = 240.0  # seconds until a customer is lost; long, for machines that have other work


@dataclass
class Customer:
    plan: Plan
    world: World
    seed: int
    trail: list[str] = field(default_factory=list)  # the steps seen
    homes: list[str] = field(default_factory=list)  # the address of each of the customer's devices
    reference: str = ""
    error: str = ""

    def __post_init__(self) -> None:
        self.dice = random.Random(f"{self.seed} {self.plan.number}")
        self.browser = Browser(self.world, self.plan, self.dice)

    def _note(self, page: Page | None) -> None:
        self.trail.append(f"{page.status} {page.step} {page.home[3:7]}" if page else "no answer")
        self.reference = self.reference or (page.data.get("reference", "") if page else "")

    # -- The way

    def walk(self) -> None:
        try:
            page = self._register(self._begin().home)
            if self.plan.kind is Kind.LEVEL:
                page = self._hand_in(page)
            if not self.left and page.step != self.wanted:
                raise Wrong(f"{page.step!r} instead of {self.wanted!r} in the end")
        except Exception as exc:  # whatever it is belongs into the report, and the others go on
            self.error = f"{type(exc).__name__}: {exc}"

    left = False

    def _begin(self) -> Page:
        first = self._until(lambda: self.browser.send("GET", "/?channel=email"), "identify")
        data = {
            "landing": first.value("landing"), "channel": "email", "account_type": "individual", "country": "GB",
            "terms": "on", "email": self.plan.email,
        }  # fmt: skip
        page = self._until(lambda: self.browser.send("POST", "/", data, follow=False), "")
        self.homes = [page.home]
        return page

    def _register(self, flow: str) -> Page:
        code = self.world.code_for(self.plan.email)
        mine = self.plan.kind is Kind.REGISTER
        if mine and self.plan.ending is Ending.CORRECTED:
            wrong = "000000" if code != "000000" else "111111"
            page = self._submit(flow + "verify/", {"code": wrong}, "verify", disturbed=True)
            if page.step != "verify":
                raise Wrong(f"a wrong code led to {page.step!r}")
            flow, mine = page.home, False
        return self._submit(flow + "verify/", {"code": code}, "verify", disturbed=mine)

    def _hand_in(self, page: Page) -> Page:
        if page.step != "level":
            raise Wrong(f"the registration led to {page.step!r}")
        data = {"level": page.data["level"], "el-name": f"Ann {self.plan.mark}"}
        home = page.home
        page = self._submit(home + "level/", data, "level", disturbed=True)
        for _ in range(3):
            if page.step == "level" and self.plan.ending is Ending.CORRECTED:
                page = self._submit(home + "level/", data, "level", disturbed=False)
        return page

    # -- One submit, and what comes in between

    def _submit(self, path: str, data: dict[str, str], step: str, *, disturbed: bool) -> Page:
        what = self.plan.disturbance if disturbed else Disturbance.NONE
        post = lambda server=None: self.browser.send("POST", path, data, server=server)  # noqa: E731
        homes = [Page(0, path, "").home]
        if what in KILLS:
            page = post(self.world.await_kill(self.plan))
        if disturbed and Fault.REFUSED in self.plan.faults:
            self.world.await_closed_door(self.plan)
        match what:
            case Disturbance.DOUBLE:
                page = self._at_once(post, post)[0]
            case Disturbance.DEVICES:
                page = self._two_devices(path, data, homes)
            case _ if what not in KILLS or Fault.REFUSED in self.plan.faults:
                page = post()
        if what is Disturbance.RELOAD:
            again = post()
            self._note(page)
            self._note(again)
            page = self.browser.send("GET", (again or page or Page(0, homes[0], "")).home)
        page = self._follow(page, post, homes[0], step)
        if what is Disturbance.BACK and not self.left:
            page = self._follow(post() or page, post, page.home, step)
        self.homes = [page.home, *homes[1:]]
        return page

    def _two_devices(self, path: str, data: dict[str, str], homes: list[str]) -> Page | None:
        """A registration: the same page on both. A level: the other device came by a link and has its own address."""
        other = Browser(self.world, self.plan, random.Random(self.dice.random()))
        other.has_twin = True
        second = path
        if path.endswith("level/"):
            shown = self._until(lambda: self.browser.send("POST", homes[0] + "handover/", {}), "handover")
            link = _LINK.search(shown.text)
            if link is None:
                raise Wrong("no link to another device")
            asked = self._until(lambda: other.send("GET", link[1]), "handover")
            came = self._until(lambda: other.send("POST", link[1], {"nonce": asked.value("nonce")}), "level")
            homes.append(came.home)
            second = came.home + "level/"
        one = self.dice.randrange(2)
        return self._at_once(
            lambda: self.browser.send("POST", path, data, server=one),
            lambda: other.send("POST", second, data, server=1 - one),
        )[0]

    def _at_once(self, *sends: Callable[[], Page | None]) -> list[Page | None]:
        pages: list[Page | None] = [None] * len(sends)
        failed: list[Exception] = []

        def run(place: int) -> None:
            try:
                pages[place] = sends[place]()
            except Exception as exc:  # told by the thread that waits
                failed.append(exc)

        threads = [threading.Thread(target=run, args=(place,)) for place in range(len(sends))]
        self.browser.has_twin = True
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.browser.has_twin = False
        if failed:
            raise failed[0]
        return pages

    def _follow(self, page: Page | None, post: Callable[[], Page | None], home: str, step: str) -> Page:
        """Does what the page says until there is an answer. A broken line is reloaded, as the browser offers it."""
        end = time.monotonic() + PATIENCE
        looks = 0
        while time.monotonic() < end:
            self._note(page)
            if page is None:
                time.sleep(0.5)
                page = post()
            elif page.step == "busy":  # says that nothing was sent: back to the form, and again
                time.sleep(1)
                page = post()
            elif _asks_for_the_code(page):
                page = post()
            elif page.step == "status":
                home = page.home
                if self.plan.leaves and self._may_leave(step):
                    self.left = True
                    return page
                time.sleep(self.pause(looks))
                looks += 1
                page = self.browser.send("GET", home) or page
            elif page.step == step and page.status in (200, 409) and self._is_unsent(step):
                page = post()  # never sent: the process died first
            else:
                return page
        raise Wrong("lost: no answer in time")

    def pause(self, looks: int) -> float:
        """Seconds until the next look."""
        return PACE + looks * 0.5

    def _may_leave(self, step: str) -> bool:
        return step == ("verify" if self.plan.kind is Kind.REGISTER else "level")

    def _is_unsent(self, step: str) -> bool:
        return not (self.plan.ending is Ending.CORRECTED and self._may_leave(step))

    def _until(self, send: Callable[[], Page | None], step: str) -> Page:
        """The page of this step; what is busy or broken is tried again."""
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            page = send()
            if page is not None and page.step == step:
                return page
            self._note(page)
            if page is not None and page.step != "busy":
                raise Wrong(f"{page.step!r} instead of {step!r}")
            time.sleep(1)
        raise Wrong(f"lost on the way to {step!r}")

    # -- The end

    @property
    def wanted(self) -> str:
        return {Ending.EXISTS: "exists", Ending.REFUSED: "refused"}.get(self.plan.ending, "done")

    def come_back(self) -> None:
        """Whoever has left looks at the page once more, and so does the other device."""
        if self.error:
            return
        try:
            for home in self.homes if self.left else self.homes[1:]:
                self._note(self._until(lambda home=home: self._look(home), self.wanted))  # type: ignore[misc]
        except Exception as exc:
            self.error = f"{type(exc).__name__}: {exc}"

    def _look(self, home: str) -> Page | None:
        page = self.browser.send("GET", home)
        if page is not None and _asks_for_the_code(page):  # the line broke before the new address arrived
            self._note(page)
            page = self.browser.send("POST", home + "verify/", {"code": self.world.code_for(self.plan.email)})
        return page


def _asks_for_the_code(page: Page) -> bool:
    """The address from before the code was proved: the code leads on."""
    return page.step == "expired" and 'name="code"' in page.text
