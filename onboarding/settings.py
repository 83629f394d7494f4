"""Every setting, read from the environment or `.env`, with its default and its reason.

A wrong value stops the start with one sentence: here when nothing can run without it, in `checks.py` when values
contradict each other. `.env.example` and the README list the same names.
"""

from __future__ import annotations

import json
import secrets
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import environ
from django.core.exceptions import ImproperlyConfigured
from django.utils.translation import gettext_lazy as _

from onboarding.domain.limits import Allowance, read_allowances

BASE_DIR = Path(__file__).resolve().parent.parent
env = environ.Env()
if (BASE_DIR / ".env").is_file():
    env.read_env(BASE_DIR / ".env")


def _choice(name: str, default: str, allowed: tuple[str, ...]) -> str:
    value = env.str(name, default)
    if value not in allowed:
        raise ImproperlyConfigured(f"{name} must be one of {', '.join(allowed)}, not {value!r}.")
    return str(value)


def _choices(name: str, default: str, allowed: tuple[str, ...]) -> tuple[str, ...]:
    values = tuple(part.strip() for part in env.str(name, default).split(",") if part.strip())
    wrong = [value for value in values if value not in allowed]
    if wrong or not values:
        raise ImproperlyConfigured(f"{name} must list one or more of {', '.join(allowed)}.")
    return values


def _number(name: str, default: float, low: float, high: float) -> float:
    try:
        value = float(env.str(name, str(default)))
    except ValueError as exc:
        raise ImproperlyConfigured(f"{name} must be a number.") from exc
    if not low <= value <= high:
        raise ImproperlyConfigured(f"{name} must lie between {low:g} and {high:g}.")
    return value


def _flag(name: str, default: bool) -> bool:
    value = env.str(name, "").strip().lower() or str(default).lower()
    if value not in ("true", "false", "1", "0", "yes", "no", "on", "off"):
        raise ImproperlyConfigured(f"{name} must be true or false.")
    return value in ("true", "1", "yes", "on")


def _list(name: str) -> list[str]:
    return [part.strip() for part in env.str(name, "").split(",") if part.strip()]


def _allowances(name: str, default: str) -> tuple[Allowance, ...]:
    try:
        return read_allowances(env.str(name, default))
    except ValueError as exc:
        raise ImproperlyConfigured(f"{name} {exc}.") from exc


def _pauses(name: str, default: str) -> tuple[int, ...]:
    parts = [part.strip() for part in env.str(name, default).split(",")]
    if not all(part.isascii() and part.isdigit() and int(part) <= 3600 for part in parts):
        raise ImproperlyConfigured(f"{name} must list seconds such as 30,60,120, each at most 3600.")
    return tuple(int(part) for part in parts)


def _is_weak(key: str) -> bool:
    return len(key) < 40 or len(set(key)) < 10


def _database(address: str) -> dict[str, Any]:
    """No sentence quotes the address: a password may stand in it."""
    if not address.startswith(("sqlite://", "postgres://", "postgresql://")):
        raise ImproperlyConfigured("DATABASE_URL must begin with sqlite:// or postgres://.")
    try:
        found: dict[str, Any] = env.db_url_config(address)
    except (ValueError, ImproperlyConfigured) as exc:
        raise ImproperlyConfigured("DATABASE_URL cannot be read: is its port a number?") from exc
    if address.startswith("sqlite:"):
        try:
            Path(found["NAME"]).resolve().parent.mkdir(parents=True, exist_ok=True)
        except OSError as exc:
            raise ImproperlyConfigured(f"DATABASE_URL: the folder cannot be made: {exc.strerror}.") from exc
    return found


# -- The process -------------------------------------------------------------------------------------------------------
DEBUG = _flag("DEBUG", False)  # development only: it shows tracebacks, and allows a made-up key
# Signs handles and landing fields, and encrypts what rests in the database; whoever has it can read both.
SECRET_KEY = env.str("SECRET_KEY", "")
if not SECRET_KEY and DEBUG:
    SECRET_KEY = secrets.token_urlsafe(50)
if _is_weak(SECRET_KEY):
    raise ImproperlyConfigured(
        "SECRET_KEY must be set to at least 40 random characters (python3 -c 'import secrets; "
        "print(secrets.token_urlsafe(50))')."
    )
