"""The mirror: what sync takes in, and how it goes on when Adobe does not answer."""

from datetime import timedelta

import pytest
from django.utils import timezone

from segadmin import sync
from segadmin.emulator.server import Emulator
from segadmin.models import Action, EventContent, Job, JobChange, Name, Organization, Origin, Sandbox, State
from tests.upstream import body_for

pytestmark = pytest.mark.django_db


def test_a_first_pass_takes_in_jobs_names_and_sandboxes(emulator: Emulator, live_prod: Sandbox) -> None:
    made = emulator.add_job("acme", "prod", body_for(emulator))
    assert sync.once() == []
    job = Job.objects.get(sandbox=live_prod, job_id=str(made["id"]))
    assert job.state == State.WAITING
    assert job.raw["id"] == made["id"]
    live_prod.refresh_from_db()
    assert live_prod.last_read_at is not None
    assert live_prod.type == "production"
    assert Name.objects.filter(sandbox=live_prod, kind=Name.Kind.AUDIENCE).exists()
    assert Name.objects.filter(sandbox=live_prod, kind=Name.Kind.FIELD, external_id="identityMap").exists()
    assert live_prod.organization.sandboxes.filter(name="training", watched=False).exists()
