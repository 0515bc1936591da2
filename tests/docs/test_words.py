"""What people read is in the field's words: the worst of the old ones are refused, each with the
word to use instead.
"""

from __future__ import annotations

import ast
import io
import re
import tokenize
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.flow.cli import test_cli_documented as cli

ROOT = Path(__file__).parents[2]
NOT_YET: tuple[str, ...] = ()
"""Folders whose texts are still being rewritten. Empty it, and never add to it."""

ROLE = "the role: operator, caller, node, worker, client"
RESUME = "resume; of a database, 'is reachable again'"


@dataclass(frozen=True)
class Rule:
    """Words that are refused, the words to use instead, and a sentence that shows the rule."""

    banned: str
    instead: str
    example: str

    @property
    def pattern(self) -> re.Pattern[str]:
        return re.compile(rf"(?<![\w/-])(?:{self.banned})(?![\w-])", re.IGNORECASE)


RULES = (
    Rule("nobody", f"{ROLE}, with 'no'", "Nobody is known here without a token."),
    Rule("somebody|someone", ROLE, "off unless somebody says so"),
    Rule("whoever", ROLE, "the rate is quoted to whoever forces the next one"),
    Rule("the book", "the event store, or the ledger", "Everything is in the book."),
    Rule("the copies|copy of (?:the )?jobs", "the read models", "while the copies cannot say"),
    Rule("heads", "cached jobs, the job cache, snapshots", "Every node keeps the heads in memory."),
    Rule("couriers?", "the notifier", "One of the nodes has to be the courier."),
    Rule("doors?", "the surface, the source, the API", "through which door"),
    Rule("desks?", "the worker queues", "The desk lays out what is due."),
    Rule("workshops?", "the pool of executors", "The workshop has room for one more."),
    Rule("the house", "the architecture, the project", "How the house is built"),
    Rule(
        r"(?<!there )is no (?:\w+ of a header|(?:valid )?(?:address|column|command|cron|crontab"
        r"|DSN|email|event|field|handler|host|id|instant|JSON|key|kind|ledger|list|map|name|number"
        r"|object|path|port|position|queue|role|schedule|secret|setting|status|text|time|token|topic"
        r"|URL|UTF-8|UUID|word|zone))",
        "is not a valid …",
        "data/x.db is no ledger",
    ),
    Rule("is due since", "has been due since", "It is due since 09:00."),
    Rule("is over since", "ended at", "Its pause is over since 09:00."),
    Rule(
        r"(?:com(?:es?|ing)|came|br(?:ings?|inging|ought))(?: \w+){0,2} back",
        RESUME,
        "Would bring the job back.",
    ),
    Rule(
        "(?:had|has|have) (?:its|their|his|no) turn", "was resumed", "All of them had their turn."
    ),
    Rule("mend(?:ed|s|ing)?", "fix", "what broke it is mended"),
    Rule("struck", "failed in the storm", "the jobs that were struck"),
    Rule("gives? up when", "aborts after", "Gives up when 3 have tripped again"),
    Rule(
        r"DESIGN § ?\d+",
        "a page in docs/, or nothing",
        "The rules' numbers are those of DESIGN §7.",
    ),
)


@dataclass(frozen=True)
class Permitted:
    """A place where a banned word is right, and why."""

    file: str
    text: str
    reason: str


ALLOWED = (
    Permitted(
        "ledger/store/sqlite/schema.py", "heads", "the table's name in the version it upgrades from"
    ),
    Permitted(
        "docs/decisions/0037-one-sql-text.md", "heads", "the decision names the old and new table"
    ),
    Permitted("ledger/store/sqlite/schema.py", "courier", "the key's name in that version"),
    Permitted("docker-compose.yml", "nobody", "the UNIX user that the image runs as"),
)


@dataclass(frozen=True)
class Text:
    """A piece of text, its file and its line there."""

    file: str
    line: int
    words: str


@dataclass(frozen=True)
class Finding:
    """A banned word and where it is."""

    text: Text
    rule: Rule
    found: str

    def __str__(self) -> str:
        return f"{self.text.file}:{self.text.line}: {self.found!r}: use {self.rule.instead}"


def findings(texts: Iterable[Text]) -> Iterator[Finding]:
    """Every banned word, those of ALLOWED left out."""
    for text in texts:
        for rule in RULES:
            for match in rule.pattern.finditer(" ".join(text.words.split())):
                if not any(one.file == text.file and one.text == match[0] for one in ALLOWED):
                    yield Finding(text, rule, match[0])