SECRET_KEY_FALLBACKS = _list("SECRET_KEY_FALLBACKS")  # flows begun under earlier keys go on
if any(_is_weak(key) for key in SECRET_KEY_FALLBACKS):
    raise ImproperlyConfigured("SECRET_KEY_FALLBACKS must hold keys of at least 40 characters: any of them signs too.")
ALLOWED_HOSTS = _list("ALLOWED_HOSTS")
PUBLIC_URL = env.str("PUBLIC_URL", "http://127.0.0.1:8000").rstrip("/")  # own origin: embed script and links
TRUSTED_PROXY_COUNT = int(_number("TRUSTED_PROXY_COUNT", 0, 0, 10))  # 0: X-Forwarded-For is anybody's text, so ignored

# -- The upstream ------------------------------------------------------------------------------------------------------
UPSTREAM_BASE_URL = env.str("UPSTREAM_BASE_URL", "").rstrip("/")  # with or without /cats-gateway: the tenant knows
UPSTREAM_COMPANY_ID = env.str("UPSTREAM_COMPANY_ID", "")
UPSTREAM_VERSION = env.str("UPSTREAM_VERSION", "0.0.1")
UPSTREAM_PUBLIC_KEY = env.str("UPSTREAM_PUBLIC_KEY", "").replace("\\n", "\n")  # set: bodies are signed and encrypted
UPSTREAM_CONNECT_TIMEOUT = _number("UPSTREAM_CONNECT_TIMEOUT", 3, 0.05, 60)
UPSTREAM_READ_TIMEOUT = _number("UPSTREAM_READ_TIMEOUT", 20, 0.05, 120)  # the upstream itself gives up after 15 s
UPSTREAM_MAX_IN_FLIGHT = int(
    _number("UPSTREAM_MAX_IN_FLIGHT", 64, 1, 10_000)
)  # a dead upstream must not eat all threads
# Different customers whose calls must fail within a minute before a service counts as dead; 0: it never does.
UPSTREAM_BREAKER_FAILURES = int(_number("UPSTREAM_BREAKER_FAILURES", 5, 0, 1000))
# All calls that one request makes, together: a customer and a proxy wait for one page, not for each call.
REQUEST_BUDGET_SECONDS = _number("REQUEST_BUDGET_SECONDS", 25, 2, 120)
UPSTREAM_IS_PROXIED = _flag("UPSTREAM_IS_PROXIED", False)  # a proxy of ours to it on loopback, and not the sandbox
UPSTREAM_SEND_PROTOCOL = _flag("UPSTREAM_SEND_PROTOCOL", True)  # undocumented, yet every real client sends it
CAPTCHA_PROVIDER = _choice("CAPTCHA_PROVIDER", "", ("", "recaptcha", "recaptcha.net"))
CAPTCHA_SITE_KEY = env.str("CAPTCHA_SITE_KEY", "")

# -- What is offered ---------------------------------------------------------------------------------------------------
CHANNELS = _choices("CHANNELS", "email,phone", ("email", "phone"))  # in this order
ACCOUNT_TYPES = _choices("ACCOUNT_TYPES", "individual,enterprise", ("individual", "enterprise"))
PASSWORD_STEP = _choice("PASSWORD_STEP", "optional", ("off", "optional", "required"))
COUNTRIES = tuple(_list("COUNTRIES"))
DEFAULT_COUNTRY = env.str("DEFAULT_COUNTRY", "")
try:
    CUSTOMER_GROUPS: dict[str, Any] = json.loads(env.str("CUSTOMER_GROUPS", "{}"))
except ValueError as exc:
    raise ImproperlyConfigured("CUSTOMER_GROUPS must be a JSON object.") from exc
KYC_BUSINESS_CODE = env.str("KYC_BUSINESS_CODE", "")  # empty: levels are submitted one by one with their path
TERMS_URL = env.str("TERMS_URL", "")  # {lang} is replaced by the page's language
PRIVACY_URL = env.str("PRIVACY_URL", "")
SUPPORT_URL = env.str("SUPPORT_URL", "")
SIGN_IN_URL = env.str("SIGN_IN_URL", "")
CONTINUE_URL = env.str("CONTINUE_URL", "")  # {lang} and {token} are replaced when the customer follows it, not before
CLICK_IDS = _flag("CLICK_IDS", False)  # keep gclid, fbclid …: they tell single persons apart, so ask your lawyer first
EMBED_ORIGINS = tuple(origin.rstrip("/") for origin in _list("EMBED_ORIGINS"))
# Partners choose where webhooks go, so nothing inside our network is asked, but for these hosts.
WEBHOOK_PRIVATE_HOSTS = tuple(host.lower() for host in _list("WEBHOOK_PRIVATE_HOSTS"))

