"""Draws the pictures of the pages by running the code that the pages show, so that neither grows stale."""

import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[1]
# By picture: the page whose code draws it, and what the code calls it.
PICTURES = {
    "scores.png": ("README.md", "runs/digits/scores.png"),
    "augmented.png": ("docs/augmentation.md", "digits.png"),
}


def code(page: Path) -> str:
    """A page's blocks marked ``python`` as one script."""
    return "\n".join(re.findall(r"^```python\n(.*?)^```", page.read_text(), re.MULTILINE | re.DOTALL))


def main() -> None:
    """Draws each picture in an empty folder and copies it beside the pages."""
    for picture, (page, drawn) in PICTURES.items():
        with tempfile.TemporaryDirectory() as folder:
            command = [sys.executable, "-c", code(ROOT / page)]
            # The same pictures on every machine: accelerators round otherwise.
            environment = {**os.environ, "JAX_PLATFORMS": "cpu", "PYTHONPATH": str(ROOT)}
            subprocess.run(command, cwd=folder, env=environment, check=True, stdout=subprocess.DEVNULL)
            shutil.copy(Path(folder) / drawn, ROOT / "docs" / "images" / picture)


if __name__ == "__main__":
    main()
