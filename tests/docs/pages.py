"""What the pages for users hold: fenced blocks, commands within the text, links."""

import re
from pathlib import Path
from typing import NamedTuple

REPOSITORY = Path(__file__).parents[2]
PAGES = [REPOSITORY / "README.md", *sorted((REPOSITORY / "docs").glob("*.md"))]


class Block(NamedTuple):
    """A fenced block. ``not_run`` is the reason in a comment ``<!-- not run: REASON -->`` above it, if there is one."""

    line: int
    language: str
    text: str
    not_run: str

    def lines(self) -> list[str]:
        """Give the lines, each put together where a backslash parts it."""
        return self.text.replace("\\\n", " ").splitlines()


def blocks(page: Path) -> list[Block]:
    """Give the fenced blocks of a page, also those in lists; without a language a block is one of commands."""
    found = []
    text = page.read_text(encoding="utf-8")
    for match in re.finditer(r"^( *)```(\w*)\n(.*?)^\1```$", text, re.M | re.S):
        above = text[: match.start()].rstrip().rpartition("\n")[2]
        reason = re.fullmatch(r"\s*<!-- not run: (.+) -->", above)
        indent, language, body = match.groups()
        inside = "\n".join(line.removeprefix(indent) for line in body.splitlines())
        line = text.count("\n", 0, match.start()) + 1
        found.append(Block(line, language or "bash", inside, reason[1] if reason else ""))
    return found


def commands_in_text(page: Path) -> list[str]:
    """Give what stands between backquotes in the text and begins like a command."""
    text = re.sub(r"^( *)```.*?^\1```$", "", page.read_text(encoding="utf-8"), flags=re.M | re.S)
    spans = (" ".join(span.split()) for span in re.findall(r"`([^`]+)`", text))
    return [span for span in spans if re.match(r"(fakeemo|snakemake|make|python) \S", span)]


def links(page: Path) -> list[str]:
    """Give the files that a page links to."""
    targets = re.findall(r"\]\(([^)#\s]+)", page.read_text(encoding="utf-8"))
    return [target for target in targets if not re.match(r"https?:|mailto:", target)]
