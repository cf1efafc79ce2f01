"""The tables, one module per subject. Import from here."""

from segadmin.models.audit import (
    Action,
    Attempt,
    ChainHead,
    ContentExpiry,
    Event,
    EventContent,
    Outcome,
    Settlement,
)
from segadmin.models.credentials import ConnectionTest, Credential, TokenCache
from segadmin.models.jobs import BadRecord, Job, JobChange, Name, Origin, State
from segadmin.models.organizations import Organization, Sandbox
from segadmin.models.people import Membership, Role, User
from segadmin.models.requests import ExportRequest, RequestState

__all__ = [
    "Action",
    "Attempt",
    "BadRecord",
    "ChainHead",
    "ConnectionTest",
    "ContentExpiry",
    "Credential",
    "Event",
    "EventContent",
    "ExportRequest",
    "Job",
    "JobChange",
    "Membership",
    "Name",
    "Organization",
    "Origin",
    "Outcome",
    "RequestState",
    "Role",
    "Sandbox",
    "Settlement",
    "State",
    "TokenCache",
    "User",
]
