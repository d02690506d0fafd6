"""Schedules of cron jobs, as robfig/cron reads them (``ParseStandard``)."""

import re

_NAMED = {
    "month": ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"],
    "day": ["sun", "mon", "tue", "wed", "thu", "fri", "sat"],
}
_FIELDS = ((0, 59, ""), (0, 23, ""), (1, 31, ""), (1, 12, "month"), (0, 6, "day"))
_DESCRIPTORS = ["@yearly", "@annually", "@monthly", "@weekly", "@daily", "@midnight", "@hourly"]
_EVERY = re.compile(r"@every ((\d+\.?\d*|\.\d+)(ns|us|µs|ms|s|m|h))+")


def problem(schedule: str) -> str:
    """What is wrong with a schedule; empty for a good one."""
    if schedule.startswith("@"):
        known = schedule in _DESCRIPTORS or _EVERY.fullmatch(schedule)
        return "" if known else f"unrecognized descriptor: {schedule}"
    fields = schedule.split()
    if len(fields) != 5:
        return f"expected exactly 5 fields, found {len(fields)}: [{' '.join(fields)}]"
    try:
        for text, (low, high, names) in zip(fields, _FIELDS, strict=True):
            for part in text.split(","):
                _check(part, low, high, names)
    except ValueError as error:
        return str(error)
    return ""


def _check(text: str, low: int, high: int, names: str) -> None:
    """Raise ValueError for a part of a field: ``*``, ``1``, ``1-5``, each with ``/STEP``."""
    span, *steps = text.split("/")
    ends = span.split("-")
    if ends[0] in {"*", "?"}:
        start, end = low, high
    elif len(ends) > 2:
        raise ValueError(f"too many hyphens: {text}")
    else:
        start, end = _number(ends[0], low, names), _number(ends[-1], low, names)
    if len(steps) > 1:
        raise ValueError(f"too many slashes: {text}")
    step = _number(steps[0], 0, "") if steps else 1
    if steps and len(ends) == 1:
        end = high
    if start < low:
        raise ValueError(f"beginning of range ({start}) below minimum ({low}): {text}")
    if end > high:
        raise ValueError(f"end of range ({end}) above maximum ({high}): {text}")
    if start > end:
        raise ValueError(f"beginning of range ({start}) beyond end of range ({end}): {text}")
    if not step:
        raise ValueError(f"step of range should be a positive number: {text}")


def _number(text: str, low: int, names: str) -> int:
    if names and text.lower() in _NAMED[names]:
        return low + _NAMED[names].index(text.lower())
    if not (text.isascii() and text.isdigit()):
        why = f'strconv.Atoi: parsing "{text}": invalid syntax'
        raise ValueError(f"failed to parse int from {text}: {why}")
    return int(text)
