"""Changes to people: accounts and roles."""

from segadmin.models import User


def choose_zone(user: User, *, zone: str) -> None:
    """A person's own display setting; leaves no event."""
    User.objects.filter(pk=user.pk).update(zone=zone)
