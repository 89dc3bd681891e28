//! Router: asks every venue at once under a deadline and keeps every answer.
//!
//! Owns the comparison and the sentence that explains it. Never retries, never builds, and never judges a user's
//! bound: the engine compares the winner with that.

use std::{cmp::Ordering, time::Duration};

use futures_util::future::join_all;
use solana_sdk::pubkey::Pubkey;
use tokio::time::{Instant, timeout};

use crate::{
    domain::{Bps, ErrorCode, Quote, QuoteOutcome, QuoteRequest, Refusal, Route, Swap, VenueId},
    venue::{VenueError, Venues},
};

/// What a quote that cannot be executed is good for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// To be shown beside the others; only executable quotes win.
    QuoteOnly,
    /// To win like any other: the order is then filled on paper.
    Paper,
}

/// Why there is no route.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{reason}")]
pub struct RouteError {
    /// The client's code: `no_route`, `insufficient_liquidity`, `venue_unavailable` or `rpc_unavailable`. The last two
    /// are weather and worth another try.
    pub code: ErrorCode,
    /// A sentence.
    pub reason: String,
    /// What each venue said.
    pub quotes: Vec<QuoteOutcome>,
}

/// Finds routes over its venues.
pub struct Router {
    venues: Venues,
    deadline: Duration,
    mode: Mode,
}

impl Router {
    /// A router over `venues`; those that have not answered within `deadline` are left out of a route.
    pub fn new(venues: Venues, deadline: Duration, mode: Mode) -> Self {
        Self { venues, deadline, mode }
    }

    /// The best route. Ends by the deadline; dropping it drops every question.
    ///
    /// # Errors
    /// When no venue whose quotes count gives one.
    pub async fn route(&self, request: &QuoteRequest) -> Result<Route, RouteError> {
        let asked = self.venues.iter().map(|venue| self.ask(venue.id(), venue.quote(request)));
        self.decide(request, join_all(asked).await)
    }

    /// The route through one pool, whatever others give.
    ///
    /// # Errors
    /// When the pool gives no quote that counts.
    pub async fn route_in(&self, pool: &Pubkey, request: &QuoteRequest) -> Result<Route, RouteError> {
        let asked = self.venues.iter().map(|venue| self.ask(venue.id(), venue.quote_in(pool, request)));
        self.decide(request, join_all(asked).await)
    }

    fn decide(&self, request: &QuoteRequest, quotes: Vec<QuoteOutcome>) -> Result<Route, RouteError> {
        let answers = || quotes.iter().filter_map(|outcome| outcome.quote.as_ref());
        let chosen = answers().filter(|quote| self.may_win(quote)).min_by(|a, b| rank(request.swap, a, b));
        match chosen.cloned() {
            Some(chosen) => {
                let missed = answers()
                    .filter(|quote| !self.may_win(quote) && beats(request.swap, quote, &chosen))
                    .min_by(|a, b| rank(request.swap, a, b));
                let reason =
                    self.praise(request, &chosen, missed, answers().filter(|quote| self.may_win(quote)).count());
                Ok(Route { chosen, reason, quotes })
            }
            None => Err(self.explain(quotes)),
        }
    }

    /// One venue's answer, in time or not.
    async fn ask(&self, venue: VenueId, answer: impl Future<Output = Result<Quote, VenueError>>) -> QuoteOutcome {
        let start = Instant::now();
        let answer = timeout(self.deadline, answer).await;
        let latency_ms = u64::try_from(start.elapsed().as_millis()).unwrap_or(u64::MAX);
        let (quote, refusal) = match answer {
            Ok(Ok(quote)) => (Some(quote), None),
            Ok(Err(error)) => (None, Some(Refusal { code: error.code(), reason: error.to_string() })),
            Err(_) => {
                let reason = format!("no answer within {} ms", self.deadline.as_millis());
                (None, Some(Refusal { code: ErrorCode::VenueUnavailable, reason }))
            }
        };
        QuoteOutcome { venue, latency_ms, quote, refusal }
    }

    fn may_win(&self, quote: &Quote) -> bool {
        match self.mode {
            Mode::QuoteOnly => quote.executable,
            Mode::Paper => true,
        }
    }

