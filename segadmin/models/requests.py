"""What a person asks for, from the first form to the answer."""

import uuid

from django.db import models
from django.utils.translation import gettext_lazy as _

from segadmin.models.organizations import Sandbox
from segadmin.models.people import User


class RequestState(models.TextChoices):
    DRAFT = "draft", _("draft")
    SENDING = "sending", _("being sent")
    SENT = "sent", _("sent")
    REFUSED = "refused", _("refused by Adobe")
    NOT_SENT = "not_sent", _("not sent")
    UNKNOWN = "unknown", _("sent, answer lost")
    RELEASED = "released", _("not found at Adobe")
    WITHDRAWN = "withdrawn", _("discarded")
    EXPIRED = "expired", _("expired")


class ExportRequest(models.Model):
    """One wish to export. Moved only by conditional update; drafts are private to their author and expire."""

    uuid = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    sandbox = models.ForeignKey(Sandbox, models.PROTECT, related_name="export_requests")
    author = models.ForeignKey(User, models.PROTECT, related_name="export_requests")
    author_name = models.CharField(max_length=150)
    state = models.CharField(max_length=10, choices=RequestState, default=RequestState.DRAFT)
    version = models.PositiveIntegerField(default=1)

    # The form as typed (lists of strings by field name), so that nothing is lost however wrong it is.
    typed = models.JSONField(default=dict)
    is_complete = models.BooleanField(default=False)
    # The exact request body; empty while the form has faults.
    body = models.JSONField(default=dict)
    fingerprint = models.CharField(max_length=64, blank=True)
    who = models.CharField(max_length=12, blank=True)
    which = models.CharField(max_length=8, blank=True)
    purpose = models.TextField(blank=True)
    recipient = models.CharField(max_length=300, blank=True)
    ticket = models.CharField(max_length=100, blank=True)
    legal_basis = models.CharField(max_length=40, blank=True)
    # Names as they were: {"audiences": [{"id", "ns", "name", "profiles", "evaluated_at"}], "dataset": {}, "merge_policy": {}}.
    names = models.JSONField(default=dict)
    sentence = models.TextField(blank=True)
    copied_from = models.CharField(max_length=200, blank=True)

    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)
    sent_at = models.DateTimeField(null=True, blank=True)
    # What came back when it did not work: {"message", "adobe_message", "adobe_request_id", "fields": {...}}.
    answer = models.JSONField(default=dict)

    class Meta:
        ordering = ["-created_at", "-pk"]
        indexes = [
            models.Index(fields=["sandbox", "state", "-sent_at", "-id"], name="request_by_state"),
            models.Index(fields=["author", "state", "-updated_at"], name="request_by_author"),
            models.Index(fields=["sandbox", "fingerprint"], name="request_fingerprint"),
        ]

    def __str__(self) -> str:
        return str(self.uuid)
