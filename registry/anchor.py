"""What the journal's newest row was, kept outside of the journal: a row that is cut off its end is missed here.

One line a row in `journal.anchor`, only ever added: `epoch seal`. A promoter that dies between its row and its line leaves
a row without a line, which is no harm; a line without its row is.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from registry.succession import Tampered

NAME = "journal.anchor"


@dataclass(frozen=True)
class Anchor:
    """The anchor file of a folder."""

    folder: Path

    def note(self, epoch: int, seal: str) -> None:
        """Remember a row that was written."""
        handle = os.open(self.folder / NAME, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        try:
            os.write(handle, f"\n{epoch} {seal}\n".encode())  # a newline in front ends the line of a writer that died in it
            os.fsync(handle)
        finally:
            os.close(handle)

    def seals(self) -> dict[int, str]:
        """The seal of each row that was noted."""
        path = self.folder / NAME
        if not path.exists():
            return {}
        words = [line.split() for line in path.read_text(errors="replace").splitlines()]
        return {int(each[0]): each[1] for each in words if len(each) == 2 and each[0].isdigit() and len(each[1]) == 64}

    def demand(self, found: Mapping[int, str]) -> None:
        """Raise Tampered when a noted row is not among the journal's (its seal by epoch)."""
        for epoch, seal in sorted(self.seals().items()):
            if epoch not in found:
                raise Tampered(
                    f"Row {epoch} of the journal was cut off: {self.folder / NAME} knows its seal {seal[:12]}, and the journal ends "
                    f"at row {max(found, default=0)}. Restore the database."
                )
            if found[epoch] != seal:
                raise Tampered(
                    f"Row {epoch} of the journal is another one than {self.folder / NAME} knows: its seal was {seal[:12]}, and is "
                    f"{found[epoch][:12]}. Restore the database."
                )
