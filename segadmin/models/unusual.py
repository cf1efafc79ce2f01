"""Rules for unusual exports, one row for each org and kind that was changed; and where their findings are told."""

from django.db import models
from django.utils.translation import gettext_lazy as _

from segadmin.models.organizations import Organization
from segadmin.models.proof import NOT_KNOWN


class UnusualRule(models.Model):
    """How one kind of unusual export is recognised in an org. No row: the built-in values hold.

    `values` by kind. many: times (of the usual number of profiles), most (a number that is too many in any case, or
    null). hour: from_hour, to_hour, days ("12345" is Monday to Friday), zone. The others have none.
    """

    class Kind(models.TextChoices):
        MANY = "many", _("unusually many profiles")
        HOUR = "hour", _("outside working hours")
        NEW_DATA = "new_data", _("kind of personal data new to its place")
        FIRST = "first", _("first of its kind by this person")

    organization = models.ForeignKey(Organization, models.PROTECT, related_name="unusual_rules")
    kind = models.CharField(max_length=10, choices=Kind)
    on = models.BooleanField(default=True)
    values = models.JSONField(default=dict)
    version = models.PositiveIntegerField(default=1)
    set_by = models.CharField(max_length=150)
    set_at = models.DateTimeField()

    class Meta:
        ordering = ["organization", "kind"]
        constraints = [models.UniqueConstraint(fields=["organization", "kind"], name="unusual_rule_once")]

    def __str__(self) -> str:
        return f"{self.kind} {'on' if self.on else 'off'}"


class UnusualMail(models.Model):
    """Where an org's unusual exports are told by mail, and what was told so far. No row: the witness is told."""

    class To(models.TextChoices):
        WITNESS = "witness", _("the outside witness of the record")
        OWN = "own", _("an address of this organization")
        NOBODY = "nobody", _("nobody")

    organization = models.OneToOneField(Organization, models.PROTECT, related_name="unusual_mail")
    to = models.CharField(max_length=10, choices=To, default=To.WITNESS)
    mail = models.CharField(max_length=300, blank=True)
    version = models.PositiveIntegerField(default=1)
    # The newest finding that a mail told, or that was left out because nobody was to be told then.
    told_finding = models.BigIntegerField(default=0)
    tried_at = models.DateTimeField(null=True)
    sent_at = models.DateTimeField(null=True)
    problem = models.CharField(max_length=300, blank=True)

    class Meta:
        ordering = ["organization"]

    def __str__(self) -> str:
        return self.to

    @property
    def is_unsure(self) -> bool:
        """The last mail may have arrived: it is being sent, or that it was could not be kept."""
        return self.problem == NOT_KNOWN
