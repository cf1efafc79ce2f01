"""The README of an evidence pack: plain words for an auditor who has never seen segadmin."""

from collections.abc import Mapping
from typing import Any

_TEXT = """\
EVIDENCE PACK OF SEGADMIN

What this is
------------
segadmin is a dashboard through which people export audiences out of Adobe Experience Platform. It keeps a record:
who asked for which export, of whom, with which fields, where to and why, what Adobe answered, and who read or changed
what. This pack holds a part of that record, and what is needed to check it without segadmin.

Made            {made_at} (UTC) by {by}
Receipt         {receipt}
On              {host}, {version}
Organizations   {organizations}
Filter          {chosen}
Period          {period} (days in the zone {zone}; times in the files are UTC)
Records         {events} of the filter, up to record {cut_off}
Row of digests  record {first} to record {last}

How to check it
---------------
Unpack it, open a terminal in its folder, and run (Python 3.12 or newer, nothing else is needed):

    python3 -I verifier.py .

It says whether each record fits its digest, whether the row of records is unbroken from record {first} to record
{last}, whether the checkpoints in it are signed with the key in it, and whether each file is the one that the manifest
lists. If you kept a checkpoint yourself (from a mail, say), put it into a text file and add it. It is the only part of
the check that someone who administers the server can't have prepared:

    python3 -I verifier.py . --checkpoints kept.txt --public-key keys-that-you-kept.txt

You may read verifier.py before you run it: it is one file, and it only reads. You may also take verifier.py from a
release of segadmin instead of this pack.

What is in it
-------------
manifest.json     what the pack is about, and the SHA-256 of each other file. The SHA-256 of manifest.json itself is in
                  the record of segadmin, in the event that tells of this pack.
signature.txt     the signature of manifest.json, by the key that signs the checkpoints
events.jsonl      the records, one a line: the exact texts whose SHA-256 are the digests. They may hold characters that
                  turn the reading direction or can't be seen; to read them, take events.csv
events.csv        the same for a spreadsheet. A text that a spreadsheet would take for a formula has an apostrophe in
                  front; line ends and characters that turn the reading direction are written as \\n or \\u202e
requests.jsonl    each request for an export that these records name, exactly as it was sent
jobs.jsonl        each export job that they name, as Adobe last told it
register.csv      the rows of the export register for these, with corrections beside what was stated at first
register.jsonl    the same as JSON
digests.csv       epoch, number, digest and chain value of every record in the range, also of those that are not in this
                  pack: digests tell nothing about a text, since each text holds a random salt
checkpoints.txt   signed heads of the record in this range
public_keys.txt   the public keys of their signatures
verifier.py       the check

What it does not prove
----------------------
- That what the records say is true: only that they were not changed since. Purpose and recipient are what people typed.
- That nothing happened outside of segadmin. Exports that others start at Adobe show as "from outside" without a person.
- Without a checkpoint that you kept yourself, that the whole record was not rewritten, by someone who administers the
  server and holds its signing key, before this pack was made.
- Only events.jsonl is covered by the chain itself. The verifier compares each request with the record of its sending,
  its answer with the record of the outcome, and each job with the digest in the newest record that tells of it; it says
  how many fit, and how many have no such record in this pack (records older than these digests have none). events.csv,
  register rows and everything else are as they stood when the pack was made: the signed manifest covers them since.
- Records whose content has expired are in digests.csv only, and so are records that {by} may not read.
"""


def readme(told: Mapping[str, Any]) -> str:
    """`told` is the manifest."""
    about, period, span = told["filter"], told["filter"], told["range"]
    chosen = "; ".join(f"{name}: {', '.join(values)}" for name, values in about["chosen"].items())
    first, before = period["from"] or "the first record", period["before"]
    return _TEXT.format(
        made_at=told["made_at"],
        by=told["by"],
        receipt=told["receipt"],
        host=about["host"],
        version=told["version"],
        organizations=", ".join(about["organizations"]) + (" and records of no organization" if about["whole"] else ""),
        chosen=chosen or "none",
        period=f"from {first} to {f'before {before}' if before else 'the making of this pack'}",
        zone=told["zone"],
        events=told["rows"]["events"],
        cut_off=told["cut_off"],
        first=span["first"],
        last=span["last"],
    )
