"""The dashboard as a person uses it: a real browser, the real daemon, a real chain.

`scripts/browser-test` runs this and says where daemon, browser and screenshots are.
"""

import json
import os
import pathlib
import re
import signal
import unittest
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timezone

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import expect, sync_playwright

from world import PATIENCE, Daemon, World, eventually

DESKTOP, PHONE, SMALLEST = ({"width": w, "height": h} for w, h in ((1440, 900), (390, 844), (360, 780)))
SIGNATURE = re.compile(r"^[1-9A-HJ-NP-Za-km-z]{86,88}$")
ORDERS = "**/v1/orders"
SCREENSHOTS = pathlib.Path(os.environ["SCREENSHOTS"])


def setUpModule():
    global world, daemon, playwright, browser
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    world = World(os.environ["SWAPD_BINARY"])
    unittest.addModuleCleanup(world.close)
    daemon = Daemon(world, "main")
    unittest.addModuleCleanup(daemon.close)
    playwright = sync_playwright().start()
    unittest.addModuleCleanup(playwright.stop)
    # Chromium's sandbox refuses to run as root, as continuous integration does.
    browser = playwright.chromium.launch(executable_path=os.environ["CHROMIUM"], args=["--no-sandbox"])
    unittest.addModuleCleanup(browser.close)
    expect.set_options(timeout=PATIENCE * 1000)


class Page(unittest.TestCase):
    """A fresh tab for each test. Whatever the page reports as an error fails the test."""

    def open(self, at=None, viewport=DESKTOP, scheme="light", live=True):
        context = browser.new_context(viewport=viewport, color_scheme=scheme, reduced_motion="reduce")
        context.set_default_timeout(PATIENCE * 1000)
        self.addCleanup(context.close)
        page = context.new_page()
        self.errors = []
        page.on("pageerror", lambda error: self.errors.append(str(error)))
        page.on("console", lambda said: self.errors.append(said.text) if "Content Security Policy" in said.text else None)
        page.goto((at or daemon).url)
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