# -- what people read -----------------------------------------------------------------------------


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def paragraphs(path: Path) -> Iterator[Text]:
    """The paragraphs of a file: a phrase may go on in the next line."""
    line = 1
    for part in re.split(r"(\n\s*\n)", path.read_text()):
        if part.strip():
            yield Text(name_of(path), line, part)
        line += part.count("\n")


def strings(source: str, name: str) -> Iterator[Text]:
    """The string constants of a module, docstrings and parts of f-strings among them."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield Text(name, node.lineno, node.value)


def comments(source: str, name: str) -> Iterator[Text]:
    """The comments of a module; those in consecutive lines are one text."""
    first, last, words = 0, -1, ""
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type != tokenize.COMMENT:
            continue
        line, comment = token.start[0], token.string.lstrip("# ")
        if line != last + 1:
            yield Text(name, first, words)
            first, words = line, ""
        last, words = line, f"{words} {comment}"
    yield Text(name, first, words)


def modules(package: str) -> Iterator[Text]:
    for path in sorted((ROOT / package).rglob("*.py")):
        name, source = name_of(path), path.read_text()
        if not name.startswith(NOT_YET):
            yield from strings(source, name)
            yield from comments(source, name)


def documents() -> Iterator[Text]:
    pages = [*(ROOT / "docs").rglob("*.md"), ROOT / "README.md", ROOT / "CONTRIBUTING.md"]
    for path in sorted(pages):
        yield from paragraphs(path)


def help_texts() -> Iterator[Text]:
    for words, command in cli.commands():
        yield Text(f"jobledger {words}", 0, command.help or "")
        for parameter in command.params:
            yield Text(f"jobledger {words}", 0, getattr(parameter, "help", None) or "")


def templates_and_operators_files() -> Iterator[Text]:
    templates, operators = (ROOT / "api" / "web").rglob("*.html"), (ROOT / "deploy").rglob("*.*")
    others = [ROOT / "docker-compose.yml", ROOT / "Makefile", ROOT / "Dockerfile"]
    for path in [*sorted(templates), *sorted(operators), *others]:
        if "secrets" not in path.parts:
            yield from paragraphs(path)


READ = {
    "documents": documents,
    "ledger": lambda: modules("ledger"),
    "projections": lambda: modules("projections"),
    "api": lambda: modules("api"),
    "help": help_texts,
    "templates and operators' files": templates_and_operators_files,
}


@pytest.mark.parametrize("source", READ)
def test_people_read_plain_words(source: str) -> None:
    texts = list(READ[source]())
    found = [str(finding) for finding in findings(texts)]

    assert len(texts) > 20
    assert not found, "\n".join(found)


# -- the rules themselves -------------------------------------------------------------------------


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.instead)
def test_every_rule_refuses_an_old_sentence(rule: Rule) -> None:
    found = list(findings([Text("somewhere", 1, rule.example)]))

    assert rule in [one.rule for one in found]


@pytest.mark.parametrize(
    "sentence",
    [
        "There is no ledger in this folder, and no token is no longer valid.",
        "The decision goes ahead; the backup brings the file up to date.",
        "The job has no next run. It was resumed by an operator, with force.",
        "See the URL .../desk-4 and the bookmark; nobody_to_revive was the old code.",
    ],
)
def test_plain_sentences_are_allowed(sentence: str) -> None:
    assert [str(one) for one in findings([Text("somewhere", 1, sentence)])] == []


def test_a_phrase_is_found_in_docstrings_f_strings_and_comments_across_lines() -> None:
    source = '"""All jobs had\n    their turn."""\n\nx = f"{1} whoever"  # a\n# the\n# book\n'

    texts = [*strings(source, "old.py"), *comments(source, "old.py")]

    assert [str(one).partition(": use")[0] for one in findings(texts)] == [
        "old.py:1: 'had their turn'",
        "old.py:4: 'whoever'",
        "old.py:4: 'the book'",
    ]


def test_every_exception_is_still_needed() -> None:
    texts = [text for collect in READ.values() for text in collect()]

    def is_needed(one: Permitted) -> bool:
        return any(text.file == one.file and one.text in text.words for text in texts)

    assert [one for one in ALLOWED if not is_needed(one)] == []
