"""Django's `migrate`, which puts the record's triggers in place at its end: so it must not stop for them at its start."""

from typing import Any

from django.core.management.commands import migrate

from segadmin.audit import triggers


class Command(migrate.Command):
    def check(self, *args: Any, **kwargs: Any) -> None:
        with triggers.to_be_installed():
            super().check(*args, **kwargs)
