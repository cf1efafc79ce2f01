"""Sealed credentials, the shared token cache, and the last connection tests."""

import uuid

from django.db import models
from django.utils.translation import gettext_lazy as _

from segadmin.models.organizations import Organization


class Credential(models.Model):
    """How segadmin signs in to one org. Secrets are sealed to this row; they are never shown again."""

    class Kind(models.TextChoices):
        OAUTH = "oauth", _("OAuth server-to-server")
        TOKEN = "token", _("pasted access token")

    uuid = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    organization = models.OneToOneField(Organization, models.PROTECT, related_name="credential")
    kind = models.CharField(max_length=10, choices=Kind, default=Kind.OAUTH)
    client_id = models.CharField(max_length=200)
    secret_sealed = models.TextField(blank=True)
    scopes = models.CharField(max_length=1000, blank=True)
    token_expires_at = models.DateTimeField(null=True, blank=True)
    fingerprint = models.CharField(max_length=16, blank=True)
    set_at = models.DateTimeField()
    set_by = models.CharField(max_length=150)
    last_ok_at = models.DateTimeField(null=True, blank=True)
    last_used_by = models.CharField(max_length=150, blank=True)

    def __str__(self) -> str:
        return f"credential of {self.organization_id}"


class TokenCache(models.Model):
    """The access token that all processes share: one refresh at a time, by a lease."""

    organization = models.OneToOneField(Organization, models.CASCADE, related_name="token_cache")
    credential_uuid = models.UUIDField(null=True)
    token_sealed = models.TextField(blank=True)
    expires_at = models.DateTimeField(null=True)
    lease_until = models.DateTimeField(null=True)
    lease_token = models.CharField(max_length=40, blank=True)
    blocked_until = models.DateTimeField(null=True)
    blocked_error = models.JSONField(default=dict)

    def __str__(self) -> str:
        return f"token of {self.organization_id}"


class ConnectionTest(models.Model):
    """One run of "test the connection": a list of steps, each {name, ok, text, seconds, request_id}."""

    organization = models.ForeignKey(Organization, models.PROTECT, related_name="connection_tests")
    at = models.DateTimeField()
    by = models.CharField(max_length=150)
    ok = models.BooleanField()
    steps = models.JSONField(default=list)
    seconds = models.FloatField(default=0)

    class Meta:
        ordering = ["-at", "-pk"]

    def __str__(self) -> str:
        return f"test {self.pk}"
