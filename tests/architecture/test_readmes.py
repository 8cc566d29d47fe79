"""What one README says of commands, settings and addresses, the other says too; and every folder is in ARCHITECTURE."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]


def named(text: str) -> set[str]:
    """What stands in back-ticks, and the lines of code blocks without their comments."""
    blocks = re.findall(r"^```\w*\n(.*?)^```", text, flags=re.MULTILINE | re.DOTALL)
    lines = {line.split("#")[0].strip() for block in blocks for line in block.splitlines()}
    prose = re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL)
    return (lines | set(re.findall(r"`([^`\n]+)`", prose))) - {""}


def test_chinese_readme_names_what_the_english_one_names() -> None:
    english, chinese = (ROOT.joinpath(name).read_text(encoding="utf-8") for name in ("README.md", "README.zh-CN.md"))
    figures = re.compile(r"^## Figures\n.*?(?=^## )", flags=re.MULTILINE | re.DOTALL)
    assert figures.search(english), "the figures have one home, which the Chinese README points to"
    translated = '.venv/bin/streamd room create summer-sale --title "Summer sale"'
    assert named(figures.sub("", english)) - named(chinese) == {translated}


def test_every_folder_of_the_server_is_explained() -> None:
    explained = ROOT.joinpath("ARCHITECTURE.md").read_text(encoding="utf-8")
    folders = [path.parent.name for path in ROOT.glob("streamd/*/__init__.py")]
    assert len(folders) > 10
    assert [name for name in folders if f"{name}/`" not in explained] == []


def test_every_module_beside_the_composition_root_is_explained() -> None:
    explained = ROOT.joinpath("ARCHITECTURE.md").read_text(encoding="utf-8")
    named_well = {"__init__.py", "__main__.py", "clock.py", "errors.py"} | {
        path.name for path in ROOT.glob("streamd/demo*.py")
    }
    files = {path.name for path in ROOT.glob("streamd/*.py")} - named_well
    assert sorted(name for name in files if f"{name}`" not in explained) == []
