"""The one settings module. What may be set from outside is in the README; everything else is fixed here."""

import os
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import dj_database_url
from django.core.exceptions import ImproperlyConfigured
from django.utils.csp import CSP

from segadmin import environment

BASE_DIR = Path(__file__).resolve().parent.parent
_env = environment.Environment(os.environ)

# --- ours -----------------------------------------------------------------------------------------------------------
DATA_DIR = environment.data_dir(_env, BASE_DIR)
ENCRYPTION_KEYS = environment.encryption_keys(_env, DATA_DIR)
PUBLIC_URL = _env.url("SEGADMIN_PUBLIC_URL", "http://127.0.0.1:8000")
TRUSTED_PROXIES = _env.words("SEGADMIN_TRUSTED_PROXIES")
UPSTREAM_HOSTS = frozenset(
    _env.words(
        "SEGADMIN_UPSTREAM_HOSTS",
        ["platform.adobe.io", "platform-stage.adobe.io", "ims-na1.adobelogin.com", "ims-na1-stg1.adobelogin.com"],
    )
)
UPSTREAM_PROXY = _env.url("SEGADMIN_UPSTREAM_PROXY", "") or None
UPSTREAM_CA_FILE = _env.text("SEGADMIN_UPSTREAM_CA_FILE") or None
if UPSTREAM_CA_FILE and not Path(UPSTREAM_CA_FILE).is_file():
    raise ImproperlyConfigured(f"SEGADMIN_UPSTREAM_CA_FILE names {UPSTREAM_CA_FILE}, which is not a file.")
SYNC_SECONDS = _env.seconds("SEGADMIN_SYNC_SECONDS", 10, 1, 3600)
UPSTREAM_DEADLINE_SECONDS = _env.seconds("SEGADMIN_UPSTREAM_DEADLINE_SECONDS", 15, 1, 300)
UNKNOWN_WINDOW_SECONDS = _env.seconds("SEGADMIN_UNKNOWN_WINDOW_SECONDS", 300, 1, 86400)
IDLE_SECONDS = 60 * 60
ABSOLUTE_SESSION_SECONDS = 12 * 60 * 60
DRAFT_DAYS = 30
OIDC_ISSUER = _env.text("SEGADMIN_OIDC_ISSUER").rstrip("/")
_oidc_client_id = _env.text("SEGADMIN_OIDC_CLIENT_ID")
_oidc_client_secret = _env.text("SEGADMIN_OIDC_CLIENT_SECRET")
if OIDC_ISSUER and not (_oidc_client_id and _oidc_client_secret):
    raise ImproperlyConfigured(
        "SEGADMIN_OIDC_ISSUER also needs SEGADMIN_OIDC_CLIENT_ID and SEGADMIN_OIDC_CLIENT_SECRET."
    )
if OIDC_ISSUER and not OIDC_ISSUER.startswith("https://"):
    raise ImproperlyConfigured("SEGADMIN_OIDC_ISSUER should be an address that begins with https://.")

_mail_server = environment.mail_server(_env)
MAIL_FROM = _env.text("SEGADMIN_MAIL_FROM")
STREAM = environment.stream(_env)

# --- Django ---------------------------------------------------------------------------------------------------------
SECRET_KEY = environment.secret_key(_env, DATA_DIR)
DEBUG = False
_public = urlsplit(PUBLIC_URL)
IS_HTTPS = _public.scheme == "https"
ALLOWED_HOSTS = _env.words(
    "SEGADMIN_ALLOWED_HOSTS", sorted({_public.hostname or "", "127.0.0.1", "localhost", "[::1]"})
)
ROOT_URLCONF = "segadmin.urls"
WSGI_APPLICATION = "segadmin.wsgi.application"
AUTH_USER_MODEL = "segadmin.User"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
INSTALLED_APPS = [
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "django_htmx",
    "allauth",
    "allauth.account",
    "allauth.mfa",
    "allauth.usersessions",
    "allauth.socialaccount",
    "allauth.socialaccount.providers.openid_connect",
    "segadmin",
]
MIDDLEWARE = [
    "segadmin.middleware.RequestIdMiddleware",
    "django.middleware.security.SecurityMiddleware",
    "django.middleware.csp.ContentSecurityPolicyMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "django.middleware.gzip.GZipMiddleware",
    "segadmin.middleware.PlainTextMiddleware",
    "segadmin.middleware.DatabaseBusyMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "segadmin.middleware.SessionLimitsMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django_htmx.middleware.HtmxMiddleware",
    "segadmin.middleware.LoginRequiredMiddleware",
    "segadmin.middleware.PagePolicyMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "allauth.account.middleware.AccountMiddleware",
    "allauth.usersessions.middleware.UserSessionsMiddleware",
]
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "segadmin.context_processors.shell",
            ],
        },
    }
]

