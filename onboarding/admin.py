"""The operator's console: partners and stops of text messages can be edited, all else is only looked at.

Django looks for this module alone, so the pages, each in a module of its own, are imported here.
"""

from __future__ import annotations

from django.contrib import admin
from django_otp.plugins.otp_static.models import StaticDevice
from django_otp.plugins.otp_totp.models import TOTPDevice

from onboarding import flow_admin, funnel_admin, partner_admin, pumping_admin, webhook_admin

__all__ = ["flow_admin", "funnel_admin", "partner_admin", "pumping_admin", "webhook_admin"]

# Their pages show the secrets of others. Everybody has one's own page; who is locked out is helped at the server.
admin.site.unregister([StaticDevice, TOTPDevice])
