//! `swapd quote`: asks every venue what a swap would give.

use std::process::ExitCode;

use clap::Args;
use serde_json::json;

use super::SwapArguments;
use crate::{
    app::{Market, connect_rpc},
    chain::Snapshots,
    config::Config,
    domain::{AmountText, Dialect, OrderRequest, QuoteRequest, Swap, validate},
};

#[derive(Debug, Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    swap: SwapArguments,
    /// Print the route as JSON.
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(arguments: Arguments, config: Config) -> anyhow::Result<ExitCode> {
    let (config, _chain) = super::reachable(config).await?;
    let rpc = connect_rpc(&config).await?;
    let market = Market::connect(&config, Snapshots::over(rpc)).await?;
    let swap = arguments.swap;
    let request = OrderRequest {
        token_in: swap.token_in,
        token_out: swap.token_out,
        amount_in: swap.amount_in.map(AmountText::Ui),
        amount_out: swap.amount_out.map(AmountText::Ui),
        slippage_bps: swap.slippage_bps,
        ..OrderRequest::default()
    };
    let order = validate(&request, Dialect::V1, &market.rules)?;
    let pair = crate::domain::Pair { mint_in: order.token_in.mint, mint_out: order.token_out.mint };
    let route = market.router.route(&QuoteRequest { pair, swap: order.swap }).await?;
    let chosen = &route.chosen;
    let bound = match order.swap {
        Swap::ExactIn(_) => ("minOut", chosen.amount_out.min_out(order.slippage), &order.token_out),
        Swap::ExactOut(_) => ("maxIn", chosen.amount_in.max_in(order.slippage), &order.token_in),
    };
    if arguments.json {
        say!("{}", json!({ "route": route, bound.0: bound.1 }));
        return Ok(ExitCode::SUCCESS);
    }
    say!("{}", route.reason);
    for outcome in &route.quotes {
        let answer = match (&outcome.quote, &outcome.refusal) {
            (Some(quote), _) => format!(
                "{} {} -> {} {}  impact {}{}",
                quote.amount_in.to_ui(order.token_in.decimals),
                order.token_in.symbol,
                quote.amount_out.to_ui(order.token_out.decimals),
                order.token_out.symbol,
                quote.price_impact_bps,
                if quote.executable { "" } else { "  (quote only)" }
            ),
            (None, Some(refusal)) => refusal.reason.clone(),
            (None, None) => String::new(),
        };
        say!("{:>14}  {:>4} ms  {answer}", outcome.venue, outcome.latency_ms);
    }
    say!("{} {} {}", bound.0, bound.1.to_ui(bound.2.decimals), bound.2.symbol);
    Ok(ExitCode::SUCCESS)
}
