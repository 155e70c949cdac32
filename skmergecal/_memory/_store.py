"""Store: results in a folder, in the layout of joblib, which can list and shrink it."""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Self

import joblib
import sklearn

from skmergecal._version import __version__

__all__ = ["Store"]

#: Results of other versions are not read.
_VERSIONS = f"skmergecal-{__version__}-sklearn-{sklearn.__version__}"


class Store:
    """Results by kind and key, each in a file of its own.

    `joblib.Memory.cache` is not used for it: it prints arguments, rows included, when one of its
    files cannot be read, and needs several files for each result.

    Parameters
    ----------
    location : str
        The folder; it is made when something is put into it.
    backend : object, default=None
        The store of a joblib.Memory that is not a folder of this machine.
    compress : bool or int, default=False
    mmap_mode : str, default=None
        As in joblib.Memory.
    """

    def __init__(
        self, location: str, backend: Any = None, compress: Any = False, mmap_mode: Any = None
    ) -> None:
        self.location, self.backend = location, backend
        self.compress, self.mmap_mode = compress, mmap_mode

    @classmethod
    def of(cls, memory: Any) -> Self | None:
        """The store of a path or a joblib.Memory; None if nothing is to be kept."""
        if memory is None:
            return None
        if isinstance(memory, str) or hasattr(memory, "__fspath__"):
            return cls(os.path.join(os.fspath(memory), "joblib"))
        backend = getattr(memory, "store_backend", None)
        if backend is None:
            return None
        options = [getattr(backend, name, None) for name in ("compress", "mmap_mode")]
        local = getattr(memory, "backend", "local") == "local"
        return cls(str(backend.location), None if local else backend, *options)

    def holds(self, kind: str, key: str) -> bool:
        """Whether there is a result, as far as can be seen without reading it."""
        if self.backend is not None:
            return bool(self.backend.contains_item(self._place(kind, key)))
        return os.path.exists(self._file(kind, key))

    def get(self, kind: str, key: str, fits: Callable[[Any], bool]) -> Any:
        """A result; None if there is none, or one that cannot be read or does not fit."""
        try:
            if not self.holds(kind, key):
                return None
            if self.backend is not None:
                found = self.backend.load_item(self._place(kind, key), verbose=0)
            else:
                found = joblib.load(self._file(kind, key), mmap_mode=self.mmap_mode)
            return found if fits(found) else None
        except Exception:  # a broken file raises anything; its result is made again
            return None

    def put(self, kind: str, key: str, result: Any) -> None:
        """Keep a result, unless it cannot be pickled.

        Raises
        ------
        OSError
            If the folder cannot be written to.
        """
        if self.backend is not None:
            self.backend.dump_item(self._place(kind, key), result, verbose=0)
            return
        file = self._file(kind, key)
        temporary = f"{file}.{secrets.token_hex(8)}"
        self._make(os.path.dirname(file))
        try:
            joblib.dump(result, temporary, compress=self.compress or 0)
            os.replace(temporary, file)
        except OSError:
            raise
        except Exception:  # whatever a class of the user raises when it is pickled
            return
        finally:
            with suppress(OSError):
                os.unlink(temporary)

    def _make(self, folder: str) -> None:
        new = not os.path.exists(self.location)
        os.makedirs(folder, exist_ok=True)
        if new:  # as joblib does: the files hold rows of somebody
            with open(os.path.join(self.location, ".gitignore"), "w") as file:
                file.write("*\n")

    def _place(self, kind: str, key: str) -> list[str]:
        return [_VERSIONS, kind, str(joblib.hash(key))]

    def _file(self, kind: str, key: str) -> str:
        return os.path.join(self.location, *self._place(kind, key), "output.pkl")