DATABASE_URL = _env.text("DATABASE_URL", f"sqlite:///{DATA_DIR / 'segadmin.sqlite3'}")
try:
    _database: dict[str, Any] = dict(dj_database_url.parse(DATABASE_URL))
except (ValueError, KeyError) as error:
    raise ImproperlyConfigured(
        "DATABASE_URL should look like sqlite:////path/to/file or postgres://user:password@host:5432/name."
    ) from error
_options = _database.get("OPTIONS", {})  # what follows a "?", such as sslmode=verify-full, or timeout=5 for SQLite
if _database["ENGINE"] == "django.db.backends.sqlite3":
    # IMMEDIATE: a transaction takes the write lock at its start, so it waits its turn instead of failing half-way.
    _database["OPTIONS"] = {"timeout": 20, **_options, "transaction_mode": "IMMEDIATE"}
elif _database["ENGINE"] == "django.db.backends.postgresql":
    _database["CONN_HEALTH_CHECKS"] = True
    _database["OPTIONS"] = {"connect_timeout": 5, **_options, "pool": {"min_size": 1, "max_size": 16, "timeout": 5}}
else:
    raise ImproperlyConfigured("DATABASE_URL should name SQLite (sqlite:///…) or PostgreSQL (postgres://…).")
DATABASES = {"default": _database}

CACHES = {"default": {"BACKEND": "django.core.cache.backends.db.DatabaseCache", "LOCATION": "segadmin_cache"}}
SESSION_ENGINE = "django.contrib.sessions.backends.db"
SESSION_COOKIE_AGE = ABSOLUTE_SESSION_SECONDS
SESSION_COOKIE_NAME = "__Host-segadmin-session" if IS_HTTPS else "segadmin-session"
SESSION_COOKIE_HTTPONLY = True
SESSION_COOKIE_SAMESITE = "Lax"
SESSION_COOKIE_SECURE = IS_HTTPS
CSRF_COOKIE_NAME = "__Host-segadmin-csrf" if IS_HTTPS else "segadmin-csrf"
CSRF_COOKIE_HTTPONLY = True
CSRF_COOKIE_SAMESITE = "Lax"
CSRF_COOKIE_SECURE = IS_HTTPS
CSRF_TRUSTED_ORIGINS = [PUBLIC_URL]
DEFAULT_EXCEPTION_REPORTER_FILTER = "segadmin.reports.NoValues"
CSRF_FAILURE_VIEW = "segadmin.views.errors.csrf_failure"
MESSAGE_STORAGE = "django.contrib.messages.storage.session.SessionStorage"

SECURE_HSTS_SECONDS = 63072000 if IS_HTTPS else 0
SECURE_HSTS_INCLUDE_SUBDOMAINS = IS_HTTPS
SECURE_HSTS_PRELOAD = IS_HTTPS
SECURE_SSL_REDIRECT = False  # the proxy that ends TLS redirects; see the system check silenced below
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https") if IS_HTTPS and TRUSTED_PROXIES else None
SECURE_REFERRER_POLICY = "same-origin"
SECURE_CROSS_ORIGIN_OPENER_POLICY = "same-origin"
X_FRAME_OPTIONS = "DENY"
_oidc_origin = [f"https://{urlsplit(OIDC_ISSUER).netloc}"] if OIDC_ISSUER else []
SECURE_CSP = {
    "default-src": [CSP.NONE],
    "script-src": [CSP.SELF],
    "style-src": [CSP.SELF],
    "img-src": [CSP.SELF],
    "connect-src": [CSP.SELF],
    "font-src": [CSP.NONE],
    "object-src": [CSP.NONE],
    "base-uri": [CSP.NONE],
    "form-action": [CSP.SELF, *_oidc_origin],
    "frame-ancestors": [CSP.NONE],
}
# The company's proxy ends TLS and redirects to https (W008); everything else of `check --deploy` must be clean.
SILENCED_SYSTEM_CHECKS = ["security.W008"] + ([] if IS_HTTPS else ["security.W004", "security.W012", "security.W016"])

