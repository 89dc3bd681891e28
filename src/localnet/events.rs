//! Events: what Surfpool says while it runs, as `tracing` events.
//!
//! Owns the draining of Surfpool's bounded channel, some of whose senders wait for room, and the removal of
//! the cluster's URL from every text: it may hold a key. Keeps nothing.

use crossbeam_channel::{Receiver, Sender};
use surfpool_types::SimnetEvent;
use url::Url;

/// Takes the parts of a URL that can hold a key out of a text.
#[derive(Clone)]
pub(super) struct Redaction(Vec<(String, String)>);

impl Redaction {
    /// Knows what to look for; without a URL there is nothing.
    pub fn of(url: Option<&Url>) -> Self {
        let Some(url) = url else {
            return Self(Vec::new());
        };
        let public = format!("{}://{}", url.scheme(), url.host_str().unwrap_or_default());
        let whole = url.as_str();
        let mut parts = vec![(whole.to_owned(), public.clone()), (whole.trim_end_matches('/').to_owned(), public)];
        let hidden = [url.query(), url.password(), Some(url.username()), Some(url.path().trim_matches('/'))];
        parts.extend(hidden.into_iter().flatten().map(|part| (part.to_owned(), "***".to_owned())));
        parts.retain(|(part, _)| !part.is_empty());
        Self(parts)
    }

    /// The text without them.
    pub fn apply(&self, text: &str) -> String {
        self.0.iter().fold(text.to_owned(), |text, (part, instead)| text.replace(part, instead))
    }
}

/// Drains until `stopped` is disconnected. Says once when Surfpool has started.
pub(super) fn drain(
    events: &Receiver<SimnetEvent>,
    stopped: &Receiver<()>,
    started: &Sender<()>,
    redaction: &Redaction,
) {
    loop {
        crossbeam_channel::select! {
            recv(stopped) -> _ => return,
            recv(events) -> event => match event {
                Ok(SimnetEvent::CoreStarted(_)) => {
                    let _ = started.try_send(());
                }
                Ok(event) => report(&event, redaction),
                Err(_) => return,
            },
        }
    }
}

fn report(event: &SimnetEvent, redaction: &Redaction) {
    match event {
        SimnetEvent::DebugLog(_, text) => tracing::trace!(chain = %redaction.apply(text), "embedded chain"),
        SimnetEvent::InfoLog(_, text) | SimnetEvent::Connected(text) => {
            tracing::debug!(chain = %redaction.apply(text), "embedded chain");
        }
        SimnetEvent::WarnLog(_, text) | SimnetEvent::ErrorLog(_, text) | SimnetEvent::Aborted(text) => {
            tracing::warn!(chain = %redaction.apply(text), "embedded chain");
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_in_the_clusters_url_is_not_told() {
        for url in [
            "https://rpc.example.org/v1/topsecret",
            "https://rpc.example.org/?api-key=topsecret",
            "https://topsecret@rpc.example.org",
            "https://someone:topsecret@rpc.example.org:8443/",
        ] {
            let redaction = Redaction::of(Some(&url.parse().expect("a URL")));
            let told = redaction.apply(&format!("no answer for url ({url})"));
            assert!(told.contains("rpc.example.org") && !told.contains("topsecret"), "{told}");
        }
        let redaction = Redaction::of(Some(&"http://127.0.0.1:8899".parse().expect("a URL")));
        assert_eq!(redaction.apply("slot 3/4"), "slot 3/4");
    }
}
