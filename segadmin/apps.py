from django.apps import AppConfig
from django.db.models.signals import post_migrate


class SegadminConfig(AppConfig):
    name = "segadmin"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from segadmin import checks, signin  # noqa: F401 - registers checks and receivers
        from segadmin.actions import register
        from segadmin.audit import triggers

        # SQLite's table rebuilds drop triggers silently, so they are put back after every migrate.
        post_migrate.connect(triggers.install_after_migrate, sender=self, dispatch_uid="segadmin.triggers")
        post_migrate.connect(register.build_after_migrate, sender=self, dispatch_uid="segadmin.register")
