"""Names and descriptions that fill the sandboxes: the vocabulary of a marketing-operations team."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Evaluation = Literal["batch", "continuous", "synchronous"]


@dataclass(frozen=True, slots=True)
class AudienceLine:
    """One audience; an empty `pql` means that it was uploaded from outside."""

    name: str
    description: str
    pql: str
    profiles: int
    evaluation: Evaluation = "batch"
    other_policy: bool = False
    remarks: bool = False


@dataclass(frozen=True, slots=True)
class DatasetLine:
    """One dataset; exports need one of the two union kinds."""

    name: str
    description: str
    kind: Literal["union", "untagged_union", "ordinary", "no_schema"] = "union"


_ACME_AUDIENCES = (
    AudienceLine(
        "Lapsed buyers",
        "Bought at least twice, nothing in the last twelve months",
        "orders.count >= 2 and lastOrderDate occurs > 365 days before now",
        184_220,
    ),
    AudienceLine(
        "High value, no app",
        "Top spend tenth, never opened the app",
        'loyalty.tier in ("gold", "platinum") and not _acme.app.installed',
        31_480,
    ),
    AudienceLine(
        "Newsletter subscribers",
        "Opted in to the newsletter, confirmed address",
        'consents.marketing.email.val = "y" and personalEmail.status = "active"',
        962_300,
        "continuous",
    ),
    AudienceLine(
        "Cart left behind, 7 days",
        "Something in the basket, no order within seven days",
        "chain(xEvent, timestamp, [A: WHAT(cart.add)]) and not order within 7 days",
        44_115,
        "continuous",
    ),
    AudienceLine("Birthday this month", "For the voucher mailing", "person.birthMonth = now.month", 76_904),
    AudienceLine(
        "Loyalty gold",
        "Members of the gold tier",
        'loyalty.tier = "gold"',
        88_730,
        "continuous",
    ),
    AudienceLine("Loyalty platinum", "Members of the platinum tier", 'loyalty.tier = "platinum"', 12_050),
    AudienceLine(
        "Store customers, postcode 1–3",
        "Bought in a shop, home postcode begins with 1 to 3",
        'homeAddress.postalCode matches "[123].*" and _acme.storeCustomer',
        143_800,
    ),
    AudienceLine(
        "No contact wanted",
        "Suppression list for every vendor",
        'consents.marketing.any.val = "n"',
        201_377,
        other_policy=True,
    ),
    AudienceLine(
        "Spring catalogue 2026",
        "Print catalogue, households with an address",
        "homeAddress.street1 is not null and _acme.catalogueWanted",
        318_900,
        other_policy=True,
    ),
    AudienceLine("Garden lovers", "Two garden purchases in two seasons", "_acme.affinity.garden >= 0.7", 57_261),
    AudienceLine("First order, no second", "One order, 30 to 90 days ago", "orders.count = 1", 129_540),
    AudienceLine("App users, push allowed", "Push token and consent", 'consents.marketing.push.val = "y"', 240_615),
    AudienceLine("Discount hunters", "Nine of ten orders with a voucher", "_acme.voucherShare > 0.9", 68_002),
    AudienceLine(
        "Recall: kettle K-200",
        "Bought the kettle between March and June",
        'xEvent.select(productListItems.SKU = "K-200")',
        3_918,
        other_policy=True,
    ),
    AudienceLine("Staff", "Employees with a customer account", "_acme.employee = true", 2_204),
    AudienceLine("B2B accounts", "Customers with a VAT number", "_acme.vatId is not null", 9_871, remarks=True),
    AudienceLine("Moved house", "Address changed in the last 60 days", "homeAddress.lastVerifiedDate", 11_306),
    AudienceLine("Black week early access", "Invitation list", "_acme.invites.blackWeek = true", 0),
    AudienceLine("Trade fair leads 2026", "Badge scans, uploaded by the sales team", "", 1_764),
    AudienceLine("Competition entries, summer", "Uploaded from the agency's form", "", 22_430),
)

_ACME_STAGE_AUDIENCES = (
    AudienceLine("Test: ten known people", "Colleagues who agreed to be test cases", "_acme.testPerson = true", 10),
    AudienceLine("Lapsed buyers (copy)", "Copied from production in June", "orders.count >= 2", 1_402),
    AudienceLine(
        "Newsletter subscribers (copy)", "Copied from production", 'consents.marketing.email.val = "y"', 7_113
    ),
    AudienceLine("Nobody", "Matches nothing, to see what an empty export does", "1 = 2", 0),
    AudienceLine(
        "Everyone with an e-mail", "All profiles with an address", "personalEmail.address is not null", 16_940
    ),
)

_NORDWIND_AUDIENCES = (
    AudienceLine("Passengers, last 90 days", "Flew in the last quarter", "trips.last occurs <= 90 days", 412_006),
    AudienceLine("Frequent flyers", "Twelve trips or more in a year", "trips.count >= 12", 38_110, "continuous"),
    AudienceLine("Miles about to expire", "Less than 60 days left", "_nordwind.miles.expiresAt", 27_455),
    AudienceLine("Winter sun 2026", "Looked at southern routes twice", "_nordwind.affinity.south > 0.6", 95_300),
    AudienceLine("Service disruption 14 May", "Booked on a cancelled flight", "_nordwind.disrupted = true", 1_877),
    AudienceLine(
        "Corporate bookers", "Booked on a company contract", "_nordwind.contract is not null", 8_240, remarks=True
    ),
    AudienceLine("Families", "Travelled with children", "trips.companions.children > 0", 66_903),
    AudienceLine("Opted out of profiling", "Objection on file", 'consents.personalize.any.val = "n"', 50_112),
    AudienceLine("Airport lounge partner list", "Uploaded by the partner team", "", 4_031),
)

AUDIENCES: dict[tuple[str, str], tuple[AudienceLine, ...]] = {
    ("acme", "production"): _ACME_AUDIENCES,
    ("acme", "development"): _ACME_STAGE_AUDIENCES,
    ("nordwind", "production"): _NORDWIND_AUDIENCES,
    ("nordwind", "development"): _NORDWIND_AUDIENCES,
}

_ACME_DATASETS = (
    DatasetLine("CRM out", "Nightly hand-over to the CRM"),
    DatasetLine("Mail vendor handover", "Read by the e-mail service provider each morning"),
    DatasetLine("Print house weekly", "Addresses for the print shop"),
    DatasetLine("Call centre list", "Numbers for outbound calls"),
    DatasetLine("Loyalty card partner", "Members for the card partner"),
    DatasetLine("Paid social upload", "Hashed addresses for custom audiences"),
    DatasetLine("Suppression list", "Those who must not be contacted"),
    DatasetLine("Data science workbench", "For modelling, pseudonymised"),
    DatasetLine("Event export, warehouse", "Behaviour for the data warehouse"),
    DatasetLine("Old agency drop", "Not used since 2024", "untagged_union"),
    DatasetLine("Web orders", "Order events of the web shop", "ordinary"),
    DatasetLine("Point of sale", "Receipts of the shops", "ordinary"),
    DatasetLine("Loyalty members", "Member records", "ordinary"),
    DatasetLine("E-mail engagement", "Opens and clicks", "ordinary"),
    DatasetLine("CRM master", "Customer records of the CRM", "ordinary"),
    DatasetLine("Imported CSV, March", "Left over from a one-off import", "no_schema"),
)

_ACME_STAGE_DATASETS = (
    DatasetLine("Test export", "For trying things"),
    DatasetLine("CRM out (test)", "The CRM's test system reads this"),
    DatasetLine("Mail vendor handover (test)", "The vendor's test account"),
    DatasetLine("Web orders (sample)", "One per cent of production", "ordinary"),
)

_NORDWIND_DATASETS = (
    DatasetLine("Campaign platform out", "Read by the campaign tool"),
    DatasetLine("Miles partner handover", "Members for the miles partner"),
    DatasetLine("Service mails", "Addresses for operational messages"),
    DatasetLine("Customer care list", "For the care team's dialler"),
    DatasetLine("Bookings", "Booking events", "ordinary"),
    DatasetLine("Frequent flyer accounts", "Member records", "ordinary"),
)

DATASETS: dict[tuple[str, str], tuple[DatasetLine, ...]] = {
    ("acme", "production"): _ACME_DATASETS,
    ("acme", "development"): _ACME_STAGE_DATASETS,
    ("nordwind", "production"): _NORDWIND_DATASETS,
    ("nordwind", "development"): _NORDWIND_DATASETS,
}
