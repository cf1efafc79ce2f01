"""Jobs and attempts, compared with the records that tell of them.

A record that tells of a job holds the SHA-256 of the job as Adobe told it. Once a job has ended (or is gone), each change
of what Adobe tells leaves such a record ("sealed"), so the job in the table is the one that the newest of them tells of.
Of one that still runs only the past is on record.
"""

from collections.abc import Mapping
from typing import Any

from django.db import connection
from django.db.models import Max, OuterRef, Subquery

from segadmin.audit.beside import DIFFERS, MOST_NAMED, Told, told_of
from segadmin.audit.verifier import Damage, snapshot_digest
from segadmin.models import Action, EventContent, Job, State

PART = 5000
CHUNK = 500
# What the register says of a job that has ended, and where it has that from.
_IN_REGISTER = {
    "entry__outcome": "state",
    "entry__ended_at": "ended_at",
    "entry__sandbox": "sandbox",
    "entry__organization": "sandbox__organization",
}
_WHERE_TOLD = {"entry__profiles": "profiles", "entry__dataset_id": "dataset_id"}
_COLUMNS = sorted({*_IN_REGISTER, *_IN_REGISTER.values(), *_WHERE_TOLD, *_WHERE_TOLD.values(), "entry"})
TELLING = (Action.JOB_SEEN, Action.JOB_CHANGED, Action.JOB_MISSING, Action.JOB_RETURNED)

_ATTEMPTS = """
SELECT a.opened_seq, a.closed_seq FROM segadmin_attempt a
LEFT JOIN segadmin_eventcontent o ON o.seq = a.opened_seq
LEFT JOIN segadmin_eventcontent c ON c.seq = a.closed_seq
WHERE a.opened_seq <= %s AND (
  (o.seq IS NOT NULL AND (o.attempt_uuid IS NULL OR o.attempt_uuid <> a.uuid OR o.outcome <> 'requested'
    OR o.action <> CASE a.kind WHEN 'create' THEN 'export.create' ELSE 'export.cancel' END))
  OR (c.seq IS NOT NULL AND (c.attempt_uuid IS NULL OR c.attempt_uuid <> a.uuid OR c.outcome <> a.state))
  OR (a.closed_seq IS NULL AND a.state <> 'open')
  OR (a.closed_seq IS NOT NULL AND a.state = 'open'))
ORDER BY a.opened_seq LIMIT %s
"""
# Both in one pass: it is over every export that was ever asked for.
_SENT_GONE = """
SELECT seq, no_request FROM (
  SELECT c.seq, c.action, c.text,
    c.request_uuid IS NOT NULL
      AND NOT EXISTS (SELECT 1 FROM segadmin_exportrequest r WHERE r.uuid = c.request_uuid) AS no_request,
    c.attempt_uuid IS NOT NULL
      AND NOT EXISTS (SELECT 1 FROM segadmin_attempt a WHERE a.uuid = c.attempt_uuid) AS no_attempt
  FROM segadmin_eventcontent c
  WHERE c.action IN ('export.create', 'export.cancel') AND c.outcome = 'requested' AND c.seq <= %s) told
WHERE (no_request OR no_attempt) AND (action = 'export.cancel' OR text LIKE %s) ORDER BY seq LIMIT %s
"""
_JOBS_GONE = """
SELECT c.seq, c.job_id FROM segadmin_eventcontent c
WHERE c.action IN ('job.seen', 'job.changed', 'job.missing', 'job.returned') AND c.sandbox_id IS NOT NULL
AND NOT EXISTS (SELECT 1 FROM segadmin_job j WHERE j.sandbox_id = c.sandbox_id AND j.job_id = c.job_id)
AND c.text LIKE %s AND c.seq <= %s ORDER BY c.seq LIMIT %s
"""


