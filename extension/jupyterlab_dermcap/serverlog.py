"""The server's output as lines for Jupyter's log and, if it fails, for the person who waits for it."""

from __future__ import annotations

import asyncio
import json
import logging
import re
from collections.abc import AsyncIterator

# postgres://user:password@host
PASSWORD_IN_URL = re.compile(r"(\w+://[^\s:/@]*):[^\s/@]+@")
# Fields of a log line that say nothing which Jupyter's own line does not.
COMMON_FIELDS = frozenset({"level", "time", "pid", "hostname", "name", "msg", "v"})


async def lines(stream: asyncio.StreamReader) -> AsyncIterator[str]:
    """Lines of a process's output, to its end. A line over the reader's 64 kB is dropped, not waited for."""
    while True:
        try:
            data = await stream.readline()
        except ValueError:
            continue
        if not data:
            return
        yield PASSWORD_IN_URL.sub(r"\1:[secret]@", data.decode("utf-8", "replace").rstrip())


def read_line(line: str, level: int) -> tuple[int, str]:
    """Level and words of a line: a pino record (``{"level": 30, "msg": …}``) is unpacked, others have ``level``.

    Pino's levels are Python's plus ten: 20 debug, 30 info, 40 warn, 50 error, 60 fatal.
    """
    if not line.startswith('{"level":'):
        return level, line
    try:
        record = json.loads(line)
        found = min(max(int(record["level"]) - 10, logging.DEBUG), logging.CRITICAL)
    except (ValueError, TypeError, KeyError):
        return level, line
    rest = {name: value for name, value in record.items() if name not in COMMON_FIELDS}
    words = str(record.get("msg", ""))
    return found, f"{words} {json.dumps(rest, ensure_ascii=False)}" if rest else words
