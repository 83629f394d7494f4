"""The registration itself: fields, code, duplicates, country, then the customer.

Imports nothing of this project.
"""

from __future__ import annotations

from typing import Any

from . import codes, fields, kyc, scenarios
from .dictionaries import COMPANY_COUNTRIES
from .protocol import Call, Failure, Fault, RawAnswer, Reply
from .state import Customer, State, Ticket

UTM = ("utmSource", "utmMedium", "utmCampaign", "utmContent", "utmTerm")
_FIELDS = (
    "type", "loginName", "country", "verifyCode", "sendToken", "registerSource", "phoneArea", "pwd",
    "openAccountType", "customerGroupId", "tradeTypeCurrencyList", "lang", "registerDevice", *UTM,
    "thirdServerCode", "thirdServerSource", "protocol", "emailArea",
)  # fmt: skip
_FAULTS = {"drop": Fault.DROP, "hang": Fault.HANG, "error500": Fault.ERROR500, "garbage": Fault.GARBAGE}


def guard(call: Call, state: State) -> None:
    """Faults of the scenarios that come before any work and are never cached."""
    who = str(call.body.get("loginName") or "")
    tags = scenarios.chosen(who)
    if "captcha" in tags:
        codes.require_captcha(call)
    if "busy" in tags and state.count("busy", who) <= 2:
        raise Failure("GATEWAY_CODE_018", bare=True)
    if "ratelimit" in tags and state.count("ratelimit", who) <= 2:
        headers = (("x-ratelimit-reset", "1"),)
        raise RawAnswer(Reply(429, b"Too Many Requests", "text/plain; charset=utf-8", headers, code="429"))


def register(call: Call, state: State) -> dict[str, Any]:
    body = call.body
    wanted = _read(body)
    recipient, tags = wanted.recipient, wanted.tags
    if "slow" in tags:
        state.wait(state.slow_seconds)
    biz_type = "EMAIL_REGISTER_VERIFICATION_CODE" if wanted.type == 1 else "SMS_REGISTER_VERIFICATION_CODE"
    wrong = "CUSTOMER_API_0000517" if wanted.type == 1 else "CUSTOMER_API_0000518"
    code = "" if "badcode" in tags else body["verifyCode"]
    with state.lock:
        ticket = codes.require(state, biz_type, recipient, body["sendToken"], code, wrong=wrong)
        if recipient in state.customers or "exists" in tags:
            raise Failure("CUSTOMER_API_0000107" if wanted.type == 1 else "CUSTOMER_API_0000106")
        if wanted.account_type == 1 and wanted.country not in COMPANY_COUNTRIES:
            raise Failure("CUSTOMER_API_0000624")
        if wanted.agent and "badagent" in tags:
            raise Failure("CUSTOMER_API_0000901")
        if wanted.password and "weak" in tags and state.count("weak", recipient) == 1:
            raise Failure("CUSTOMER_API_0000139")
        if "refused" in tags:
            _record(call, state, "refused", None)
            raise Failure("CUSTOMER_API_00010002")
        customer = _create(wanted, call, state, ticket)
        _choose_fault(call, state, customer)
        if customer.in_review:
            raise Failure("CUSTOMER_API_00010001", data={"customerNo": customer.number})
        reply = customer_record(customer, state, call.lang)
        reply["list"] = None if "nolist" in tags else kyc.listed(customer, state, call.lang)
        if "notoken" not in tags:
            reply["token"] = state.new_token(customer, valid="expired" not in tags)
        return reply


