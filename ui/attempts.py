"""Wrong passwords slow the next try down: per person and address, per address, and per person."""

import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

_FORGET_S = 3600.0
_MAX_KEYS = 10_000


@dataclass
class _Count:
    wrong: int = 0
    last: float = 0.0
    free_at: float = 0.0


class Attempts:
    """Counts wrong passwords and says how long to wait.

    Three wrong ones for one name from one address cost 30 s, then twice as long with each further one, 15 minutes at
    most. Twenty from one address (any names), or fifty for one name (any addresses), cost the same. An hour without a
    wrong one, or a right one, forgets.

    Parameters
    ----------
    clock : callable
        Seconds that never jump.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._counts: OrderedDict[tuple[str, str], _Count] = OrderedDict()

    @staticmethod
    def _keys(name: str, address: str) -> dict[tuple[str, str], int]:
        name = name.casefold()[:100]
        return {(name, address): 3, ("", address): 20, (name, ""): 50}

    def wait_s(self, name: str, address: str) -> float:
        """Return the seconds until `name` may try again from `address`; 0 if now."""
        now = self._clock()
        waits = [self._counts[key].free_at - now for key in self._keys(name, address) if key in self._counts]
        return max([0.0, *waits])

    def wrong(self, name: str, address: str) -> None:
        """Count one wrong password."""
        now = self._clock()
        for key, free in self._keys(name, address).items():
            count = self._counts.pop(key, None)
            if count is None or now - count.last > _FORGET_S:
                count = _Count()
            count.wrong += 1
            count.last = now
            if count.wrong >= free:
                count.free_at = now + min(30.0 * 2.0 ** min(count.wrong - free, 10), 900.0)
            self._counts[key] = count
        while len(self._counts) > _MAX_KEYS:
            self._counts.popitem(last=False)

    def right(self, name: str, address: str) -> None:
        """Forget the wrong ones of `name` from `address`."""
        self._counts.pop((name.casefold()[:100], address), None)
