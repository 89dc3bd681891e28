"""A page in a real browser, at a real daemon on a real chain. All tests share one of each.

`scripts/browser-test` runs the tests and says where daemon, browser and screenshots are.
"""

import atexit
import functools
import os
import pathlib
import types
import unittest

from playwright.sync_api import expect, sync_playwright

from world import PATIENCE, Daemon, World

DESKTOP, PHONE, SMALLEST = ({"width": w, "height": h} for w, h in ((1440, 900), (390, 844), (360, 780)))
ORDERS = "**/v1/orders"
SCREENSHOTS = pathlib.Path(os.environ["SCREENSHOTS"])


@functools.cache
def stage():
    """What is started once, and stopped in the opposite order when all tests have ended."""
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    world = World(os.environ["SWAPD_BINARY"])
    atexit.register(world.close)
    daemon = Daemon(world, "main")
    atexit.register(daemon.close)
    playwright = sync_playwright().start()
    atexit.register(playwright.stop)
    # Chromium's sandbox refuses to run as root, as continuous integration does.
    browser = playwright.chromium.launch(executable_path=os.environ["CHROMIUM"], args=["--no-sandbox"])
    atexit.register(browser.close)
    expect.set_options(timeout=PATIENCE * 1000)
    return types.SimpleNamespace(world=world, daemon=daemon, browser=browser)


class Page(unittest.TestCase):
    """A fresh tab for each test. Whatever the page reports as an error fails the test."""

    @classmethod
    def setUpClass(cls):
        cls.world, cls.daemon, cls.browser = stage().world, stage().daemon, stage().browser

    def open(self, at=None, viewport=DESKTOP, scheme="light", live=True):
        context = self.browser.new_context(viewport=viewport, color_scheme=scheme, reduced_motion="reduce")
        context.set_default_timeout(PATIENCE * 1000)
        self.addCleanup(context.close)
        page = context.new_page()
        self.errors = []
        page.on("pageerror", lambda error: self.errors.append(str(error)))
        page.on("console", lambda said: self.errors.append(said.text) if "Content Security Policy" in said.text else None)
        page.goto((at or self.daemon).url)
        if live:
            expect(page.locator("#connection")).to_have_text("Live")
        return page

    def tearDown(self):
        self.assertEqual(getattr(self, "errors", []), [])

    def row(self, page, order):
        return page.locator(f'#rows button[data-id="{order}"]')

    def place(self, page, amount, **choices):
        """Fills the form, waits for the quote, presses the button, and returns the new order's id."""
        for name, value in choices.items():
            page.get_by_label(name.replace("_", " "), exact=True).select_option(value)
        page.locator("#amount").fill(amount)
        expect(page.locator("#quote .headline")).to_be_visible()
        with page.expect_response(ORDERS) as answered:
            page.locator("#submit").click()
        return answered.value.json()["id"]