def _read(body: dict[str, Any]) -> Customer:
    """The customer that the fields describe, or the code of the first field that is wrong."""
    fields.only(body, _FIELDS)
    kind = fields.number(body, "type", 1, 2, required=True)
    login_name = fields.text(body, "loginName")
    phone_area = fields.text(body, "phoneArea")
    recipient = fields.recipient(kind, login_name, phone_area)
    if kind == 1 and phone_area:
        fields.area(phone_area)
    if email_area := fields.text(body, "emailArea"):
        fields.area(email_area)
    country = fields.country(body)
    fields.text(body, "verifyCode", required=True, empty="CUSTOMER_API_0000521")
    fields.text(body, "sendToken", required=True)
    fields.number(body, "registerSource", 1, 9, required=True)
    fields.locale(body)
    for name in (*UTM, "registerDevice"):
        fields.text(body, name)
    if body.get("protocol") is not None and body["protocol"] is not True:
        raise Failure(fields.ILLEGAL)
    agent = fields.text(body, "thirdServerCode", limit=64)
    if fields.text(body, "thirdServerSource") and not agent:
        raise Failure("CUSTOMER_API_0000903")
    _check_trade_types(body.get("tradeTypeCurrencyList"))
    has_group = body.get("customerGroupId") is not None
    group = fields.number(body, "customerGroupId", 1, 2**63 - 1) if has_group else None
    return Customer(
        number="",
        id=0,
        company_id="",
        type=kind,
        recipient=recipient,
        login_name=login_name,
        phone_area=phone_area or None,
        country=country,
        account_type=fields.number(body, "openAccountType", 0, 1),
        group=group,
        password=fields.password(body, "pwd"),
        tags=scenarios.chosen(recipient),
        registered_at=0,
        agent=agent or None,
    )


def _check_trade_types(value: Any) -> None:
    if value is None:
        return
    if not isinstance(value, list) or not value:
        raise Failure(fields.ILLEGAL)
    for item in value:
        if not isinstance(item, dict) or set(item) != {"tradeType", "allCurrency"}:
            raise Failure(fields.ILLEGAL)
        if not all(isinstance(part, str) and part for part in item.values()):
            raise Failure(fields.ILLEGAL)


def _create(customer: Customer, call: Call, state: State, ticket: Ticket) -> Customer:
    serial = state.serial()
    customer.number = f"86{serial:06}"
    customer.id = 1200 + serial
    customer.company_id = call.request.header("companyId")
    customer.registered_at = int(state.clock() * 1000)
    customer.in_review = "review" in customer.tags
    state.customers[customer.recipient] = customer
    ticket.used = True  # only a registration that succeeds uses the code up
    _record(call, state, "review" if customer.in_review else "registered", customer)
    return customer


def _choose_fault(call: Call, state: State, customer: Customer) -> None:
    for name, fault in _FAULTS.items():
        if name in customer.tags and state.count(name, customer.recipient) == 1:
            call.fault = fault


def _record(call: Call, state: State, outcome: str, customer: Customer | None) -> None:
    state.registrations.appendleft(
        {
            "customerNo": customer.number if customer else None,
            "outcome": outcome,
            "at": state.stamp(),
            "encrypted": call.encrypted,
            "headers": call.request.headers,
            "body": call.body,
        }
    )


def customer_record(customer: Customer, state: State, lang: str) -> dict[str, Any]:
    """The customer as the upstream shows him to himself; address and number masked."""
    email = customer.login_name if customer.type == 1 else ""
    phone = customer.login_name if customer.type == 2 else ""
    return {
        "customerNo": customer.number,
        "id": customer.id,
        "companyId": int(customer.company_id) if customer.company_id.isdigit() else customer.company_id,
        "email": f"{email.split('@')[0][:2]}***@{email.split('@')[1]}" if email else None,
        "phone": f"{phone[:3]}****{phone[-4:]}" if phone else None,
        "phoneArea": customer.phone_area,
        "name": None,
        "country": customer.country,
        "customerGroupId": customer.group,
        "loginPassStatus": "2" if customer.password else "1",
        "payPassStatus": "1",
        "optional": None,
        "companyKycStatus": 2 if "nokyc" in customer.tags else 1,
        "capitalInStatus": 1,
        "openAccountType": customer.account_type,
        "companyType": None,
        "associationCompanyId": None,
        "registerTime": customer.registered_at,
        "thirdServerCode": customer.agent,
        "source": None,
        "apiCheckSwitch": None,
        "apiCheckRule": None,
    }
