"""The language of a page, and the upstream's codes in the customer's words.

Texts are by code; what the upstream says itself (`msg`) is shown only as the reason of a rejected review.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date
from unicodedata import normalize

from babel.dates import format_date
from django.conf import settings
from django.core.exceptions import ValidationError
from django.utils.functional import Promise
from django.utils.translation import get_language, get_language_info, gettext, ngettext
from django.utils.translation import gettext_lazy as _
from django.utils.translation.trans_real import get_supported_language_variant, parse_accept_lang_header

from onboarding.pumping import SMS_STOPPED

_FORMER = {"in": "id", "yue": "zh-hant"}  # how older systems, and browsers in Hong Kong, call what we have
# Where a language without a region is spoken, if that is one country for nearly all who speak it.
_HOMES = {"id": "ID", "in": "ID", "ja": "JP", "ko": "KR", "th": "TH", "tr": "TR", "vi": "VN"}


def supported(tag: str) -> str:
    """Our language for any language tag (`zh-CN`, `es_MX`, `EN`), or "" when we have none."""
    language, dash, more = tag.strip().lower().replace("_", "-").partition("-")
    try:
        return get_supported_language_variant(_FORMER.get(language, language + dash + more))
    except LookupError:
        return ""


def negotiate(asked: Iterable[str], accept_language: str, *, default: str = "") -> str:
    """The first of the asked-for languages that we have, else the best of the browser's, else the default."""
    browser = [tag for tag, _quality in parse_accept_lang_header(accept_language)]
    for tag in (*asked, *browser):
        found = supported(tag) if tag and tag != "*" else ""
        if found:
            return found
    return supported(default) or str(settings.LANGUAGE_CODE)


def region(accept_language: str) -> str:
    """The region of the browser's first language that names or has one (`en-GB` → `GB`, `ja` → `JP`), else ""."""
    for place, (tag, _quality) in enumerate(parse_accept_lang_header(accept_language)):
        language, *parts = tag.split("-")
        if place and tag == "en-us":
            continue  # browsers put it behind any other language by themselves
        found = next((part.upper() for part in parts if len(part) == 2 and part.isalpha()), _HOMES.get(language, ""))
        if found:
            return found
    return ""


def choices() -> list[tuple[str, str]]:
    """(code, name in that language) of every language we have, in the order of the names."""
    names = [(code, normalize("NFC", get_language_info(code)["name_local"])) for code, _name in settings.LANGUAGES]
    return sorted(((code, name[:1].upper() + name[1:]) for code, name in names), key=lambda each: each[1])


def day_in_words(day: date) -> str:
    """In the page's language, and by the calendar in which it was typed: CLDR says so where another one is usual."""
    return format_date(day, "long", (get_language() or settings.LANGUAGE_CODE).replace("-", "_"))


_CODE_WRONG = _("This code is not right. Check the latest message from us and type the code again.")
_EMAIL_WRONG = _("This e-mail address was not accepted. Check it for typing errors.")
_PHONE_WRONG = _("This phone number was not accepted. Check the number and its country.")
_AREA_WRONG = _("This country code was not accepted. Choose the country of your phone number.")
_LATER = _("This cannot be done right now. Please try again in a few minutes.")
_LOCKED = _("This account is locked. Please contact support.")

