"""The service with nothing kept of what it read: every network is asked about as if it were for the first time."""

from __future__ import annotations

import sys

from features import shelves
from serving import matcher
from serving.__main__ import main
from whence.identity import evidence

if __name__ == "__main__":
    shelves.KEPT_BYTES = 0
    matcher._asked = matcher._asked.__wrapped__  # type: ignore[assignment]
    evidence._ranks = evidence._ranks.__wrapped__  # type: ignore[assignment]
    sys.exit(main())