class Trading(Page):
    def test_an_order_is_quoted_placed_and_watched_until_its_signature_is_on_the_chain(self):
        page = self.open()
        order = self.place(page, "1.5")
        expect(self.row(page, order)).to_have_attribute("data-status", "confirmed")
        detail = page.locator("#detail")
        expect(detail.locator(".state b")).to_have_text("confirmed")
        told = daemon.ended(order)
        signature = detail.locator(".signature")
        self.assertRegex(signature.inner_text(), SIGNATURE)
        expect(signature).to_have_text(told["txHash"])
        expect(detail.get_by_role("link", name="Open in explorer")).to_have_attribute("href", told["explorerUrl"])
        # Seen as they happened: the page asked for no more events than the daemon stored.
        events = [event["event"] for event in told["history"]]
        self.assertEqual([it.get_attribute("data-event") for it in detail.locator(".timeline li").all()], events)
        facts = detail.locator(".pairs").inner_text()
        self.assertIn("at least", facts)
        self.assertIn("1.5 SOL", facts)
        self.assertRegex(facts, r"filled as quoted|(worse|better) than quoted")
        quotes = detail.locator(".quotes")
        expect(quotes.get_by_role("row", name="Raydium CPMM")).to_contain_text("taken")
        expect(quotes.get_by_role("row", name="Meteora")).to_contain_text("mock, quote only")
        detail.get_by_text("Receipt", exact=True).click()
        self.assertEqual(json.loads(detail.locator("pre").inner_text())["id"], order)

    def test_an_exact_output_is_received_exactly(self):
        page = self.open()
        page.get_by_text("Receive exactly").click()
        order = daemon.ended(self.place(page, "30", Pay_with="SOL", Receive="USDC"))
        self.assertEqual((order["mode"], order["filled"]["amountOut"]["ui"]), ("exact_out", "30"))
        expect(page.locator("#detail .pairs")).to_contain_text("at most")

    def test_a_failed_order_is_explained_with_what_to_do(self):
        page = self.open()
        order = self.place(page, "20000")
        expect(self.row(page, order)).to_have_attribute("data-status", "failed")
        failure = page.locator("#detail .failure")
        expect(failure).to_contain_text("No wallet can pay")
        expect(failure).to_contain_text("Fund a wallet")
        expect(failure.locator("code")).to_have_text("insufficient_funds")

    def test_a_lost_answer_and_a_double_click_trade_once(self):
        page = self.open()
        before, keys = set(daemon.ids()), []

        def lose_the_first_answer(route):
            keys.append(route.request.headers["idempotency-key"])
            if len(keys) > 1:
                return route.continue_()
            route.fetch()  # the daemon takes the order, and its answer is lost
            return route.abort()

        page.route(ORDERS, lose_the_first_answer)
        page.locator("#amount").fill("0.21")
        expect(page.locator("#quote .headline")).to_be_visible()
        page.locator("#submit").dblclick()
        expect(page.locator("#submitted")).to_contain_text("Order placed")
        self.assertEqual(len(keys), 2, "one that was lost, one that was answered")
        self.assertEqual(len(set(keys)), 1)
        self.assertEqual(len(set(daemon.ids()) - before), 1)

        page.locator("#submit").click()
        eventually("a second order", lambda: len(set(daemon.ids()) - before) == 2)
        self.assertEqual(len(set(keys)), 2, "an order on purpose has a key of its own")

    def test_everything_can_be_done_with_the_keyboard_alone(self):
        page = self.open()
        page.reload()
        expect(page.locator("#connection")).to_have_text("Live")
        expect(page.locator("#token-out")).to_have_value("USDC")
        expect(page.locator("#amount")).to_be_focused()
        page.keyboard.type("0.5")
        expect(page.locator("#quote .headline")).to_be_visible()
        before = set(daemon.ids())
        page.keyboard.press("Enter")
        placed = eventually("the order", lambda: set(daemon.ids()) - before).pop()
        expect(self.row(page, placed)).to_have_attribute("data-status", "confirmed")
        other = daemon.order(amountIn="0.1")
        expect(self.row(page, other)).to_have_attribute("data-status", "confirmed")

        # On from the form to the list, into it, along it, and into the details and back.
        in_list = "document.activeElement.closest('#rows') !== null"
        for _ in range(12):
            page.keyboard.press("Tab")
            if page.evaluate(in_list):
                break
        self.assertTrue(page.evaluate(in_list), "the list can be reached with Tab")
        page.keyboard.press("Home")
        expect(self.row(page, other)).to_be_focused()
        page.keyboard.press("ArrowDown")
        expect(self.row(page, placed)).to_be_focused()
        page.keyboard.press("ArrowUp")
        page.keyboard.press("Enter")
        expect(page.locator("#detail-title")).to_be_focused()
        expect(page.locator("#detail .pairs")).to_contain_text("0.1 SOL")
        page.keyboard.press("Tab")
        expect(page.get_by_role("button", name="Back to orders")).to_be_focused()
        page.keyboard.press("Enter")
        expect(self.row(page, other)).to_be_focused()


class Quoting(Page):
    def test_quotes_follow_the_typing_and_the_last_input_wins(self):
        page = self.open()
        held, called_off = [], []
        page.on("requestfailed", lambda request: called_off.append(request.url))

        def hold_the_first(route):
            if held:
                return route.continue_()
            return held.append(route)

        page.route("**/v1/quote?*", hold_the_first)
        amount, headline = page.locator("#amount"), page.locator("#quote .headline b")
        amount.press_sequentially("12")
        eventually("the first question", lambda: page.wait_for_timeout(20) or held)
        amount.press_sequentially("00")
        # Six digits: what 1200 SOL bring, and what 12 do not.
        expect(headline).to_have_text(re.compile(r"^\d{3},\d{3}(\.\d+)?$"))
        expect(page.locator("#submit")).to_have_text("Swap 1200 SOL for USDC")
        self.assertIn(held[0].request.url, called_off, "nobody waits for what is no longer wanted")
        held[0].abort()

    def test_errors_stand_at_their_field(self):
        page = self.open()
        amount, slippage = page.locator("#amount"), page.locator("#slippage")
        amount.fill("1.0000000001")
        expect(page.locator("#amount-error")).to_contain_text("no more decimals than the token has")
        expect(amount).to_have_attribute("aria-invalid", "true")
        amount.fill("1")
        expect(page.locator("#quote .headline")).to_be_visible()
        expect(page.locator("#amount-error")).to_be_hidden()
        slippage.fill("50")
        expect(page.locator("#slippage-error")).to_contain_text("from 0 to 10 %")
        expect(page.locator("#quote .headline")).to_have_count(0)
        page.locator("#submit").click()
        expect(slippage).to_be_focused()
        amount.fill("")
        slippage.fill("1")
        page.locator("#submit").click()
        expect(page.locator("#amount-error")).to_have_text("Give an amount first.")
        expect(amount).to_be_focused()


