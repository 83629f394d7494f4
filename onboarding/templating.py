"""The engine that draws the customer's pages: Jinja, at a fraction of what Django's templates cost.

The console's pages, and whatever else Django brings, are drawn by Django's own engine (settings.TEMPLATES).
"""

from __future__ import annotations

from functools import cache
from typing import Any

from django.conf import settings
from django.contrib.staticfiles.storage import staticfiles_storage
from django.utils.translation import gettext, ngettext
from jinja2 import ChainableUndefined, Environment


def environment(**options: Any) -> Environment:
    """What Django calls for the engine named "pages"; it escapes everything (Django's backend says so in `options`).

    Texts come from the catalogues, and what is not there is nothing, as in Django's own templates.
    """
    own = {"undefined": ChainableUndefined, "keep_trailing_newline": True, "extensions": ["jinja2.ext.i18n"]}
    found = Environment(**(options | own))  # noqa: S701 (see above)
    found.install_gettext_callables(gettext, ngettext, newstyle=True)  # type: ignore[attr-defined]
    url = staticfiles_storage.url
    found.globals["static"] = url if settings.DEBUG else cache(url)  # a name with a hash stays while the process does
    return found
