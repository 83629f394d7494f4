"""django-allauth as its documentation sets it up, to be measured beside us. Needs `.venv-bench`, knows nothing of ours.

A customer proves the e-mail address by a code, as with us. E-mails are files, so that their codes can be read.

`python -m tests.load.peer` makes its database; the rest is a WSGI application. `HASHER=fast` takes MD5 for passwords.
"""

from __future__ import annotations

import os
import sys

import django
from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.urls import include, path

HASHERS = {"fast": ["django.contrib.auth.hashers.MD5PasswordHasher"]}

settings.configure(
    SECRET_KEY=os.environ["SECRET_KEY"],
    ALLOWED_HOSTS=["127.0.0.1"],
    ROOT_URLCONF=__name__,
    USE_TZ=True,
    INSTALLED_APPS=[
        "django.contrib.auth",
        "django.contrib.contenttypes",
        "django.contrib.sessions",
        "django.contrib.messages",
        "allauth",
        "allauth.account",
    ],
    MIDDLEWARE=[
        "django.middleware.security.SecurityMiddleware",
        "django.contrib.sessions.middleware.SessionMiddleware",
        "django.middleware.common.CommonMiddleware",
        "django.middleware.csrf.CsrfViewMiddleware",
        "django.contrib.auth.middleware.AuthenticationMiddleware",
        "django.contrib.messages.middleware.MessageMiddleware",
        "django.middleware.clickjacking.XFrameOptionsMiddleware",
        "allauth.account.middleware.AccountMiddleware",
    ],
    TEMPLATES=[
        {
            "BACKEND": "django.template.backends.django.DjangoTemplates",
            "APP_DIRS": True,
            "OPTIONS": {
                "context_processors": [
                    "django.template.context_processors.request",
                    "django.contrib.auth.context_processors.auth",
                    "django.contrib.messages.context_processors.messages",
                ]
            },
        }
    ],
    AUTHENTICATION_BACKENDS=["allauth.account.auth_backends.AuthenticationBackend"],
    DATABASES={
        "default": {
            "ENGINE": "django.db.backends.sqlite3",
            "NAME": os.environ["PEER_DATABASE"],
            "OPTIONS": {  # ours, so that what is compared is not two ways to keep a file
                "timeout": 20,
                "transaction_mode": "IMMEDIATE",
                "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;",
            },
        }
    },
    DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
    EMAIL_BACKEND="django.core.mail.backends.filebased.EmailBackend",
    EMAIL_FILE_PATH=os.environ["PEER_MAIL"],
    ACCOUNT_EMAIL_VERIFICATION="mandatory",
    ACCOUNT_EMAIL_VERIFICATION_BY_CODE_ENABLED=True,
    ACCOUNT_SIGNUP_FIELDS=["email*", "password1*", "password2*"],
    ACCOUNT_LOGIN_METHODS={"email"},
    LOGIN_REDIRECT_URL="/",
    ACCOUNT_RATE_LIMITS=False,  # everybody here comes from one address
    **({"PASSWORD_HASHERS": HASHERS["fast"]} if os.environ.get("HASHER") == "fast" else {}),
)
django.setup()

from django.core.management import call_command  # noqa: E402  # only now are there settings
from django.core.wsgi import get_wsgi_application  # noqa: E402


def home(_request: HttpRequest) -> HttpResponse:
    return HttpResponse("signed up")


urlpatterns = [path("", home), path("accounts/", include("allauth.account.urls"))]
application = get_wsgi_application()

if __name__ == "__main__":
    call_command("migrate", verbosity=0)
    sys.exit(0)
