"""The ways to the gradients that are left to a study, and the one among them that it goes."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence

from tutelage.progress import say
from tutelage.student.training.passes import Passes, first_line


class WaysLeft:
    """Ways, the fastest first. The first one is gone, with the model set up for it, until it turns out to be none."""

    def __init__(self, ways: Sequence[Passes]) -> None:
        self._ways = list(ways)
        self._exits = contextlib.ExitStack()  # of the present way

    @property
    def present(self) -> Passes:
        """The way that the study goes."""
        return self._ways[0]

    @property
    def is_last(self) -> bool:
        """Whether there is no other way than the present one."""
        return len(self._ways) == 1

    def give_up_others(self) -> None:
        """Leaves the present way alone."""
        del self._ways[1:]

    def enter(self) -> None:
        """Sets the model up for the present way, or for the next one that lets it. Raises: the last one's error."""
        try:
            self._exits.enter_context(self.present.running())
        # A compiler has many reasons to refuse a model or a device.
        except Exception as error:
            if self.is_last:
                raise
            reason = first_line(error)
        else:
            return
        self.take_next(reason)

    def leave(self) -> None:
        """The model as it is by itself."""
        self._exits.close()

    @contextlib.contextmanager
    def left(self) -> Iterator[None]:
        """The model as it is by itself, for a while."""
        self.leave()
        try:
            yield
        finally:
            self.enter()

    def take_next(self, reason: str) -> None:
        """Gives up the present way, and says why."""
        say(f"Note: studying in another way, which is slower: {reason}")
        self.leave()
        del self._ways[0]
        self.enter()
