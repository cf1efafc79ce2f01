"""The export register: one row per export, kept in step with requests and jobs; and its amendments."""

from django.db import models
from django.utils.translation import gettext_lazy as _

from segadmin.models.audit import Immutable
from segadmin.models.jobs import Job
from segadmin.models.organizations import Organization, Sandbox
from segadmin.models.requests import ExportRequest


class DataLeft(models.TextChoices):
    YES = "yes", _("yes")
    POSSIBLY = "possibly", _("possibly")
    NO = "no", _("no")
    NOT_YET = "not_yet", _("not known yet")


class ProfileSource(models.TextChoices):
    ADOBE = "adobe", _("Adobe's count")
    BATCH = "batch", _("batch")
    ESTIMATE = "estimate", _("estimate")
    NONE = "none", _("not reported")


class ExportOutcome(models.TextChoices):
    """What became of an export: of the request while there is no job, else of the job."""

    ASKED = "asked", _("being sent")
    UNKNOWN = "unknown", _("not known")
    REFUSED = "refused", _("refused by Adobe")
    NOT_SENT = "not_sent", _("not sent")
    RELEASED = "released", _("not found at Adobe")
    WAITING = "waiting", _("waiting at Adobe")
    RUNNING = "running", _("running at Adobe")
    CANCELLING = "cancelling", _("being cancelled")
    SUCCEEDED = "succeeded", _("finished")
    FAILED = "failed", _("failed")
    CANCELLED = "cancelled", _("cancelled")
    MISSING = "missing", _("no longer listed by Adobe")
    # Turned out to be another row's export; kept for its corrections, shown nowhere.
    MERGED = "merged", _("part of another row")


class Category(models.TextChoices):
    """Kinds of personal data, in the order in which pages name them."""

    EMAIL = "email", _("e-mail")
    PHONE = "phone", _("phone")
    NAME = "name", _("name")
    IDENTIFIER = "identifier", _("identifier")
    LOCATION = "location", _("location")
    BIRTH = "birth", _("birth date")
    DETAILS = "details", _("personal details")
    FINANCIAL = "financial", _("financial")
    HEALTH = "health", _("health")
    RELIGION = "religion", _("religion or belief")
    POLITICS = "politics", _("political opinion")
    ETHNICITY = "ethnicity", _("ethnic origin")
    ORIENTATION = "orientation", _("sex life or orientation")
    UNION = "union", _("trade union membership")
    GENETIC = "genetic", _("genetic")
    BIOMETRIC = "biometric", _("biometric")
    SPECIAL = "special", _("special category")
    OTHER = "other", _("other personal data")

    @classmethod
    def special(cls) -> frozenset["Category"]:
        """The special categories of article 9 of the GDPR; `SPECIAL` where it is not said which."""
        return frozenset(
            {
                cls.HEALTH,
                cls.RELIGION,
                cls.POLITICS,
                cls.ETHNICITY,
                cls.ORIENTATION,
                cls.UNION,
                cls.GENETIC,
                cls.BIOMETRIC,
                cls.SPECIAL,
            }
        )


