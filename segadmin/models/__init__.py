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
from segadmin.models.proof import NOT_KNOWN, Checkpoint, Delivery, FileReceipt, SigningKey, Verification
from segadmin.models.register import (
    Amendment,
    Category,
    DataLeft,
    ExportOutcome,
    PersonalDataMap,
    ProfileSource,
    RegisterEntry,
    RegisterTerm,
    RegisterValue,
)
from segadmin.models.requests import ExportRequest, RequestState
from segadmin.models.retention import Hold, Installation, SavedView
from segadmin.models.reviews import Review, SignOff
from segadmin.models.stream import Stream
from segadmin.models.unusual import UnusualMail, UnusualRule

__all__ = [
    "NOT_KNOWN",
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
    "RegisterTerm",
    "RegisterValue",
    "RequestState",
    "Review",
    "Role",
    "Sandbox",
    "SavedView",
    "Settlement",
    "SignOff",
    "SigningKey",
    "State",
    "Stream",
    "TokenCache",
    "Unread",
    "UnusualMail",
    "UnusualRule",
    "User",
    "Verification",
]
