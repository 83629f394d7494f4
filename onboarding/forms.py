"""The fixed forms: identify, password, verification code. They validate; the templates draw the fields themselves."""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import phonenumbers
from django import forms
from django.conf import settings
from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError
from django.utils.translation import gettext, gettext_noop
from django.utils.translation import gettext_lazy as _

from onboarding import i18n, numbers, pumping
from onboarding.domain.flow import AccountType, Channel, Identity
from onboarding.patterns import matches
from onboarding.upstream.wire import Country

_CODE = re.compile(r"(?<!\d)\d{4,8}(?!\d)")


def errors_of(form: forms.Form) -> list[tuple[str, str]]:
    """(id of the field, text) of everything wrong with a form, in the order of its fields; "" is the page."""
    found = form.errors.as_data()
    texts = {name: [text for exc in found.get(name, ()) for text in i18n.check_failed(exc)] for name in form.fields}
    texts[""] = [text for exc in found.get("__all__", ()) for text in i18n.check_failed(exc)]
    return [(name and f"id_{name}", text) for name, said in texts.items() for text in dict.fromkeys(said)]


class IdentifyForm(forms.Form):
    """Country, account type, e-mail or phone, consent; `identity` afterwards."""

    account_type = forms.CharField(required=False)
    country = forms.CharField(max_length=20, error_messages={"required": _("Choose the country you live in.")})
    channel = forms.CharField(required=False)
    email = forms.EmailField(
        required=False,
        max_length=254,
        error_messages={"invalid": _("Enter an e-mail address in the form name@example.com.")},
    )
    phone_area = forms.CharField(required=False, max_length=20)
    phone = forms.CharField(required=False, max_length=40)
    terms = forms.BooleanField(
        error_messages={"required": _("Tick the box if you agree. We cannot open an account without it.")}
    )

    def __init__(
        self,
        data: Any = None,
        *,
        countries: Sequence[Country],
        areas: Sequence[Country],
        texted: Sequence[Country],
        company_countries: frozenset[str] = frozenset(),
        ask_consent: bool = True,
        **kwargs: Any,
    ) -> None:
        super().__init__(data, **kwargs)
        self._countries = {country.code: country for country in countries}
        self._areas = {country.code: country for country in areas if country.area}
        self._texted = texted
        self._company_countries = company_countries
        if not ask_consent:
            del self.fields["terms"]

    def clean_email(self) -> str:
        """No quoted name and no bare IP address: both spell one mailbox in a thousand ways, and limits count by one."""
        email: str = self.cleaned_data["email"]
        if email.startswith('"') or email.endswith("]"):
            raise ValidationError(self.fields["email"].error_messages["invalid"])
        return email

    def clean_country(self) -> str:
        code: str = self.cleaned_data["country"]
        if code not in self._countries:
            raise ValidationError(_("Choose a country from the list."))
        return code

    def clean_channel(self) -> Channel:
        value = self.cleaned_data["channel"] or pumping.needed_channels()[0]
        if value not in settings.CHANNELS:
            raise ValidationError(_("Choose e-mail or phone."))
        return Channel(value)

    def clean_account_type(self) -> AccountType:
        usual = "individual" if "individual" in settings.ACCOUNT_TYPES else settings.ACCOUNT_TYPES[0]
        value = self.cleaned_data["account_type"] or usual
        if value not in settings.ACCOUNT_TYPES:
            raise ValidationError(_("Choose the kind of account."))
        return AccountType(value)

    def clean(self) -> dict[str, Any]:
        data = self.cleaned_data
        country, channel = data.get("country"), data.get("channel")
        if data.get("account_type") is AccountType.ENTERPRISE and country and country not in self._company_countries:
            self.add_error(
                "account_type",
                _("Company accounts are not available in this country. Choose a personal account or another country."),
            )
        if channel is Channel.EMAIL and not data.get("email") and "email" not in self.errors:
            self.add_error("email", _("Enter your e-mail address."))
        if channel is Channel.PHONE and channel not in pumping.channels():
            self.add_error(None, i18n.sms_stopped())
        elif channel is Channel.PHONE:
            self._clean_phone(data, country or "")
        return data

    def _clean_phone(self, data: dict[str, Any], country: str) -> None:
        if not data.get("phone"):
            if "phone" not in self.errors:
                self.add_error("phone", _("Enter your phone number."))
            return
        area = self._areas.get(data.get("phone_area") or country)
        if area is None:
            self.add_error("phone_area", _("Choose the country of your phone number."))
            return
        area, number = read_phone(data["phone"], area, list(self._areas.values()))
        if number is None:
            self.add_error("phone", _not_a_number(data["phone"], area))
            return
        data["phone_area"], data["phone"] = area.code, number
        refusal = self._not_texted(area, number)
        if refusal:
            self.add_error("phone", refusal)

    def _not_texted(self, area: Country, number: str) -> str:
        """Why no code may go to this number, "" when it may. Where countries share a code, the number tells which."""
        found = numbers.region(area.area, number)
        regions = {country.alpha2 or country.code for country in self._texted}
        narrow = settings.SMS_COUNTRIES or settings.COUNTRIES  # else it is enough that the upstream lists the code
        if area.code not in {country.code for country in self._texted} or (narrow and found not in regions):
            return gettext("We do not send text messages to numbers of this country. Use another number.")
        if found in pumping.stopped_countries():
            return i18n.sms_stopped()
        if not numbers.is_personal(area.area, number):
            return gettext(_IMPERSONAL)
        return ""

    def identity(self) -> Identity:
        """What was entered, for the service. Valid forms only."""
        data = self.cleaned_data
        by_phone = data["channel"] is Channel.PHONE
        area = self._areas.get(data["phone_area"] if by_phone else data["country"])
        return Identity(
            channel=data["channel"],
            account_type=data["account_type"],
            country=data["country"],
            email="" if by_phone else data["email"],
            area=area.area if area else "",
            area_country=area.code if area and by_phone else "",
            phone=data["phone"] if by_phone else "",
        )


