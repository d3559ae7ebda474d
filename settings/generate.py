"""Write the block `config:` of Pulumi.yaml and the tables of docs/settings.md.

``python -m settings.generate`` writes both files. tests/unit/test_settings.py compares them.
"""

from pathlib import Path
from textwrap import indent

import yaml

from settings.assembled import BY_GROUP
from settings.declarations import Setting
from settings.load import as_text

_CLONE = Path(__file__).parents[1]
_BEGIN = "<!-- The tables are written by `python -m settings.generate`. -->\n"
_END = "<!-- Here the written tables end. -->\n"


def generated() -> dict[Path, str]:
    """Return the whole text of each file with a generated part."""
    project, document = _CLONE / "Pulumi.yaml", _CLONE / "docs/settings.md"
    head, _, _ = project.read_text().partition("\nconfig:\n")
    before, _, rest = document.read_text().partition(_BEGIN)
    _, _, after = rest.partition(_END)
    return {
        project: f"{head}\nconfig:\n{_config()}",
        document: f"{before}{_BEGIN}\n{_tables()}\n{_END}{after}",
    }


def _config() -> str:
    """Return the block ``config:`` of Pulumi.yaml.

    The block has no ``type:``. With one, the engine refuses a wrong value before the program runs,
    in a line without the value.
    """
    lines: list[str] = []
    for group, settings in BY_GROUP.items():
        lines.append(f"  # {group.__doc__}\n")
        for setting in settings:
            default = "" if setting.default is None else setting.default
            entry = {setting.key: {"default": default, "description": setting.meaning}}
            # The lines are not wrapped, so that a changed description changes one line.
            text = yaml.safe_dump(entry, sort_keys=False, allow_unicode=True, width=1000)
            lines.append(indent(text, "  "))
    return "".join(lines)


def _tables() -> str:
    """Return a table for each group of settings, as Markdown."""
    tables: list[str] = []
    for group, settings in BY_GROUP.items():
        head = (
            f"### {group.__doc__}\n\n| name | default | accepted | meaning |\n|---|---|---|---|\n"
        )
        tables.append(head + "".join(map(_row, settings)))
    return "\n".join(tables)


def _row(setting: Setting) -> str:
    default = as_text(setting.default) or '""'
    cells = [f"`{setting.key}`", f"`{default}`"]
    # Markdown takes <host> for HTML.
    texts = (setting.kind.accepted, setting.meaning)
    cells += [text.replace("<", r"\<").replace("|", r"\|") for text in texts]
    return f"| {' | '.join(cells)} |\n"


def main() -> None:
    """Write the files."""
    for file, text in generated().items():
        file.write_text(text)


if __name__ == "__main__":
    main()
