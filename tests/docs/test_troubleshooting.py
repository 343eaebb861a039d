"""What the page on troubleshooting quotes is what the program says."""

import ast
import re
from functools import cache

import pytest
from pages import REPOSITORY

PAGE = REPOSITORY / "docs" / "troubleshooting.md"
OURS = PAGE.read_text().partition("## Not ours")[0]
QUOTED = re.findall(r"\*\*`([^`]+)`\*\*", OURS)
HOLE = "\0"


@cache
def messages() -> list[str]:
    """Give every text in the source, with a hole for each value that is put into it."""
    found = []
    for file in (REPOSITORY / "src" / "fakeemo").glob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.JoinedStr):
                found.append("".join(part.value if isinstance(part, ast.Constant) else HOLE for part in node.values))
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                found.append(node.value)
    return found


@pytest.mark.parametrize("quoted", QUOTED)
def test_an_error_that_is_quoted_is_in_the_source(quoted):
    """Dots on the page stand for any text; a value of the source may stand for a text that the page spells out."""
    parts = [part for part in re.split(r"\.\.\.", quoted) if part.strip()]
    pattern = re.compile(".*".join(re.escape(part) for part in parts), re.S)
    assert any(pattern.search(message) for message in messages()), quoted


def test_the_page_knows_all_states_of_a_bad_video():
    """Each word that stands in results/qc/videos.parquet is explained."""
    source = "".join((REPOSITORY / "src" / "fakeemo" / f"{name}.py").read_text() for name in ("video", "tracking"))
    words = set(re.findall(r'(?:VideoError\(\s*|status, what = )"([a-z_]+)"', source))
    assert {"unreadable", "no_face", "too_short", "bad_roi", "damaged"} <= words
    for word in words - {"missing"}:
        assert re.search(rf"[\[ ]{word}[,\]]", OURS), word
