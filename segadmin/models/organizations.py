"""IMS orgs and their sandboxes, with the mirror's bookkeeping per sandbox."""

import uuid

from django.core.validators import RegexValidator
from django.db import models
from django.utils.translation import gettext_lazy as _

ADOBE_API_URL = "https://platform.adobe.io"
ADOBE_TOKEN_URL = "https://ims-na1.adobelogin.com/ims/token/v3"  # noqa: S105 - an address, not a secret


class Organization(models.Model):
    """One IMS org. Removing it sets `retired_at`; its jobs and record stay."""

    uuid = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    slug = models.SlugField(
        max_length=50,
        unique=True,
        validators=[RegexValidator(r"^[a-z0-9][a-z0-9-]*$", _("Use small letters, digits and hyphens."))],
    )
    name = models.CharField(max_length=100)
    ims_org_id = models.CharField(
        max_length=100,
        validators=[
            RegexValidator(r"^[A-Za-z0-9]+@AdobeOrg$", _("It ends in @AdobeOrg, as Adobe's console shows it."))
        ],
    )
    api_url = models.CharField(max_length=200, default=ADOBE_API_URL)
    token_url = models.CharField(max_length=200, default=ADOBE_TOKEN_URL)
    created_at = models.DateTimeField(auto_now_add=True)
    retired_at = models.DateTimeField(null=True, blank=True)
    # Adobe asked for a pause (429): no call to this org before then.
    not_before_at = models.DateTimeField(null=True, blank=True)
    sandboxes_found_at = models.DateTimeField(null=True, blank=True)
    sandboxes_due_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["name", "pk"]

    def __str__(self) -> str:
        return self.name

    @property
    def is_adobe(self) -> bool:
        """False marks an org whose API isn't Adobe's own host (a stand-in, a test server)."""
        return self.api_url in {ADOBE_API_URL, "https://platform-stage.adobe.io"}


class Sandbox(models.Model):
    """One sandbox of an org. Watched ones are mirrored; exports can be forbidden one by one."""

    organization = models.ForeignKey(Organization, models.PROTECT, related_name="sandboxes")
    name = models.CharField(max_length=100)
    title = models.CharField(max_length=200, blank=True)
    # Adobe's word: "production" or "development"; empty while not known.
    type = models.CharField(max_length=40, blank=True)
    adobe_state = models.CharField(max_length=40, blank=True)
    region = models.CharField(max_length=40, blank=True)
    is_default = models.BooleanField(default=False)
    watched = models.BooleanField(default=False)
    exports_allowed = models.BooleanField(default=False)
    created_at = models.DateTimeField(auto_now_add=True)
    found_at = models.DateTimeField(null=True, blank=True)
    # When watching began: jobs made before are "older than this connection".
    connected_at = models.DateTimeField(null=True, blank=True)

    # The mirror's claim: due time and a lease; a write is fenced by the token.
    due_at = models.DateTimeField(null=True, blank=True)
    lease_until = models.DateTimeField(null=True, blank=True)
    lease_token = models.CharField(max_length=40, blank=True)
    last_read_at = models.DateTimeField(null=True, blank=True)
    last_sweep_at = models.DateTimeField(null=True, blank=True)  # None: the whole list is read next
    # When the list was last read to its end; stays where `last_sweep_at` is emptied.
    swept_at = models.DateTimeField(null=True, blank=True)
    sweep_count = models.PositiveIntegerField(default=0)
    # Jobs that the last sweep did not show and that were not looked up yet.
    absent_jobs = models.PositiveIntegerField(default=0)
    names_read_at = models.DateTimeField(null=True, blank=True)
    batches_due_at = models.DateTimeField(null=True, blank=True)
    failures = models.PositiveIntegerField(default=0)
    failing_since_at = models.DateTimeField(null=True, blank=True)
    last_error = models.TextField(blank=True)
    last_error_at = models.DateTimeField(null=True, blank=True)
    last_error_request_id = models.CharField(max_length=200, blank=True)
    bad_records = models.PositiveIntegerField(default=0)
    # Seconds that the clock of this server was ahead of Adobe's at the last reading, by the Date of its answer; 0 within 2.
    clock_ahead = models.IntegerField(null=True, blank=True)

    class Meta:
        ordering = ["organization__name", "name", "pk"]
        constraints = [models.UniqueConstraint(fields=["organization", "name"], name="sandbox_once_per_org")]

    def __str__(self) -> str:
        return f"{self.organization.name} / {self.name}"

    @property
    def is_production(self) -> bool:
        """Unknown counts as production."""
        return self.type != "development"

    @property
    def type_word(self) -> str:
        """ "production", "development", or that Adobe has not said."""
        return self.type or str(_("type not known"))
