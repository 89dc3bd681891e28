"""Trouble, and what a person can do about it: the kill switch, orders that are set aside, outcomes nobody knows."""

import re
import signal
import unittest

from playwright.sync_api import expect

from page import Page
from world import Daemon, eventually


class Control(Page):
    """The kill switch, as the one who turns it and everybody else see it."""

    def tearDown(self):
        self.daemon.post("v1/control/resume")
        super().tearDown()

    def test_a_pause_is_asked_about_seen_on_every_page_and_ended(self):
        page, other = self.open(), self.open()
        page.get_by_role("button", name="Pause trading").click()
        dialog = page.get_by_role("dialog", name="Pause trading?")
        dialog.get_by_role("button", name="Leave it").click()
        expect(dialog).to_be_hidden()
        self.assertFalse(self.daemon.get("v1/control")["paused"], "a question that was not answered stops nothing")

        page.get_by_role("button", name="Pause trading").click()
        expect(dialog.get_by_label("Reason, shown to everybody")).to_be_focused()
        page.keyboard.type("odd prices")
        page.keyboard.press("Enter")
        for seen in (page, other):
            expect(seen.locator("#paused")).to_contain_text("Trading is paused: odd prices.")
            expect(seen.get_by_role("button", name="Resume trading")).to_be_visible()
            expect(seen.locator("#readiness")).to_have_text("not ready")
        expect(page.get_by_role("button", name="Resume trading")).to_be_focused()
        self.assertEqual(self.daemon.get("v1/control")["causes"][0]["reason"], "odd prices")

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
        with self.world.halted():
            order = self.daemon.order(amountIn="0.1", expiresInMs=3_600_000)
            self.daemon.post("v1/control/pause", reason="a look at the market")
        row = self.row(page, order)
        expect(row).to_have_attribute("data-status", "retrying")
        expect(row).to_contain_text(re.compile(r"trying again, (60|59) min left"))
        row.click()
        warning = page.locator("#detail .warning")
        expect(warning).to_contain_text("Trading is stopped by the operator")
        expect(warning).to_contain_text("It is tried again by itself")
        expect(page.locator("#detail .pairs")).to_contain_text("left to be signed")
        self.daemon.post("v1/control/resume")
        expect(row).to_have_attribute("data-status", "confirmed")
        expect(warning).to_have_count(0)

    def test_a_key_that_may_only_look_is_told_so(self):
        guarded = Daemon(self.world, "looking", key="open sesame")
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


class DeadLetters(Page):
    def test_what_is_set_aside_is_listed_with_its_cause_and_replayed(self):
        poisoned = Daemon(self.world, "poisoned", more="[engine]\nmax_take_ups = 1\n")
        self.addCleanup(poisoned.close)
        page = self.open(poisoned)
        expect(page.get_by_role("region", name="Set aside")).to_be_hidden()
        with self.world.halted():
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
        doubting = Daemon(self.world, "doubting", more='[engine]\nunknown_after = "200ms"\n')
        self.addCleanup(doubting.close)
        page = self.open(doubting)
        with self.world.silent(doubting):
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


if __name__ == "__main__":
    unittest.main()
