"""Is this person there, and which entry is theirs? Searches of a stolen gallery."""

from attacks.search.watch_list import WatchList, WatchListNormalised, WatchListPlda

__all__ = ["WatchList", "WatchListNormalised", "WatchListPlda"]
