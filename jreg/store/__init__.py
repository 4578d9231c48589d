"""Studies on disk."""

from jreg.store.beside import Beside
from jreg.store.database import Folder, add_note, folder_or_nowhere, write
from jreg.store.examine import Examined, examine
from jreg.store.files import export, to_csv, to_text, write_results
from jreg.store.merging import SHARD, Disagreement, Merged, merge
from jreg.store.protocol import Halfway, Nowhere
from jreg.store.reading import NAME, load_note, load_results, load_spec
from jreg.store.salvage import Salvaged, salvage

__all__ = [
    "NAME",
    "SHARD",
    "Beside",
    "Disagreement",
    "Examined",
    "Folder",
    "Halfway",
    "Merged",
    "Nowhere",
    "Salvaged",
    "add_note",
    "examine",
    "export",
    "folder_or_nowhere",
    "load_note",
    "load_results",
    "load_spec",
    "merge",
    "salvage",
    "to_csv",
    "to_text",
    "write",
    "write_results",
]
