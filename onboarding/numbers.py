"""What a phone number says of itself: one spelling, whose country, which sort. Knows numbering plans, nothing else."""

from __future__ import annotations

import phonenumbers
from phonenumbers import PhoneNumber, PhoneNumberFormat, PhoneNumberType

UNKNOWN_REGION = "ZZ"

# Numbers at which nobody reads a text message, or at which somebody earns by it. A landline counts only where the plan
# tells it from a mobile phone; personal numbers (+44 70 …) forward to anywhere at the sender's cost.
_IMPERSONAL = frozenset(
    {
        PhoneNumberType.PREMIUM_RATE,
        PhoneNumberType.SHARED_COST,
        PhoneNumberType.TOLL_FREE,
        PhoneNumberType.UAN,
        PhoneNumberType.PAGER,
        PhoneNumberType.VOICEMAIL,
        PhoneNumberType.FIXED_LINE,
        PhoneNumberType.PERSONAL_NUMBER,
    }
)
_SHOWN = 4  # national digits of a prefix …
_HIDDEN = 4  # … and how many stay out of it at least


def _parse(area: str, number: str) -> PhoneNumber | None:
    """`area` as "+44" or "44"; the number with or without its trunk zero."""
    try:
        return phonenumbers.parse(f"+{area.lstrip('+')}{number}")
    except phonenumbers.NumberParseException:
        return None


def e164(area: str, number: str) -> str:
    """The one spelling of a number."""
    parsed = _parse(area, number)
    return phonenumbers.format_number(parsed, PhoneNumberFormat.E164) if parsed else f"{area}{number}"


def region(area: str, number: str) -> str:
    """Alpha-2 of the country that the number belongs to; several share +1 and +44. "ZZ" where no plan tells."""
    parsed = _parse(area, number)
    if parsed is None:
        return UNKNOWN_REGION
    return phonenumbers.region_code_for_number(parsed) or phonenumbers.region_code_for_country_code(
        parsed.country_code or 0
    )


def prefix(area: str, number: str) -> str:
    """Country code and first digits, such as "+44 7400": enough to know a range by, and nobody's number."""
    parsed = _parse(area, number)
    if parsed is None:
        return ""
    national = phonenumbers.national_significant_number(parsed)
    return f"+{parsed.country_code} {national[: max(0, min(_SHOWN, len(national) - _HIDDEN))]}".strip()


def is_personal(area: str, number: str) -> bool:
    """Whether a text message to it may reach a person; of numbers that no plan knows, yes."""
    parsed = _parse(area, number)
    return parsed is None or phonenumbers.number_type(parsed) not in _IMPERSONAL
