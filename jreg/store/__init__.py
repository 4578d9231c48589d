"""Results on disk."""

from jreg.store.export import Export, Nowhere, folder_or_nowhere
from jreg.store.files import to_text, write, write_results
from jreg.store.folder import load_results

__all__ = ["Export", "Nowhere", "folder_or_nowhere", "load_results", "to_text", "write", "write_results"]