class Streaming(Page):
    def test_after_a_restart_of_the_daemon_every_event_arrives_once(self):
        page = self.open()
        cursors = []
        page.on("websocket", lambda socket: socket.on("framereceived", lambda frame: hear(frame)))

        def hear(frame):
            cursors.append(json.loads(frame).get("cursor"))

        page.reload()
        expect(page.locator("#connection")).to_have_text("Live")
        first = daemon.order(amountIn="0.3")
        expect(self.row(page, first)).to_have_attribute("data-status", "confirmed")

        daemon.stop()
        expect(page.locator("#connection")).to_have_text("Reconnecting")
        expect(self.row(page, first)).to_be_visible()
        daemon.start()
        missed = [daemon.order(amountIn=f"0.{n}1") for n in range(3)]
        expect(page.locator("#connection")).to_have_text("Live")
        later = daemon.order(amountIn="0.7")
        for order in (first, *missed, later):
            daemon.ended(order)
            expect(self.row(page, order)).to_have_count(1)
            expect(self.row(page, order)).to_have_attribute("data-status", "confirmed")

        last = daemon.get("v1/status")["cursor"]
        eventually("the newest event", lambda: page.wait_for_timeout(20) or last in cursors)
        told = [cursor for cursor in cursors if cursor is not None]
        self.assertEqual(told, list(range(told[0], last + 1)), "a gap, or an event told twice")

        self.row(page, missed[0]).click()
        steps = page.locator("#detail .timeline li")
        expect(steps.last).to_have_attribute("data-event", re.compile("landed|settled"))
        self.assertEqual([int(it.get_attribute("data-seq")) for it in steps.all()], list(range(1, steps.count() + 1)))

    def test_an_outage_of_the_chain_is_told_and_ends(self):
        page = self.open()
        world.chain.send_signal(signal.SIGSTOP)
        try:
            expect(page.locator("#notices")).to_contain_text("The chain's RPC endpoint cannot be used")
            expect(page.locator("#readiness")).to_have_text("not ready")
        finally:
            world.chain.send_signal(signal.SIGCONT)
        expect(page.locator("#notices")).to_be_empty()
        expect(page.locator("#readiness")).to_have_text("ready")

    def test_status_wallets_and_times_are_shown(self):
        page = self.open()
        order = daemon.ended(daemon.order(amountIn="0.4"))
        expect(page.locator("#cluster")).to_have_text("local")
        expect(page.locator("#readiness")).to_have_text("ready")
        expect(page.locator("#slot")).to_have_text(re.compile(r"^[\d,]+$"))
        wallets = page.locator("#wallets li")
        expect(wallets).to_have_count(3)
        expect(wallets.first).to_contain_text("wallet-0")
        total = page.get_by_role("row", name="In all")
        expect(total).to_contain_text(re.compile(r"\d+ ms|\d s"))
        expect(page.locator("#latency-strip svg")).to_have_attribute("aria-label", re.compile("The latest"))
        page.locator("#filter").get_by_text("Failed").click()
        expect(self.row(page, order["id"])).to_have_count(0)


