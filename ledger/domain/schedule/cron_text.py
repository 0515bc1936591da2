"""Cron in English, for lists of jobs."""

from __future__ import annotations

import re
from functools import lru_cache

from cron_descriptor import FormatError, Options, get_description

from ledger.domain.schedule.cron_grammar import CRONS_KEPT, NICKNAMES, SIZES, CronFields, parse_cron


@lru_cache(maxsize=CRONS_KEPT)
def cron_in_words(expr: str) -> str:
    """When the expression fires, as one English sentence."""
    options = Options(locale_code="en_US", use_24hour_time_format=True)
    fields = parse_cron(expr)
    try:
        text = str(get_description(_sayable(expr, fields), options))
    except FormatError:  # it cannot describe every list that cron allows
        return f'When cron says "{expr}"'
    if fields.needs_both_days and len(fields.days) < 31 and len(fields.weekdays) < 7:
        return text.replace(", or on ", ", only on ") + ", when both match"  # rule 4
    return text


def _sayable(expr: str, fields: CronFields) -> str:
    """`expr` as cron_descriptor understands it: stars for full fields, no nickname, no `07`."""
    full = [len(values) == size for values, size in zip(fields.sets, SIZES, strict=True)]
    if not fields.needs_both_days:  # one full day field then means every day
        full[2] = full[4] = full[2] or full[4]
    words = re.sub(r"\b0+(?=\d)", "", NICKNAMES.get(expr, expr)).split()
    return " ".join("*" if is_full else word for is_full, word in zip(full, words, strict=True))
