"""The door to the upstream: one method for each endpoint that we use (docs/upstream.md 2).

A method sends exactly one request and returns a value, or raises one of the errors of errors.py. Repeating,
caching and idempotency keys are the caller's business. Settings come as arguments. Must not import Django.
"""

from __future__ import annotations

import ssl
import time
from collections.abc import Callable
from typing import BinaryIO

from onboarding.domain.levels import Level

from . import budget, multipart, reading
from .codes import MANUAL_REVIEW
from .errors import Envelope, SessionEnded
from .sending import Call, Observer, Sender, UpstreamConfig
from .wire import (
    UNDOCUMENTED,
    Country,
    DictionaryItem,
    FindLevelsRequest,
    LevelApplication,
    LevelStatus,
    Login,
    LoginRequest,
    RegisterRequest,
    Registration,
    Review,
    SendCodeRequest,
)

__all__ = ["Call", "UpstreamClient", "UpstreamConfig"]

CAPTCHA_VERSION = "0.0.2"  # of verifyCodeSend where the tenant has a captcha (docs/upstream.md 2.2)
WITHOUT_GATEWAY = "/cats-gateway"  # the segment that geoip does without (docs/upstream.md 1.1)

_CUSTOMER = "customer.app.CustomerWebApiService"
_KYC = "/global/customer.app.KycWebApiService"
_DICTIONARY = "/global/config.app.AppDictDubboService"


