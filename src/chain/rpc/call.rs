//! Call: one question, its name, how urgent it is, and whether it may be asked twice.

use serde_json::Value;
use solana_rpc_client_api::request::RpcRequest;

use super::budget::Urgency;

/// One question.
pub(super) struct Call {
    pub(super) request: RpcRequest,
    pub(super) params: Value,
    pub(super) method: &'static str,
    pub(super) urgency: Urgency,
    pub(super) repeats: Repeats,
}

/// What asking a second node costs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Repeats {
    /// Little: it is done when the first is slow.
    Hedged,
    /// A lot: it is done when the first has failed.
    AfterFailure,
    /// Money: never.
    Never,
}

impl Call {
    pub(super) fn new(request: RpcRequest, params: Value) -> Self {
        let (urgency, repeats) = match request {
            RpcRequest::SendTransaction
            | RpcRequest::GetSignatureStatuses
            | RpcRequest::GetSlot
            | RpcRequest::GetBlockHeight
            | RpcRequest::GetLatestBlockhash
            | RpcRequest::GetGenesisHash => (Urgency::Urgent, Repeats::Hedged),
            // Public nodes throttle it hardest.
            RpcRequest::GetProgramAccounts => (Urgency::Ordinary, Repeats::AfterFailure),
            // One that timed out may have been granted.
            RpcRequest::RequestAirdrop => (Urgency::Ordinary, Repeats::Never),
            _ => (Urgency::Ordinary, Repeats::Hedged),
        };
        Self { request, params, method: method_name(request), urgency, repeats }
    }
}

const fn method_name(request: RpcRequest) -> &'static str {
    match request {
        RpcRequest::GetBlockHeight => "getBlockHeight",
        RpcRequest::GetGenesisHash => "getGenesisHash",
        RpcRequest::GetLatestBlockhash => "getLatestBlockhash",
        RpcRequest::GetMinimumBalanceForRentExemption => "getMinimumBalanceForRentExemption",
        RpcRequest::GetMultipleAccounts => "getMultipleAccounts",
        RpcRequest::GetProgramAccounts => "getProgramAccounts",
        RpcRequest::GetRecentPrioritizationFees => "getRecentPrioritizationFees",
        RpcRequest::GetSignatureStatuses => "getSignatureStatuses",
        RpcRequest::GetSlot => "getSlot",
        RpcRequest::GetTransaction => "getTransaction",
        RpcRequest::GetVersion => "getVersion",
        RpcRequest::RequestAirdrop => "requestAirdrop",
        RpcRequest::SendTransaction => "sendTransaction",
        RpcRequest::SimulateTransaction => "simulateTransaction",
        _ => "rpc",
    }
}
