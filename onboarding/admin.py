"""The operator's console: partners and stops of text messages can be edited, all else is only looked at.

Django looks for this module alone, so the pages, each in a module of its own, are imported here.
"""

from __future__ import annotations

from django.contrib import admin

from onboarding import flow_admin, funnel_admin, partner_admin, pumping_admin, webhook_admin

__all__ = ["flow_admin", "funnel_admin", "partner_admin", "pumping_admin", "webhook_admin"]

admin.site.site_header = admin.site.site_title = "Onboarding"
admin.site.index_title = "Console"
