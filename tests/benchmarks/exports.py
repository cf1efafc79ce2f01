"""What each made-up export asked for; the record's events and the register's rows tell of the same ones.

Rare and frequent values are mixed as they come in a record of years.
"""

from dataclasses import dataclass

AUDIENCES = ("Lapsed buyers", "Loyalty gold", "Newsletter readers", "Cart left behind", "Miles about to expire")
DATASETS = ("CRM out", "Mail vendor handover", "Loyalty card partner")
FREQUENT_TICKET = "MK-311"
RARE_AUDIENCE, RARE_DATASET, RARE_RECIPIENT = "Blood donors", "Clinic handover", "clinic of the north"
# One export of so many is for the clinic, with health data.
RARE = 2003


@dataclass(frozen=True)
class Asked:
    """One export as somebody asked for it."""

    audience: str
    dataset: str
    fields: tuple[str, ...]
    recipient: str
    purpose: str
    ticket: str
    legal_basis: str = "Consent"

    @property
    def audience_id(self) -> str:
        return id_of("seg", self.audience)

    @property
    def dataset_id(self) -> str:
        return id_of("ds", self.dataset)


def id_of(prefix: str, name: str) -> str:
    return f"{prefix}-{name.lower().replace(' ', '-')}"


def asked(number: int) -> Asked:
    """The export of this number. Every third one has the frequent ticket; of the others four in a row share one."""
    ticket = FREQUENT_TICKET if number % 3 == 0 else f"CRM-{1000 + number // 4}"
    if number % RARE == 5:
        return Asked(RARE_AUDIENCE, RARE_DATASET, ("_health.bloodGroup",), RARE_RECIPIENT, "Thank-you letter", ticket)
    dataset = DATASETS[number % len(DATASETS)]
    return Asked(
        audience=AUDIENCES[number % len(AUDIENCES)],
        dataset=dataset,
        fields=("personalEmail.address", "person.name.firstName")[: 1 + number % 2],
        recipient=f"{dataset.lower()} team",
        purpose="Win-back letter in July",
        ticket=ticket,
    )
