"""A job in plain text, to paste into a chat or a ticket."""

from django.conf import settings
from django.utils.translation import gettext as _

from segadmin.queries.job_page import Story
from segadmin.templatetags.segadmin import at_full


def plain_text(story: Story) -> str:
    """One line for each fact that is known, the sentence first."""
    job = story.job
    told = {**story.parts, "who": story.who, "verb": story.verb}
    took = f" ({story.took})" if story.took else ""
    lines = [
        f"{_('Export')} {job.job_id}: {story.title}",
        _("%(who)s %(verb)s %(fields)s%(events)s of %(people)s from %(place)s to dataset %(dataset)s.") % told,
        f"{_('State')}: {story.words.text}",
        f"{_('Profiles')}: {story.profiles[0]}",
        f"{_('Where')}: {job.sandbox}, {job.sandbox.type_word}",
        f"{_('Started')}: {at_full(job.sort_at)}",
        f"{_('Ended')}: {at_full(job.ended_at)}{took}" if job.ended_at else "",
        *_why(story),
        *(f"{what}: {value}" for what, value in story.ids[1:]),
        f"{settings.PUBLIC_URL.rstrip('/')}{story.url}",
        _("As Adobe told it %s.") % at_full(job.last_seen_at),
    ]
    return "\n".join(line for line in lines if line)


def _why(story: Story) -> list[str]:
    request = story.request
    if request is None:
        return []
    named = [
        (_("Purpose"), request.purpose),
        (_("Recipient"), request.recipient),
        (_("Ticket"), request.ticket),
        (_("Legal basis"), request.legal_basis),
    ]
    return [f"{name}: {value}" for name, value in named if value]
