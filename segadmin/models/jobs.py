"""The mirror: our copy of each sandbox's export jobs, their changes, and the names behind ids."""

from django.db import models
from django.utils.translation import gettext_lazy as _

from segadmin.models.organizations import Sandbox
from segadmin.models.requests import ExportRequest


class State(models.TextChoices):
    WAITING = "waiting", _("Waiting at Adobe")
    RUNNING = "running", _("Running at Adobe")
    CANCELLING = "cancelling", _("Cancelling")
    SUCCEEDED = "succeeded", _("Finished")
    FAILED = "failed", _("Failed")
    CANCELLED = "cancelled", _("Cancelled")
    UNKNOWN = "unknown", _("Not known")

    @classmethod
    def final(cls) -> tuple["State", ...]:
        """States that no longer change; `unknown` is not one of them and goes on being polled."""
        return (cls.SUCCEEDED, cls.FAILED, cls.CANCELLED)


class Origin(models.TextChoices):
    HERE = "here", _("started here")
    OUTSIDE = "outside", _("from outside segadmin")
    OLDER = "older", _("older than this connection")
    # Seen while an attempt with the same request is still open: not told yet whose it is.
    MATCHING = "matching", _("being matched")


class Job(models.Model):
    """One export job as Adobe last told it. Never deleted here."""

    sandbox = models.ForeignKey(Sandbox, models.PROTECT, related_name="jobs")
    job_id = models.CharField(max_length=200)
    export_request = models.OneToOneField(ExportRequest, models.PROTECT, related_name="job", null=True)
    origin = models.CharField(max_length=10, choices=Origin, default=Origin.OUTSIDE)
    state = models.CharField(max_length=12, choices=State)
    status = models.CharField(max_length=60, blank=True)
    # Grows with every visible change; a poll carries pk:version.
    version = models.PositiveIntegerField(default=1)
    raw = models.JSONField(default=dict)

    dataset_id = models.CharField(max_length=200, blank=True)
    fields = models.TextField(blank=True)
    has_fields = models.BooleanField(default=False)
    audience_ids = models.JSONField(default=list)
    batch_ids = models.JSONField(default=list)
    profiles = models.BigIntegerField(null=True)
    # Records of its batches by Adobe's catalog, read where Adobe's job has no count; and when to look for them next.
    batch_records = models.BigIntegerField(null=True)
    batch_due_at = models.DateTimeField(null=True)
    remarks = models.PositiveIntegerField(default=0)
    adobe_request_id = models.CharField(max_length=200, blank=True)
    fingerprint = models.CharField(max_length=64, blank=True)
    # Adobe's times; ended_at is the end of metrics.totalTime, or when we saw the end.
    created_at = models.DateTimeField(null=True)
    ended_at = models.DateTimeField(null=True)
    # Never null: Adobe's creation time, or our first sight.
    sort_at = models.DateTimeField()
    # Lower-case words for `q`: ids, names as known then, person, ticket, recipient.
    search = models.TextField(blank=True)
    person = models.CharField(max_length=150, blank=True)

    first_seen_at = models.DateTimeField()
    last_seen_at = models.DateTimeField()
    changed_at = models.DateTimeField()
    next_look_at = models.DateTimeField(null=True)
    missing_since_at = models.DateTimeField(null=True)
    aged_out_at = models.DateTimeField(null=True)

    cancel_asked_at = models.DateTimeField(null=True)
    cancel_asked_by = models.CharField(max_length=150, blank=True)
    cancel_reason = models.TextField(blank=True)
    # asked (being sent), acknowledged, refused, unknown, late (Adobe took longer than the limit)
    cancel_result = models.CharField(max_length=16, blank=True)
    cancel_until_at = models.DateTimeField(null=True)

    # False after each change, until the search for findings has looked at it again; `judged_as` is what it was then:
    # {"dataset", "fields", "audiences", "shape"}, empty while Adobe has not told.
    judged = models.BooleanField(default=False)
    judged_as = models.JSONField(default=dict)
    # The standing explanation that covers a job from outside.
    explanation = models.ForeignKey("segadmin.Explanation", models.PROTECT, null=True, related_name="jobs")
    # The finding that says that it is gone, alone or among many.
    gone_finding = models.ForeignKey("segadmin.Finding", models.PROTECT, null=True, related_name="gone_jobs")

    class Meta:
        ordering = ["-sort_at", "-pk"]
        constraints = [models.UniqueConstraint(fields=["sandbox", "job_id"], name="job_once_per_sandbox")]
        indexes = [
            models.Index(fields=["sandbox", "-sort_at", "-id"], name="job_keyset"),
            models.Index(fields=["sandbox", "state", "-sort_at", "-id"], name="job_keyset_state"),
            models.Index(fields=["sandbox", "fingerprint", "first_seen_at"], name="job_fingerprint"),
            models.Index(fields=["job_id"], name="job_by_id"),
            models.Index(fields=["sandbox", "ended_at"], name="job_ended"),
            models.Index(fields=["sandbox"], name="job_unjudged", condition=models.Q(judged=False)),
            models.Index(
                fields=["sandbox", "batch_due_at"], name="job_batch_due", condition=models.Q(batch_due_at__isnull=False)
            ),
        ]

    def __str__(self) -> str:
        return self.job_id

    @property
    def is_final(self) -> bool:
        return self.state in State.final()

    @property
    def counted(self) -> int | None:
        """Adobe's own count of profiles, else the records of its batches; None where neither is known."""
        return self.profiles if self.profiles is not None else self.batch_records

    @property
    def is_empty(self) -> bool:
        """Finished with a reported count of 0; "not reported" is not empty."""
        return self.state == State.SUCCEEDED and self.profiles == 0


