"""How long what is kept, legal holds, and the settings of the whole installation."""

from django.db import models
from django.utils.translation import gettext_lazy as _

from segadmin.models.audit import Immutable
from segadmin.models.organizations import Organization
from segadmin.models.people import User


class Installation(models.Model):
    """The one row of settings that hold for the whole installation; each change is an event."""

    id = models.PositiveSmallIntegerField(primary_key=True, default=1)
    register_months = models.PositiveSmallIntegerField(default=36)
    access_months = models.PositiveSmallIntegerField(default=12)
    retention_reason = models.TextField(blank=True)
    witness_mail = models.CharField(max_length=300, blank=True)
    witness_webhook = models.CharField(max_length=300, blank=True)
    checkpoint_minutes = models.PositiveSmallIntegerField(default=60)
    last_expiry_at = models.DateTimeField(null=True)
    version = models.PositiveIntegerField(default=1)

    def __str__(self) -> str:
        return "installation"


class Hold(Immutable):
    """A legal hold is placed by one row and released by another; rows are never changed."""

    class Kind(models.TextChoices):
        JOB = "job", _("one job")
        PERSON = "person", _("one person")
        PERIOD = "period", _("a period")

    class Move(models.TextChoices):
        PLACE = "place", _("placed")
        RELEASE = "release", _("released")

    move = models.CharField(max_length=8, choices=Move)
    # The row that placed it, for a release.
    places = models.ForeignKey("self", models.DO_NOTHING, null=True, related_name="releases")
    kind = models.CharField(max_length=8, choices=Kind)
    organization = models.ForeignKey(Organization, models.DO_NOTHING, null=True, related_name="+")
    sandbox_name = models.CharField(max_length=100, blank=True)
    job_id = models.CharField(max_length=200, blank=True)
    # The job's request, so that what was recorded before the job had an id is held too.
    request_uuid = models.UUIDField(null=True)
    person = models.CharField(max_length=150, blank=True)
    from_at = models.DateTimeField(null=True)
    until_at = models.DateTimeField(null=True)
    reason = models.TextField()
    by = models.CharField(max_length=150)
    at = models.DateTimeField()
    seq = models.BigIntegerField()

    class Meta:
        ordering = ["-at", "-pk"]

    def __str__(self) -> str:
        return f"{self.move} {self.kind}"


class SavedView(models.Model):
    """A search kept under a name: private, or shared with everybody who may read the page in an org.

    Shared without an org: with those who may read it in the whole installation.
    """

    owner = models.ForeignKey(User, models.CASCADE, related_name="saved_views")
    page = models.CharField(max_length=10)  # audit, register, jobs
    name = models.CharField(max_length=100)
    query = models.TextField()
    shared = models.BooleanField(default=False)
    organization = models.ForeignKey(Organization, models.CASCADE, null=True, blank=True, related_name="saved_views")
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["name", "pk"]
        constraints = [models.UniqueConstraint(fields=["owner", "page", "name"], name="view_once")]

    def __str__(self) -> str:
        return self.name