class RegisterEntry(models.Model):
    """A projection: everything in it can be built again from request, job and amendments. Never the source of truth."""

    sandbox = models.ForeignKey(Sandbox, models.PROTECT, related_name="register")
    organization = models.ForeignKey(Organization, models.PROTECT, related_name="register")
    export_request = models.OneToOneField(ExportRequest, models.PROTECT, null=True, related_name="entry")
    job = models.OneToOneField(Job, models.PROTECT, null=True, related_name="entry")
    outcome = models.CharField(max_length=12, choices=ExportOutcome)
    origin = models.CharField(max_length=10)
    asked_at = models.DateTimeField(null=True)
    approved_at = models.DateTimeField(null=True)
    sent_at = models.DateTimeField(null=True)
    ended_at = models.DateTimeField(null=True)
    # Never null: asked, else made at Adobe, else first seen.
    sort_at = models.DateTimeField()
    person = models.CharField(max_length=150, blank=True)
    approver = models.CharField(max_length=150, blank=True)
    audience_ids = models.JSONField(default=list)
    # [{"id", "name", "evaluated_at"}] as named then
    audiences = models.JSONField(default=list)
    fields = models.JSONField(default=list)
    all_fields = models.BooleanField(default=False)
    with_events = models.BooleanField(default=False)
    pii_certain = models.JSONField(default=list)
    pii_possible = models.JSONField(default=list)
    pii_map_version = models.PositiveIntegerField(default=0)
    dataset_id = models.CharField(max_length=200, blank=True)
    dataset_name = models.CharField(max_length=300, blank=True)
    batch_ids = models.JSONField(default=list)
    recipient = models.CharField(max_length=300, blank=True)
    purpose = models.TextField(blank=True)
    legal_basis = models.CharField(max_length=40, blank=True)
    ticket = models.CharField(max_length=100, blank=True)
    amended = models.PositiveIntegerField(default=0)
    profiles = models.BigIntegerField(null=True)
    profile_source = models.CharField(max_length=10, choices=ProfileSource, default=ProfileSource.NONE)
    data_left = models.CharField(max_length=10, choices=DataLeft, default=DataLeft.NOT_YET)
    # For filters on both databases: "|health|!|?phone|" (a question mark before the possible kinds, an exclamation mark
    # for any special category), and in small letters
    # "|personalemail.address|identitymap|" and "|audience id|audience name|".
    pii_words = models.CharField(max_length=400, blank=True)
    # The same as bits (segadmin.queries.terms), for counting.
    pii_mask = models.BigIntegerField(default=0)
    field_words = models.TextField(blank=True)
    audience_words = models.TextField(blank=True)
    search = models.TextField(blank=True)
    version = models.PositiveIntegerField(default=1)

    class Meta:
        ordering = ["-sort_at", "-pk"]
        indexes = [
            # Begins with the list's order; the rest is what totals are counted by, so that they need no row.
            models.Index(
                fields=[
                    "organization",
                    "-sort_at",
                    "-id",
                    "sandbox",
                    "outcome",
                    "origin",
                    "data_left",
                    "pii_mask",
                    "profile_source",
                    "profiles",
                    "ended_at",
                ],
                name="register_counted",
            ),
            models.Index(fields=["sandbox", "-sort_at", "-id"], name="register_sandbox"),
            models.Index(fields=["dataset_id", "-sort_at"], name="register_dataset"),
            models.Index(fields=["person", "-sort_at"], name="register_person"),
            models.Index(fields=["-sort_at", "-id"], name="register_keyset"),
            models.Index(fields=["organization", "ended_at"], name="register_ended"),
        ]

    def __str__(self) -> str:
        return f"register {self.pk}"


class RegisterTerm(models.Model):
    """One word or value by which a row is found (segadmin.queries.terms). Can be made again from the row at any time."""

    entry = models.ForeignKey(RegisterEntry, models.CASCADE, related_name="terms", db_index=False)
    # The row's own, so that an index holds each term's rows in the order of the list.
    sandbox = models.ForeignKey(Sandbox, models.CASCADE, related_name="+", db_index=False, db_constraint=False)
    key = models.BigIntegerField()
    # The row's sort_at, in microseconds since 1970.
    sort = models.BigIntegerField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["entry", "key"], name="term_once")]
        indexes = [models.Index(fields=["key", "sandbox", "-sort", "-entry"], name="term_rows")]

    def __str__(self) -> str:
        return f"{self.key} of {self.entry_id}"


class RegisterValue(models.Model):
    """The text behind the key of a term, where a part of it is enough to look for. May stand twice."""

    kind = models.PositiveSmallIntegerField()
    key = models.BigIntegerField(db_index=True)
    value = models.CharField(max_length=500)

    class Meta:
        indexes = [
            # On PostgreSQL for patterns, whatever the order of letters; elsewhere plain.
            models.Index(fields=["kind", "value"], name="value_text", opclasses=["int2_ops", "varchar_pattern_ops"])
        ]

    def __str__(self) -> str:
        return self.value


class Amendment(Immutable):
    """A later correction of one field; the original stays as it was."""

    entry = models.ForeignKey(RegisterEntry, models.DO_NOTHING, related_name="amendments")
    field = models.CharField(max_length=20)
    old = models.TextField(blank=True)
    new = models.TextField(blank=True)
    why = models.TextField()
    by = models.CharField(max_length=150)
    at = models.DateTimeField()
    seq = models.BigIntegerField()

    class Meta:
        ordering = ["at", "pk"]

    def __str__(self) -> str:
        return f"{self.field} of {self.entry_id}"


class PersonalDataMap(models.Model):
    """One version of an org's map from field patterns (and audience patterns) to categories of personal data."""

    organization = models.ForeignKey(Organization, models.PROTECT, related_name="personal_data_maps")
    version = models.PositiveIntegerField()
    # [{"pattern": "personalEmail", "category": "email", "kind": "field"|"audience", "possible": false}];
    # the category is one of Category, or "none" for fields that say nothing about a person.
    entries = models.JSONField(default=list)
    # Whether it also holds for exports of the time before it was set.
    retroactive = models.BooleanField(default=False)
    set_by = models.CharField(max_length=150)
    set_at = models.DateTimeField()

    class Meta:
        ordering = ["-version"]
        constraints = [models.UniqueConstraint(fields=["organization", "version"], name="map_version_once")]

    def __str__(self) -> str:
        return f"map {self.version}"
