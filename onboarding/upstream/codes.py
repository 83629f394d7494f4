"""What each error code of the upstream means for us, as data.

One row for every code of docs/upstream.md section 6. A `Field` as verdict means: a definite business answer,
shown at that field. Codes that are not listed are definite refusals of the page (section 6.1). Must not
import anything of ours.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum


class Field(StrEnum):
    """Where on our pages a refusal belongs."""

    CODE = "code"
    EMAIL = "email"
    PHONE = "phone"
    PHONE_AREA = "phone_area"
    IDENTIFIER = "identifier"  # whichever of e-mail and phone was given
    PASSWORD = "password"  # noqa: S105 - the name of a field
    COUNTRY = "country"
    ACCOUNT_TYPE = "account_type"
    CAPTCHA = "captcha"
    UPLOAD = "upload"
    LEVEL = "level"
    LEVEL_PHONE = "level_phone"  # the phone number that a level asks for
    LEVEL_DOCUMENT = "level_document"  # the number of the document that a level asks for
    PAGE = "page"


class Verdict(StrEnum):
    """The caller's next move, where it is not "show it at a field". One error class each (errors.py)."""

    UNAVAILABLE = "unavailable"
    UNKNOWN = "unknown"
    SESSION = "session"
    OPERATOR = "operator"
    CONTRACT = "contract"


SUCCESS = "0"
MANUAL_REVIEW = "CUSTOMER_API_00010001"  # a good outcome in a failure's envelope (docs/upstream.md 2.1)
NO_LEVELS_SET_UP = "CUSTOMER_API_0000602"
CLOCK = "GATEWAY_CODE_014"

# The identifier belongs to a customer already: offer the sign-in.
EXISTS_CODES = frozenset(f"CUSTOMER_API_0000{number}" for number in ("101", "106", "107", "121", "122", "141", "142"))
IN_REVIEW_CODES = frozenset({"CUSTOMER_API_0000601", "CUSTOMER_API_0000605"})
PASSED_CODES = frozenset({"CUSTOMER_API_0000604", "CUSTOMER_API_0000608"})
AGENT_CODES = frozenset({"CUSTOMER_API_0000901", "CUSTOMER_API_0000902", "CUSTOMER_API_0000903"})
# Definitely not done, and not the customer's fault: the same request may be accepted later.
LATER_CODES = frozenset({"CUSTOMER_API_0000005", "CUSTOMER_API_0000108", "CUSTOMER_API_0000613"})
# The level has nothing to ask, or there is no such level.
NO_LEVEL_DATA = frozenset(f"CUSTOMER_API_0000{number}" for number in ("602", "603", "607", "611", "612", "615"))
LEVEL_ORDER = "CUSTOMER_API_0000616"  # another level must pass first
REJECTED_CODES = frozenset({"CUSTOMER_API_0000606", "CUSTOMER_API_0000610"})

_GATEWAY: Mapping[str, Verdict | Field] = {
    "001": Verdict.SESSION,  # no token
    "002": Verdict.CONTRACT,  # unknown business type
    "003": Verdict.OPERATOR,  # company id missing
    "004": Verdict.CONTRACT,  # trace missing
    "005": Verdict.SESSION,  # session over
    "006": Verdict.CONTRACT,  # empty body
    "008": Verdict.CONTRACT,  # business type missing
    "009": Verdict.CONTRACT,  # headers missing
    "010": Verdict.OPERATOR,  # no such target interface
    "011": Verdict.UNKNOWN,  # target service faulty
    "012": Verdict.UNKNOWN,  # target service not reached
    "013": Verdict.UNKNOWN,  # target service returned nothing
    "014": Verdict.UNAVAILABLE,  # time stamp too old: refused at the gate, nothing was done
    "015": Verdict.CONTRACT,  # parameters illegal; plausibly a wrong signature too
    "016": Verdict.CONTRACT,  # method or type not supported
    "017": Verdict.SESSION,  # session over
    "018": Verdict.UNKNOWN,  # the same idempotency key is in flight
    "019": Verdict.OPERATOR,  # no right to the interface
    "101": Verdict.SESSION,  # account data not valid
    "102": Verdict.UNKNOWN,  # data abnormal
    "103": Field.UPLOAD,  # file type not allowed
    "104": Field.PAGE,  # parameters abnormal
    "201": Verdict.OPERATOR,  # interface not open
    "902": Verdict.UNKNOWN,  # service timed out
}

