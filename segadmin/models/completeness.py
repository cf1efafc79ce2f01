"""How completely Adobe's lists were read, and what was found that nobody here can explain."""

from django.db import models
from django.utils.translation import gettext_lazy as _

from segadmin.models.jobs import Job
from segadmin.models.organizations import Organization, Sandbox


class Reading(models.Model):
    """A stretch of time in which one sandbox was watched, closed about hourly by a sweep summary in the record (`seq`).

    The stretches of a sandbox follow each other without a gap while it is watched, and none reaches over midnight UTC;
    times in it that could not be read are rows of their own (`Unread`). `reads` counts lists read well, `sweeps` those
    of them read to their end, `jobs_listed` is what the last of these held. A list that broke off counts nowhere.
    """

    sandbox = models.ForeignKey(Sandbox, models.PROTECT, related_name="readings")
    from_at = models.DateTimeField()
    to_at = models.DateTimeField()
    reads = models.PositiveIntegerField(default=0)
    sweeps = models.PositiveIntegerField(default=0)
    jobs_listed = models.PositiveIntegerField(default=0)
    closed_at = models.DateTimeField(null=True)
    seq = models.BigIntegerField(null=True)

    class Meta:
        ordering = ["from_at", "pk"]
        indexes = [models.Index(fields=["sandbox", "from_at"], name="reading_from")]

    def __str__(self) -> str:
        return f"{self.from_at:%Y-%m-%d %H:%M}"


class Unread(models.Model):
    """A time in which Adobe's list was not read: Adobe did not answer, segadmin did not run, or it was not watched.

    Or of which it can't be told whether it was read, since the clock was set back.
    """

    class Why(models.TextChoices):
        ADOBE = "adobe", _("Adobe could not be read")
        STOPPED = "stopped", _("segadmin was not reading")
        UNWATCHED = "unwatched", _("not watched")
        # The day before it: times of the same name may have come twice, and which of them were read can't be told.
        CLOCK = "clock", _("the clock of this server was set back")

    sandbox = models.ForeignKey(Sandbox, models.PROTECT, related_name="unread")
    from_at = models.DateTimeField()
    to_at = models.DateTimeField(null=True)
    why = models.CharField(max_length=10, choices=Why)
    note = models.CharField(max_length=300, blank=True)
    seq = models.BigIntegerField(null=True)

    class Meta:
        ordering = ["from_at", "pk"]
        indexes = [models.Index(fields=["sandbox", "from_at"], name="unread_from")]

    def __str__(self) -> str:
        return f"{self.from_at:%Y-%m-%d %H:%M}"


class Explanation(models.Model):
    """A standing explanation of jobs from outside, such as Adobe's own daily schedule; valid for at most 12 months."""

    organization = models.ForeignKey(Organization, models.PROTECT, related_name="explanations")
    sandbox = models.ForeignKey(Sandbox, models.PROTECT, related_name="explanations")
    dataset_id = models.CharField(max_length=200)
    fields = models.JSONField(default=list)  # empty: all fields
    shape = models.CharField(max_length=64)  # fingerprint of audiences and filter
    owner = models.CharField(max_length=150)
    reason = models.TextField()
    valid_from_at = models.DateTimeField()
    valid_until_at = models.DateTimeField()
    set_by = models.CharField(max_length=150)
    set_at = models.DateTimeField()
    checked_by = models.CharField(max_length=150, blank=True)
    checked_at = models.DateTimeField(null=True)
    ended_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ["-set_at", "-pk"]

    def __str__(self) -> str:
        return self.reason[:50]


class Finding(models.Model):
    """Something that a person should look at. Closed with a note; an explanation needs a second person."""

    class Kind(models.TextChoices):
        OUTSIDE = "outside", _("from outside, not explained")
        LOST = "lost", _("answer lost")
        CHANGED = "changed", _("a job was changed at Adobe")
        SIZE = "size", _("size far from the estimate")
        GONE = "gone", _("a job is gone")
        RESET = "reset", _("many jobs are gone at once")
        # Unusual exports, each by a rule of the org.
        MANY = "many", _("unusually many profiles")
        HOUR = "hour", _("outside working hours")
        NEW_DATA = "new_data", _("kind of personal data new to its place")
        FIRST = "first", _("first of its kind by this person")

    class State(models.TextChoices):
        OPEN = "open", _("open")
        EXPLAINED = "explained", _("explained, not checked")
        CLOSED = "closed", _("closed")

    organization = models.ForeignKey(Organization, models.PROTECT, related_name="findings")
    sandbox = models.ForeignKey(Sandbox, models.PROTECT, related_name="findings")
    kind = models.CharField(max_length=10, choices=Kind)
    state = models.CharField(max_length=10, choices=State, default=State.OPEN)
    job = models.ForeignKey(Job, models.PROTECT, null=True, related_name="findings")
    request_uuid = models.UUIDField(null=True)
    key = models.CharField(max_length=200)
    sentence = models.TextField()
    found_at = models.DateTimeField()
    explained_by = models.CharField(max_length=150, blank=True)
    explained_at = models.DateTimeField(null=True)
    explanation = models.ForeignKey(Explanation, models.PROTECT, null=True, related_name="findings")
    note = models.TextField(blank=True)
    closed_by = models.CharField(max_length=150, blank=True)
    closed_at = models.DateTimeField(null=True)
    seq = models.BigIntegerField(null=True)

    class Meta:
        ordering = ["-found_at", "-pk"]
        constraints = [models.UniqueConstraint(fields=["sandbox", "kind", "key"], name="finding_once")]
        indexes = [models.Index(fields=["organization", "state", "-found_at"], name="finding_open")]

    def __str__(self) -> str:
        return self.sentence[:50]
