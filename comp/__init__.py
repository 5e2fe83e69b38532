"""comp: a competition kit for images."""

from pathlib import Path

__version__ = "0.1.0"

# An uninstalled checkout keeps the built-in plugins and the examples beside this folder, not inside it (setup.cfg: package_dir).
if not (Path(__file__).parent / "plugins").exists():
    __path__.append(str(Path(__file__).parent.parent))
