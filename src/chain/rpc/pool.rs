//! Pool: which endpoint is asked, which next, and which answer counts.
//!
//! Owns the choice. A read goes to the endpoint that is expected to answer first, to the next one when that fails or is
//! slow, and ends within one time-out however many are asked. A send goes to all. Testimony is taken from each endpoint
//! by itself, because evidence from two nodes must not come from one. Never interprets an answer.

use std::{
    collections::VecDeque,
    sync::{Arc, OnceLock},
    time::Duration,
};

use futures_util::{StreamExt, future::join_all, stream::FuturesUnordered};
use serde_json::Value;
use tokio::time::Instant;
use url::Url;

use super::{
    answers::SendAnswer,
    budget::Limits,
    call::{Call, Repeats},
    endpoint::Endpoint,
    refusals::ChainError,
};

/// Once a node has a transaction, the others get this long to take it too.
const SEND_GRACE: Duration = Duration::from_millis(100);
/// How long we leave endpoints alone that all limit us and do not say for how long.
const LIMITED_REST: Duration = Duration::from_millis(500);
/// Endpoints whose answers are expected within the same doubling of time count as equally quick, from this on: quotes
/// and blockhashes should come from one node as long as it is good.
const QUICK: Duration = Duration::from_millis(64);

/// All configured endpoints, the preferred one first.
pub(super) struct Pool {
    endpoints: Vec<Endpoint>,
    timeout: Duration,
    /// The cluster's genesis hash, once it is decided.
    genesis: Arc<OnceLock<String>>,
}

impl Pool {
    /// Connects lazily. `urls` are different ones, and at least one.
    pub(super) fn new(urls: Vec<String>, timeout: Duration, limits: Option<Limits>) -> Self {
        let mut names: Vec<String> = Vec::with_capacity(urls.len());
        for url in &urls {
            let name = name(url);
            let same = names.iter().filter(|other| other.split('#').next() == Some(&name)).count();
            names.push(if same == 0 { name } else { format!("{name}#{}", same + 1) });
        }
        let endpoints =
            names.into_iter().zip(urls).map(|(name, url)| Endpoint::new(name, url, timeout, limits)).collect();
        Self { endpoints, timeout, genesis: Arc::default() }
    }

    /// How many endpoints are configured.
    pub(super) const fn len(&self) -> usize {
        self.endpoints.len()
    }

    /// From now on an endpoint shows this genesis hash before it is used.
    pub(super) fn trust(&self, genesis: String) {
        if self.genesis.set(genesis).is_err() {
            tracing::debug!("the cluster was decided before");
        }
    }

    /// The answer of whoever answers first. When every endpoint limits us, they are asked again as long as there is time:
    /// a limit is a wish to wait, not an answer. Not with calls that are a burden in themselves.
    pub(super) async fn read(&self, call: &Call) -> Result<Value, ChainError> {
        self.read_from(call).await.map(|(_, value)| value)
    }

    /// The same, with the name of whoever answered.
    pub(super) async fn read_from(&self, call: &Call) -> Result<(&str, Value), ChainError> {
        let deadline = Instant::now() + self.timeout;
        loop {
            match self.round(call, deadline).await {
                Err(ChainError::RateLimited { retry_after }) if call.repeats == Repeats::Hedged => {
                    let again = Instant::now() + retry_after.unwrap_or(LIMITED_REST);
                    if again >= deadline {
                        return Err(ChainError::RateLimited { retry_after });
                    }
                    tokio::time::sleep_until(again).await;
                }
                decided => return decided,
            }
        }
    }

