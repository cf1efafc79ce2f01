"""segadmin's settings with django-auditlog and Django's admin beside it, for a comparison in one process."""

from segadmin.settings import *  # noqa: F403
from segadmin.settings import INSTALLED_APPS

INSTALLED_APPS = [*INSTALLED_APPS, "django.contrib.admin", "auditlog"]
ROOT_URLCONF = "tests.benchmarks.auditlog_urls"