_CUSTOMER: Mapping[str, Verdict | Field] = {
    "0000002": Verdict.OPERATOR,  # interface withdrawn
    "0000003": Field.PAGE,  # no such data
    "0000004": Verdict.UNKNOWN,  # being processed: our own earlier request may be the one
    "0000005": Field.PAGE,  # data abnormal
    "0000006": Verdict.OPERATOR,  # client version too old
    "0000007": Verdict.OPERATOR,  # demo tenant
    "0000101": Field.IDENTIFIER,  # customer exists
    "0000102": Field.PASSWORD,  # account or password wrong
    "0000103": Field.PAGE,  # login forbidden
    "0000104": Field.PAGE,  # customer's record abnormal
    "0000105": Field.IDENTIFIER,  # neither phone nor e-mail
    "0000106": Field.PHONE,  # taken
    "0000107": Field.EMAIL,  # taken
    "0000108": Field.PAGE,  # no customer number free just now
    "0000109": Verdict.OPERATOR,  # customer number range missing
    "0000110": Verdict.OPERATOR,  # customer number range used up
    "0000111": Verdict.OPERATOR,  # tenant unknown or suspended
    "0000112": Field.PASSWORD,  # account or password wrong
    "0000113": Field.PAGE,  # login locked
    "0000114": Verdict.OPERATOR,  # asset unknown
    "0000115": Verdict.OPERATOR,  # asset data do not match
    "0000121": Field.PHONE,  # already bound
    "0000122": Field.EMAIL,  # already bound
    "0000123": Field.PASSWORD,  # the same as before
    "0000124": Field.PASSWORD,  # old one wrong
    "0000125": Field.PASSWORD,  # empty
    "0000128": Field.PAGE,  # third party's token not valid
    "0000131": Verdict.OPERATOR,  # third party not configured
    "0000135": Field.PASSWORD,  # already set: treat as done
    "0000136": Field.PHONE,  # wrong
    "0000137": Field.EMAIL,  # wrong
    "0000138": Field.CODE,  # a second factor is needed
    "0000139": Field.PASSWORD,  # too weak
    "0000141": Field.EMAIL,  # bound to another account
    "0000142": Field.PHONE,  # bound to another account
    "0000143": Field.PAGE,  # account bound to a third party
    "0000144": Field.PAGE,  # account bound to a third party
    "0000145": Field.PAGE,  # kind not supported
    "0000146": Field.PASSWORD,  # there is one, use it
    "0000147": Field.EMAIL,  # wrong
    "0000148": Field.PAGE,  # link not valid
    "0000149": Field.PAGE,  # link used
    "0000157": Field.PAGE,  # customer locked
    "0000158": Field.PAGE,  # customer disabled
    "0000301": Verdict.OPERATOR,  # customer group unknown
    "0000303": Verdict.OPERATOR,  # customer group unknown
    "0000306": Verdict.OPERATOR,  # no opening group
    **{f"00003{number:02}": Verdict.OPERATOR for number in range(8, 16)},  # groups, assets, play types set up wrongly
    "0000501": Field.PAGE,  # a required parameter is empty
    "0000502": Field.PHONE,  # empty
    "0000503": Field.PHONE,  # length
    "0000504": Field.PHONE,  # format
    "0000505": Field.PHONE_AREA,  # empty
    "0000506": Field.PHONE_AREA,  # length
    "0000507": Field.PHONE_AREA,  # not valid
    "0000508": Field.EMAIL,  # empty
    "0000509": Field.EMAIL,  # length
    "0000510": Field.EMAIL,  # format
    "0000511": Field.CODE,  # wrong
    "0000512": Field.CODE,  # wrong too often: ask for a new one after a pause
    "0000513": Field.CODE,
    "0000514": Field.CODE,
    "0000515": Field.CODE,
    "0000516": Field.CODE,
    "0000517": Field.CODE,  # wrong, e-mail
    "0000518": Field.CODE,  # wrong, SMS
    "0000519": Field.CODE,  # authenticator's wrong
    "0000520": Field.CODE,  # authenticator's empty
    "0000521": Field.CODE,  # none given
    "0000601": Field.LEVEL,  # in review
    "0000602": Field.LEVEL,  # tenant has no levels
    "0000603": Field.LEVEL,  # data not found
    "0000604": Field.LEVEL,  # passed
    "0000605": Field.LEVEL,  # in review
    "0000606": Field.LEVEL,  # rejected
    "0000607": Field.LEVEL,  # data not found
    "0000608": Field.LEVEL,  # passed
    "0000609": Field.LEVEL,  # "current result"
    "0000610": Field.LEVEL,  # rejected
    "0000611": Field.LEVEL,  # data empty
    "0000612": Field.LEVEL,  # data empty
    "0000613": Field.LEVEL,  # could not save
    "0000614": Verdict.OPERATOR,  # level set-up conflicts
    "0000615": Verdict.OPERATOR,  # level data or order empty
    "0000616": Field.LEVEL,  # previous level first
    "0000617": Verdict.OPERATOR,
    "0000618": Verdict.OPERATOR,
    "0000619": Verdict.OPERATOR,
    "0000620": Field.LEVEL,  # an element's format, which one is not said
    "0000624": Field.ACCOUNT_TYPE,  # no enterprises from this country
    "0000632": Field.LEVEL_PHONE,  # phone used by another customer
    "0000633": Field.LEVEL_DOCUMENT,  # document number used by another customer
    "0000901": Field.PAGE,  # agent's id not readable
    "0000902": Field.PAGE,  # third party's action not valid
    "0000903": Field.PAGE,  # agent's number empty
    "0001001": Field.COUNTRY,  # the same as before
    "0001002": Field.COUNTRY,  # fixed after approval
    "0001003": Field.COUNTRY,  # not supported
    "0001018": Field.CODE,  # wrong
    "0001019": Field.PAGE,  # e-mail already set
    "0001020": Field.PAGE,  # phone already set
    "0001023": Field.PASSWORD,  # neither phone nor e-mail yet
    "0001024": Verdict.OPERATOR,  # guest group cannot register
    "0001025": Field.PAGE,  # parameters abnormal
    "0001029": Field.PAGE,  # no right
    "0001030": Field.PAGE,  # third party's number missing
    "0001031": Field.PAGE,  # third party's number wrong
    "0001035": Verdict.OPERATOR,  # tenant unknown or suspended
    "0001050": Field.PAGE,  # locked after wrong passwords
    "00010001": Field.PAGE,  # manual review; the calls that may get it accept it before this table is asked
    "00010002": Field.PAGE,  # opening refused
}

CODES: Mapping[str, Verdict | Field] = {
    "500": Verdict.UNKNOWN,
    "F999999": Field.CAPTCHA,
    "P_VERIFY_CODE_ERROR": Field.CODE,
    **{f"GATEWAY_CODE_{number}": verdict for number, verdict in _GATEWAY.items()},
    **{f"CUSTOMER_API_{number}": verdict for number, verdict in _CUSTOMER.items()},
}

# Answers without a usable envelope, by status. Others: 5xx an open outcome, 3xx and 4xx a broken contract.
# 403 stays out of the operator's column: a firewall gives it to single customers too (docs/upstream.md 1.4).
STATUSES: Mapping[int, Verdict | Field] = {
    **{status: Verdict.OPERATOR for status in (301, 302, 303, 307, 308, 401, 404, 405)},
    408: Verdict.UNKNOWN,
    413: Field.UPLOAD,
    429: Verdict.UNAVAILABLE,
}
