"""Write a file into the home, and install a package of one line, made here for want of an index."""

import base64
import hashlib
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

METADATA = "Metadata-Version: 2.1\nName: kept\nVersion: 1.0\n"
WHEEL = "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
FILES = {
    "kept.py": 'WORD = "installed"\n',
    "kept-1.0.dist-info/METADATA": METADATA,
    "kept-1.0.dist-info/WHEEL": WHEEL,
}


def line(name: str, content: str) -> str:
    """Return a file's line in a wheel's list of files."""
    digest = hashlib.sha256(content.encode()).digest()
    encoded = base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
    return f"{name},sha256={encoded},{len(content)}\n"


(Path.home() / "kept.txt").write_text("written\n")
with tempfile.TemporaryDirectory() as folder:
    wheel = Path(folder) / "kept-1.0-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        for name, content in FILES.items():
            archive.writestr(name, content)
        record = "kept-1.0.dist-info/RECORD"
        archive.writestr(record, "".join(line(*file) for file in FILES.items()) + f"{record},,\n")
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-index", str(wheel)]
    subprocess.run(pip, check=True)