def attempts(last: int) -> list[Damage]:
    """Each attempt is as the records of its beginning and its end say; no attempt and no request that was sent is gone."""
    found = []
    with connection.cursor() as cursor:
        cursor.execute(_ATTEMPTS, [last, MOST_NAMED])
        odd = cursor.fetchall()
        cursor.execute(_SENT_GONE, [last, '%"details":{"body":%', MOST_NAMED])
        gone = cursor.fetchall()
    for opened, closed in odd:
        says = f"The attempt of record {opened} is not what the records of its beginning and its end say."
        found.append(Damage(DIFFERS, closed or opened, says))
    for seq, no_request in gone:
        what = f"The request that record {seq} tells of is gone, and with it its row of the register."
        found.append(Damage(DIFFERS, seq, what if no_request else f"The attempt that record {seq} tells of is gone."))
    return found


def jobs_gone(last: int) -> list[Damage]:
    """Jobs that records tell of and that are in the table no more; each is named once."""
    first: dict[str, int] = {}
    with connection.cursor() as cursor:
        cursor.execute(_JOBS_GONE, ['%"snapshot":"%', last, MOST_NAMED])
        for seq, job in cursor.fetchall():
            first.setdefault(job, seq)
    return [Damage(DIFFERS, seq, f"The job {job} that record {seq} tells of is gone.") for job, seq in first.items()]


def jobs_in_parts() -> list[tuple[int, int]]:
    """(after, up to) of the primary keys of jobs, for `jobs`: several processes can take one each."""
    newest = Job.objects.aggregate(newest=Max("pk"))["newest"] or 0
    return [(after, after + PART) for after in range(0, newest, PART)]


def jobs(after: int, up_to: int) -> list[Damage]:
    """Each job that has ended is as the newest record with its digest says. At most MOST_NAMED that differ."""
    telling = EventContent.objects.filter(
        sandbox=OuterRef("sandbox"), job_id=OuterRef("job_id"), action__in=TELLING
    ).order_by("-event_id")
    rows = Job.objects.filter(pk__lte=up_to).annotate(told_in=Subquery(telling.values("event_id")[:1])).order_by("pk")
    names = ("pk", "job_id", "raw", "status", "changed_at", "told_in", *_COLUMNS)
    found: list[Damage] = []
    while chunk := list(rows.filter(pk__gt=after).values(*names)[:CHUNK]):
        after = chunk[-1]["pk"]
        told = told_of({row["told_in"] for row in chunk if row["told_in"]})
        for row in chunk:
            record = told.get(row["told_in"])
            if record is not None and (wrong := _differing(row, record)):
                says = f"The job {row['job_id']} is not as record {record.seq} says that Adobe told it: {wrong}."
                found.append(Damage(DIFFERS, record.seq, says))
            if record is not None and row["state"] in State.final() and (wrong := _in_register(row)):
                says = (
                    f"The row of the register is not what the job {row['job_id']} of record {record.seq} says: {wrong}."
                )
                found.append(Damage(DIFFERS, record.seq, says))
        if len(found) >= MOST_NAMED:
            break
    return found[:MOST_NAMED]


def _differing(row: Mapping[str, Any], told: Told) -> str:
    details = told.details
    ended = details.get("state") in State.final()
    # Records of earlier versions say nothing of later changes: the row's own time does.
    if not details.get("sealed") and not (ended and row["changed_at"] <= told.at):
        return ""
    # The state of one that is gone is not Adobe's: a cancel that was under way may have set it.
    names = ("state", "status", "profiles") if ended else ("status", "profiles")
    wrong: list[str] = [name for name in names if row[name] != details.get(name, row[name])]
    if "snapshot" in details and snapshot_digest(row["raw"]) != details["snapshot"]:
        wrong.append("what Adobe told")
    return ", ".join(wrong)


def _in_register(row: Mapping[str, Any]) -> str:
    """Which columns of the register's row are not the job's; where Adobe told no count or dataset, others stand in."""
    if row["entry"] is None:
        return "it is gone"
    wrong = [name for name, source in _IN_REGISTER.items() if row[name] != row[source]]
    wrong += [
        name for name, source in _WHERE_TOLD.items() if row[source] not in (None, "") and row[name] != row[source]
    ]
    return ", ".join(name.removeprefix("entry__").removesuffix("_id").replace("_", " ") for name in wrong)
