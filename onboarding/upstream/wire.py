"""What goes to the upstream and what comes back, as values.

Requests are strict: exact types, nothing extra, and a plain JSON form (`model_dump(mode="json")`,
`model_validate`) from which the very same request is built again, because requests are kept before they are
sent. Whatever concerns a person stays out of every repr and out of validation errors. Replies are read into
the values below by reading.py. Must not import Django.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntEnum, StrEnum
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Strict, model_validator
from pydantic import Field as Column
from pydantic.alias_generators import to_camel

from onboarding.domain.levels import Level


def _encodable(value: str) -> str:
    value.encode()  # a lone surrogate is no text; UnicodeEncodeError is a ValueError
    return value


Text = Annotated[str, Strict(), AfterValidator(_encodable)]
Private = Annotated[Text, Column(repr=False)]
MaybePrivate = Annotated[Text | None, Column(repr=False)]
Number = Annotated[int, Strict()]
Flag = Annotated[bool, Strict()]
Source = Annotated[int, Strict(), Column(ge=1, le=9)]  # 1 mobile web, 2 PC web, 4 Android, 5 iOS (docs/upstream.md 2.1)
AccountType = Literal[0, 1]  # individual, enterprise

# Sent by the platform's own clients, documented nowhere (docs/upstream.md 2.1).
UNDOCUMENTED = frozenset({"protocol", "email_area"})


class BizType(StrEnum):
    """What a verification code is for (docs/upstream.md 2.2)."""

    EMAIL_REGISTER = "EMAIL_REGISTER_VERIFICATION_CODE"
    SMS_REGISTER = "SMS_REGISTER_VERIFICATION_CODE"
    EMAIL_LOGIN = "EMAIL_LOGIN_VERIFICATION_CODE"
    SMS_LOGIN = "SMS_LOGIN_VERIFICATION_CODE"
    EMAIL_COMMON = "EMAIL_COMMON_VERIFICATION_CODE"
    SMS_COMMON = "SMS_COMMON_VERIFICATION_CODE"
    EMAIL_PASSWORD = "EMAIL_PASSWORD_VERIFICATION_CODE"  # noqa: S105 - the name of a purpose
    SMS_PASSWORD = "SMS_PASSWORD_VERIFICATION_CODE"  # noqa: S105
    EMAIL_LOGINED = "EMAIL_LOGINED_VERIFICATION_CODE"
    SMS_LOGINED = "SMS_LOGINED_VERIFICATION_CODE"


def phone_area(value: str) -> str:
    """An area code as "+86", from "86", "+86", "0086" or "" (which stays "").

    Older dictionaries lack the plus that newer ones contain (docs/upstream.md 2.2).
    """
    digits = "".join(ch for ch in value if "0" <= ch <= "9").lstrip("0")
    return f"+{digits}" if digits else ""


def sms_recipient(area: str, number: str) -> str:
    """Recipient of an SMS: area code, one blank, national number: "+86 13800138000"."""
    return f"{phone_area(area)} {''.join(number.split())}"


class Request(BaseModel):
    """A body that we send."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        alias_generator=to_camel,
        validate_by_name=True,
        validate_by_alias=True,
        hide_input_in_errors=True,
    )

    def to_wire(self, without: frozenset[str] = frozenset()) -> dict[str, Any]:
        """The JSON object, in the order of the fields. None is left out, and so are the fields `without`."""
        return self.model_dump(mode="json", by_alias=True, exclude_none=True, exclude=set(without))


class TradeType(Request):
    trade_type: Text
    all_currency: Text  # comma-separated currencies


