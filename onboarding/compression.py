"""Which answers are compressed: all but the console's.

An attacker who reads lengths off the line and has a browser ask again and again, with a guess of his in the address,
could find out a secret that stands in the same compressed page (BREACH). On customers' pages nobody is known by a
cookie: whoever can have a page asked for already has its address, which is all the secret that it holds, and a first
page holds nothing but what its visitor brought. The console does know its people by a cookie, so it stays as it is.
(Django's middleware, besides, makes each length differ by chance.) Static files are compressed when they are collected.
"""

from __future__ import annotations

from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.middleware.gzip import GZipMiddleware

from onboarding.embedding import CONSOLE


class Compression(GZipMiddleware):
    def process_response(self, request: HttpRequest, response: HttpResponseBase) -> HttpResponseBase:
        if request.path.startswith(CONSOLE):
            return response
        return super().process_response(request, response)
