"""How far the record has been handed to a log collector."""

from django.db import models


class Stream(models.Model):
    """One collector that the record goes to; `target` names it without what lets anybody in.

    Moved by conditional update only. `claimed_until`: a process is handing over until then, so others leave it.
    """

    target = models.CharField(max_length=300, unique=True)
    seq = models.BigIntegerField(default=0)
    at = models.DateTimeField(null=True)
    claimed_until = models.DateTimeField(null=True)
    failing_since = models.DateTimeField(null=True)
    problem = models.CharField(max_length=300, blank=True)

    class Meta:
        ordering = ["pk"]

    def __str__(self) -> str:
        return self.target