# -- How long ----------------------------------------------------------------------------------------------------------
FLOW_IDLE_MINUTES = _number("FLOW_IDLE_MINUTES", 60, 1, 7 * 24 * 60)
FLOW_MAX_HOURS = _number("FLOW_MAX_HOURS", 24, 0.1, 30 * 24)
RETENTION_HOURS = _number("RETENTION_HOURS", 24, 0, 365 * 24)  # personal data after the end of a flow
# What is left of a flow, counted from its start; 0: for ever. The funnel keeps its counts and shows a year at once.
KEEP_FLOWS_DAYS = _number("KEEP_FLOWS_DAYS", 400, 0, 100 * 365)
# Webhooks' events that are over, to be looked at and sent again: long enough for a monthly account; 0: for ever.
KEEP_EVENTS_DAYS = _number("KEEP_EVENTS_DAYS", 30, 0, 100 * 365)

# -- How often ---------------------------------------------------------------------------------------------------------
# Over any stretch of time, in all flows and processes together. The recipient's is the upstream's own limit.
LIMIT_RECIPIENT = _allowances("LIMIT_RECIPIENT", "3/10m,5/30m")
LIMIT_ADDRESS = _allowances("LIMIT_ADDRESS", "10/10m,30/24h")  # an IPv4 address, or the /64 of an IPv6 one
LIMIT_FLOW_SENDS = int(_number("LIMIT_FLOW_SENDS", 3, 1, 20))
LIMIT_FLOW_CODES = int(_number("LIMIT_FLOW_CODES", 5, 1, 20))  # the upstream voids a ticket after five wrong ones
RESEND_COOLDOWN = _pauses("RESEND_COOLDOWN", "30,60,120")  # before the second, the third and any further code
# Text messages: where they may go (the country of the number), and when the operator hears that codes are not used.
SMS_COUNTRIES = tuple(_list("SMS_COUNTRIES"))
SMS_ALARM_SENDS = int(_number("SMS_ALARM_SENDS", 30, 1, 1_000_000))  # within two hours, to numbers that begin alike
SMS_ALARM_SHARE = _number("SMS_ALARM_SHARE", 0.2, 0, 1)  # of them used, below which it is one

# -- People and programs -----------------------------------------------------------------------------------------------
MIN_HUMAN_SECONDS = _number("MIN_HUMAN_SECONDS", 2, 0, 60)  # autofill is fast too: answering sooner is a sign, no proof
# auto: work is asked for where signs of a program add up. always: of everybody, under an attack. off: of nobody.
PROOF_OF_WORK = _choice("PROOF_OF_WORK", "auto", ("auto", "off", "always"))

# -- Seeing it ---------------------------------------------------------------------------------------------------------
METRICS_TOKEN = env.str("METRICS_TOKEN", "")
LOG_FORMAT = _choice("LOG_FORMAT", "console" if DEBUG else "json", ("json", "console"))