class CustomerGroup(BaseModel):
    """The customer group and opening assets of a country, from configuration."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    customer_group_id: Number | None = None
    trade_types: tuple[TradeType, ...] = ()


class RegisterRequest(Request):
    """docs/upstream.md 2.1."""

    type: Literal[1, 2]  # e-mail, phone
    login_name: Private  # e-mail address, or national number without area code
    phone_area: Text | None = None  # "+86"; needed for a phone
    country: Text  # `code` of the dictionary
    verify_code: Private
    send_token: Private
    register_source: Source
    password_md5: MaybePrivate = Column(default=None, alias="pwd")
    open_account_type: AccountType | None = None
    customer_group_id: Number | None = None
    trade_types: tuple[TradeType, ...] = Column(default=(), alias="tradeTypeCurrencyList")
    lang: Text | None = None
    register_device: Text | None = None
    utm_source: Text | None = None
    utm_medium: Text | None = None
    utm_campaign: Text | None = None
    utm_content: Text | None = None
    utm_term: Text | None = None
    third_server_code: Text | None = None
    third_server_source: Text | None = None
    protocol: Flag | None = None
    email_area: Text | None = None

    def to_wire(self, without: frozenset[str] = frozenset()) -> dict[str, Any]:
        # The list has at least one item by contract; left out, the tenant's default opening group counts.
        return super().to_wire(without if self.trade_types else without | {"trade_types"})


class SendCodeRequest(Request):
    """docs/upstream.md 2.2. One of `to_user` and `customer_no`."""

    biz_type: BizType
    to_user: MaybePrivate = None
    customer_no: Text | None = None
    country: Text | None = None


class LoginRequest(Request):
    """docs/upstream.md 2.12. With a password, or with a verification code and its send ticket."""

    type: Literal[1, 2, 3]  # e-mail, phone, customer number
    login_name: Private
    device: Source
    is_third: Flag = False
    phone_area: Text | None = None
    password_md5: MaybePrivate = Column(default=None, alias="loginPwd")
    verify_code: MaybePrivate = None
    send_token: MaybePrivate = None
    google_code: MaybePrivate = None


class FindLevelsRequest(Request):
    """docs/upstream.md 2.9. Enterprises need account type 1, country and company type beside the level."""

    level_code: Text | None = None
    lang: Text | None = None
    customer_no: Text | None = None
    open_account_type: AccountType | None = None
    select_country: Text | None = None
    select_company_type: Text | None = None


class ElementAnswer(Request):
    """A pair (code, value) will do for one."""

    element_code: Text
    element_value: Private

    @model_validator(mode="before")
    @classmethod
    def _pair(cls, value: Any) -> Any:
        if isinstance(value, tuple | list) and len(value) == 2:
            return {"element_code": value[0], "element_value": value[1]}
        return value


class LevelApplication(Request):
    """docs/upstream.md 2.10. `commit_tag` False keeps a draft; `path_code` goes with kycLevelApply only."""

    level_code: Text
    path_code: Text | None = None
    open_account_type: AccountType
    elements: tuple[ElementAnswer, ...] = Column(alias="elementList", repr=False)
    select_country: Text | None = None
    select_company_type: Text | None = None
    commit_tag: Flag | None = None


@dataclass(frozen=True, slots=True)
class Registration:
    """A registered customer, or one whose application went to manual review (`in_review`)."""

    customer_no: str
    token: str = field(default="", repr=False)  # contract silent, practice gives it (docs/upstream.md 3)
    levels: tuple[Level, ...] = field(default=(), repr=False)
    in_review: bool = False
    password_needed: bool = False
    kyc_required: bool = False
    trace: str = ""


class ReviewStatus(IntEnum):
    """The upstream's own numbers (docs/upstream.md 2.10)."""

    OPEN = 0
    IN_REVIEW = 1
    PASSED = 2
    REJECTED = 3


@dataclass(frozen=True, slots=True)
class Review:
    """`reason` is the upstream's text for a rejection, in the language asked for; `code` may come with it."""

    status: ReviewStatus
    reason: str = field(default="", repr=False)
    code: str = ""


@dataclass(frozen=True, slots=True)
class LevelStatus:
    """How one level stands; `after` is the name of the level that must have passed before it, or ""."""

    code: str
    name: str
    status: ReviewStatus
    after: str = ""


@dataclass(frozen=True, slots=True)
class Login:
    """`review` is None when the reply does not say how the checks stand."""

    customer_no: str
    token: str = field(repr=False)
    review: Review | None = None
    password_needed: bool = False
    kyc_required: bool = False
    trace: str = ""


@dataclass(frozen=True, slots=True)
class Country:
    """`code` is what register wants; `area` "+86" or ""; `pattern` a third party's, searched unanchored."""

    code: str
    name: str
    alpha2: str = ""
    area: str = ""
    pattern: str = ""
    has_company: bool = False


@dataclass(frozen=True, slots=True)
class DictionaryItem:
    code: str
    name: str
    pattern: str = ""
