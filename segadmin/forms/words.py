"""What the create form's fields are called, and what each really does."""

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

LABELS: dict[str, Promise] = {
    "who": _("Whose profiles"),
    "which": _("Which fields"),
    "profile_fields": _("Fields by their path"),
    "dataset": _("Dataset"),
    "segment_per_batch": _("One batch per audience"),
    "schema_name": _("Schema"),
    "qualified_from": _("Only people who joined the audience from"),
    "qualified_to": _("… and until"),
    "changed_after": _("Only profiles changed in Adobe after"),
    "empty_profiles": _("Also people known only from events"),
    "events": _("Export events too"),
    "event_fields": _("Event fields by their path"),
    "events_from": _("Events that Adobe took in from"),
    "events_to": _("… and until"),
    "merge_policy": _("Merge policy"),
    "merge_policy_version": _("Version of the merge policy"),
    "segmentation": _("Evaluate the audiences first"),
    "purpose": _("Purpose"),
    "recipient": _("Recipient"),
    "ticket": _("Ticket"),
    "legal_basis": _("Legal basis"),
}
HELP: dict[str, Promise] = {
    "profile_fields": _(
        "Separated by commas, such as personalEmail.address, identityMap. A path above others takes all below it."
    ),
    "dataset": _("By name or id. Only datasets on the union profile schema can take an export."),
    "segment_per_batch": _(
        "Each audience gets a batch of its own in the dataset. Adobe says this may slow the export."
    ),
    "schema_name": _("For profiles always _xdm.context.profile; Adobe needs it said."),
    "qualified_from": _("When they joined, not when the audience was evaluated. Either end may stay open."),
    "changed_after": _("By when Adobe last updated the profile. Not: events that happened after."),
    "empty_profiles": _("They have no profile record, only events. Adobe’s default is to leave them out."),
    "events": _("Each profile comes with its events. Without event fields below, every column of them."),
    "event_fields": _("Separated by commas. Blank: every event field."),
    "events_from": _(
        "By when Adobe took them in, not when they happened. Blank: all events Adobe holds of these profiles."
    ),
    "merge_policy": _(
        "By name or id. Blank: each audience’s own. Needed when audiences with different ones are exported together."
    ),
    "merge_policy_version": _("A whole number. Blank: the latest."),
    "segmentation": _("Adobe runs segmentation as part of this export; it then takes longer."),
    "purpose": _("One sentence an outsider understands. No names or addresses of customers: this cannot be erased."),
    "recipient": _(
        "Who gets the data, a team or a company. Filled in from the dataset’s last export, where there was one."
    ),
    "legal_basis": _("Why this may be done, such as consent or contract."),
}
