"""Results on disk."""

from jreg.store.files import plain, to_text, write

__all__ = ["plain", "to_text", "write"]
