"""Signing in as pages with sensitive forms need it, and looking for a secret everywhere."""

import time

from django.test import Client

from segadmin.models import EventContent, User
from tests.conftest import signed_in

CANARY = "canary-7f3e-secret-never-to-be-seen"


def confirmed(user: User) -> Client:
    """Signed in, and with the password given again just now."""
    client = signed_in(user)
    session = client.session
    method = {"method": "password", "at": time.time(), "username": user.username, "reauthenticated": True}
    session["account_authentication_methods"] = [method]
    session["account_authentication_methods_user"] = str(user.pk)
    session.save()
    return client


def nowhere_on_record(secret: str = CANARY) -> bool:
    """Whether no event of the record holds the secret."""
    return not EventContent.objects.filter(text__contains=secret).exists()