# -- Django ------------------------------------------------------------------------------------------------------------
INSTALLED_APPS = [
    "axes",
    "django_otp",  # with its plugins before our own, which takes their pages out of the console
    "django_otp.plugins.otp_static",
    "django_otp.plugins.otp_totp",
    "onboarding.apps.OnboardingConfig",
    "django_htmx",
    "onboarding.apps.ConsoleConfig",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
]
MIDDLEWARE = [
    "onboarding.embedding.SecurityHeaders",  # outermost: its headers are on every response, errors included
    "onboarding.compression.Compression",
    "onboarding.embedding.utf8_only",
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "django_htmx.middleware.HtmxMiddleware",
    # Sessions, CSRF cookie and messages serve /admin/ only: customer pages neither read nor set a cookie.
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "onboarding.guards.SmallBodies",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django_otp.middleware.OTPMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "axes.middleware.AxesMiddleware",  # looks at an attribute that only a refused sign-in has
]
ROOT_URLCONF = "onboarding.urls"
WSGI_APPLICATION = "onboarding.wsgi.application"
TEMPLATES = [
    {  # first: whoever names no engine, as the console does, gets this one
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ],
        },
    },
    {
        "NAME": "pages",  # the customer's, asked for by this name
        "BACKEND": "django.template.backends.jinja2.Jinja2",
        "DIRS": [BASE_DIR / "templates"],
        "OPTIONS": {"environment": "onboarding.templating.environment"},
    },
]
_DATABASE_URL = env.str("DATABASE_URL", "") or f"sqlite:///{BASE_DIR / 'var' / 'onboarding.sqlite3'}"
DATABASES = {"default": _database(_DATABASE_URL)}
if DATABASES["default"]["ENGINE"] == "django.db.backends.sqlite3":
    # Write-ahead log and IMMEDIATE transactions: with Django's defaults processes lose writes to "database is locked".
    DATABASES["default"]["ENGINE"] = "onboarding.sqlite"  # Django's, with connections that are shared and a gate
    DATABASES["default"]["OPTIONS"] = {
        "timeout": 20,
        "transaction_mode": "IMMEDIATE",
        "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL; PRAGMA foreign_keys=ON; "
        "PRAGMA secure_delete=ON;",
    }
else:
    # A few connections for all threads of a process: a step needs one for milliseconds, and a server allows a hundred.
    DATABASES["default"].setdefault("OPTIONS", {})["pool"] = {"min_size": 1, "max_size": 8, "timeout": 20}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

LANGUAGES = [  # a bare `zh` is the first of the Chinese ones
    ("en", _("English")),
    ("zh-hans", _("Simplified Chinese")),
    ("zh-hant", _("Traditional Chinese")),
    ("es", _("Spanish")),
    ("fr", _("French")),
    ("pt", _("Portuguese")),
    ("tr", _("Turkish")),
    ("ko", _("Korean")),
    ("ja", _("Japanese")),
    ("th", _("Thai")),
    ("vi", _("Vietnamese")),
    ("id", _("Indonesian")),
    ("ar", _("Arabic")),
]
LANGUAGE_CODE = _choice("LANGUAGE_CODE", "en", tuple(code for code, _name in LANGUAGES))
LOCALE_PATHS = [BASE_DIR / "onboarding" / "locale"]
FORMAT_MODULE_PATH = "onboarding.formats"
USE_I18N = True
USE_TZ = True
TIME_ZONE = "UTC"

STATIC_URL = "/static/"
STATIC_ROOT = BASE_DIR / "staticfiles"
STATICFILES_DIRS = [BASE_DIR / "static"]
WHITENOISE_USE_FINDERS = DEBUG
WHITENOISE_AUTOREFRESH = DEBUG
WHITENOISE_ALLOW_ALL_ORIGINS = False  # only our own pages load these files; partners load embed.js
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.InMemoryStorage"},  # uploads never rest on our disk
    "staticfiles": {
        "BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"
        if DEBUG
        else "whitenoise.storage.CompressedManifestStaticFilesStorage"
    },
}
UPLOAD_MAX_BYTES = 10 * 1024 * 1024  # one picture; the upstream documents no limit, its own app stops at 5 MB
BODY_MAX_BYTES = 32 * 1024 * 1024  # one POST with several pictures
FILE_UPLOAD_HANDLERS = ["django.core.files.uploadhandler.MemoryFileUploadHandler"]  # never a temporary file
FILE_UPLOAD_MAX_MEMORY_SIZE = BODY_MAX_BYTES  # the handler compares it with the whole body
DATA_UPLOAD_MAX_MEMORY_SIZE = 4 * 1024 * 1024  # of text: a hundred long answers; other pages take less (guards.py)
DATA_UPLOAD_MAX_NUMBER_FIELDS = 5000  # an element of a level has up to two
DATA_UPLOAD_MAX_NUMBER_FILES = 500

