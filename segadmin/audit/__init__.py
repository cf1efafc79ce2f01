"""The record: who did what, where, with which outcome. Write-ahead for remote changes, chained, append-only."""

from segadmin.audit.actor import Actor
from segadmin.audit.attempts import attempt, close, settle
from segadmin.audit.chain import NotRecorded, OutcomeNotRecorded
from segadmin.audit.record import Subject, record

__all__ = ["Actor", "NotRecorded", "OutcomeNotRecorded", "Subject", "attempt", "close", "record", "settle"]