class JobChange(models.Model):
    """One change of state as segadmin saw it."""

    job = models.ForeignKey(Job, models.PROTECT, related_name="changes")
    at = models.DateTimeField()
    from_state = models.CharField(max_length=12, blank=True)
    to_state = models.CharField(max_length=12)
    status = models.CharField(max_length=60, blank=True)
    note = models.CharField(max_length=200, blank=True)

    class Meta:
        ordering = ["at", "pk"]

    def __str__(self) -> str:
        return f"{self.from_state} to {self.to_state}"


class BadRecord(models.Model):
    """A list entry that could not be read as a job; kept raw, counted and shown."""

    sandbox = models.ForeignKey(Sandbox, models.PROTECT, related_name="unreadable")
    digest = models.CharField(max_length=64)
    raw = models.JSONField()
    reason = models.CharField(max_length=300)
    first_seen_at = models.DateTimeField()
    last_seen_at = models.DateTimeField()

    class Meta:
        ordering = ["-last_seen_at", "-pk"]
        constraints = [models.UniqueConstraint(fields=["sandbox", "digest"], name="bad_record_once")]

    def __str__(self) -> str:
        return self.reason


class Name(models.Model):
    """A name behind an id, as last read from Adobe."""

    class Kind(models.TextChoices):
        AUDIENCE = "audience", _("audience")
        DATASET = "dataset", _("dataset")
        MERGE_POLICY = "merge_policy", _("merge policy")
        FIELD = "field", _("field")

    sandbox = models.ForeignKey(Sandbox, models.CASCADE, related_name="names")
    kind = models.CharField(max_length=12, choices=Kind)
    external_id = models.CharField(max_length=300)
    namespace = models.CharField(max_length=60, blank=True)
    name = models.CharField(max_length=300, blank=True)
    details = models.JSONField(default=dict)
    read_at = models.DateTimeField()
    gone_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ["name", "external_id", "pk"]
        constraints = [models.UniqueConstraint(fields=["sandbox", "kind", "external_id"], name="name_once")]

    def __str__(self) -> str:
        return self.name or self.external_id
