"""The console's second factor: codes of an app (TOTP) and recovery codes, kept and checked by django-otp.

Whoever has set one up must use it; with ADMIN_SECOND_FACTOR=required everybody must. Knows nothing of customers.
"""

from __future__ import annotations

from typing import Any

import django_otp
from django.conf import settings
from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone
from django.utils.http import url_has_allowed_host_and_scheme
from django_otp.plugins.otp_static.models import StaticDevice, StaticToken
from django_otp.plugins.otp_totp.models import TOTPDevice

from onboarding.handover_views import qr_code

RECOVERY_CODES = 8
WRONG = "This code is not right. Codes of the app change every 30 seconds and count once."


def is_missing(request: HttpRequest) -> bool:
    """Whether a member of staff has shown the password only, and more is asked for."""
    user: Any = request.user
    if user.is_verified():
        return False
    return settings.ADMIN_SECOND_FACTOR == "required" or django_otp.user_has_device(user)


def page(request: HttpRequest, context: dict[str, Any]) -> HttpResponse:
    """Asks for the code, or sets the second factor up, renews and removes it; for staff whose password was right."""
    user: Any = request.user
    if django_otp.user_has_device(user) and not user.is_verified():
        return _ask(request, context)
    answer = {"begin": _begin, "confirm": _confirm, "recovery": _renew_recovery, "remove": _remove}
    chosen = next((act for name, act in answer.items() if name in request.POST), None)
    return (chosen or _show)(request, context)


def _ask(request: HttpRequest, context: dict[str, Any]) -> HttpResponse:
    if request.method != "POST":
        return _show(request, context, asks=True)
    found, error = _checked(request)
    if found is None:
        return _show(request, context, asks=True, error=error)
    _believe(request, found)
    wanted = request.GET.get("next", "")
    inside = url_has_allowed_host_and_scheme(wanted, {request.get_host()}, require_https=request.is_secure())
    return redirect(wanted if inside else reverse("admin:index"))


def _checked(request: HttpRequest) -> tuple[Any, str]:
    """The device that knows this code, or what to tell. Six digits are the app's, anything else is a recovery code."""
    code = "".join(request.POST.get("code", "").split()).lower()[:16]
    kind = TOTPDevice if len(code) == 6 and code.isdigit() else StaticDevice
    device = kind.objects.devices_for_user(request.user).first()
    if device is None:
        return None, WRONG
    allowed, why = device.verify_is_allowed()
    if not allowed and why and why.get("locked_until"):
        left = (why["locked_until"] - timezone.now()).total_seconds()
        return None, f"Too many wrong codes. Wait {max(1, round(left))} seconds before the next one."
    return django_otp.verify_token(request.user, device.persistent_id, code), WRONG


def _believe(request: HttpRequest, device: Any) -> None:
    """This session has shown both; it gets another key, so that nobody who knew the old one comes along."""
    django_otp.login(request, device)
    request.session.cycle_key()


def _begin(request: HttpRequest, context: dict[str, Any]) -> HttpResponse:
    """A new secret, shown until a code made with it comes back; nothing counts before that."""
    with transaction.atomic():
        _pending(request).delete()
        TOTPDevice.objects.create(user=request.user, name="app", confirmed=False)
    return redirect(request.get_full_path())


def _pending(request: HttpRequest) -> Any:
    return TOTPDevice.objects.filter(user=request.user, confirmed=False)


def _confirm(request: HttpRequest, context: dict[str, Any]) -> HttpResponse:
    with transaction.atomic():
        device = _pending(request).select_for_update().first()
        code = "".join(request.POST.get("code", "").split())
        good = device is not None and device.verify_token(code)
        if good:
            TOTPDevice.objects.filter(user=request.user, confirmed=True).delete()
            device.confirmed = True
            device.save()
    if not good:
        return _show(request, context, error=WRONG)
    _believe(request, device)
    return _renew_recovery(request, context)


def _renew_recovery(request: HttpRequest, context: dict[str, Any]) -> HttpResponse:
    """New recovery codes in place of all earlier ones; seen on this page only."""
    if not request.user.is_verified():  # type: ignore[union-attr]  # put there by OTPMiddleware
        return _show(request, context)
    codes = [StaticToken.random_token() for _ in range(RECOVERY_CODES)]
    with transaction.atomic():
        StaticDevice.objects.filter(user=request.user).delete()
        device = StaticDevice.objects.create(user=request.user, name="recovery codes")
        StaticToken.objects.bulk_create(StaticToken(device=device, token=code) for code in codes)
    return _show(request, context, codes=codes)


def _remove(request: HttpRequest, context: dict[str, Any]) -> HttpResponse:
    if request.user.is_verified():  # type: ignore[union-attr]
        with transaction.atomic():
            for device in django_otp.devices_for_user(request.user, confirmed=None):
                device.delete()
    return redirect(reverse("admin:second-factor"))


def _show(request: HttpRequest, context: dict[str, Any], **more: Any) -> HttpResponse:
    pending = None if more.get("asks") else _pending(request).first()
    user: Any = request.user
    shown = {
        "title": "Second factor",
        "verified": user.is_verified(),
        "required": settings.ADMIN_SECOND_FACTOR == "required",
        "picture": qr_code(pending.config_url) if pending else "",
        "secret": pending.config_url.partition("secret=")[2].partition("&")[0] if pending else "",
        "left": StaticToken.objects.filter(device__user=user).count() if user.is_verified() else 0,
        **more,
    }
    return render(request, "admin/second_factor.html", {**context, **shown})
