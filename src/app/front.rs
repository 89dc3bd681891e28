//! Front: what an api role serves, and the page of metrics that every role serves.

use std::{sync::Arc, time::Duration};

use anyhow::{Context, bail};
use tokio::net::TcpListener;

use super::{App, LAST_STEP, Market, Outside};
use crate::{
    api,
    config::{self, Cluster, Config, Secret},
    domain::Bps,
    engine::{Control, Holdings, Intake, Rehearsal},
    metrics,
    webhooks::{self, Schedule, Webhooks},
};

impl App {
    /// The page that Prometheus reads, and its own listener where one is configured.
    pub(super) async fn spawn_metrics(
        &mut self,
        config: &Config,
        outside: &Outside,
    ) -> anyhow::Result<Arc<api::MetricsPage>> {
        let page = Arc::new(api::MetricsPage::new(
            metrics::recorder().context("metrics cannot be recorded")?,
            outside.store.clone(),
            outside.queue.clone(),
            self.switches.clone(),
        ));
        if let Some(listen) = config.metrics.listen {
            let listener = TcpListener::bind(listen).await.with_context(|| format!("cannot listen on {listen}"))?;
            let address = listener.local_addr().context("a bound socket has no address")?;
            tracing::info!(%address, "metrics are served");
            let (page, shutdown) = (page.clone(), self.stop.hard.clone());
            self.tasks.spawn(async move {
                if let Err(error) = api::metrics::serve(listener, page, shutdown).await {
                    tracing::error!(%error, "the metrics' server ended");
                }
                "metrics"
            });
        }
        Ok(page)
    }

    /// The API on its listeners, with the feed and the keys it needs.
    pub(super) async fn spawn_api(
        &mut self,
        config: &Config,
        outside: &Outside,
        market: &Market,
        intake: Intake,
        (rehearsal, metrics, control, holdings): (
            Rehearsal,
            Arc<api::MetricsPage>,
            Arc<Control>,
            Option<Arc<Holdings>>,
        ),
    ) -> anyhow::Result<()> {
        let views = api::Views::new(market.rules.clone(), &explorer_query(config));
        let feed = Arc::new(api::Feed::new(views.clone(), config.events.capacity));
        let webhooks = Arc::new(self.spawn_webhooks(config, outside, views)?);
        let probes = api::Probes::new(
            outside.store.clone(),
            outside.queue.clone(),
            outside.bus.clone(),
            Some(outside.rpc.clone()),
            self.switches.clone(),
        );
        let key = config.api.key.as_ref().map(Secret::expose).filter(|key| !key.is_empty());
        let keys = api::KeyRing::open(outside.store.clone(), key.map(api::ApiKey::new)).await;
        let keys = Arc::new(keys.context("the API keys cannot be read")?);
        let (watched, hard) = (keys.clone(), self.stop.hard.clone());
        self.tasks.spawn(async move {
            watched.run(hard).await;
            "keys"
        });
        let state = api::ApiState::new(
            api::Parts {
                intake: Arc::new(intake),
                store: outside.store.clone(),
                keys,
                rehearsal: Arc::new(rehearsal),
                router: market.router.clone(),
                feed: feed.clone(),
                probes: Arc::new(probes),
                metrics,
                control,
                webhooks,
                holdings,
                gallery: self.gallery.handle(),
            },
            api::Options {
                cluster: config.chain.cluster.as_str(),
                origins: api::Origins {
                    null: config.api.is_private(),
                    own: key.is_some(),
                    listed: config.api.origins.clone(),
                },
                cors: config.api.cors,
                body_limit: config.api.body_limit,
                max_connections: config.api.max_connections,
                max_requests: config.api.max_requests,
                max_sockets: config.api.max_sockets,
                request_timeout: config.api.request_timeout,
                percent_slippage: Bps::new(config.orders.percent_slippage_bps)
                    .context("`orders.percent_slippage_bps` is above 10000 basis points")?,
                shutdown_grace: LAST_STEP,
                ..api::Options::default()
            },
        );
        let (store, bus, hard) = (outside.store.clone(), outside.bus.clone(), self.stop.hard.clone());
        self.tasks.spawn(async move {
            feed.run(store, bus, hard).await;
            "feed"
        });
        for listen in std::iter::once(config.api.listen).chain(config.api.also_listen) {
            let listener = TcpListener::bind(listen).await.with_context(|| format!("cannot listen on {listen}"))?;
            self.addresses.push(listener.local_addr().context("a bound socket has no address")?);
            let (state, shutdown) = (state.clone(), self.stop.hard.clone());
            self.tasks.spawn(async move {
                if let Err(error) = api::serve(listener, state, shutdown).await {
                    tracing::error!(%error, "the API ended");
                }
                "api"
            });
        }
        Ok(())
    }

    /// Who is told of events over HTTP, as the streams tell them.
    fn spawn_webhooks(&mut self, config: &Config, outside: &Outside, views: api::Views) -> anyhow::Result<Webhooks> {
        let settings = webhook_settings(&config.webhooks)?;
        let webhooks = Webhooks::new(outside.store.clone(), settings).context("webhooks cannot be served")?;
        let render: webhooks::Render = Arc::new(move |event| views.event(event).to_string());
        let (deliverer, hard) = (webhooks.deliverer(outside.bus.clone(), render), self.stop.hard.clone());
        self.tasks.spawn(async move {
            deliverer.run(hard).await;
            "webhooks"
        });
        Ok(webhooks)
    }
}

/// How webhooks are served.
fn webhook_settings(config: &config::Webhooks) -> anyhow::Result<webhooks::Settings> {
    let schedule = Schedule { backoff: config.backoff, longest: config.longest_backoff, max_tries: config.max_tries };
    if schedule.shortest_life() < config.disable_after {
        let life = humantime::format_duration(Duration::from_secs(schedule.shortest_life().as_secs()));
        bail!(
            "the tries of a delivery may be over after {life}, so an outage of a receiver would lose events: lower \
             `webhooks.disable_after` or raise `webhooks.max_tries`"
        );
    }
    Ok(webhooks::Settings {
        allow_private: config.allow_private,
        most: config.max,
        timeout: config.timeout,
        in_flight: config.in_flight,
        schedule,
        disable_after: config.disable_after,
        keep: config.keep,
    })
}

/// How the explorer is told which cluster a signature is on.
fn explorer_query(config: &Config) -> String {
    match config.chain.cluster {
        Cluster::Devnet => "?cluster=devnet".to_owned(),
        Cluster::Testnet => "?cluster=testnet".to_owned(),
        Cluster::Local => {
            let url = config.chain.endpoints().first().copied().unwrap_or_default();
            let url = url::form_urlencoded::byte_serialize(url.as_bytes());
            format!("?cluster=custom&customUrl={}", url.collect::<String>())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_outage_of_a_receiver_cannot_use_up_a_deliverys_tries() {
        let settings = webhook_settings(&config::Webhooks::default()).unwrap();
        assert!(settings.schedule.shortest_life() >= settings.disable_after);
        let hasty = config::Webhooks { max_tries: 20, ..config::Webhooks::default() };
        let refused = webhook_settings(&hasty).unwrap_err().to_string();
        assert!(refused.contains("webhooks.max_tries"), "{refused}");
    }
}
