"""Waiting for what a page comes to."""

from __future__ import annotations

import time

from playwright.sync_api import Page


def wait_until(page: Page, condition: str, seconds: float = 30.0) -> None:
    """Waits until a JavaScript expression is true, and fails with it after so many seconds.

    The page's own policy forbids `eval`: Playwright's `wait_for_function` passes by it at its first look alone.
    """
    deadline = time.monotonic() + seconds
    while not page.evaluate(condition):
        assert time.monotonic() < deadline, f"not within {seconds:.0f} seconds: {condition}"
        page.wait_for_timeout(20)
