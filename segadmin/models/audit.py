"""The record. Events and contents are written by segadmin.audit only; database triggers refuse everything else."""

import uuid
from typing import Any, NoReturn

from django.db import models
from django.utils.translation import gettext_lazy as _

from segadmin.models.jobs import Job
from segadmin.models.organizations import Organization, Sandbox
from segadmin.models.requests import ExportRequest


class Action(models.TextChoices):
    EXPORT_CREATE = "export.create", _("create export")
    EXPORT_CANCEL = "export.cancel", _("cancel export")
    EXPORT_SETTLE = "export.settle", _("settle a lost answer")
    BATCH_CHECKED = "batch.checked", _("check a batch")
    JOB_SEEN = "job.seen", _("first sight of a job")
    JOB_CHANGED = "job.changed", _("change of state")
    JOB_MISSING = "job.missing", _("job no longer listed")
    JOB_RETURNED = "job.returned", _("job listed again")
    ORGANIZATION_ADD = "organization.add", _("add organization")
    ORGANIZATION_CHANGE = "organization.change", _("change organization")
    ORGANIZATION_RETIRE = "organization.retire", _("remove organization")
    SANDBOX_FOUND = "sandbox.found", _("find sandboxes")
    SANDBOX_CHANGE = "sandbox.change", _("change sandbox")
    CREDENTIAL_SET = "credential.set", _("set credential")
    CREDENTIAL_TEST = "credential.test", _("test connection")
    CREDENTIAL_RETIRE = "credential.retire", _("forget credential")
    PERSON_ADD = "person.add", _("add person")
    PERSON_CLOSE = "person.close", _("close account")
    PERSON_REOPEN = "person.reopen", _("reopen account")
    PASSWORD_SET = "password.set", _("set password")
    ROLE_GIVE = "role.give", _("give role")
    ROLE_TAKE = "role.take", _("take role")
    SIGN_IN = "signin.done", _("sign in")
    SIGN_IN_FAILED = "signin.failed", _("failed sign-in")
    SIGN_OUT = "signin.out", _("sign out")
    CONFIRMED = "signin.confirmed", _("confirm with password")
    SECOND_FACTOR = "signin.factor", _("change second factor")
    SESSION_ENDED = "signin.ended", _("end a session")
    ACCESS_REFUSED = "access.refused", _("refused access")
    KEYS_ROTATED = "keys.rotated", _("rotate encryption keys")
    SWEEP = "sweep.summary", _("summary of reading")
    UNREAD = "sweep.unread", _("time not read")
    FINDING_OPENED = "finding.opened", _("open finding")
    FINDING_EXPLAINED = "finding.explained", _("explain finding")
    FINDING_CLOSED = "finding.closed", _("close finding")
    EXPLANATION_SET = "explanation.set", _("set standing explanation")
    EXPLANATION_ENDED = "explanation.ended", _("end standing explanation")
    REGISTER_AMENDED = "register.amended", _("amend register")
    PERSONAL_DATA_MAP = "personal_data.map", _("change personal-data map")
    RECORD_VIEWED = "record.viewed", _("read the record")
    RECORD_EXPORTED = "record.exported", _("export the record")
    RECORD_VERIFIED = "record.verified", _("verify the record")
    CHECKPOINT = "record.checkpoint", _("checkpoint")
    WITNESS = "record.witness", _("send checkpoint outside")
    EPOCH_BEGUN = "record.epoch", _("begin an epoch")
    RETENTION_SET = "retention.set", _("set retention")
    CONTENT_EXPIRED = "retention.expired", _("expire contents")
    HOLD_PLACED = "hold.placed", _("place legal hold")
    HOLD_RELEASED = "hold.released", _("release legal hold")
    BACKUP = "backup.made", _("make a backup")
    RESTORE = "backup.restored", _("restore a backup")
    SETTINGS_CHANGED = "settings.changed", _("change settings")
    VIEW_SAVED = "view.saved", _("save a view")
    REVIEW_OPENED = "review.opened", _("open a review")
    REVIEW_SIGNED = "review.signed", _("sign a review")
    UNUSUAL_RULES = "unusual.rules", _("change rules for unusual exports")
    UNUSUAL_TOLD = "unusual.told", _("tell of unusual exports by mail")
    BATCH_COUNTED = "batch.counted", _("count a batch")
    RECORD_STREAMED = "record.streamed", _("hand the record to a collector")


class Outcome(models.TextChoices):
    REQUESTED = "requested", _("asked")
    SUCCEEDED = "succeeded", _("done")
    FAILED = "failed", _("failed")
    UNKNOWN = "unknown", _("not known")
    REFUSED = "refused", _("refused")


class AppendOnly(models.QuerySet[Any]):
    """Refuses what the triggers refuse too, with a sentence."""

    def _refuse(self, *_args: object, **_kwargs: object) -> NoReturn:
        raise PermissionError("The record can't be changed or deleted.")

    update = delete = bulk_update = bulk_create = update_or_create = _refuse


class Immutable(models.Model):
    """Rows that are written once; the database's triggers say the same."""

    objects = AppendOnly.as_manager()

    class Meta:
        abstract = True

    def save(self, *args: Any, **kwargs: Any) -> None:
        if not self._state.adding:
            raise PermissionError("The record can't be changed.")
        kwargs["force_insert"] = True
        super().save(*args, **kwargs)

    def delete(self, *_args: Any, **_kwargs: Any) -> NoReturn:
        raise PermissionError("The record can't be deleted.")