    /// Each endpoint at most once.
    async fn round(&self, call: &Call, deadline: Instant) -> Result<(&str, Value), ChainError> {
        let mut next: VecDeque<&Endpoint> = self.in_order(call).into();
        let Some(first) = next.pop_front() else { return Err(ChainError::WrongCluster) };
        if call.repeats == Repeats::Never {
            return self.ask(first, call, deadline).await;
        }
        let patience = tokio::time::sleep(first.patience(call));
        tokio::pin!(patience);
        let mut may_hedge = call.repeats == Repeats::Hedged && !next.is_empty();
        // Where slowness brings no second question, half of the time is kept for one after a failure.
        let half = call.repeats == Repeats::AfterFailure && !next.is_empty();
        let first_deadline = if half { Instant::now() + self.timeout / 2 } else { deadline };
        let mut asked = FuturesUnordered::from_iter([self.ask(first, call, first_deadline)]);
        let mut first_error = None;
        loop {
            tokio::select! {
                biased;
                Some(answer) = asked.next() => match answer {
                    Err(error) if error.may_be_better_elsewhere() => {
                        let error = first_error.get_or_insert(error);
                        match next.pop_front() {
                            Some(endpoint) if Instant::now() < deadline => {
                                tracing::debug!(method = call.method, %error, to = endpoint.name(), "asking another endpoint");
                                asked.push(self.ask(endpoint, call, deadline));
                            }
                            _ if !asked.is_empty() => {}
                            _ => return Err(first_error.unwrap_or(ChainError::WrongCluster)),
                        }
                    }
                    decided => return decided,
                },
                () = &mut patience, if may_hedge => {
                    may_hedge = false;
                    if let Some(at) = next.iter().position(|endpoint| endpoint.is_free(call))
                        && let Some(endpoint) = next.remove(at)
                    {
                        tracing::debug!(method = call.method, to = endpoint.name(), "no answer yet, asking another endpoint too");
                        patience.as_mut().reset(Instant::now() + endpoint.patience(call));
                        may_hedge = !next.is_empty();
                        asked.push(self.ask(endpoint, call, deadline));
                    }
                }
            }
        }
    }

