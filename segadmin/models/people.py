"""People and their roles. A membership without an organization holds for the whole installation."""

from typing import ClassVar

from django.contrib.auth.models import AbstractUser
from django.db import models
from django.utils.translation import gettext_lazy as _

from segadmin.models.organizations import Organization


class Role(models.TextChoices):
    VIEWER = "viewer", _("viewer")
    OPERATOR = "operator", _("operator")
    APPROVER = "approver", _("approver")
    AUDITOR = "auditor", _("auditor")
    ADMIN = "admin", _("admin")


class User(AbstractUser):
    """A person with an account. Closing it sets is_active to False; the row stays."""

    zone = models.CharField(max_length=64, default="UTC")
    single_keys = models.BooleanField(default=False)

    class Meta(AbstractUser.Meta):
        ordering: ClassVar[list[str]] = ["username", "pk"]


class Membership(models.Model):
    """One role of one person, in one org or (organization null) in the whole installation."""

    user = models.ForeignKey(User, models.CASCADE, related_name="memberships")
    organization = models.ForeignKey(Organization, models.CASCADE, related_name="memberships", null=True, blank=True)
    role = models.CharField(max_length=10, choices=Role)
    ends_at = models.DateTimeField(null=True, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["organization__name", "role", "pk"]
        constraints = [
            models.UniqueConstraint(fields=["user", "organization", "role"], name="membership_once"),
            models.UniqueConstraint(
                fields=["user", "role"], condition=models.Q(organization=None), name="membership_everywhere_once"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.user_id} {self.role} {self.organization_id or 'everywhere'}"
