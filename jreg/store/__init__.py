"""Studies on disk."""

from jreg.store.database import Folder, folder_or_nowhere, write
from jreg.store.files import export, to_text, write_results
from jreg.store.protocol import Halfway, Nowhere
from jreg.store.reading import load_results, load_spec

__all__ = [
    "Folder",
    "Halfway",
    "Nowhere",
    "export",
    "folder_or_nowhere",
    "load_results",
    "load_spec",
    "to_text",
    "write",
    "write_results",
]