    /// Why the winner won, and what a better quote that does not count would have given.
    fn praise(&self, request: &QuoteRequest, chosen: &Quote, missed: Option<&Quote>, rivals: usize) -> String {
        let among = match (rivals, self.mode) {
            (1, Mode::QuoteOnly) => "the only executable quote".to_owned(),
            (1, Mode::Paper) => "the only quote".to_owned(),
            (rivals, Mode::QuoteOnly) => format!("the best of {rivals} executable quotes"),
            (rivals, Mode::Paper) => format!("the best of {rivals} quotes"),
        };
        let on_paper = if chosen.executable { "" } else { ", on paper" };
        let verb = match request.swap {
            Swap::ExactIn(_) => "gives the most",
            Swap::ExactOut(_) => "costs the least",
        };
        let mut reason = format!("{} {verb}{on_paper}: {among}", chosen.venue);
        if let Some(missed) = missed {
            let (difference, of, would) = match request.swap {
                Swap::ExactIn(_) => {
                    (missed.amount_out.get() - chosen.amount_out.get(), chosen.amount_out, "given {} more")
                }
                Swap::ExactOut(_) => {
                    (chosen.amount_in.get() - missed.amount_in.get(), chosen.amount_in, "cost {} less")
                }
            };
            let difference = Bps::ratio_ceil(difference.into(), of.get().into());
            let would = would.replace("{}", &difference.to_string());
            reason.push_str(&format!("; {} would have {would} but cannot be executed", missed.venue));
        }
        reason
    }

    /// Sorts refusals into one answer. A venue that could not be asked might have had a pool, so weather comes before
    /// what the others said; venues that only quote have no say unless their quotes count.
    fn explain(&self, quotes: Vec<QuoteOutcome>) -> RouteError {
        let counts = |index: usize| self.mode == Mode::Paper || self.venues[index].executes();
        let told = quotes
            .iter()
            .enumerate()
            .filter(|(index, _)| counts(*index))
            .filter_map(|(_, outcome)| Some((outcome.venue, outcome.refusal.as_ref()?)))
            .min_by_key(|(_, refusal)| severity(refusal.code));
        let (code, reason) = match told {
            Some((venue, refusal)) => (sorted(refusal.code), format!("no route: {venue}: {}", refusal.reason)),
            None => (ErrorCode::NoRoute, "no route: no venue that can execute a swap gives a quote".to_owned()),
        };
        RouteError { code, reason, quotes }
    }
}

/// The better quote first. Equal amounts: an executable one, then the one that moves the price less, then by name.
fn rank(swap: Swap, a: &Quote, b: &Quote) -> Ordering {
    let amounts = match swap {
        Swap::ExactIn(_) => b.amount_out.cmp(&a.amount_out),
        Swap::ExactOut(_) => a.amount_in.cmp(&b.amount_in),
    };
    amounts
        .then_with(|| b.executable.cmp(&a.executable))
        .then_with(|| a.price_impact_bps.get().cmp(&b.price_impact_bps.get()))
        .then_with(|| a.venue.cmp(&b.venue))
        .then_with(|| a.pool.cmp(&b.pool))
}

fn beats(swap: Swap, quote: &Quote, other: &Quote) -> bool {
    match swap {
        Swap::ExactIn(_) => quote.amount_out > other.amount_out,
        Swap::ExactOut(_) => quote.amount_in < other.amount_in,
    }
}

/// A venue's code as one of the four that a missing route can have.
const fn sorted(code: ErrorCode) -> ErrorCode {
    match code {
        ErrorCode::RpcUnavailable | ErrorCode::VenueUnavailable | ErrorCode::InsufficientLiquidity => code,
        _ => ErrorCode::NoRoute,
    }
}

