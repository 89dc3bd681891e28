"""Orders as a person gives them: quoted, tried, placed once, with a deadline or without."""

import json
import re
import unittest
from datetime import datetime, timezone

from playwright.sync_api import expect

from page import ORDERS, Page
from world import eventually

SIGNATURE = re.compile(r"^[1-9A-HJ-NP-Za-km-z]{86,88}$")


class Trading(Page):
    def test_an_order_is_quoted_placed_and_watched_until_its_signature_is_on_the_chain(self):
        page = self.open()
        order = self.place(page, "1.5")
        expect(self.row(page, order)).to_have_attribute("data-status", "confirmed")
        detail = page.locator("#detail")
        expect(detail.locator(".state b")).to_have_text("confirmed")
        told = self.daemon.ended(order)
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
        order = self.daemon.ended(self.place(page, "30", Pay_with="SOL", Receive="USDC"))
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
        before, keys = set(self.daemon.ids()), []

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
        self.assertEqual(len(set(self.daemon.ids()) - before), 1)

        page.locator("#submit").click()
        eventually("a second order", lambda: len(set(self.daemon.ids()) - before) == 2)
        self.assertEqual(len(set(keys)), 2, "an order on purpose has a key of its own")

    def test_everything_can_be_done_with_the_keyboard_alone(self):
        page = self.open()
        page.reload()
        expect(page.locator("#connection")).to_have_text("Live")
        expect(page.locator("#token-out")).to_have_value("USDC")
        expect(page.locator("#amount")).to_be_focused()
        page.keyboard.type("0.5")
        expect(page.locator("#quote .headline")).to_be_visible()
        before = set(self.daemon.ids())
        page.keyboard.press("Enter")
        placed = eventually("the order", lambda: set(self.daemon.ids()) - before).pop()
        expect(self.row(page, placed)).to_have_attribute("data-status", "confirmed")
        other = self.daemon.order(amountIn="0.1")
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
        for ambiguous in ("1,500", "0,5", "1,500.25"):
            amount.fill(ambiguous)
            expect(page.locator("#amount-error")).to_contain_text("Write 1500, or 1.5 with a point.")
            expect(page.locator("#quote .headline")).to_have_count(0)
            page.locator("#submit").click()
            expect(amount).to_be_focused()
            expect(page.locator("#amount-error")).to_be_visible()
        amount.fill("1")
        expect(page.locator("#quote .headline")).to_be_visible()
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


class Rehearsing(Page):
    def test_a_dry_run_says_what_would_come_and_leaves_no_order(self):
        page = self.open()
        before = self.daemon.ids()
        page.get_by_role("checkbox", name="Dry run").check()
        page.locator("#amount").fill("1.5")
        expect(page.locator("#submit")).to_have_text("Dry run: swap 1.5 SOL for USDC")
        page.locator("#submit").click()
        told = page.get_by_role("region", name="Dry run")
        expect(told.locator(".headline")).to_have_text(re.compile(r"Would receive 2\d\d\.\d+ USDC"))
        expect(told).to_contain_text(re.compile(r"Compute units\s*[\d,]+ of [\d,]+"))
        expect(told).to_contain_text("nothing was stored, signed or sent")
        self.assertEqual(self.daemon.ids(), before)

        page.locator("#amount").fill("20000")
        expect(told).to_be_hidden()
        page.locator("#submit").click()
        expect(told).to_contain_text("It would fail now")
        expect(told).to_contain_text("No wallet can pay")
        self.assertEqual(self.daemon.ids(), before)

        page.route(ORDERS, lambda route: route.abort())
        page.locator("#submit").click()
        expect(page.locator("#form-error")).to_have_text("The daemon does not answer.")
        page.unroute(ORDERS)

        page.get_by_role("checkbox", name="Dry run").uncheck()
        order = self.place(page, "0.1")
        expect(told).to_be_hidden()
        expect(self.row(page, order)).to_have_attribute("data-status", "confirmed")


class Deadlines(Page):
    def test_a_deadline_is_given_checked_shown_and_kept(self):
        page = self.open()
        expiry = page.get_by_label("Expires after, in seconds")
        page.locator("#amount").fill("0.1")
        for wrong in ("soon", "7,200"):
            expiry.fill(wrong)
            page.locator("#submit").click()
            expect(page.locator("#expiry-error")).to_contain_text("Give seconds without commas")
            expect(expiry).to_be_focused()
            expect(expiry).to_have_attribute("aria-invalid", "true")

        expiry.fill("7200")
        order = self.daemon.ended(self.place(page, "0.1"))
        self.assertEqual(order["status"], "confirmed")
        expect(page.locator("#detail .pairs")).to_contain_text("Deadline")

        with self.world.halted():
            late = self.daemon.order(amountIn="0.1", expiresInMs=300)
            self.row(page, late).click()
            eventually("the deadline to pass", lambda: page.wait_for_timeout(20) or self.is_over(late))
        expect(self.row(page, late)).to_have_attribute("data-status", "failed")
        expect(page.locator("#detail .failure")).to_contain_text("with a later deadline")
        expect(page.locator("#detail .failure code")).to_have_text("expired")

    def is_over(self, order):
        at = datetime.fromisoformat(self.daemon.get(f"v1/orders/{order}")["expiresAt"])
        return datetime.now(timezone.utc) > at


if __name__ == "__main__":
    unittest.main()