class UpstreamClient:
    """Thread-safe; one per process. ValueError at once for an unusable key or address."""

    def __init__(
        self,
        config: UpstreamConfig,
        *,
        now: Callable[[], float] = time.time,
        observe: Observer | None = None,
        tls: ssl.SSLContext | None = None,
        changed: Callable[[str, str], None] | None = None,
    ) -> None:
        """`changed` hears of every circuit that opens or closes: its name and state."""
        self.config = config
        self._sender = Sender(config, now, observe, tls, changed)
        self.gate = self._sender.gate

    def close(self) -> None:
        self._sender.close()

    # Guest calls

    def register(self, request: RegisterRequest, call: Call) -> Registration:
        """Manual review is a good outcome: a Registration with `in_review`."""
        body = request.to_wire(frozenset() if self.config.send_protocol else UNDOCUMENTED)
        return self._sender.post(
            "register",
            f"/register/{_CUSTOMER}.register",
            body,
            call,
            lambda answer: reading.registration(answer, request.open_account_type),
            accept={MANUAL_REVIEW},
        )

    def send_code(self, request: SendCodeRequest, call: Call) -> str:
        """The send ticket."""
        return self._sender.post(
            "send_code",
            "/global/message.app.VerificationApiService.verifyCodeSend",
            request.to_wire(),
            call,
            lambda answer: reading.send_ticket(answer.data),
            version=CAPTCHA_VERSION if self.config.captcha else self.config.version,
        )

    def countries(self, call: Call) -> tuple[Country, ...]:
        """Enabled countries, in the upstream's order."""
        return self._sender.post(
            "countries",
            f"{_DICTIONARY}.getCountryListByParentCode",
            {"parentCode": "-1"},
            call,
            lambda answer: reading.countries(answer.data),
            version="",
        )

    def dictionary(self, parent_code: str, call: Call) -> tuple[DictionaryItem, ...]:
        """Enabled items of `id_card_type`, `EnterpriseType`, `Business_Nature` … (docs/upstream.md 2.6)."""
        return self._sender.post(
            "dictionary",
            f"{_DICTIONARY}.getListByParentCode",
            {"parentCode": parent_code},
            call,
            lambda answer: reading.dictionary(answer.data),
            version="",
        )

    def company_countries(self, call: Call) -> frozenset[str]:
        """Codes of the countries where enterprises may open an account.

        Empty for a guest who is refused: whether guests may ask is an open question (docs/upstream.md 8.3).
        """
        try:
            return self._sender.post(
                "company_countries",
                f"{_KYC}.findCompanyCountry",
                {},
                call,
                lambda answer: reading.company_countries(answer.data),
            )
        except SessionEnded:
            if call.token:
                raise
            return frozenset()

    def country_of_address(self, call: Call) -> str:
        """ISO alpha-2 of `call.client_address`, "" when the upstream does not know.

        Without an address the answer is about this server.
        """
        return self._sender.send(
            "country_of_address",
            "GET",
            self._sender.base.removesuffix(WITHOUT_GATEWAY) + "/geoip/country",
            {},
            None,
            call,
            lambda answer: reading.address_country(answer.data),
        )

    def login(self, request: LoginRequest, call: Call) -> Login:
        return self._sender.post("login", f"/login/{_CUSTOMER}.login", request.to_wire(), call, reading.login)

    # Calls with a session token

    def bind_login_password(self, password_md5: str, call: Call) -> None:
        """For a customer who registered without one. Refused with 0000135: it is done already."""
        self._sender.post(
            "bind_login_password", f"/global/{_CUSTOMER}.bindLoginPwd", {"pwd": password_md5}, call, _nothing
        )

    def find_levels(self, request: FindLevelsRequest, call: Call, account_type: int) -> tuple[Level, ...]:
        """`account_type`: whose paths to take, also where the request does not name it (an individual's does not)."""
        return self._sender.post(
            "find_levels",
            f"{_KYC}.findAllLevelKyc",
            request.to_wire(),
            call,
            lambda answer: reading.levels(reading.items(answer.data), account_type, request.level_code or ""),
        )

    def level_statuses(self, open_account_type: int, call: Call) -> tuple[LevelStatus, ...]:
        """Every level of the customer, in the upstream's order, with how it stands (findAllBizKycList)."""
        return self._sender.post(
            "level_statuses",
            f"{_KYC}.findAllBizKycList",
            {"openAccountType": open_account_type},
            call,
            lambda answer: reading.level_statuses(answer.data),
        )

    def apply_level(self, request: LevelApplication, call: Call) -> str:
        """kycLevelApply. The proposal's number; "" when the reply names none."""
        return self._sender.post(
            "apply_level",
            f"{_KYC}.kycLevelApply",
            request.to_wire(),
            call,
            lambda answer: reading.proposal(answer.data) if answer.code != MANUAL_REVIEW else "",
            accept={MANUAL_REVIEW},
        )

    def apply_business(self, request: LevelApplication, business_code: str, call: Call) -> None:
        """kycApply, the older way: a business code, no path (docs/upstream.md 2.10)."""
        body = {**request.to_wire(frozenset({"path_code"})), "businessCode": business_code}
        self._sender.post("apply_business", f"{_KYC}.kycApply", body, call, _nothing, accept={MANUAL_REVIEW})

    def check_application(self, business_code: str, open_account_type: int, call: Call) -> Review:
        """How the checks stand. Codes that say so (reading.REVIEW_CODES) are answers here, not errors."""
        return self._sender.post(
            "check_application",
            f"{_KYC}.checkKycApply",
            {"businessCode": business_code, "openAccountType": open_account_type},
            call,
            reading.review,
            accept=reading.REVIEW_CODES.keys(),
        )

    def upload(self, content: BinaryIO, filename: str, content_type: str, call: Call) -> str:
        """The URL that is then the element's answer. Never encrypted (docs/upstream.md 2.11)."""
        longest = self.config.read_timeout if call.read_timeout is None else call.read_timeout
        longest = min(longest, budget.left())
        upload = multipart.encode(content, filename, content_type, longest)
        headers = {"Content-Type": upload.content_type, "Content-Length": str(upload.length)}
        return self._sender.send(
            "upload",
            "POST",
            f"{self._sender.base}/upload",
            headers,
            upload.blocks,
            call,
            lambda answer: reading.uploaded(answer.data),
        )


def _nothing(answer: Envelope) -> None:
    """The data of such a reply carry nothing that we use."""