class Event(Immutable):
    """One link of the chain: digest of the content, and the value chained over the previous link."""

    seq = models.BigIntegerField(primary_key=True)
    epoch = models.PositiveIntegerField()
    digest = models.CharField(max_length=64)
    chain = models.CharField(max_length=64)

    class Meta:
        ordering = ["-seq"]

    def __str__(self) -> str:
        return str(self.seq)


class EventContent(Immutable):
    """Everything an event says. `text` is the canonical JSON whose SHA-256 is the event's digest."""

    event = models.OneToOneField(
        Event, models.DO_NOTHING, primary_key=True, db_column="seq", related_name="content", db_constraint=True
    )
    text = models.TextField()
    at = models.DateTimeField()
    actor_kind = models.CharField(max_length=10)
    actor_id = models.CharField(max_length=60, blank=True)
    actor_name = models.CharField(max_length=150)
    action = models.CharField(max_length=30, choices=Action)
    outcome = models.CharField(max_length=10, choices=Outcome)
    sentence = models.TextField()
    organization = models.ForeignKey(Organization, models.DO_NOTHING, null=True, related_name="+")
    organization_name = models.CharField(max_length=100, blank=True)
    sandbox = models.ForeignKey(Sandbox, models.DO_NOTHING, null=True, related_name="+")
    sandbox_name = models.CharField(max_length=100, blank=True)
    job_id = models.CharField(max_length=200, blank=True)
    request_uuid = models.UUIDField(null=True)
    attempt_uuid = models.UUIDField(null=True)
    correlation_id = models.CharField(max_length=64, blank=True)
    address = models.CharField(max_length=45, blank=True)

    class Meta:
        ordering = ["-event_id"]
        indexes = [
            models.Index(fields=["organization", "-event"], name="content_org"),
            models.Index(fields=["actor_name", "-event"], name="content_actor"),
            models.Index(fields=["action", "-event"], name="content_action"),
            models.Index(fields=["outcome", "-event"], name="content_outcome"),
            models.Index(fields=["at"], name="content_at"),
            models.Index(fields=["sandbox", "job_id", "-event"], name="content_job"),
            models.Index(fields=["sandbox", "-event"], name="content_sandbox"),
            models.Index(fields=["request_uuid", "-event"], name="content_request"),
            models.Index(fields=["correlation_id"], name="content_correlation"),
        ]

    def __str__(self) -> str:
        return self.sentence


class ContentExpiry(Immutable):
    """Allows the content of one event to be deleted after its time; the event stays as a tombstone."""

    seq = models.BigIntegerField(primary_key=True)
    at = models.DateTimeField()
    reason = models.CharField(max_length=200)

    def __str__(self) -> str:
        return str(self.seq)


class ChainHead(models.Model):
    """The newest link. One row, locked last in each transaction that writes an event."""

    id = models.PositiveSmallIntegerField(primary_key=True, default=1)
    epoch = models.PositiveIntegerField(default=1)
    seq = models.BigIntegerField(default=0)
    chain = models.CharField(max_length=64)

    def __str__(self) -> str:
        return f"{self.epoch}/{self.seq}"


class Settlement(models.TextChoices):
    NONE = "", _("nothing to settle")
    LOOKING = "looking", _("looking for it")
    ADOPTED = "adopted", _("found")
    RELEASED = "released", _("not found")
    PERSON = "person", _("waits for a person")


class Attempt(models.Model):
    """One remote change, write-ahead: opened with its event before the call, closed with the outcome's event.

    Moved by conditional update only, so that a late answer and the mirror can't both win.
    """

    class Kind(models.TextChoices):
        CREATE = "create", _("create")
        CANCEL = "cancel", _("cancel")

    class State(models.TextChoices):
        OPEN = "open", _("open")
        SUCCEEDED = "succeeded", _("done")
        FAILED = "failed", _("failed")
        UNKNOWN = "unknown", _("not known")

    uuid = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    kind = models.CharField(max_length=8, choices=Kind)
    state = models.CharField(max_length=10, choices=State, default=State.OPEN)
    sandbox = models.ForeignKey(Sandbox, models.PROTECT, related_name="attempts")
    export_request = models.ForeignKey(ExportRequest, models.PROTECT, null=True, related_name="attempts")
    job = models.ForeignKey(Job, models.PROTECT, null=True, related_name="attempts")
    # The actor as in the event, for the events that sync writes later on the person's behalf.
    actor = models.JSONField(default=dict)
    fingerprint = models.CharField(max_length=64, blank=True)
    opened_at = models.DateTimeField()
    deadline_at = models.DateTimeField()
    closed_at = models.DateTimeField(null=True)
    opened_seq = models.BigIntegerField()
    closed_seq = models.BigIntegerField(null=True)
    note = models.JSONField(default=dict)
    settlement = models.CharField(max_length=10, choices=Settlement, blank=True, default=Settlement.NONE)
    look_until_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ["-opened_at", "-pk"]
        indexes = [
            models.Index(fields=["state", "deadline_at"], name="attempt_open"),
            models.Index(fields=["sandbox", "settlement"], name="attempt_settlement"),
        ]

    def __str__(self) -> str:
        return str(self.uuid)
