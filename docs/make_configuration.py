"""Print docs/configuration.md, the page of all config keys, from the schema that configs are checked against.

After an edit of the schema: ``python docs/make_configuration.py > docs/configuration.md``.
"""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

SCHEMA = Path(__file__).parents[1] / "workflow" / "schemas" / "config.schema.yaml"

_HEAD = """# Every key of the config

A config is a text file in [YAML](https://yaml.org). It is checked before the first job: a key that is mistyped or a
value that cannot be is named, with what was expected. What a config leaves out has the default given here; the defaults
are the paper's set-up, and where the paper is silent, its authors' code's. `config/config.yaml` is the config of the
demo, `config/recommended.yaml` the one that found most on simulated faces ([results.md](results.md)).

For one run, keys can also be set elsewhere: those outside of sections on the command line, and any in a second file,
since of several files the later one counts:

```bash
snakemake --cores 16 --config seed=2 on_bad_video=skip
printf 'learning: {epochs: 50}' > short.yaml
snakemake --cores 16 --configfile config/config.yaml short.yaml
```

This page is made from `workflow/schemas/config.schema.yaml` by `python docs/make_configuration.py`.
"""


def page(schema: Mapping[str, Any]) -> str:
    """Give the page: keys outside of sections first, then a table for each section, in the schema's order."""
    sections = {name: key for name, key in schema["properties"].items() if "properties" in key}
    top = {name: key for name, key in schema["properties"].items() if name not in sections}
    parts = [_HEAD, *_table(top, schema.get("required", ()))]
    for name, section in sections.items():
        what = _sentence(section)
        parts += [f"\n## `{name}`\n\n{what[0].upper()}{what[1:]}.\n", *_table(section["properties"], ())]
    return "\n".join(parts) + "\n"


def _table(keys: Mapping[str, Any], required: tuple[str, ...]) -> Iterator[str]:
    yield "| key | may be | default | |"
    yield "|---|---|---|---|"
    for name, key in keys.items():
        default = "**must be given**" if name in required else _code(key["default"]) if "default" in key else "none"
        yield f"| `{name}` | {may_be(key)} | {default} | {_sentence(key)} |"


def may_be(key: Mapping[str, Any]) -> str:
    """Say in words which values a key takes."""
    if "enum" in key:
        return ", ".join(_code(value) for value in key["enum"])
    kinds = key["type"] if isinstance(key["type"], list) else [key["type"]]
    return ", or ".join(_kind(kind, key) for kind in kinds)


def _kind(kind: str, key: Mapping[str, Any]) -> str:
    if kind in ("integer", "number"):
        return _number("whole number" if kind == "integer" else "number", key)
    if kind == "array":
        pair = key.get("minItems") == key.get("maxItems") == 2
        return f"{'two of' if pair else 'list of'}: {may_be(key['items'])}"
    if kind == "object":
        return f"by name: {may_be(key['additionalProperties'])}"
    return {"null": "`null`", "string": "text", "boolean": "`true`, `false`"}[kind]


def _number(word: str, key: Mapping[str, Any]) -> str:
    bounds = {
        "minimum": "from {}",
        "exclusiveMinimum": "above {}",
        "maximum": "up to {}",
        "exclusiveMaximum": "below {}",
    }
    found = [text.format(key[bound]) for bound, text in bounds.items() if bound in key]
    found += [f"divisible by {key['multipleOf']}"] if "multipleOf" in key else []
    return " ".join([word, *found])


def _sentence(key: Mapping[str, Any]) -> str:
    return " ".join(key["description"].split()).replace("|", "\\|")


def _code(value: Any) -> str:
    return f"`{json.dumps(value)}`" if not isinstance(value, str) else f"`{value}`"


if __name__ == "__main__":
    print(page(yaml.safe_load(SCHEMA.read_text(encoding="utf-8"))), end="")