const fn severity(code: ErrorCode) -> u8 {
    match sorted(code) {
        ErrorCode::RpcUnavailable => 0,
        ErrorCode::VenueUnavailable => 1,
        ErrorCode::InsufficientLiquidity => 2,
        _ => 3,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::{
        chain::ChainError,
        domain::{BaseUnits, Pair},
        venue::{Venue, stub::Stub},
    };

    const RAYDIUM: VenueId = VenueId::RaydiumCpmm;
    const MOCK: VenueId = VenueId::MeteoraMock;
    const DEADLINE: Duration = Duration::from_millis(500);

    fn request(swap: Swap) -> QuoteRequest {
        let pair = Pair { mint_in: Pubkey::new_from_array([1; 32]), mint_out: Pubkey::new_from_array([2; 32]) };
        QuoteRequest { pair, swap }
    }

    fn exact_in() -> QuoteRequest {
        request(Swap::ExactIn(BaseUnits::new(1_000)))
    }

    fn exact_out() -> QuoteRequest {
        request(Swap::ExactOut(BaseUnits::new(1_000)))
    }

    fn giving(venue: VenueId, amount_in: u64, amount_out: u64) -> Stub {
        Stub::giving(Stub::quote(venue, amount_in, amount_out))
    }

    fn router(mode: Mode, venues: impl IntoIterator<Item = Stub>) -> Router {
        let venues = venues.into_iter().map(|venue| Arc::new(venue) as Arc<dyn Venue>).collect();
        Router::new(venues, DEADLINE, mode)
    }

    fn too_small() -> VenueError {
        VenueError::InsufficientLiquidity {
            pool: Pubkey::default(),
            amount: BaseUnits::new(1_000),
            reason: "the pool does not hold that much".to_owned(),
        }
    }

    fn down() -> VenueError {
        VenueError::Chain(ChainError::NodeBehind)
    }

    #[tokio::test(start_paused = true)]
    async fn more_out_wins_and_so_does_less_in() {
        let venues = || [giving(RAYDIUM, 1_000, 70), giving(RAYDIUM, 900, 90), giving(RAYDIUM, 950, 80)];
        let route = router(Mode::QuoteOnly, venues()).route(&exact_in()).await.unwrap();
        assert_eq!(route.chosen.amount_out.get(), 90);
        assert_eq!(route.quotes.len(), 3);
        assert!(route.reason.contains("gives the most"), "{}", route.reason);
        assert!(route.reason.contains("the best of 3 executable quotes"), "{}", route.reason);

        let venues = [giving(RAYDIUM, 1_000, 1_000), giving(RAYDIUM, 990, 1_000)];
        let route = router(Mode::QuoteOnly, venues).route(&exact_out()).await.unwrap();
        assert_eq!(route.chosen.amount_in.get(), 990);
        assert!(route.reason.contains("costs the least"), "{}", route.reason);
    }

    #[tokio::test(start_paused = true)]
    async fn an_executable_quote_wins_over_a_better_mock_and_says_what_was_missed() {
        let venues = [giving(RAYDIUM, 1_000, 70), giving(MOCK, 1_000, 75)];
        let route = router(Mode::QuoteOnly, venues).route(&exact_in()).await.unwrap();
        assert_eq!(route.chosen.venue, RAYDIUM);
        let missed = "meteora_mock would have given 715 bps more but cannot be executed";
        assert!(route.reason.contains(missed), "{}", route.reason);
        assert!(route.reason.contains("the only executable quote"), "{}", route.reason);
        assert!(route.quotes.iter().all(|outcome| outcome.quote.is_some()));

        let venues = [giving(RAYDIUM, 100, 1_000), giving(MOCK, 90, 1_000)];
        let route = router(Mode::QuoteOnly, venues).route(&exact_out()).await.unwrap();
        assert!(route.reason.contains("would have cost 1000 bps less"), "{}", route.reason);
    }

    #[tokio::test(start_paused = true)]
    async fn a_worse_mock_is_recorded_but_not_praised() {
        let venues = [giving(RAYDIUM, 1_000, 70), giving(MOCK, 1_000, 70)];
        let route = router(Mode::QuoteOnly, venues).route(&exact_in()).await.unwrap();
        assert!(!route.reason.contains("would have"), "{}", route.reason);
        assert_eq!(route.quotes[1].quote.as_ref().unwrap().amount_out.get(), 70);
    }

    #[tokio::test(start_paused = true)]
    async fn in_paper_mode_the_better_mock_wins() {
        let venues = [giving(RAYDIUM, 1_000, 70), giving(MOCK, 1_000, 75)];
        let route = router(Mode::Paper, venues).route(&exact_in()).await.unwrap();
        assert_eq!((route.chosen.venue, route.chosen.executable), (MOCK, false));
        assert!(route.reason.contains("on paper: the best of 2 quotes"), "{}", route.reason);
        // equal amounts go to the one that can be executed
        let venues = [giving(MOCK, 1_000, 75), giving(RAYDIUM, 1_000, 75)];
        let route = router(Mode::Paper, venues).route(&exact_in()).await.unwrap();
        assert_eq!(route.chosen.venue, RAYDIUM);
    }

    #[tokio::test(start_paused = true)]
    async fn one_failure_is_not_the_answer() {
        let venues = [Stub::refusing(RAYDIUM, down), giving(RAYDIUM, 1_000, 70)];
        let route = router(Mode::QuoteOnly, venues).route(&exact_in()).await.unwrap();
        assert_eq!(route.chosen.amount_out.get(), 70);
        assert_eq!(route.quotes[0].quote, None);
        assert_eq!(route.quotes[0].refusal.as_ref().unwrap().code, ErrorCode::RpcUnavailable);
    }

    #[tokio::test(start_paused = true)]
    async fn venues_are_asked_at_once_and_late_ones_are_left_out() {
        let late = giving(RAYDIUM, 1_000, 99).after(DEADLINE * 10);
        let slow = giving(RAYDIUM, 1_000, 70).after(Duration::from_millis(400));
        let slower = giving(RAYDIUM, 1_000, 60).after(Duration::from_millis(450));
        let start = Instant::now();
        let route = router(Mode::QuoteOnly, [late, slow, slower]).route(&exact_in()).await.unwrap();
        assert!(start.elapsed() < DEADLINE + Duration::from_millis(10), "{:?}", start.elapsed());
        assert_eq!(route.chosen.amount_out.get(), 70);
        let refusal = route.quotes[0].refusal.as_ref().unwrap();
        assert_eq!((refusal.code, refusal.reason.as_str()), (ErrorCode::VenueUnavailable, "no answer within 500 ms"));
        let latencies: Vec<_> = route.quotes.iter().map(|outcome| outcome.latency_ms).collect();
        assert!((500..=502).contains(&latencies[0]), "{latencies:?}");
        assert!((400..=402).contains(&latencies[1]), "{latencies:?}");
        assert!((450..=452).contains(&latencies[2]), "{latencies:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn without_any_quote_the_code_says_whether_another_try_helps() {
        let no_pool = || Stub::refusing(RAYDIUM, || VenueError::NoPool);
        let small = || Stub::refusing(RAYDIUM, too_small);
        let broken = || Stub::refusing(RAYDIUM, || VenueError::Failed("broken".to_owned()));
        let unreachable = || Stub::refusing(RAYDIUM, down);
        let late = || giving(RAYDIUM, 1, 1).after(DEADLINE * 2);
        for (venues, code) in [
            (vec![], ErrorCode::NoRoute),
            (vec![no_pool()], ErrorCode::NoRoute),
            (vec![no_pool(), small()], ErrorCode::InsufficientLiquidity),
            (vec![small(), broken(), no_pool()], ErrorCode::VenueUnavailable),
            (vec![late(), no_pool()], ErrorCode::VenueUnavailable),
            (vec![broken(), unreachable(), small()], ErrorCode::RpcUnavailable),
        ] {
            let count = venues.len();
            let error = router(Mode::QuoteOnly, venues).route(&exact_in()).await.unwrap_err();
            assert_eq!(error.code, code, "{error}");
            assert_eq!(error.quotes.len(), count);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_mock_alone_is_no_route_unless_on_paper() {
        let no_pool = || Stub::refusing(RAYDIUM, || VenueError::NoPool);
        let error = router(Mode::QuoteOnly, [giving(MOCK, 1_000, 70)]).route(&exact_in()).await.unwrap_err();
        assert_eq!(error.code, ErrorCode::NoRoute);
        assert!(error.quotes[0].quote.is_some(), "its quote is shown all the same");
        // a mock's trouble is not worth another try where its quotes do not count
        let broken = || Stub::refusing(MOCK, || VenueError::Failed("broken".to_owned()));
        let error = router(Mode::QuoteOnly, [no_pool(), broken()]).route(&exact_in()).await.unwrap_err();
        assert_eq!(error.code, ErrorCode::NoRoute);
        let error = router(Mode::Paper, [no_pool(), broken()]).route(&exact_in()).await.unwrap_err();
        assert_eq!(error.code, ErrorCode::VenueUnavailable);
        let route = router(Mode::Paper, [no_pool(), giving(MOCK, 1_000, 70)]).route(&exact_in()).await.unwrap();
        assert_eq!(route.chosen.venue, MOCK);
    }

    #[tokio::test(start_paused = true)]
    async fn a_named_pool_wins_whatever_others_give() {
        let (best, named) = (Stub::quote(RAYDIUM, 1_000, 90), Stub::quote(RAYDIUM, 1_000, 70));
        let router = router(Mode::QuoteOnly, [Stub::giving(best.clone()), Stub::giving(named.clone())]);
        assert_eq!(router.route(&exact_in()).await.unwrap().chosen, best);
        assert_eq!(router.route_in(&named.pool, &exact_in()).await.unwrap().chosen, named);
        let error = router.route_in(&Pubkey::new_from_array([9; 32]), &exact_in()).await.unwrap_err();
        assert_eq!(error.code, ErrorCode::NoRoute);
    }

    #[tokio::test(start_paused = true)]
    async fn ties_are_broken_the_same_way_in_any_order() {
        let quote = |pool: u8, impact: u16| Quote {
            pool: Pubkey::new_from_array([pool; 32]),
            price_impact_bps: Bps::new(impact).unwrap(),
            ..Stub::quote(RAYDIUM, 1_000, 70)
        };
        let quotes = [quote(3, 10), quote(2, 20), quote(4, 10)];
        for order in [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]] {
            let venues = order.map(|n: usize| Stub::giving(quotes[n].clone()));
            let route = router(Mode::QuoteOnly, venues).route(&exact_in()).await.unwrap();
            assert_eq!(route.chosen.pool, Pubkey::new_from_array([3; 32]), "{order:?}");
        }
    }
}
