//! `swapd pause` and `swapd resume`: the kill switch in the store, for every process that works on it.

use std::process::ExitCode;

use crate::{
    app::open_store,
    config::Config,
    engine::control::{Cause, Control, Pause},
};

/// Stops trading. Needs no running daemon: it holds for those that are started later, too.
pub(super) async fn pause(reason: Option<String>, config: &Config) -> anyhow::Result<ExitCode> {
    let control = open(config).await?;
    control.pause(&Pause::now(Cause::Command, reason.as_deref())).await?;
    say!("paused: nothing new is signed; what is signed already is followed to its end");
    Ok(ExitCode::SUCCESS)
}

/// Lets trading go on.
pub(super) async fn resume(config: &Config) -> anyhow::Result<ExitCode> {
    let control = open(config).await?;
    control.resume().await?;
    match control.stopped() {
        Some(_) => {
            say!("still paused here: the file `control.pause_file` is there; remove it");
            Ok(ExitCode::FAILURE)
        }
        None => {
            say!("trading goes on");
            Ok(ExitCode::SUCCESS)
        }
    }
}

async fn open(config: &Config) -> anyhow::Result<Control> {
    Ok(Control::open(open_store(config).await?, config.control.pause_file.clone()).await?)
}
