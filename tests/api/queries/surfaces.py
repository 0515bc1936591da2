"""One question asked of three surfaces: the library, HTTP, and the command line."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from projections import Queries
from tests.api.harness import Api
from tests.support.typed_commands import Shell

Document = dict[str, Any]
Library = Callable[..., Any]


@dataclass(frozen=True)
class Question:
    """The same question three times; {job} and {storm} in it stand for ids."""

    path: str
    words: str
    library: Library
    """Takes the queries, the ids, and the position as its keyword."""
    at: str | None = "as_of"
    """How the position is called: a parameter of the path, an option, a keyword."""
    body: Document | None = None
    """What is posted to the path."""


class Surfaces:
    """A server, the queries in its process, and a shell beside it on the same ledger."""

    def __init__(self, api: Api, ids: Mapping[str, str], dsn: str | None = None) -> None:
        self._api, self._ids = api, ids
        self._shell = Shell(api.folder.parent, **({} if dsn is None else {"JOBLEDGER_DSN": dsn}))

    def ask(self, surface: str, question: Question, position: int | None) -> Document:
        """The answer now, or as of a position."""
        when = {question.at: position} if question.at and position is not None else {}
        ask: Callable[[Question, Document], Document] = getattr(self, f"_{surface}")
        return ask(question, when)

    def _library(self, question: Question, when: Document) -> Document:
        queries: Queries = self._api.parts.queries
        answer = question.library(queries, self._ids, **when)
        document: Document = orjson.loads(orjson.dumps(answer))
        return document

    def _http(self, question: Question, when: Document) -> Document:
        path = question.path.format(**self._ids)
        if question.body is not None:
            answer = self._api.post(path, {**question.body, **when})
        else:
            joint = "&" if "?" in path else "?"
            answer = self._api.get(path + "".join(f"{joint}{k}={v}" for k, v in when.items()))
        assert answer.status_code == 200, answer.text
        document: Document = answer.json()
        return document

    def _command_line(self, question: Question, when: Document) -> Document:
        flags = [word for k, v in when.items() for word in (f"--{k.replace('_', '-')}", str(v))]
        words = question.words.format(**self._ids).split()
        return self._shell.ok(*words, *flags, "--json").document