class Control(Page):
    """The kill switch, as the one who turns it and everybody else see it."""

    def tearDown(self):
        daemon.post("v1/control/resume")
        super().tearDown()

    def test_a_pause_is_asked_about_seen_on_every_page_and_ended(self):
        page, other = self.open(), self.open()
        page.get_by_role("button", name="Pause trading").click()
        dialog = page.get_by_role("dialog", name="Pause trading?")
        dialog.get_by_role("button", name="Leave it").click()
        expect(dialog).to_be_hidden()
        self.assertFalse(daemon.get("v1/control")["paused"], "a question that was not answered stops nothing")

        page.get_by_role("button", name="Pause trading").click()
        expect(dialog.get_by_label("Reason, shown to everybody")).to_be_focused()
        page.keyboard.type("odd prices")
        page.keyboard.press("Enter")
        for seen in (page, other):
            expect(seen.locator("#paused")).to_contain_text("Trading is paused: odd prices.")
            expect(seen.get_by_role("button", name="Resume trading")).to_be_visible()
            expect(seen.locator("#readiness")).to_have_text("not ready")
        expect(page.get_by_role("button", name="Resume trading")).to_be_focused()
        self.assertEqual(daemon.get("v1/control")["causes"][0]["reason"], "odd prices")

        asked = []
        other.on("request", lambda request: asked.append(request) if request.method == "POST" else None)
        other.locator("#amount").fill("0.1")
        expect(other.locator("#quote .headline")).to_be_visible()
        other.locator("#submit").click()
        expect(other.locator("#form-error")).to_contain_text("Wait until it is resumed")
        self.assertEqual(len(asked), 1, "what a person has stopped is not asked for again and again")

        other.get_by_role("button", name="Resume trading").click()
        other.get_by_role("dialog", name="Resume trading?").get_by_role("button", name="Resume trading").click()
        for seen in (page, other):
            expect(seen.locator("#paused")).to_be_empty()
        expect(self.row(other, self.place(other, "0.1"))).to_have_attribute("data-status", "confirmed")

    def test_an_order_that_waits_for_the_switch_says_so_and_how_long_it_may(self):
        page = self.open()
        with world.halted():
            order = daemon.order(amountIn="0.1", expiresInMs=3_600_000)
            daemon.post("v1/control/pause", reason="a look at the market")
        row = self.row(page, order)
        expect(row).to_have_attribute("data-status", "retrying")
        expect(row).to_contain_text(re.compile(r"trying again, (60|59) min left"))
        row.click()
        warning = page.locator("#detail .warning")
        expect(warning).to_contain_text("Trading is stopped by the operator")
        expect(warning).to_contain_text("It is tried again by itself")
        expect(page.locator("#detail .pairs")).to_contain_text("left to be signed")
        daemon.post("v1/control/resume")
        expect(row).to_have_attribute("data-status", "confirmed")
        expect(warning).to_have_count(0)

    def test_a_key_that_may_only_look_is_told_so(self):
        guarded = Daemon(world, "looking", key="open sesame")
        self.addCleanup(guarded.close)
        looks = guarded.run("key", "create", "screen", "--scope", "read").split()[-1]
        page = self.open(guarded, live=False)
        key = page.get_by_label("API key")

        def enters():
            # A new key counts within two seconds.
            key.fill(looks)
            page.keyboard.press("Enter")
            page.wait_for_timeout(200)
            return not key.is_visible()

        eventually("the key to count", enters)
        page.get_by_role("button", name="Pause trading").click()
        dialog = page.get_by_role("dialog", name="Pause trading?")
        dialog.get_by_role("button", name="Pause trading").click()
        expect(dialog.get_by_role("alert")).to_contain_text("This key may look, but not trade")
        self.assertFalse(guarded.get("v1/control")["paused"])
        page.keyboard.press("Escape")
        expect(dialog).to_be_hidden()


