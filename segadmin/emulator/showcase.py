"""What the starting jobs look like: single cases worth seeing, and routines that fill the weeks before."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from segadmin.emulator.messages import JsonObject

Shelf = tuple[str, str]
ACME: Final[Shelf] = ("acme", "production")
STAGE: Final[Shelf] = ("acme", "development")
NORDWIND: Final[Shelf] = ("nordwind", "production")

MAIL: Final = "personalEmail.address,person.name.firstName,person.name.lastName,preferredLanguage"
PRINT: Final = (
    "person.name.firstName,person.name.lastName,homeAddress.street1,homeAddress.postalCode,homeAddress.city,"
    "homeAddress.countryCode"
)
PHONE: Final = "person.name.fullName,mobilePhone.number,homePhone.number"
SOCIAL: Final = "identityMap,personalEmail.address"
CRM: Final = "_acme.crmId,personalEmail.address,loyalty.tier,_acme.orders.lastOrderDate"
MILES: Final = "_nordwind.crmId,loyalty.loyaltyID,loyalty.points"

MINUTE: Final = 60.0
HOUR: Final = 3600.0
DAY: Final = 86_400.0


@dataclass(frozen=True, slots=True)
class Case:
    """One starting job.

    `age` is seconds since it was made. A finished one worked for `minutes`; a live one ends `ends_in` seconds after
    the start of the emulator, or never when that is None and `live`. `starts_in` keeps it NEW for so long. `failures`
    and `remarks` are indexes into FAILURES and REMARKS. `policy` names a merge policy: default, graph, legacy, none.
    """

    shelf: Shelf
    age: float
    audiences: tuple[str, ...]
    dataset: str
    fields: str = ""
    minutes: float = 6.0
    outcome: str = "SUCCEEDED"
    live: bool = False
    ends_in: float | None = None
    starts_in: float | None = None
    cancelled: bool = False
    per_segment: bool = False
    statuses: tuple[str, ...] = ()
    namespace: str = ""
    policy: str = "default"
    failures: tuple[int, ...] = ()
    remarks: tuple[int, ...] = ()
    quirks: tuple[str, ...] = ()
    instance: str = "ups"
    more: JsonObject = field(default_factory=dict)


FAILURES: Final = (
    (
        "0100000003",
        "Dataset {dataset} is not based on the union schema _xdm.context.profile__union",
        "DatasetValidator",
    ),
    (
        "0090000009",
        "Write to abfss://export@upsgen2{org}.dfs.core.windows.net/tmp/{dataset}/part-00041 failed: 503",
        "Writer",
    ),
    ("unknown", "Job aborted due to stage failure: Task 41 in stage 7.0 failed 4 times", "ComputeGateway"),
    ("0090000014", "Profile snapshot of {org} is being rebuilt; exports cannot read it now", "SnapshotReader"),
    ("0100000011", "Audience {audience} has not been evaluated yet", "SegmentResolver"),
)
REMARKS: Final = (
    ("0090000021", "214 profiles with more than 50 identities were left out of the export"),
    ("unknown", "Fragment larger than 50 MB skipped, 3 times"),
)

CASES: Final[tuple[Case, ...]] = (
    Case(ACME, 2, ("Cart left behind, 7 days",), "Paid social upload", SOCIAL, live=True, starts_in=8, ends_in=45),
    Case(ACME, 5 * MINUTE, ("Newsletter subscribers",), "Mail vendor handover", MAIL, live=True, ends_in=30),
    Case(
        ACME, 12 * MINUTE, ("Loyalty gold", "Loyalty platinum"), "Loyalty card partner", MAIL, live=True, ends_in=100,
        per_segment=True,
    ),
    Case(NORDWIND, 4 * MINUTE, ("Frequent flyers",), "Miles partner handover", MILES, live=True, ends_in=60),
    Case(
        ACME, 16 * MINUTE, ("First order, no second",), "CRM out", CRM, outcome="FAILED", live=True, ends_in=240,
        failures=(1,),
    ),
    Case(ACME, 9.4 * HOUR, ("Spring catalogue 2026",), "Print house weekly", PRINT, live=True, policy="graph"),
    Case(ACME, 41 * MINUTE, ("Lapsed buyers",), "CRM out", CRM, minutes=7.4),
    Case(ACME, 2.2 * HOUR, ("High value, no app",), "Web orders", MAIL, 1.1, "FAILED", failures=(0,)),
    Case(
        ACME, 1.1 * DAY, ("Discount hunters", "Garden lovers"), "Data science workbench", "", 11.8, "FAILED",
        failures=(2, 1, 3), quirks=("blank_batch",),
    ),
    Case(ACME, 3.1 * HOUR, ("Black week early access",), "Mail vendor handover", MAIL, minutes=2.3),
    Case(ACME, 5.3 * HOUR, ("B2B accounts",), "Call centre list", PHONE, minutes=4.9, remarks=(0,)),
    Case(ACME, 2.1 * DAY, (), "Data science workbench", "", minutes=74),
    Case(
        ACME, 1.6 * DAY, ("Garden lovers",), "Event export, warehouse", "identityMap", minutes=21,
        more={"additionalFields": {"eventList": {
            "fields": "timestamp,eventType,commerce.order.priceTotal",
            "filter": {"fromIngestTimestamp": "2026-01-01T00:00:00Z"},
        }}},
    ),
    Case(ACME, 6.2 * HOUR, ("Competition entries, summer",), "Old agency drop", MAIL, 3.2, cancelled=True),
    Case(ACME, 3 * MINUTE, ("Staff",), "Call centre list", PHONE, live=True, ends_in=600, cancelled=True),
    Case(ACME, 4.4 * HOUR, ("Moved house",), "Print house weekly", PRINT, 3, "SUSPENDED"),
    Case(
        ACME, 20 * HOUR, ("No contact wanted",), "Suppression list", SOCIAL, minutes=8.8,
        statuses=("realized", "exited"), policy="graph",
    ),
    Case(
        ACME, 2.7 * DAY, ("Trade fair leads 2026",), "CRM out", MAIL, minutes=3.4,
        namespace="CustomerAudienceUpload", policy="none",
    ),
    Case(STAGE, 25 * MINUTE, ("Nobody",), "Test export", "", minutes=1.2),
    Case(STAGE, 3.6 * HOUR, ("Test: ten known people",), "Mail vendor handover (test)", MAIL, minutes=1.4),
    Case(STAGE, 1.2 * DAY, ("Lapsed buyers (copy)",), "Web orders (sample)", "", 0.8, "FAILED", failures=(0,)),
    Case(NORDWIND, 1.3 * HOUR, ("Service disruption 14 May",), "Service mails", MAIL, minutes=3.9),
    Case(NORDWIND, 7.5 * HOUR, ("Winter sun 2026",), "Campaign platform out", MAIL, 5.0, "FAILED", failures=(4,)),
    Case(NORDWIND, 1.4 * DAY, ("Corporate bookers",), "Customer care list", PHONE, minutes=6.1, remarks=(0, 1)),
    Case(NORDWIND, 3.3 * DAY, (), "Campaign platform out", MILES, minutes=52, policy="legacy"),
    Case(
        ACME, 8.2 * DAY, ("Newsletter subscribers", "Birthday this month"), "Mail vendor handover", MAIL, minutes=13.1,
        per_segment=True, quirks=("dataSetId", "bare_item_status"), statuses=("existing",),
    ),
    Case(
        ACME, 15 * DAY, ("Loyalty gold",), "Loyalty card partner", MAIL, minutes=9.6, per_segment=True,
        quirks=("batches_object", "no_counters"), statuses=("realized", "existing"),
    ),
    Case(
        ACME, 27 * DAY, (), "Old agency drop", "identity.id,person.name", minutes=20.1, policy="legacy",
        quirks=("dataSetId", "no_split_flag", "no_counters", "push_job"), instance="test-2-3_pt",
    ),
    Case(
        ACME, 33 * DAY, ("Lapsed buyers",), "CRM out", CRM, minutes=8.4, quirks=("seconds", "no_write_time"),
        more={"filter": {"segmentQualificationTime": {
            "startTime": "2026-01-01T00:00:00Z", "endTime": "2026-03-31T23:59:59Z",
        }}},
    ),
    Case(
        ACME, 40 * DAY, (), "Event export, warehouse", "identityMap", minutes=96,
        more={"filter": {"emptyProfiles": True, "fromIngestTimestamp": "2026-01-01T00:00:00Z"}},
    ),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Routine:
    """An export that is done again and again; `minutes` is what it usually takes."""

    shelf: Shelf
    audiences: tuple[str, ...]
    dataset: str
    fields: str
    minutes: float
    per_segment: bool = False


ROUTINES: Final[tuple[Routine, ...]] = (
    Routine(ACME, ("Lapsed buyers",), "CRM out", CRM, 7.5),
    Routine(ACME, ("Newsletter subscribers",), "Mail vendor handover", MAIL, 14),
    Routine(ACME, ("Cart left behind, 7 days",), "Paid social upload", SOCIAL, 4.2),
    Routine(ACME, ("No contact wanted",), "Suppression list", SOCIAL, 9),
    Routine(ACME, ("Loyalty gold", "Loyalty platinum"), "Loyalty card partner", MAIL, 8, per_segment=True),
    Routine(ACME, ("Birthday this month",), "Print house weekly", PRINT, 6),
    Routine(ACME, ("High value, no app",), "Call centre list", PHONE, 3.5),
    Routine(STAGE, ("Newsletter subscribers (copy)",), "Mail vendor handover (test)", MAIL, 1.6),
    Routine(STAGE, ("Test: ten known people",), "Test export", "", 1.1),
    Routine(NORDWIND, ("Passengers, last 90 days",), "Campaign platform out", MAIL, 11),
    Routine(NORDWIND, ("Frequent flyers",), "Miles partner handover", MILES, 5.5),
    Routine(NORDWIND, ("Families", "Winter sun 2026"), "Campaign platform out", MAIL, 6.8),
    Routine(NORDWIND, ("Miles about to expire",), "Service mails", MAIL, 3.8),
)
