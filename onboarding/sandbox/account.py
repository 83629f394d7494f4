"""What surrounds a registration: does somebody exist, login, setting a password, the customer's own record,
the clock.

Imports nothing of this project.
"""

from __future__ import annotations

import hmac
from typing import Any

from . import codes, fields, kyc, scenarios
from .protocol import Call, Failure
from .registration import customer_record
from .state import Customer, State

_LOGIN_FIELDS = (
    "type", "loginName", "device", "isThird", "phoneArea", "loginPwd", "verifyCode", "sendToken",
    "googleCode", "bindThirdUserId", "thirdSource",
)  # fmt: skip


def check_status(call: Call, state: State) -> dict[str, Any]:
    """1 exists, 2 free; as a guest, which is how every client calls it."""
    body = call.body
    fields.only(body, ("type", "loginName", "phoneArea", "emailArea", "protocol", "mobileReg"))
    recipient = _recipient(body)
    customer = state.customers.get(recipient)
    taken = customer is not None or "exists" in scenarios.chosen(recipient)
    return {
        "status": 1 if taken else 2,
        "country": customer.country if customer else None,
        "phoneArea": customer.phone_area if customer else None,
    }


def check_exists(call: Call, state: State) -> int:
    fields.only(call.body, ("type", "loginName", "phoneArea", "emailArea"))
    recipient = _recipient(call.body)
    return 1 if recipient in state.customers or "exists" in scenarios.chosen(recipient) else 2


def login(call: Call, state: State) -> dict[str, Any]:
    body = call.body
    fields.only(body, _LOGIN_FIELDS)
    kind = fields.number(body, "type", 1, 3, required=True)
    fields.number(body, "device", 1, 9, required=True)
    fields.flag(body, "isThird", default=False)
    password = fields.password(body, "loginPwd")
    if kind == 3:
        customer = state.customers_by_number(fields.text(body, "loginName", required=True))
    else:
        customer = state.customers.get(_recipient(body))
    if password:
        known = customer.password if customer else None
        if not known or not hmac.compare_digest(known, password):
            raise Failure("CUSTOMER_API_0000102")
    else:
        _login_by_code(call, state, kind, customer)
    if customer is None:
        raise Failure("CUSTOMER_API_0000102")
    if customer.in_review:
        raise Failure("CUSTOMER_API_00010001", data={"customerNo": customer.number})
    token = state.new_token(customer)
    return _full_record(customer, state, call.lang) | {"token": token, "rToken": None}


def _login_by_code(call: Call, state: State, kind: int, customer: Customer | None) -> None:
    code = fields.text(call.body, "verifyCode", required=True, empty="CUSTOMER_API_0000521")
    ticket = fields.text(call.body, "sendToken", required=True)
    if customer is None:
        raise Failure("CUSTOMER_API_0000102")
    biz_type = "EMAIL_LOGIN_VERIFICATION_CODE" if customer.type == 1 else "SMS_LOGIN_VERIFICATION_CODE"
    with state.lock:
        found = codes.require(state, biz_type, customer.recipient, ticket, code, wrong="CUSTOMER_API_0000511")
        found.used = True


def set_password(call: Call, state: State) -> None:
    fields.only(call.body, ("pwd", "googleCode"))
    customer = call.owner()
    password = fields.password(call.body, "pwd", required=True)
    with state.lock:
        if customer.password:
            raise Failure("CUSTOMER_API_0000135")
        if "weak" in customer.tags and state.count("weak", customer.recipient) == 1:
            raise Failure("CUSTOMER_API_0000139")
        customer.password = password


def find_info(call: Call, state: State) -> dict[str, Any]:
    fields.only(call.body, ())
    return _full_record(call.owner(), state, call.lang)


def clock(call: Call, state: State) -> int:
    return int(state.clock() * 1000)


def _full_record(customer: Customer, state: State, lang: str) -> dict[str, Any]:
    summary = kyc.summary(customer, state)
    return customer_record(customer, state, lang) | {
        "kycAuditStatus": summary,
        "kycAuditRemark": kyc.REASON if summary == 3 else None,
        # A second scale of its own: 1 unverified, 2 in review, 3 failed, 4 all passed.
        "kycStatus": {0: 1, 1: 2, 2: 4, 3: 3}[summary],
        "status": 1,
        "type": 0,
        "accountList": [],
    }


def _recipient(body: dict[str, Any]) -> str:
    kind = fields.number(body, "type", 1, 2, required=True)
    phone_area = fields.text(body, "phoneArea") or "+86"
    return fields.recipient(kind, fields.text(body, "loginName"), phone_area)
