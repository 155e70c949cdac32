"""Random numbers of torch: threads share one generator, so that it is borrowed in turn."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

__all__ = ["RandomNumbers"]

_TURN = threading.RLock()


class RandomNumbers:
    """A private stream of random numbers.

    Parameters
    ----------
    seed : int, default=None
        None begins where torch's own stream is.

    Attributes
    ----------
    drawn : bool
        Whether the stream has moved on from torch's own.
    """

    def __init__(self, seed: int | None = None) -> None:
        self.seed = seed
        self.drawn = False
        self._states: dict[Any, Any] = {}

    @contextmanager
    def borrowed(self) -> Iterator[None]:
        """Within it torch draws from this stream; afterwards its own goes on where it was.

        Other streams wait meanwhile, so it is for a step of training and not for all of it.
        """
        torch = sys.modules.get("torch")
        if torch is None:
            yield
            return
        with _TURN:
            generators = [torch.default_generator, *torch.cuda.default_generators]
            before = [generator.get_state() for generator in generators]
            try:
                self._begin(generators)
                yield
            finally:
                for generator, state in zip(generators, before, strict=True):
                    after = self._states[generator.device] = generator.get_state()
                    if not torch.equal(state, after):
                        self.drawn = True
                        generator.set_state(state)

    def _begin(self, generators: list[Any]) -> None:
        for generator in generators:
            if generator.device in self._states:
                generator.set_state(self._states[generator.device])
            elif self.seed is not None:
                generator.manual_seed(self.seed)