_IMPERSONAL = gettext_noop("We cannot send a text message to this kind of number. Enter the number of a mobile phone.")


def _not_a_number(text: str, area: Country) -> str:
    """What is wrong with a number that the country's pattern refuses: it may be one that no person has."""
    _area, number = read_phone(text, replace(area, pattern=""), ())
    if number is not None and not numbers.is_personal(area.area, number):
        return gettext(_IMPERSONAL)
    return gettext("This is not a phone number in %(country)s. Check the number and its country.") % {
        "country": area.name
    }


def ascii_digits(text: str) -> str:
    """The text with digits of any script (full-width, Arabic-Indic …) as 0 to 9."""
    plain = unicodedata.normalize("NFKC", text)
    return "".join(str(unicodedata.digit(ch)) if ch.isdigit() else ch for ch in plain)


def read_phone(text: str, area: Country, areas: Sequence[Country]) -> tuple[Country, str | None]:
    """The country and national number of a phone number written in any way; None when it cannot be one.

    An international prefix in the text wins over the chosen country. The country's own pattern decides where there is
    one: with the national number as the numbering plan has it, else with the digits as typed.
    """
    digits = re.sub(r"[^\d+]", "", ascii_digits(text))
    digits = re.sub(r"^00", "+", digits)
    try:
        number = phonenumbers.parse(digits, area.alpha2 or area.code)
    except phonenumbers.NumberParseException:
        return area, None
    if f"+{number.country_code}" != area.area:
        region = phonenumbers.region_code_for_number(number)
        others = [other for other in areas if other.area == f"+{number.country_code}"]
        area = next((other for other in others if other.alpha2 == region), others[0] if others else area)
        if f"+{number.country_code}" != area.area:
            return area, None
    national = phonenumbers.national_significant_number(number)
    if area.pattern:
        typed = digits.removeprefix(area.area) if digits.startswith("+") else digits
        return area, next((n for n in (national, typed) if n.isascii() and matches(area.pattern, n)), None)
    return area, national if phonenumbers.is_possible_number(number) else None


class PasswordForm(forms.Form):
    """A password, or the `skip` button where it is optional; `digest` afterwards, never the password."""

    password = forms.CharField(required=False, max_length=1024, strip=False)

    def clean(self) -> dict[str, Any]:
        password = self.cleaned_data.pop("password", "")
        self.digest = ""
        if self.skipped or self.errors:
            return self.cleaned_data
        if not password:
            self.add_error("password", _("Enter a password."))
            return self.cleaned_data
        try:
            validate_password(password)
        except ValidationError as exc:
            self.add_error("password", exc)
        # Lower-case hexadecimal MD5 is what the upstream takes; the password itself goes no further than this line.
        self.digest = hashlib.md5(password.encode(), usedforsecurity=False).hexdigest()
        return self.cleaned_data

    @property
    def skipped(self) -> bool:
        return settings.PASSWORD_STEP == "optional" and "skip" in self.data  # noqa: S105 (a setting's value)


class VerifyForm(forms.Form):
    """The verification code, in any digits, with blanks or dashes, or as the whole pasted message."""

    code = forms.CharField(max_length=500, error_messages={"required": _("Enter the code from our message.")})

    def clean_code(self) -> str:
        code = read_code(self.cleaned_data["code"])
        if code is None:
            raise ValidationError(_("Enter the digits of the code only. You find it in our latest message."))
        return code


def read_code(text: str) -> str | None:
    """The code in a text: its four to eight digits; None when there are none or several candidates."""
    plain = ascii_digits(text)
    joined = re.sub(r"[\s.\-–—_·]", "", plain)
    if re.fullmatch(r"\d{4,8}", joined):
        return joined
    found = set(_CODE.findall(plain))
    return found.pop() if len(found) == 1 else None
