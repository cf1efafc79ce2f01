"""The search columns of an event, taken from its canonical text: written by record(), compared by the verifier.

Everything that pages search by stands in the text too, so a column altered behind the text's back shows.
"""

from collections.abc import Mapping
from typing import Any

# As `columns_of` gives them; all are texts. Instants and ids have the form of the canonical text.
COLUMNS = (
    "at",
    "actor_kind",
    "actor_id",
    "actor_name",
    "action",
    "outcome",
    "sentence",
    "organization_slug",
    "organization_name",
    "sandbox_name",
    "job_id",
    "request_uuid",
    "attempt_uuid",
    "correlation_id",
    "address",
)
type Row = tuple[str, ...]


def columns_of(told: Mapping[str, Any]) -> Row:
    """The values in the order of COLUMNS, cut to the length of their columns. KeyError where the text lacks one."""
    actor, organization = told["actor"], told["organization"]
    return (
        told["at"],
        actor["kind"],
        actor["id"][:60],
        actor["name"][:150],
        told["action"],
        told["outcome"],
        told["sentence"],
        organization.get("slug", ""),
        organization.get("name", ""),
        told["sandbox"],
        told["job"][:200],
        told["request"],
        told["attempt"],
        actor["correlation_id"][:64],
        actor["address"][:45],
    )
