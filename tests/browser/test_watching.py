"""What a person sees of orders and of the daemon, live, in every size, with a key and without."""

import json
import pathlib
import re
import signal
import unittest
from concurrent.futures import ThreadPoolExecutor

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import expect

from page import DESKTOP, PHONE, SCREENSHOTS, SMALLEST, Page
from world import Daemon, eventually

# The page's own number, in `stream.js`: when it is further behind, it skips ahead to so many events ago.
REPLAY = 1_500


class Streaming(Page):
    def test_after_a_restart_of_the_daemon_every_event_arrives_once(self):
        page = self.open()
        cursors = []
        page.on("websocket", lambda socket: socket.on("framereceived", lambda frame: hear(frame)))

        def hear(frame):
            cursors.append(json.loads(frame).get("cursor"))

        page.reload()
        expect(page.locator("#connection")).to_have_text("Live")
        first = self.daemon.order(amountIn="0.3")
        expect(self.row(page, first)).to_have_attribute("data-status", "confirmed")

        self.daemon.stop()
        expect(page.locator("#connection")).to_have_text("Reconnecting")
        expect(self.row(page, first)).to_be_visible()
        self.daemon.start()
        missed = [self.daemon.order(amountIn=f"0.{n}1") for n in range(3)]
        expect(page.locator("#connection")).to_have_text("Live")
        later = self.daemon.order(amountIn="0.7")
        for order in (first, *missed, later):
            self.daemon.ended(order)
            expect(self.row(page, order)).to_have_count(1)
            expect(self.row(page, order)).to_have_attribute("data-status", "confirmed")

        last = self.daemon.get("v1/status")["cursor"]
        eventually("the newest event", lambda: page.wait_for_timeout(20) or last in cursors)
        told = [cursor for cursor in cursors if cursor is not None]
        self.assertEqual(told, list(range(told[0], last + 1)), "a gap, or an event told twice")

        self.row(page, missed[0]).click()
        steps = page.locator("#detail .timeline li")
        expect(steps.last).to_have_attribute("data-event", re.compile("landed|settled"))
        self.assertEqual([int(it.get_attribute("data-seq")) for it in steps.all()], list(range(1, steps.count() + 1)))

    def test_what_the_stream_skips_is_read_with_the_connection(self):
        page = self.open()
        with self.world.halted():
            order = self.daemon.order(amountIn="0.2")
            self.row(page, order).click()
            expect(page.locator("#detail .state b")).to_have_text("routing")
            page.route("**/v1/status", lambda route: route.abort())
            self.daemon.stop(signal.SIGKILL)
            expect(page.locator("#connection")).to_have_text("Reconnecting")
        self.daemon.start()
        self.daemon.ended(order)

        def skips_everything(route):
            answer = route.fetch()
            status = answer.json()
            # The page goes back by what it replays, which is to where the daemon is: no event of the order is told.
            status["cursor"] += REPLAY
            route.fulfill(response=answer, json=status)

        # The list that is read in its place fails once.
        page.route("**/v1/orders?limit=*", lambda route: route.abort(), times=1)
        with page.expect_request("**/v1/dead-letters?*"):
            page.unroute("**/v1/status")
            page.route("**/v1/status", skips_everything)
        expect(page.locator("#detail .state b")).to_have_text("confirmed")
        expect(self.row(page, order)).to_have_attribute("data-status", "confirmed")

    def test_an_order_that_could_not_be_read_once_is_read_again(self):
        page = self.open()
        with self.world.halted():
            order = self.daemon.order(amountIn="0.2")
            self.row(page, order).click()
            expect(page.locator("#detail .state b")).to_have_text("routing")
            page.route(f"**/v1/orders/{order}", lambda route: route.abort())
        expect(self.row(page, order)).to_have_attribute("data-status", "confirmed")
        page.unroute(f"**/v1/orders/{order}")
        expect(page.locator("#detail .state b")).to_have_text("confirmed")

    def test_an_order_that_comes_and_goes_during_a_listing_is_listed_with_the_next_one(self):
        page = self.open()
        late = []

        def answers_late(route):
            late.append((route, route.fetch()))

        page.route("**/v1/orders?limit=*", answers_late, times=1)
        self.daemon.order(amountIn="0.2")
        eventually("a listing", lambda: page.wait_for_timeout(20) or late)
        # It fails before it has a route: only a listing says what it was to pay.
        missed = self.daemon.order(amountIn="20000")
        expect(self.row(page, missed)).to_have_attribute("data-status", "failed")
        eventually("the last event", lambda: page.wait_for_timeout(20) or self.daemon.ended(missed))
        route, answer = late.pop()
        route.fulfill(response=answer)
        expect(self.row(page, missed)).to_contain_text("20,000")

    def test_an_outage_of_the_chain_is_told_and_ends(self):
        page = self.open()
        self.world.chain.send_signal(signal.SIGSTOP)
        try:
            expect(page.locator("#notices")).to_contain_text("The chain's RPC endpoint cannot be used")
            expect(page.locator("#readiness")).to_have_text("not ready")
        finally:
            self.world.chain.send_signal(signal.SIGCONT)
        expect(page.locator("#notices")).to_be_empty()
        expect(page.locator("#readiness")).to_have_text("ready")

    def test_status_wallets_and_times_are_shown(self):
        page = self.open()
        order = self.daemon.ended(self.daemon.order(amountIn="0.4"))
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


class Links(Page):
    def test_an_order_and_its_receipt_have_addresses(self):
        order = self.daemon.ended(self.daemon.order(amountIn="0.4"))["id"]
        page = self.open()
        self.row(page, order).click()
        self.assertEqual(page.url, f"{self.daemon.url}#{order}")
        page.reload()
        detail = page.locator("#detail")
        expect(detail.get_by_role("link", name=order[:5])).to_have_attribute("href", f"#{order}")
        detail.get_by_text("Receipt", exact=True).click()
        with page.expect_popup() as opened:
            detail.get_by_role("link", name="Open receipt").click()
        self.assertEqual(opened.value.url, f"{self.daemon.url}v1/orders/{order}/receipt")
        self.assertEqual(json.loads(opened.value.locator("body").inner_text())["id"], order)
        detail.get_by_role("button", name="Back to orders").click()
        self.assertEqual(page.url, self.daemon.url)

    def test_where_a_key_is_demanded_the_receipt_is_saved(self):
        guarded = Daemon(self.world, "saving", key="open sesame")
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
        guarded = Daemon(self.world, "guarded", key="open sesame")
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
        failing, landing = self.daemon.order(amountIn="20000"), self.daemon.order(amountIn="1.5")
        self.daemon.ended(failing), self.daemon.ended(landing)
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
        troubled = Daemon(self.world, "troubled", more="[engine]\nmax_take_ups = 1\n")
        self.addCleanup(troubled.close)
        with self.world.halted():
            aside = [troubled.order(amountIn="0.3"), troubled.order(amountOut="15")]
            taken = lambda order: troubled.get(f"v1/orders/{order}")["status"] == "routing"
            eventually("the orders to be taken up", lambda: all(map(taken, aside)))
            troubled.stop(signal.SIGKILL)
        for order in aside:
            troubled.took_up(order)
        troubled.start()
        with self.world.halted():
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
            placed = list(pool.map(lambda n: self.daemon.order(amountIn=f"0.0{100 + n}"), range(160)))
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