class Rehearsing(Page):
    def test_a_dry_run_says_what_would_come_and_leaves_no_order(self):
        page = self.open()
        before = daemon.ids()
        page.get_by_role("checkbox", name="Dry run").check()
        page.locator("#amount").fill("1.5")
        expect(page.locator("#submit")).to_have_text("Dry run: swap 1.5 SOL for USDC")
        page.locator("#submit").click()
        told = page.get_by_role("region", name="Dry run")
        expect(told.locator(".headline")).to_have_text(re.compile(r"Would receive 2\d\d\.\d+ USDC"))
        expect(told).to_contain_text(re.compile(r"Compute units\s*[\d,]+ of [\d,]+"))
        expect(told).to_contain_text("nothing was stored, signed or sent")
        self.assertEqual(daemon.ids(), before)

        page.locator("#amount").fill("20000")
        expect(told).to_be_hidden()
        page.locator("#submit").click()
        expect(told).to_contain_text("It would fail now")
        expect(told).to_contain_text("No wallet can pay")
        self.assertEqual(daemon.ids(), before)

        page.get_by_role("checkbox", name="Dry run").uncheck()
        order = self.place(page, "0.1")
        expect(told).to_be_hidden()
        expect(self.row(page, order)).to_have_attribute("data-status", "confirmed")


class Deadlines(Page):
    def test_a_deadline_is_given_checked_shown_and_kept(self):
        page = self.open()
        expiry = page.get_by_label("Expires after, in seconds")
        page.locator("#amount").fill("0.1")
        expiry.fill("soon")
        page.locator("#submit").click()
        expect(page.locator("#expiry-error")).to_contain_text("Give seconds")
        expect(expiry).to_be_focused()
        expect(expiry).to_have_attribute("aria-invalid", "true")

        expiry.fill("7200")
        order = daemon.ended(self.place(page, "0.1"))
        self.assertEqual(order["status"], "confirmed")
        expect(page.locator("#detail .pairs")).to_contain_text("Deadline")

        with world.halted():
            late = daemon.order(amountIn="0.1", expiresInMs=300)
            self.row(page, late).click()
            eventually("the deadline to pass", lambda: page.wait_for_timeout(20) or self.is_over(late))
        expect(self.row(page, late)).to_have_attribute("data-status", "failed")
        expect(page.locator("#detail .failure")).to_contain_text("with a later deadline")
        expect(page.locator("#detail .failure code")).to_have_text("expired")

    def is_over(self, order):
        at = datetime.fromisoformat(daemon.get(f"v1/orders/{order}")["expiresAt"])
        return datetime.now(timezone.utc) > at


class DeadLetters(Page):
    def test_what_is_set_aside_is_listed_with_its_cause_and_replayed(self):
        poisoned = Daemon(world, "poisoned", more="[engine]\nmax_take_ups = 1\n")
        self.addCleanup(poisoned.close)
        page = self.open(poisoned)
        expect(page.get_by_role("region", name="Set aside")).to_be_hidden()
        with world.halted():
            order = poisoned.order(amountIn="0.3")
            eventually("the order to be taken up", lambda: poisoned.get(f"v1/orders/{order}")["status"] == "routing")
            poisoned.stop(signal.SIGKILL)
        # Whoever takes it up a second time dies as well, as far as the store can tell.
        poisoned.took_up(order)
        poisoned.start()
        letters = page.get_by_role("region", name="Set aside")
        expect(letters).to_be_visible()
        letter = letters.get_by_role("listitem")
        expect(letter).to_have_count(1)
        expect(letter).to_contain_text("the process died before it moved")
        expect(letter).to_contain_text("Nothing of it is signed")
        expect(self.row(page, order)).to_contain_text("set aside")
        letter.get_by_role("button", name=re.compile("^Show SOL to USDC")).click()
        expect(page.locator("#detail-title")).to_be_focused()
        expect(page.locator("#detail .warning")).to_contain_text("nobody drives this order")
        letter.get_by_role("button", name=re.compile("^Replay SOL to USDC")).press("Enter")
        expect(letters).to_be_hidden()
        expect(page.locator("#orders")).to_be_focused()
        expect(self.row(page, order)).to_have_attribute("data-status", "confirmed")
        expect(page.locator("#detail .warning")).to_have_count(0)


