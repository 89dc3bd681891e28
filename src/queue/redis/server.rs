//! Server: what a Redis must be like to keep a queue.

use redis::cmd;

use crate::{
    queue::QueueError,
    redis_link::{LinkError, RedisLink},
};

/// Refuses a server that would lose jobs in silence, or is too old for the commands used here.
pub(super) async fn check_server(link: &RedisLink) -> Result<(), QueueError> {
    let info: String = match link.query(&cmd("INFO")).await {
        Err(LinkError::Unavailable(error)) if error.code() == Some("NOPERM") => {
            tracing::warn!("this Redis user may not ask INFO: nobody checks that maxmemory-policy is noeviction");
            return Ok(());
        }
        answer => answer?,
    };
    let fact = |name: &str| info.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    let version = fact("redis_version").unwrap_or_default();
    let mut parts = version.split('.').map(|part| part.parse::<u32>().unwrap_or(0));
    if (parts.next(), parts.next().unwrap_or(0)) < (Some(6), 2) {
        return Err(QueueError::Open(format!("Redis {version} is too old: 6.2 or newer is needed")));
    }
    let policy = fact("maxmemory_policy").unwrap_or("unknown");
    if fact("maxmemory").is_none_or(|bytes| bytes != "0") && policy != "noeviction" {
        return Err(QueueError::Open(format!(
            "this Redis evicts keys when its memory is full (maxmemory-policy {policy}), and jobs with them; \
             set `maxmemory-policy noeviction`, or use a server of its own"
        )));
    }
    if fact("aof_enabled") == Some("0") {
        tracing::info!("this Redis keeps no append-only file: after its restart the sweeper queues open orders again");
    }
    Ok(())
}
