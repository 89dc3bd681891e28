//! Logging: where log lines and spans go.
//!
//! Lines go to the standard error. With the feature `otel`, and where the environment names a collector, the spans of
//! requests and orders also go there, with what was said in them.

use std::io::IsTerminal;

use tracing_subscriber::{EnvFilter, Layer, layer::SubscriberExt, util::SubscriberInitExt};

use crate::config::Config;

/// What has to be finished when the process ends.
pub(super) struct Logging {
    #[cfg(feature = "otel")]
    exporter: Option<opentelemetry_sdk::trace::SdkTracerProvider>,
}

impl Logging {
    /// The daemon says one line per transition; a command for people (`quiet`) says what went wrong and prints its
    /// own output.
    pub(super) fn start(json: bool, quiet: bool) -> anyhow::Result<Self> {
        let daemons = || Config::older_log_filter().unwrap_or_else(|| "warn,swapd=info".to_owned());
        let default = || EnvFilter::new(if quiet { "error".to_owned() } else { daemons() });
        let filter = EnvFilter::try_from_env("SWAPD_LOG").unwrap_or_else(|_| default());
        let lines =
            tracing_subscriber::fmt::layer().with_writer(std::io::stderr).with_ansi(std::io::stderr().is_terminal());
        // One filter for all. A filter per layer keeps its verdict per thread, and a question that no event follows
        // (some libraries ask one) makes it drop the next event of that thread.
        let registry = tracing_subscriber::registry().with(filter);
        #[cfg(feature = "otel")]
        let exporter = export::provider()?;
        #[cfg(feature = "otel")]
        let registry = registry.with(exporter.as_ref().map(export::layer));
        let registry = registry.with(if json { lines.json().boxed() } else { lines.compact().boxed() });
        // A second start in one process (tests) keeps the first logger.
        let _ = registry.try_init();
        Ok(Self {
            #[cfg(feature = "otel")]
            exporter,
        })
    }
}

#[cfg(feature = "otel")]
impl Drop for Logging {
    fn drop(&mut self) {
        if let Some(exporter) = &self.exporter
            && let Err(error) = exporter.shutdown_with_timeout(export::LAST_WORDS)
        {
            tracing::warn!(%error, "the last spans were not exported");
        }
    }
}

/// Spans to a collector.
#[cfg(feature = "otel")]
mod export {
    use std::time::Duration;

    use anyhow::Context;
    use opentelemetry::trace::TracerProvider;
    use opentelemetry_sdk::{Resource, trace::SdkTracerProvider};
    use tracing::Subscriber;
    use tracing_subscriber::{Layer, registry::LookupSpan};

    /// How long the end of the process waits for the collector.
    pub(super) const LAST_WORDS: Duration = Duration::from_secs(2);
    /// The variables of the OpenTelemetry specification that name a collector.
    const COLLECTOR: [&str; 2] = ["OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT"];

    /// An exporter, when the environment names a collector. All other settings are those of the specification, too.
    pub(super) fn provider() -> anyhow::Result<Option<SdkTracerProvider>> {
        if COLLECTOR.iter().all(|name| std::env::var_os(name).is_none_or(|value| value.is_empty())) {
            return Ok(None);
        }
        let exporter = opentelemetry_otlp::SpanExporter::builder()
            .with_http()
            .build()
            .context("spans cannot be exported to the collector that the environment names")?;
        let resource = Resource::builder().with_service_name("swapd").build();
        Ok(Some(SdkTracerProvider::builder().with_resource(resource).with_batch_exporter(exporter).build()))
    }

    /// Spans and what was said in them.
    pub(super) fn layer<S>(provider: &SdkTracerProvider) -> impl Layer<S> + use<S>
    where
        S: Subscriber + for<'a> LookupSpan<'a>,
    {
        tracing_opentelemetry::layer().with_tracer(provider.tracer("swapd"))
    }
}
