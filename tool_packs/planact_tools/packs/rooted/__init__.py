"""Working inside one folder and nowhere else, whatever names and links say."""

from planact_tools.packs.rooted.folder import Entry, Folder, Kind, RefusedError, split
from planact_tools.packs.rooted.root import descend, open_root
from planact_tools.packs.rooted.walk import Glob, Visited, walk

__all__ = ["Entry", "Folder", "Glob", "Kind", "RefusedError", "Visited", "descend", "open_root", "split", "walk"]
