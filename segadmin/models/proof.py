"""Proof beyond the chain: signed checkpoints, what became of sending them outside, verifications, and files given out."""

from django.db import models
from django.utils.translation import gettext_lazy as _

from segadmin.models.audit import Immutable


class SigningKey(Immutable):
    """A public key of checkpoints, with its first use; the private one never comes near the database."""

    key_id = models.CharField(primary_key=True, max_length=16)
    public = models.CharField(max_length=64)
    first_used_at = models.DateTimeField()
    seq = models.BigIntegerField()

    class Meta:
        ordering = ["first_used_at", "key_id"]

    def __str__(self) -> str:
        return self.key_id

    @property
    def text(self) -> str:
        """As in public_keys.txt."""
        return f"segadmin-key-1 {self.key_id} {self.public} {self.first_used_at:%Y-%m-%dT%H:%M:%SZ}"


class Checkpoint(Immutable):
    """A signed head of the record. `previous` is the SHA-256 of the checkpoint before; `line` the text that is signed."""

    number = models.BigIntegerField(primary_key=True)
    epoch = models.PositiveIntegerField()
    seq = models.BigIntegerField()
    count = models.BigIntegerField()
    chain = models.CharField(max_length=64)
    at = models.DateTimeField()
    previous = models.CharField(max_length=64)
    key_id = models.CharField(max_length=16)
    signature = models.CharField(max_length=128)
    line = models.TextField()

    class Meta:
        ordering = ["-number"]

    def __str__(self) -> str:
        return f"{self.number} at record {self.seq}"

    @property
    def text(self) -> str:
        """The whole line, as in checkpoints.txt."""
        return f"{self.line} {self.signature}"


# What stands where something is kept before it is sent, until it is kept how that went.
NOT_KNOWN = "It was about to be sent; whether it arrived is not known."


class Delivery(models.Model):
    """One checkpoint on its way to an outside witness; kept before it is sent, and then with how that went."""

    checkpoint = models.ForeignKey(Checkpoint, models.DO_NOTHING, related_name="deliveries")
    kind = models.CharField(max_length=10)  # mail or webhook
    address = models.CharField(max_length=300)
    at = models.DateTimeField()
    ok = models.BooleanField()
    note = models.CharField(max_length=300, blank=True)

    class Meta:
        ordering = ["-at", "-pk"]

    def __str__(self) -> str:
        return f"{self.kind} {self.at:%Y-%m-%d}"

    @property
    def is_unsure(self) -> bool:
        """It may have arrived: it is being sent, or segadmin was stopped meanwhile, or the record took nothing more."""
        return not self.ok and self.note == NOT_KNOWN


class Verification(models.Model):
    """The result of one run of the verifier, for the audit page."""

    at = models.DateTimeField()
    by = models.CharField(max_length=150)
    ok = models.BooleanField()
    first = models.BigIntegerField(default=0)
    last = models.BigIntegerField(default=0)
    with_content = models.BigIntegerField(default=0)
    by_digest_only = models.BigIntegerField(default=0)
    missing = models.BigIntegerField(default=0)
    damage = models.JSONField(default=list)
    remarks = models.JSONField(default=list)
    # Checkpoints that agree; `outside` counts those that were handed in from outside.
    checkpoints = models.PositiveIntegerField(default=0)
    outside = models.PositiveIntegerField(default=0)
    seconds = models.FloatField(default=0)
    full = models.BooleanField(default=True)

    class Meta:
        ordering = ["-at", "-pk"]

    def __str__(self) -> str:
        return f"{self.first} to {self.last}"


class FileReceipt(models.Model):
    """A file that left: how it was made and its hash, so that a copy can be checked against it."""

    class Kind(models.TextChoices):
        CSV = "csv", _("CSV")
        JSONL = "jsonl", _("JSON Lines")
        EVIDENCE = "evidence", _("evidence pack")

    code = models.CharField(max_length=40, unique=True)
    kind = models.CharField(max_length=10, choices=Kind)
    what = models.CharField(max_length=20)  # audit, register, answers
    at = models.DateTimeField()
    by = models.CharField(max_length=150)
    filter = models.JSONField(default=dict)
    zone = models.CharField(max_length=64)
    cut_off = models.BigIntegerField()
    rows = models.BigIntegerField(null=True)
    size = models.BigIntegerField(null=True)
    sha256 = models.CharField(max_length=64, blank=True, db_index=True)
    version = models.CharField(max_length=40)
    finished_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ["-at", "-pk"]

    def __str__(self) -> str:
        return self.code