AUTHENTICATION_BACKENDS = ["allauth.account.auth_backends.AuthenticationBackend"]
PASSWORD_HASHERS = [
    "django.contrib.auth.hashers.ScryptPasswordHasher",
    "django.contrib.auth.hashers.PBKDF2PasswordHasher",
]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator"},
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator", "OPTIONS": {"min_length": 12}},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
]
LOGIN_URL = "account_login"
LOGIN_REDIRECT_URL = "jobs"
ACCOUNT_ADAPTER = "segadmin.signin.AccountAdapter"
SOCIALACCOUNT_ADAPTER = "segadmin.signin.SocialAccountAdapter"
ACCOUNT_LOGIN_METHODS = {"username"}
ACCOUNT_SIGNUP_FIELDS = ["username*", "password1*"]
ACCOUNT_EMAIL_VERIFICATION = "none"
ACCOUNT_LOGOUT_ON_GET = False
ACCOUNT_LOGOUT_REDIRECT_URL = "account_login"
ACCOUNT_PREVENT_ENUMERATION = True
ACCOUNT_SESSION_REMEMBER = False
ACCOUNT_PASSWORD_MIN_LENGTH = 12
ACCOUNT_REAUTHENTICATION_TIMEOUT = 300
ACCOUNT_REAUTHENTICATION_REQUIRED = True
ACCOUNT_RATE_LIMITS = {"login_failed": "5/5m/key,30/5m/ip", "login": "60/m/ip", "reauthenticate": "10/m/user"}
ALLAUTH_TRUSTED_PROXY_COUNT = 1 if TRUSTED_PROXIES else 0
MFA_SUPPORTED_TYPES = ["totp", "recovery_codes", "webauthn"]
MFA_ADAPTER = "segadmin.signin.MFAAdapter"
MFA_TOTP_ISSUER = "segadmin"
MFA_PASSKEY_LOGIN_ENABLED = False
USERSESSIONS_ADAPTER = "segadmin.signin.SessionsAdapter"
USERSESSIONS_TRACK_ACTIVITY = False
SOCIALACCOUNT_STORE_TOKENS = False
SOCIALACCOUNT_AUTO_SIGNUP = False
SOCIALACCOUNT_PROVIDERS = (
    {
        "openid_connect": {
            "OAUTH_PKCE_ENABLED": True,
            "APPS": [
                {
                    "provider_id": "company",
                    "name": "company account",
                    "client_id": _oidc_client_id,
                    "secret": _oidc_client_secret,
                    "settings": {"server_url": OIDC_ISSUER},
                }
            ],
        }
    }
    if OIDC_ISSUER
    else {}
)

# Only checkpoints for an outside witness are sent by mail, and only where a server is named.
MAIL_READY = _mail_server is not None
_mail_kind = "smtp" if MAIL_READY else "dummy"
MAILERS = {
    "default": {"BACKEND": f"django.core.mail.backends.{_mail_kind}.EmailBackend", "OPTIONS": _mail_server or {}}
}
# Without a server nothing is sent, which the dummy says; Django takes it for one left over from development.
SILENCED_SYSTEM_CHECKS += [] if MAIL_READY else ["mail.E001"]

LANGUAGE_CODE = "en"
USE_I18N = True
USE_TZ = True
TIME_ZONE = "UTC"
LOCALE_PATHS = [BASE_DIR / "segadmin" / "locale"]

WHITENOISE_ALLOW_ALL_ORIGINS = False  # no other site reads anything from here
STATIC_URL = "static/"
STATIC_ROOT = DATA_DIR / "static"
STATICFILES_DIRS = [BASE_DIR / "static"]
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {"BACKEND": "whitenoise.storage.CompressedManifestStaticFilesStorage"},
}
DATA_UPLOAD_MAX_MEMORY_SIZE = 2 * 2**20
DATA_UPLOAD_MAX_NUMBER_FIELDS = 5000

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "filters": {"request_id": {"()": "segadmin.logs.RequestIdFilter"}},
    "formatters": {
        "line": {
            "()": "segadmin.logs.OneLineFormatter",
            "format": "{asctime} {levelname} {name} [{request_id}] {message}",
            "style": "{",
        }
    },
    "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "line", "filters": ["request_id"]}},
    "root": {"handlers": ["stderr"], "level": "INFO"},
    "loggers": {
        "django": {"handlers": [], "level": "INFO", "propagate": True},
        "urllib3": {"level": "ERROR"},
        "django.request": {"level": "ERROR"},
        "django.server": {"handlers": [], "propagate": True},
    },
}