# Texts of definite refusals by the upstream's code (docs/upstream.md, "Error codes"), without the common prefix.
_MESSAGES: dict[str, Promise] = {
    **dict.fromkeys(
        ("0000511", "0000513", "0000514", "0000515", "0000516", "0000517", "0000518", "0001018", "0000521"), _CODE_WRONG
    ),
    "0000512": _("Too many wrong codes. Wait a few minutes, then ask for a new code."),
    **dict.fromkeys(("0000508", "0000509", "0000510", "0000137", "0000147"), _EMAIL_WRONG),
    **dict.fromkeys(("0000502", "0000503", "0000504", "0000136"), _PHONE_WRONG),
    **dict.fromkeys(("0000505", "0000506", "0000507"), _AREA_WRONG),
    "0000105": _("Enter an e-mail address or a phone number."),
    "0000139": _("This password is too easy to guess. Choose a longer one, or mix words and numbers."),
    "0000125": _("Enter a password."),
    "0000624": _("Company accounts are not available in this country. Choose a personal account or another country."),
    "0001003": _("We cannot open accounts for residents of this country."),
    "0000620": _("One of the answers has the wrong format. Check each of them."),
    "0000501": _("Something is missing. Check each answer."),
    "0000606": _("This was checked and not accepted. Look at each answer and send it again."),
    "0000610": _("This was checked and not accepted. Look at each answer and send it again."),
    "0000616": _(
        "An earlier part is still being checked. Please come back a little later; what you entered here is kept."
    ),
    "0000632": _("This phone number already belongs to another customer's details."),
    "0000633": _("This document number already belongs to another customer's details."),
    **dict.fromkeys(
        ("0000901", "0000902", "0000903"),
        _("The recommendation in your link is not valid. You can open the account without it."),
    ),
    **dict.fromkeys(("0000005", "0000108", "0000602", "0000603", "0000607", "0000611", "0000612", "0000613"), _LATER),
    **dict.fromkeys(("0000103", "0000113", "0000157", "0000158", "0001050"), _LOCKED),
}
_OTHER_MESSAGES: dict[str, Promise] = {
    "P_VERIFY_CODE_ERROR": _CODE_WRONG,
    "GATEWAY_CODE_103": _("This kind of file is not accepted. Send a photo as JPEG or PNG."),
    "F999999": _("Please confirm that you are not a robot, then send the form again."),
}
_BY_FIELD: dict[str, Promise] = {
    "code": _CODE_WRONG,
    "email": _EMAIL_WRONG,
    "phone": _PHONE_WRONG,
    "phone_area": _AREA_WRONG,
    "password": _("This password was not accepted. Choose another one."),
    "country": _MESSAGES["0001003"],
    "account_type": _MESSAGES["0000624"],
    "captcha": _OTHER_MESSAGES["F999999"],
    "level": _MESSAGES["0000620"],
}
_PREFIX = "CUSTOMER_API_"

# Django's own checks by their codes: it does not have its texts in all of our languages.
_CHECKS: dict[str, Promise] = {
    "max_length": _("This is too long. Check it."),
    "null_characters_not_allowed": _("This holds characters that are not accepted. Check it."),
    "password_too_short": _("Enter at least 8 characters."),
    **dict.fromkeys(("password_too_common", "password_entirely_numeric"), _MESSAGES["0000139"]),
}


def time_in_words(seconds: int) -> str:
    """Seconds up to a minute, then whole minutes, from two hours on whole hours; never less than it takes."""
    if seconds <= 60:
        return ngettext("%(number)d second", "%(number)d seconds", seconds) % {"number": seconds}
    minutes, hours = -(-seconds // 60), -(-seconds // 3600)
    if hours <= 2:
        return ngettext("%(number)d minute", "%(number)d minutes", minutes) % {"number": minutes}
    return ngettext("%(number)d hour", "%(number)d hours", hours) % {"number": hours}


def too_soon(seconds: int) -> str:
    """Beside the button for another code."""
    return ngettext(
        "Please wait %(seconds)d second before you ask for another code.",
        "Please wait %(seconds)d seconds before you ask for another code.",
        seconds,
    ) % {"seconds": seconds}


def too_many_codes(seconds: int) -> str:
    """Whose limit it is, and whether the identifier is known, is nobody's business."""
    return gettext("Too many codes have been asked for. Please wait %(time)s, then try again.") % {
        "time": time_in_words(seconds)
    }


def sms_stopped() -> str:
    """While the operator has stopped text messages, to everybody or to a country."""
    if "email" in settings.CHANNELS:
        return gettext("We cannot send text messages there at the moment. Use your e-mail address instead.")
    return gettext("We cannot send text messages there at the moment. Please come back later.")


def check_failed(exc: ValidationError) -> list[str]:
    """What a check of a form has found, in our words where Django would use its own."""
    return [str(_CHECKS[exc.code])] if exc.code in _CHECKS else [str(text) for text in exc.messages]


NOT_SENT = _("We could not send a code there just now. Wait a while and try again, or use another way to reach you.")


def not_sent(code: str, field: str) -> str | Promise:
    """What to tell a customer to whom no code was sent: like `refusal`, but an unknown reason is no fault of theirs."""
    if code == SMS_STOPPED:
        return sms_stopped()
    return NOT_SENT if field == "page" and code.removeprefix(_PREFIX) not in _MESSAGES else refusal(code, field)


def refusal(code: str, field: str) -> Promise:
    """What to tell a customer about a definite refusal: by its code, else by the field it concerns."""
    text = _MESSAGES.get(code.removeprefix(_PREFIX)) or _OTHER_MESSAGES.get(code) or _BY_FIELD.get(field)
    return text or _("This was not accepted. Check what you entered; if it is right, contact support.")
