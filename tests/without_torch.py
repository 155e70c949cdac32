"""A plugin for environments without torch or skorch: what needs them is skipped, and says so.

It is loaded where one of them is missing, as on versions of Python for which there is no build.
"""

from __future__ import annotations

from doctest import UnexpectedException

import pytest

REASON = "torch or skorch is not installed"
PACKAGES = ("torch", "skorch")


def is_missing(error):
    """Whether an error, or what it was raised from, is the import of torch or skorch."""
    while error is not None:
        if isinstance(error, ModuleNotFoundError) and error.name in PACKAGES:
            return True
        if isinstance(error, UnexpectedException):  # of an example on a page
            error = error.exc_info[1]
        else:
            error = error.__cause__ or error.__context__
    return False


class Module(pytest.Module):
    """A file of tests that is skipped as a whole if it imports torch."""

    def collect(self):
        try:
            return super().collect()
        except self.CollectError as error:
            if not any(f"No module named '{name}'" in str(error) for name in PACKAGES):
                raise
        return pytest.skip(REASON, allow_module_level=True)


def pytest_pycollect_makemodule(module_path, parent):
    return Module.from_parent(parent, path=module_path)


def skip_if_missing():
    """Around the setup of a test, or the test itself."""
    try:
        return (yield)
    except Exception as error:
        if not is_missing(error):
            raise
    return pytest.skip(REASON)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_setup():
    return (yield from skip_if_missing())


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call():
    return (yield from skip_if_missing())
