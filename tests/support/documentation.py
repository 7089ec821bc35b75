"""README.md and docs/*.md as their tests read them: sections, code blocks, tables, links."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

_HEADING = re.compile(r"(#+) +(.*)")
_LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
_CODE = re.compile(r"`[^`]*`")
_CELL_END = re.compile(r"(?<!\\)\|")
_WORD = re.compile(r"`([^`]+)`")


@dataclass(frozen=True)
class Block:
    """A fenced code block. `kind` is what follows the language: `suite` of ```yaml suite."""

    page: str
    line: int
    language: str
    kind: str
    text: str

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"


@dataclass(frozen=True)
class Table:
    """Cells as written, with `\\|` read as a bar."""

    page: str
    line: int
    header: list[str]
    rows: list[list[str]]

    def words(self, column: int = 0) -> list[str]:
        """What stands between backticks in a column."""
        return [word for row in self.rows for word in words(row[column])]


@dataclass
class Section:
    """A heading with what follows it, up to the next heading of any level."""

    title: str
    level: int
    text: str = ""
    tables: list[Table] = field(default_factory=list)
    blocks: list[Block] = field(default_factory=list)

    def table(self, first: str) -> Table:
        """The table whose header begins with `first`."""
        (found,) = (table for table in self.tables if table.header[0] == first)
        return found


@dataclass(frozen=True)
class Page:
    """One Markdown file; `name` is relative to the repository."""

    name: str
    text: str
    sections: list[Section]
    links: list[tuple[int, str]]

    @property
    def path(self) -> Path:
        return ROOT / self.name

    @property
    def blocks(self) -> list[Block]:
        return [block for section in self.sections for block in section.blocks]

    @property
    def tables(self) -> list[Table]:
        return [table for section in self.sections for table in section.tables]

    @property
    def anchors(self) -> set[str]:
        """As code forges make them of headings: lower case, hyphens for blanks, no punctuation."""
        return {re.sub(r"[^\w\- ]", "", section.title.lower()).replace(" ", "-") for section in self.sections}

    def section(self, title: str) -> Section:
        """The section with that heading."""
        (found,) = (section for section in self.sections if section.title == title)
        return found


def words(text: str) -> list[str]:
    """What stands between backticks."""
    return _WORD.findall(text)


def page(name: str) -> Page:
    """Reads a page."""
    text = (ROOT / name).read_text(encoding="utf-8")
    sections = [Section("", 0)]
    links: list[tuple[int, str]] = []
    lines = text.splitlines()
    number = 0
    while number < len(lines):
        line = lines[number]
        number += 1
        if line.startswith("```"):
            language, _, kind = line[3:].strip().partition(" ")
            end = lines.index("```", number)
            body = "\n".join(lines[number:end]) + "\n"
            sections[-1].blocks.append(Block(name, number, language, kind, body))
            number = end + 1
        elif match := _HEADING.fullmatch(line):
            sections.append(Section(match[2].replace("`", ""), len(match[1])))
        elif line.startswith("|"):
            began = number
            rows = [_cells(line)]
            while number < len(lines) and lines[number].startswith("|"):
                rows.append(_cells(lines[number]))
                number += 1
            assert all(len(row) == len(rows[0]) for row in rows), f"{name}:{began}: rows of different length"
            sections[-1].tables.append(Table(name, began, rows[0], rows[2:]))
            links += [(began, link) for row in rows for cell in row for link in _LINK.findall(_CODE.sub("", cell))]
        else:
            sections[-1].text += line + "\n"
            links += [(number, link) for link in _LINK.findall(_CODE.sub("", line))]
    return Page(name, text, sections, links)


def _cells(line: str) -> list[str]:
    return [cell.strip().replace("\\|", "|") for cell in _CELL_END.split(line.strip().strip("|"))]


def pages() -> list[Page]:
    """The README and every page of docs/."""
    names = ["README.md", *sorted(f"docs/{path.name}" for path in (ROOT / "docs").glob("*.md"))]
    return [page(name) for name in names]
