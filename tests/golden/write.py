"""Writes the golden files. `python -m tests.golden.write` adds the missing events and lives, and
overwrites none: they are history. `python -m tests.golden.write transcripts` types the commands of
every transcript again and writes what they print now: review the diff.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import orjson

from ledger.store.codec import Codec, PlainJSON
from ledger.store.mapper import EVENTS, EventMapper
from tests.golden.given import given
from tests.golden.life import VERSIONS, digest_file_of, digest_of, folded, history_of, life_lines
from tests.golden.transcript import replayed, transcripts
from tests.support.builders import SeededChance

FOLDER = Path(__file__).parent


def path_of(topic: str, class_version: int) -> Path:
    """The path of the golden file of one version of a topic."""
    return FOLDER / f"{topic}.v{class_version}.json"


def golden_of(topic: str) -> dict[str, Any]:
    """The content of a golden file: the stored state of its given event, with its texts."""
    event = given(topic)
    state, texts = Codec(SeededChance(1).random_bytes, PlainJSON()).split(event)
    return {
        "topic": topic,
        "stream": str(event.originator_id),
        "version": event.originator_version,
        "state": state,
        "texts": {text.id: {"salt": text.salt.hex(), "body": text.body.decode()} for text in texts},
    }


def mapper_of(texts: dict[str, dict[str, str]]) -> EventMapper:
    """A mapper that knows these texts."""
    codec = Codec(SeededChance(1).random_bytes, PlainJSON())
    return EventMapper(
        codec, lambda ids: {text_id: texts[text_id]["body"] for text_id in ids if text_id in texts}
    )


def write_new(path: Path, content: bytes) -> None:
    """Write a new file; an existing golden file is history."""
    try:
        with path.open("xb") as file:
            file.write(content)
    except FileExistsError:
        print(f"{path.name}: is there, and is never overwritten")
    else:
        print(f"{path.name}: written")


def write_transcripts(paths: Iterable[Path]) -> None:
    """Write transcripts anew, and name those that changed."""
    for path in paths:
        before = path.read_text()
        after = replayed(before)
        if after != before:
            path.write_text(after)
            print(f"{path.name}: changed")


def write_missing() -> None:
    """Write the events and the life that have no file yet."""
    pretty = orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE
    for event_class in EVENTS:
        path = path_of(event_class.TOPIC, event_class.class_version)
        write_new(path, orjson.dumps(golden_of(event_class.TOPIC), option=pretty))
    history = history_of(VERSIONS[-1])
    if history.exists():
        print(f"{history.name}: is there, and is never overwritten")
        return
    with tempfile.TemporaryDirectory() as folder:
        lines = list(life_lines(Path(folder)))
    write_new(history, b"".join(orjson.dumps(line) + b"\n" for line in lines))
    texts = {key: text for line in lines[1:] for key, text in line["texts"].items()}
    write_new(
        digest_file_of(VERSIONS[-1]), f"{digest_of(folded(lines[1:], mapper_of(texts)))}\n".encode()
    )


def main(words: list[str]) -> None:
    """Do what was typed after the module's name."""
    match words:
        case []:
            write_missing()
        case ["transcripts"]:
            write_transcripts(transcripts())
        case _:
            sys.exit(__doc__)


if __name__ == "__main__":
    main(sys.argv[1:])