class Unknown(Page):
    def test_an_unknown_outcome_is_explained_until_there_is_evidence(self):
        doubting = Daemon(world, "doubting", more='[engine]\nunknown_after = "200ms"\n')
        self.addCleanup(doubting.close)
        page = self.open(doubting)
        with world.silent(doubting):
            order = doubting.order(amountIn="0.3")
            row = self.row(page, order)
            expect(row).to_contain_text("outcome unknown")
            expect(page.locator("#notices")).to_contain_text("The outcome of 1 order is unknown")
            row.click()
            warning = page.locator("#detail .warning")
            expect(warning).to_contain_text("Nobody can say yet what became of the signature")
            expect(warning).to_contain_text("nothing is signed again before")
            expect(page.locator("#detail .signature")).to_have_count(1)
        expect(row).to_have_attribute("data-status", "confirmed")
        expect(warning).to_have_count(0)
        expect(page.locator("#notices")).to_be_empty()


class Links(Page):
    def test_an_order_and_its_receipt_have_addresses(self):
        order = daemon.ended(daemon.order(amountIn="0.4"))["id"]
        page = self.open()
        self.row(page, order).click()
        self.assertEqual(page.url, f"{daemon.url}#{order}")
        page.reload()
        detail = page.locator("#detail")
        expect(detail.get_by_role("link", name=order[:5])).to_have_attribute("href", f"#{order}")
        detail.get_by_text("Receipt", exact=True).click()
        with page.expect_popup() as opened:
            detail.get_by_role("link", name="Open receipt").click()
        self.assertEqual(opened.value.url, f"{daemon.url}v1/orders/{order}/receipt")
        self.assertEqual(json.loads(opened.value.locator("body").inner_text())["id"], order)
        detail.get_by_role("button", name="Back to orders").click()
        self.assertEqual(page.url, daemon.url)

    def test_where_a_key_is_demanded_the_receipt_is_saved(self):
        guarded = Daemon(world, "saving", key="open sesame")
        self.addCleanup(guarded.close)
        order = guarded.ended(guarded.order(amountIn="0.4"))["id"]
        page = self.open(guarded, live=False)
        page.get_by_label("API key").fill("open sesame")
        page.keyboard.press("Enter")
        self.row(page, order).click()
        page.locator("#detail").get_by_text("Receipt", exact=True).click()
        with page.expect_download() as saved:
            page.get_by_role("link", name="Save receipt").click()
        self.assertEqual(json.loads(pathlib.Path(saved.value.path()).read_text())["id"], order)


class Key(Page):
    def test_a_key_is_asked_for_tried_and_kept_for_the_tab_alone(self):
        guarded = Daemon(world, "guarded", key="open sesame")
        self.addCleanup(guarded.close)
        page = self.open(guarded, live=False)
        dialog = page.get_by_role("dialog")
        expect(dialog).to_be_visible()
        expect(page.get_by_label("API key")).to_be_focused()
        page.keyboard.type("wrong")
        page.keyboard.press("Enter")
        expect(dialog).to_contain_text("does not know this key")
        page.get_by_label("API key").fill("open sesame")
        page.keyboard.press("Enter")
        expect(dialog).to_be_hidden()
        expect(page.locator("#connection")).to_have_text("Live")
        order = self.place(page, "0.2")
        expect(self.row(page, order)).to_have_attribute("data-status", "confirmed")
        page.reload()
        expect(page.locator("#connection")).to_have_text("Live")
        self.assertEqual(page.evaluate("localStorage.length"), 0)
        page.get_by_role("button", name="Forget key").click()
        expect(dialog).to_be_visible()