    async fn ask<'a>(
        &self,
        endpoint: &'a Endpoint,
        call: &Call,
        until: Instant,
    ) -> Result<(&'a str, Value), ChainError> {
        Ok((endpoint.name(), endpoint.read(call, until, &self.genesis).await?))
    }

    /// Two answers of one endpoint, the second question asked after the first answer: of another one when that fails.
    pub(super) async fn read_both(&self, first: &Call, second: &Call) -> Result<(Value, Value), ChainError> {
        let deadline = Instant::now() + self.timeout;
        let mut next: VecDeque<&Endpoint> = self.in_order(first).into();
        let mut first_error = None;
        while let Some(endpoint) = next.pop_front() {
            let left = deadline.saturating_duration_since(Instant::now());
            let until = if next.is_empty() { deadline } else { Instant::now() + left / 2 };
            let both = async {
                let answer = endpoint.read(first, until, &self.genesis).await?;
                Ok::<_, ChainError>((answer, endpoint.read(second, until, &self.genesis).await?))
            };
            match both.await {
                Err(error) if error.may_be_better_elsewhere() => {
                    first_error.get_or_insert(error);
                }
                decided => return decided,
            }
        }
        Err(first_error.unwrap_or(ChainError::WrongCluster))
    }

    /// Hands bytes to every endpoint that does not rest, or to all when all rest.
    pub(super) async fn send(&self, call: &Call) -> Result<SendAnswer, ChainError> {
        let mut until = Instant::now() + self.timeout;
        let mut targets = self.in_order(call);
        if let Some(awake) = targets.iter().position(|endpoint| endpoint.rests_until().is_some()).filter(|at| *at > 0) {
            targets.truncate(awake);
        }
        let mut sends: FuturesUnordered<_> =
            targets.into_iter().map(|endpoint| endpoint.send(call, until, &self.genesis)).collect();
        let (mut best, mut worst): (Option<SendAnswer>, Option<ChainError>) = (None, None);
        while let Ok(Some(answer)) = tokio::time::timeout_at(until, sends.next()).await {
            match answer {
                Ok(answer) => {
                    if matches!(answer, SendAnswer::Accepted | SendAnswer::AlreadyProcessed) {
                        until = until.min(Instant::now() + SEND_GRACE);
                    }
                    if best.as_ref().is_none_or(|best| tells(&answer) > tells(best)) {
                        best = Some(answer);
                    }
                }
                // A send without an answer may have arrived: that must not hide behind another endpoint's refusal.
                Err(error) if worst.as_ref().is_none_or(|_| error.leaves_a_send_open()) => worst = Some(error),
                Err(_) => {}
            }
        }
        match (best, worst) {
            (Some(answer), _) => Ok(answer),
            (None, Some(error)) => Err(error),
            (None, None) => Err(ChainError::TimedOut { method: call.method, after: self.timeout }),
        }
    }

    /// What every endpoint says by itself, with its name.
    pub(super) async fn everyone(&self, call: &Call) -> Vec<(&str, Result<Value, ChainError>)> {
        let deadline = Instant::now() + self.timeout;
        let said = self
            .in_order(call)
            .into_iter()
            .map(|endpoint| async move { (endpoint.name(), endpoint.read(call, deadline, &self.genesis).await) });
        join_all(said).await
    }

    /// The same of those that do not rest, if they are `enough`, else of none. Once so many have answered, the others are
    /// waited for as long as their answers usually take and no longer: they may know better, and they may be gone.
    pub(super) async fn testimony(&self, call: &Call, enough: usize) -> Vec<(&str, Result<Value, ChainError>)> {
        let started = Instant::now();
        let mut until = started + self.timeout;
        let mut asked = self.in_order(call);
        if self.endpoints.len() > 1 {
            asked.retain(|endpoint| endpoint.rests_until().is_none());
        }
        if asked.len() < enough {
            return Vec::new();
        }
        let usual = started + asked.iter().map(|endpoint| endpoint.patience(call)).max().unwrap_or_default();
        let mut answers: FuturesUnordered<_> = asked
            .into_iter()
            .map(|endpoint| async move { (endpoint.name(), endpoint.read(call, until, &self.genesis).await) })
            .collect();
        let (mut said, mut answered) = (Vec::new(), 0);
        while let Ok(Some(answer)) = tokio::time::timeout_at(until, answers.next()).await {
            answered += usize::from(answer.1.is_ok());
            said.push(answer);
            if answered >= enough {
                until = until.min(usual);
            }
        }
        said
    }

    /// Whoever is expected to answer first comes first; who rests comes last, the one that wakes first before others.
    fn in_order(&self, call: &Call) -> Vec<&Endpoint> {
        let mut endpoints: Vec<&Endpoint> = self.endpoints.iter().filter(|endpoint| !endpoint.is_foreign()).collect();
        endpoints.sort_by_cached_key(|endpoint| {
            let expected = endpoint.expected(call).max(QUICK).as_millis().ilog2();
            (endpoint.rests_until(), expected)
        });
        endpoints
    }
}

const fn tells(answer: &SendAnswer) -> u8 {
    match answer {
        SendAnswer::Accepted => 3,
        SendAnswer::AlreadyProcessed => 2,
        SendAnswer::Refused(_) => 1,
        SendAnswer::BlockhashNotFound => 0,
    }
}

/// The host, and the port where one is named: the rest of a URL may be a key.
fn name(url: &str) -> String {
    let Ok(url) = Url::parse(url) else { return "endpoint".to_owned() };
    match (url.host_str(), url.port()) {
        (Some(host), Some(port)) => format!("{host}:{port}"),
        (Some(host), None) => host.to_owned(),
        (None, _) => "endpoint".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_hold_no_secret_and_differ() {
        let urls = [
            "https://user:hunter2@rpc.example/hunter2?api-key=hunter2",
            "https://rpc.example/other",
            "http://127.0.0.1:8899",
            "hunter2",
        ];
        let pool = Pool::new(urls.map(str::to_owned).to_vec(), Duration::from_secs(1), None);
        let names: Vec<&str> = pool.endpoints.iter().map(Endpoint::name).collect();
        assert_eq!(names, ["rpc.example", "rpc.example#2", "127.0.0.1:8899", "endpoint"]);
    }
}
