"""Take docs/report.png, the picture of the demo's report in README and docs, with a Chromium that needs no window.

After a change of the report, with a finished demo: ``python docs/make_picture.py results/report/index.html``.
"""

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from PIL import Image

WIDTH, HEIGHT = 960, 1080  # of the page's top that is shown, in pixels of the page
_COLOURS = 64  # enough for a page of text and flat colours, at a third of the size


def take(page: Path, out: Path) -> None:
    """Write the top of ``page`` as seen by a reader, light colours, twice the size and then halved."""
    browser = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if browser is None:
        raise SystemExit("no chromium, chromium-browser or google-chrome is installed; install one")
    with tempfile.TemporaryDirectory() as folder:
        shot = Path(folder) / "shot.png"
        options = ["--headless", "--no-sandbox", "--hide-scrollbars", "--force-device-scale-factor=2"]
        window = [f"--window-size={WIDTH},{HEIGHT}", f"--screenshot={shot}", "--virtual-time-budget=5000"]
        command = [browser, *options, *window, f"--user-data-dir={folder}/profile", page.resolve().as_uri()]
        subprocess.run(command, check=True, capture_output=True, timeout=120)
        image = Image.open(shot).convert("RGB").resize((WIDTH, HEIGHT), Image.Resampling.LANCZOS)
    image.quantize(_COLOURS, dither=Image.Dither.NONE).save(out, optimize=True)


if __name__ == "__main__":
    take(Path(sys.argv[1]), Path(__file__).with_name("report.png"))