class Looks(Page):
    """On a laptop and on phones, in the light and in the dark."""

    def test_no_barrier_is_found_and_nothing_is_cut_off(self):
        failing, landing = daemon.order(amountIn="20000"), daemon.order(amountIn="1.5")
        daemon.ended(failing), daemon.ended(landing)
        for size, viewport in (("desktop", DESKTOP), ("phone", PHONE)):
            for scheme in ("light", "dark"):
                with self.subTest(size=size, scheme=scheme):
                    page = self.open(viewport=viewport, scheme=scheme)
                    page.locator("#amount").fill("2.5")
                    expect(page.locator("#quote .headline")).to_be_visible()
                    for name, order in (("failed", failing), ("landed", landing)):
                        self.row(page, order).click()
                        expect(page.locator("#detail .timeline li").last).to_be_visible()
                        expect(page.locator("#latency-rows tr")).not_to_have_count(0)
                        self.looks_right(page, f"{size}-{scheme}-{name}", full_page=size == "phone")
                    page.set_viewport_size(SMALLEST)
                    self.nothing_cut_off(page)
                    page.context.close()

    def test_trouble_is_as_readable_as_calm(self):
        """Paused, with orders that wait and some set aside, and with a dry run beside them."""
        troubled = Daemon(world, "troubled", more="[engine]\nmax_take_ups = 1\n")
        self.addCleanup(troubled.close)
        with world.halted():
            aside = [troubled.order(amountIn="0.3"), troubled.order(amountOut="15")]
            taken = lambda order: troubled.get(f"v1/orders/{order}")["status"] == "routing"
            eventually("the orders to be taken up", lambda: all(map(taken, aside)))
            troubled.stop(signal.SIGKILL)
        for order in aside:
            troubled.took_up(order)
        troubled.start()
        with world.halted():
            waiting = troubled.order(amountIn="0.5", expiresInMs=7_200_000)
            troubled.post("v1/control/pause", reason="prices look odd since the last upgrade")
        for size, viewport in (("desktop", DESKTOP), ("phone", PHONE)):
            for scheme in ("light", "dark"):
                with self.subTest(size=size, scheme=scheme):
                    page = self.open(troubled, viewport=viewport, scheme=scheme)
                    expect(page.locator("#dead-letters li")).to_have_count(2)
                    expect(page.locator("#paused")).to_contain_text("Trading is paused")
                    page.locator("#amount").fill("2.5")
                    page.get_by_role("checkbox", name="Dry run").check()
                    expect(page.locator("#quote .headline")).to_be_visible()
                    page.locator("#submit").click()
                    expect(page.locator("#rehearsal .headline")).to_be_visible()
                    self.row(page, waiting).click()
                    expect(page.locator("#detail .warning")).to_be_visible()
                    page.evaluate("scrollTo(0, 0)")
                    self.looks_right(page, f"{size}-{scheme}-trouble", full_page=True)
                    page.get_by_role("button", name="Resume trading").click()
                    expect(page.get_by_role("dialog")).to_be_visible()
                    self.looks_right(page, f"{size}-{scheme}-question")
                    page.set_viewport_size(SMALLEST)
                    self.nothing_cut_off(page)
                    page.context.close()

    def looks_right(self, page, name, full_page=False):
        self.no_barrier(page)
        self.nothing_cut_off(page)
        page.screenshot(path=SCREENSHOTS / f"{name}.png", full_page=full_page)

    def no_barrier(self, page):
        found = Axe().run(page)
        self.assertEqual(found.violations_count, 0, found.generate_report())

    def nothing_cut_off(self, page):
        wide = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
        self.assertEqual(wide, 0, "the page scrolls sideways")


class Volume(Page):
    def test_hundreds_of_orders_leave_a_short_list_with_the_newest(self):
        page = self.open()
        with ThreadPoolExecutor(8) as pool:
            placed = list(pool.map(lambda n: daemon.order(amountIn=f"0.0{100 + n}"), range(160)))
        rows = page.locator("#rows button")
        newest = sorted(placed, reverse=True)[:150]
        eventually("the newest 150 orders, and no other", lambda: self.shown(rows) == newest)
        page.locator("#amount").fill("1")
        expect(page.locator("#quote .headline")).to_be_visible()
        expect(rows.first).to_have_attribute("data-status", "confirmed")

    def shown(self, rows):
        rows.page.wait_for_timeout(20)  # lets the page's own events in between looks
        return rows.evaluate_all("rows => rows.map((row) => row.dataset.id)")


if __name__ == "__main__":
    unittest.main()