# -- Security ----------------------------------------------------------------------------------------------------------
_HTTPS = PUBLIC_URL.startswith("https://")
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https") if TRUSTED_PROXY_COUNT else None
SECURE_SSL_REDIRECT = _HTTPS and not DEBUG
SECURE_REDIRECT_EXEMPT = [r"^healthz$", r"^readyz$", r"^metrics$"]
SECURE_HSTS_SECONDS = 31_536_000 if _HTTPS else 0
SECURE_HSTS_INCLUDE_SUBDOMAINS = _HTTPS
SECURE_HSTS_PRELOAD = _HTTPS
SECURE_REFERRER_POLICY = "same-origin"  # "no-referrer" would turn the Origin of our own forms into null
CSRF_FAILURE_VIEW = "onboarding.views.forbidden"  # Django's own page brings a style that our policy refuses
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = _HTTPS
SESSION_COOKIE_PATH = CSRF_COOKIE_PATH = "/admin/"
SESSION_COOKIE_HTTPONLY = CSRF_COOKIE_HTTPONLY = True
SESSION_COOKIE_AGE = 10 * 3600  # seconds: one working day
AUTHENTICATION_BACKENDS = ["axes.backends.AxesStandaloneBackend", "django.contrib.auth.backends.ModelBackend"]
AUTH_PASSWORD_VALIDATORS = [  # for staff and customers alike
    {"NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator"},
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator", "OPTIONS": {"min_length": 8}},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
    {"NAME": "django.contrib.auth.password_validation.NumericPasswordValidator"},
]
# Guesses at the console's passwords, counted by name and by address (onboarding/lockout.py).
AXES_FAILURE_LIMIT = 5
AXES_LOCKOUT_PARAMETERS = ["username", "ip_address"]
AXES_COOLOFF_TIME = timedelta(minutes=15)
AXES_RESET_COOL_OFF_ON_FAILURE_DURING_LOCKOUT = False  # or a guesser who goes on would lock the operator out for good
AXES_USERNAME_CALLABLE = "onboarding.lockout.counted_name"
AXES_CLIENT_IP_CALLABLE = "onboarding.lockout.counted_address"
AXES_CLIENT_STR_CALLABLE = "onboarding.lockout.written_as"
AXES_LOCKOUT_CALLABLE = "onboarding.lockout.refuse"
AXES_SENSITIVE_PARAMETERS = ["username", "password", "next", "csrfmiddlewaretoken"]
AXES_DISABLE_ACCESS_LOG = True  # who signed in and when: Django's last_login
AXES_ENABLE_ADMIN = False  # its page could empty the list; `manage.py axes_list_attempts` and `axes_reset` do
AXES_VERBOSE = False
ADMIN_SECOND_FACTOR = _choice("ADMIN_SECOND_FACTOR", "optional", ("optional", "required"))
OTP_TOTP_ISSUER = f"Onboarding {urlsplit(PUBLIC_URL).hostname}"  # what the app shows beside the code
SILENCED_SYSTEM_CHECKS = [
    "security.W002",  # no XFrameOptionsMiddleware: frame-ancestors says it, per partner (onboarding/embedding.py)
]

# -- Logs: no line may hold a handle, so paths below /f/ are masked, and no access log is written here -----------------
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "filters": {"named": {"()": "onboarding.logs.NameFlow"}, "masked": {"()": "onboarding.logs.MaskHandles"}},
    "formatters": {
        "json": {
            "()": "pythonjsonlogger.json.JsonFormatter",
            "format": "%(asctime)s %(levelname)s %(name)s %(reference)s %(trace)s %(message)s",
            "rename_fields": {"asctime": "time", "levelname": "level", "name": "logger"},
        },
        "console": {"format": "%(asctime)s %(levelname)-7s %(reference)-11s %(name)s: %(message)s"},
    },
    "handlers": {
        "stderr": {
            "class": "logging.StreamHandler",
            "stream": sys.stderr,
            "formatter": LOG_FORMAT,
            "filters": ["named", "masked"],
        }
    },
    "root": {"handlers": ["stderr"], "level": "INFO"},
    "loggers": {
        "django": {"level": "INFO"},
        "axes": {"level": "WARNING"},
        "django.server": {"handlers": [], "level": "ERROR", "propagate": False},
        "django.request": {"level": "ERROR"},
        "django.security": {"level": "WARNING"},
        "django.security.DisallowedHost": {"level": "CRITICAL"},  # anybody sends those; each would be an alarm
    },
}
