"""The page of config keys says what the schema says."""

import importlib.util
from pathlib import Path
from typing import Any

import pytest
import yaml

DOCS = Path(__file__).parents[2] / "docs"


def load(script: Path) -> Any:
    spec = importlib.util.spec_from_file_location(script.stem, script)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


MAKER = load(DOCS / "make_configuration.py")


def test_the_committed_page_is_what_the_schema_gives():
    made = MAKER.page(yaml.safe_load(MAKER.SCHEMA.read_text()))
    assert made == (DOCS / "configuration.md").read_text(), (
        "run: python docs/make_configuration.py > docs/configuration.md"
    )


def test_every_key_of_the_schema_is_on_the_page():
    page = (DOCS / "configuration.md").read_text()
    for name, key in yaml.safe_load(MAKER.SCHEMA.read_text())["properties"].items():
        assert f"`{name}`" in page
        section = page.partition(f"## `{name}`")[2].partition("\n## ")[0]
        assert all(f"| `{inner}` |" in section for inner in key.get("properties", {}))


@pytest.mark.parametrize(
    ("key", "words"),
    [
        ({"enum": ["a", "b"]}, "`a`, `b`"),
        ({"type": "integer", "minimum": 1}, "whole number from 1"),
        ({"type": ["number", "null"], "exclusiveMinimum": 0, "maximum": 2}, "number above 0 up to 2, or `null`"),
        ({"type": "array", "items": {"type": "string"}, "minItems": 1}, "list of: text"),
        ({"type": "array", "items": {"type": "number"}, "minItems": 2, "maxItems": 2}, "two of: number"),
        ({"type": "object", "additionalProperties": {"type": "boolean"}}, "by name: `true`, `false`"),
    ],
)
def test_what_a_key_may_be_is_said_in_words(key, words):
    assert MAKER.may_be(key) == words
