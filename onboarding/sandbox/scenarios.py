"""The closed table of what the sandbox can be asked to do, chosen by the identifier that the customer types.

A `+tag` in the e-mail address (`ann+drop@example.org`; several may be joined: `ann+nokyc+slow@example.org`)
or the last three digits of the phone number. An unknown tag changes nothing. Imports nothing of this project.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Scenario:
    name: str
    suffix: str
    description: str

    def as_json(self) -> dict[str, str]:
        return {
            "name": self.name,
            "email": f"you+{self.name}@example.org",
            "phone_suffix": self.suffix,
            "description": self.description,
        }


SCENARIOS = (
    Scenario("exists", "901", "Taken: 0000106 (phone) or 0000107 (e-mail) once the code was right."),
    Scenario("review", "902", "Registered, to be reviewed by hand: 00010001 with a customer number."),
    Scenario("refused", "903", "The account opening is refused: 00010002. Nothing is created."),
    Scenario("nokyc", "904", "No identity check is asked for: the list is empty, companyKycStatus is 2."),
    Scenario("paths", "905", "level_1 is offered with two paths, P1 (documents) and P2 (bank card)."),
    Scenario("levels", "906", "Three levels; each must pass before the next is accepted (0000616)."),
    Scenario("all", "907", "An element of every kind, one that nobody knows, and all document images."),
    Scenario("rejected", "908", "The first submission of level_1 is rejected with a reason, the second passes."),
    Scenario("enterprise", "909", "Enterprises say country and company type first, then get all five forms."),
    Scenario("notoken", "910", "The reply to the registration holds no session token."),
    Scenario("weak", "911", "The first password is called too weak (0000139), any later one is taken."),
    Scenario("badcode", "912", "The registration calls every code wrong, the right one too."),
    Scenario("limit", "913", "Sending a code always answers that too many were sent."),
    Scenario("busy", "914", "The registration answers 'too frequent' (GATEWAY_CODE_018) twice, then works."),
    Scenario("slow", "915", "The registration takes a few seconds."),
    Scenario("hang", "916", "Registers, never answers. The same key then gets the answer."),
    Scenario("drop", "917", "Registers, then cuts the line. The same key then gets the answer."),
    Scenario("error500", "918", "Registers, then answers HTTP 500. The same key then gets the answer."),
    Scenario("garbage", "919", "Registers, then answers a page of HTML. The same key then gets the answer."),
    Scenario("ratelimit", "920", "The registration answers HTTP 429 twice, then works."),
    Scenario("captcha", "921", "Sending and registering answer F999999 without a captcha header."),
    Scenario("badpattern", "922", "Elements whose patterns are invalid, catastrophic or need look-ahead."),
    Scenario("nolist", "923", "The list of levels in the reply is null."),
    Scenario("waf", "924", "Sending a code answers HTTP 405 with a puzzle page twice, then works."),
    Scenario("kycdrop", "925", "The first level is stored, then the line is cut. The same key answers."),
    Scenario("expired", "926", "The token is dead from the start: GATEWAY_CODE_005 until a new login."),
    Scenario("badagent", "927", "A registration that names an agent answers 0000901; without, it works."),
    Scenario("later", "928", "The registration lists level_1 only; level_2 is to be found out later."),
    Scenario("order", "929", "The registration lists level_2 only; level_1 must pass before it (0000616)."),
    Scenario("emptylevel", "930", "The registration lists level_1 without elements; findAllLevelKyc has them."),
    Scenario("noelements", "931", "level_1 has no elements anywhere and counts as passed; level_2 has some."),
    Scenario("mixed", "932", "Levels of the other account type stand among the customer's own."),
    Scenario("oddcodes", "933", "Odd element codes and names; one code is asked for twice."),
    Scenario("many", "934", "level_1 has 60 elements of mixed kinds."),
    Scenario("secondrejected", "935", "Three levels; the first submission of level_2 is rejected."),
    Scenario("badfile", "936", "The first upload is of a wrong type (GATEWAY_CODE_103), any later one is taken."),
    Scenario("filedrop", "937", "The first upload is stored, then the line is cut."),
    Scenario("enterpriserejected", "938", "Like enterprise; the first final submission is rejected."),
    Scenario("noreason", "939", "With one that rejects: no reason is given, as by servers before 2.3.1."),
    Scenario("phonetaken", "940", "The first submission of a level is refused: 0000632, another one's phone number."),
    Scenario("idtaken", "941", "The first submission of a level is refused: 0000633, another one's document number."),
)

_NAMES = frozenset(scenario.name for scenario in SCENARIOS)
_BY_SUFFIX = {scenario.suffix: scenario.name for scenario in SCENARIOS}


def chosen(recipient: str) -> frozenset[str]:
    """The scenarios that an e-mail address or a phone number (with or without area code) asks for."""
    if "@" in recipient:
        local = recipient.rpartition("@")[0].lower()
        return frozenset(local.split("+")[1:]) & _NAMES
    name = _BY_SUFFIX.get(recipient[-3:])
    return frozenset((name,)) if name else frozenset()
