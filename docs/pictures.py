"""Draws the pictures of the pages by running the code that the pages show, so that neither grows stale."""

import os
import re
import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).parents[1]
# By picture: the page whose code draws it, and what the code calls it.
PICTURES = {
    "scores.png": ("README.md", "runs/digits/scores.png"),
    "augmented.png": ("docs/augmentation.md", "digits.png"),
    "heatmap.png": ("docs/gallery.md", "heatmap.png"),
    "differences.png": ("docs/gallery.md", "differences.png"),
    "curves.png": ("docs/gallery.md", "curves.png"),
}


def code(page: Path) -> str:
    """A page's blocks marked ``python`` as one script."""
    return "\n".join(re.findall(r"^```python\n(.*?)^```", page.read_text(), re.MULTILINE | re.DOTALL))


def main() -> None:
    """Draws the pictures of all pages at once."""
    with ThreadPoolExecutor() as pages:
        list(pages.map(draw, dict.fromkeys(page for page, _ in PICTURES.values())))


def draw(page: str) -> None:
    """Draws the pictures of a page in an empty folder and copies them beside the pages."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-c", code(ROOT / page)]
        # The same pictures on every machine: accelerators round otherwise.
        environment = {**os.environ, "JAX_PLATFORMS": "cpu", "PYTHONPATH": str(ROOT)}
        subprocess.run(command, cwd=folder, env=environment, check=True, stdout=subprocess.DEVNULL)
        for picture, (source, drawn) in PICTURES.items():
            if source == page:
                shutil.copy(Path(folder) / drawn, ROOT / "docs" / "images" / picture)


if __name__ == "__main__":
    main()
