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
from segadmin.models.completeness import Explanation, Finding, Reading, Unread
from segadmin.models.credentials import ConnectionTest, Credential, TokenCache
from segadmin.models.jobs import BadRecord, Job, JobChange, Name, Origin, State
from segadmin.models.organizations import Organization, Sandbox
from segadmin.models.people import Membership, Role, User
from segadmin.models.proof import Checkpoint, Delivery, FileReceipt, SigningKey, Verification
from segadmin.models.register import (
    Amendment,
    Category,
    DataLeft,
    ExportOutcome,
    PersonalDataMap,
    ProfileSource,
    RegisterEntry,
)
from segadmin.models.requests import ExportRequest, RequestState
from segadmin.models.retention import Hold, Installation, SavedView

__all__ = [
    "Action",
    "Amendment",
    "Attempt",
    "BadRecord",
    "Category",
    "ChainHead",
    "Checkpoint",
    "ConnectionTest",
    "ContentExpiry",
    "Credential",
    "DataLeft",
    "Delivery",
    "Event",
    "EventContent",
    "Explanation",
    "ExportOutcome",
    "ExportRequest",
    "FileReceipt",
    "Finding",
    "Hold",
    "Installation",
    "Job",
    "JobChange",
    "Membership",
    "Name",
    "Organization",
    "Origin",
    "Outcome",
    "PersonalDataMap",
    "ProfileSource",
    "Reading",
    "RegisterEntry",
    "RequestState",
    "Role",
    "Sandbox",
    "SavedView",
    "Settlement",
    "SigningKey",
    "State",
    "TokenCache",
    "Unread",
    "User",
    "Verification",
]
