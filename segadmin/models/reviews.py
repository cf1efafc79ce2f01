"""Periodic reviews: what an org's exports and their record looked like at one moment, and who signed for having read it."""

from django.db import models
from django.utils.translation import gettext_lazy as _

from segadmin.models.audit import Immutable
from segadmin.models.organizations import Organization


class Review(Immutable):
    """One review as it was opened. `told` is everything that its page shows; `digest` its SHA-256, also in the record.

    `first` and `last` are days in UTC, both included; `seq` is the newest record when it was made.
    """

    organization = models.ForeignKey(Organization, models.DO_NOTHING, related_name="reviews")
    first = models.DateField()
    last = models.DateField()
    opened_at = models.DateTimeField()
    opened_by = models.CharField(max_length=150)
    told = models.JSONField()
    digest = models.CharField(max_length=64)
    up_to = models.BigIntegerField()
    seq = models.BigIntegerField()

    class Meta:
        ordering = ["-pk"]
        indexes = [models.Index(fields=["organization", "first", "last"], name="review_period")]

    def __str__(self) -> str:
        return f"{self.first} to {self.last}"


class SignOff(Immutable):
    """The signature under a review; there is one, and it stays."""

    class Verdict(models.TextChoices):
        REVIEWED = "reviewed", _("reviewed")
        OPEN = "open", _("reviewed with open findings")

    review = models.OneToOneField(Review, models.DO_NOTHING, related_name="sign_off")
    verdict = models.CharField(max_length=10, choices=Verdict)
    note = models.TextField()
    by = models.CharField(max_length=150)
    at = models.DateTimeField()
    seq = models.BigIntegerField()

    class Meta:
        ordering = ["-pk"]

    def __str__(self) -> str:
        return f"{self.verdict} by {self.by}"
