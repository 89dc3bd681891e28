//! Swap: `swap_base_input` and `swap_base_output`.
//!
//! Owns the thirteen accounts, the order of the checks, the fee counters and the event. The amounts come
//! from `curve`, the transfer fees from `token`.

use solana_program_runtime::{invoke_context::InvokeContext, stable_log};
use solana_sdk::pubkey::Pubkey;

use super::accounts::{Account, Given, TokenAccount};
use super::curve::{self, CreatorFee, NoTrade, Rates, Reserves, Trade};
use super::fault::*;
use super::state::{AmmConfig, Observations, PoolState, Stored};
use super::token;
use crate::localnet::ids;

const SWAP_EVENT: [u8; 8] = [64, 198, 205, 232, 38, 8, 113, 226];

/// What the caller asks for.
#[derive(Clone, Copy, Debug)]
pub(super) enum Order {
    /// Spend exactly `amount_in`, receive at least `minimum_out`.
    BaseInput { amount_in: u64, minimum_out: u64 },
    /// Receive exactly `amount_out`, spend at most `maximum_in`.
    BaseOutput { maximum_in: u64, amount_out: u64 },
}

struct Accounts {
    payer: Account,
    authority: Account,
    config: AmmConfig,
    pool_account: Account,
    pool: PoolState,
    from: Account,
    to: Account,
    input_vault: (Account, TokenAccount),
    output_vault: (Account, TokenAccount),
    input_program: Account,
    output_program: Account,
    input_mint: Account,
    output_mint: Account,
    observation: Account,
}

/// A trade with the transfer fees of both mints around it.
struct Settlement {
    trade: Trade,
    /// What the payer sends, and what of it the mint withholds.
    sent: u64,
    input_transfer_fee: u64,
    /// What the vault sends, and what of it the mint withholds.
    released: u64,
    output_transfer_fee: u64,
}

/// The pool as this swap meets it.
struct Market {
    direction: Direction,
    creator_fee: CreatorFee,
    reserves: Reserves,
    /// Q32, of token 0 and token 1.
    prices: (u128, u128),
}

/// Which of the pool's tokens is sold.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Direction {
    ZeroForOne,
    OneForZero,
}

/// Runs one swap.
pub(super) fn run(context: &mut InvokeContext, order: Order) -> Result<(), Fault> {
    let mut accounts = Accounts::check(context)?;
    let clock = context.environment_config.sysvar_cache().get_clock()?;
    let now = u64::try_from(clock.unix_timestamp).unwrap_or_default();
    let epoch = clock.epoch;

    if let Order::BaseOutput { amount_out: 0, .. } = order {
        return Err(REQUIRE_GT.into());
    }
    if accounts.pool.status & PoolState::SWAP_OFF != 0 || now < accounts.pool.open_time {
        return Err(NOT_APPROVED.into());
    }
    let (market, settled) = settle(&accounts, order, epoch)?;
    accounts.pool.count_fees(&market, &settled.trade)?;
    let event = event(&accounts, order, &market, &settled)?;
    stable_log::program_data(&context.get_log_collector(), &[&event]);
    match curve::keeps_product(market.reserves, &settled.trade) {
        Some(true) => {}
        Some(false) => return Err(REQUIRE_GTE.into()),
        None => return Err(Fault::Trap("product of the reserves overflows")),
    }
    accounts.transfer(context, &settled)?;

    let mut observation = accounts.observation.data.clone();
    Observations::record(&mut observation, now, market.prices).ok_or(Fault::Trap("observation overflows"))?;
    accounts.observation.write_back(context, &observation)?;
    accounts.pool.recent_epoch = epoch;
    let bytes = accounts.pool.to_account();
    accounts.pool_account.write_back(context, &bytes)
}

impl Accounts {
    fn check(context: &InvokeContext) -> Result<Self, Fault> {
        let mut given = Given::new(context)?;
        let payer = given.signer("payer")?;
        let authority = given.any("authority")?;
        let (config_account, config) = given.stored::<AmmConfig>("amm_config")?;
        let pool_account = given.mapped("pool_state", &PoolState::DISCRIMINATOR)?;
        let (from, _) = given.token("input_token_account")?;
        let (to, _) = given.token("output_token_account")?;
        let input_vault = given.token("input_vault")?;
        let output_vault = given.token("output_vault")?;
        let input_program = given.token_program("input_token_program")?;
        let output_program = given.token_program("output_token_program")?;
        let input_mint = given.mint("input_token_mint")?;
        let output_mint = given.mint("output_token_mint")?;
        let observation = given.mapped("observation_state", &Observations::DISCRIMINATOR)?;

        let program = pool_account.owner;
        authority.require_seeds(&[ids::AUTHORITY_SEED], &program)?;
        if pool_account.data.len() < PoolState::SIZE {
            return Err(Fault::Trap("pool account is too short"));
        }
        let pool = PoolState::from_account("pool_state", &pool_account.data)?;
        config_account.require_address(&pool.amm_config)?;
        pool_account.require_mut()?;
        from.require_mut()?;
        to.require_mut()?;
        for (vault, _) in [&input_vault, &output_vault] {
            vault.require_mut()?;
            let of_pool = [pool.token_0_vault, pool.token_1_vault].contains(&vault.key);
            vault.require(of_pool, RAW)?;
        }
        input_mint.require_address(&input_vault.1.mint)?;
        output_mint.require_address(&output_vault.1.mint)?;
        observation.require_mut()?;
        observation.require_address(&pool.observation_key)?;
        if observation.data.len() < Observations::SIZE {
            return Err(Fault::Trap("observation account is too short"));
        }
        Ok(Self {
            payer,
            authority,
            config,
            pool_account,
            pool,
            from,
            to,
            input_vault,
            output_vault,
            input_program,
            output_program,
            input_mint,
            output_mint,
            observation,
        })
    }

    fn market(&self) -> Result<Market, Fault> {
        let pool = &self.pool;
        let (input, output) = (&self.input_vault, &self.output_vault);
        let keys = (input.0.key, output.0.key);
        let direction = if keys == (pool.token_0_vault, pool.token_1_vault) {
            Direction::ZeroForOne
        } else if keys == (pool.token_1_vault, pool.token_0_vault) {
            Direction::OneForZero
        } else {
            return Err(INVALID_VAULT.into());
        };
        let (vault_0, vault_1) = match direction {
            Direction::ZeroForOne => (input.1.amount, output.1.amount),
            Direction::OneForZero => (output.1.amount, input.1.amount),
        };
        let reserve_0 =
            net_of(vault_0, [pool.protocol_fees_token_0, pool.fund_fees_token_0, pool.creator_fees_token_0])?;
        let reserve_1 =
            net_of(vault_1, [pool.protocol_fees_token_1, pool.fund_fees_token_1, pool.creator_fees_token_1])?;
        let prices = curve::prices_q32(reserve_0, reserve_1).ok_or(Fault::Trap("a reserve is empty"))?;
        let reserves = match direction {
            Direction::ZeroForOne => Reserves { input: reserve_0, output: reserve_1 },
            Direction::OneForZero => Reserves { input: reserve_1, output: reserve_0 },
        };
        Ok(Market { direction, creator_fee: pool.creator_fee_side(direction)?, reserves, prices })
    }

    fn rates(&self) -> Rates {
        Rates {
            trade: self.config.trade_fee_rate,
            creator: match self.pool.enable_creator_fee {
                0 => 0,
                _ => self.config.creator_fee_rate,
            },
            protocol: self.config.protocol_fee_rate,
            fund: self.config.fund_fee_rate,
        }
    }

    fn transfer(&self, context: &mut InvokeContext, settled: &Settlement) -> Result<(), Fault> {
        token::transfer(
            context,
            &self.input_program,
            (&self.from, &self.input_mint, &self.input_vault.0),
            &self.payer,
            settled.sent,
            &[],
        )?;
        let bump = [self.pool.auth_bump];
        token::transfer(
            context,
            &self.output_program,
            (&self.output_vault.0, &self.output_mint, &self.to),
            &self.authority,
            settled.released,
            &[&[ids::AUTHORITY_SEED, &bump]],
        )
    }
}

impl PoolState {
    fn creator_fee_side(&self, direction: Direction) -> Result<CreatorFee, Fault> {
        Ok(match (self.creator_fee_on, direction) {
            (0, _) | (1, Direction::ZeroForOne) | (2, Direction::OneForZero) => CreatorFee::OnInput,
            (1, Direction::OneForZero) | (2, Direction::ZeroForOne) => CreatorFee::OnOutput,
            _ => return Err(BAD_CREATOR_FEE_ON.into()),
        })
    }

    /// Adds what the trade owes to the counters.
    fn count_fees(&mut self, market: &Market, trade: &Trade) -> Result<(), Fault> {
        let on_input = market.creator_fee == CreatorFee::OnInput;
        let creator_in_0 = on_input == (market.direction == Direction::ZeroForOne);
        let (protocol, fund) = match market.direction {
            Direction::ZeroForOne => (&mut self.protocol_fees_token_0, &mut self.fund_fees_token_0),
            Direction::OneForZero => (&mut self.protocol_fees_token_1, &mut self.fund_fees_token_1),
        };
        add(protocol, trade.protocol_fee)?;
        add(fund, trade.fund_fee)?;
        if creator_in_0 {
            add(&mut self.creator_fees_token_0, trade.creator_fee)
        } else {
            add(&mut self.creator_fees_token_1, trade.creator_fee)
        }
    }
}

/// Prices the order against the pool and holds it to the caller's limit.
fn settle(accounts: &Accounts, order: Order, epoch: u64) -> Result<(Market, Settlement), Fault> {
    let rates = accounts.rates();
    match order {
        Order::BaseInput { amount_in, minimum_out } => {
            let input_transfer_fee = token::fee_on(&accounts.input_mint, epoch, amount_in)?;
            let arrives = amount_in.saturating_sub(input_transfer_fee);
            require(arrives > 0, REQUIRE_GT)?;
            let market = accounts.market()?;
            let trade = curve::exact_input(arrives, market.reserves, rates, market.creator_fee).map_err(no_trade)?;
            let released = narrow(trade.output)?;
            let output_transfer_fee = token::fee_on(&accounts.output_mint, epoch, released)?;
            let received =
                released.checked_sub(output_transfer_fee).ok_or(Fault::Trap("transfer fee above the amount"))?;
            require(received > 0, REQUIRE_GT)?;
            require(received >= minimum_out, EXCEEDED_SLIPPAGE)?;
            let settled = Settlement { trade, sent: amount_in, input_transfer_fee, released, output_transfer_fee };
            Ok((market, settled))
        }
        Order::BaseOutput { maximum_in, amount_out } => {
            let overflow = || Fault::Trap("amount with transfer fee overflows");
            let output_transfer_fee = token::fee_to_leave(&accounts.output_mint, epoch, amount_out)?;
            let released = amount_out.checked_add(output_transfer_fee).ok_or_else(overflow)?;
            let market = accounts.market()?;
            let trade = curve::exact_output(released, market.reserves, rates, market.creator_fee).map_err(no_trade)?;
            let needed = narrow(trade.input)?;
            require(needed > 0, REQUIRE_GT)?;
            let input_transfer_fee = token::fee_to_leave(&accounts.input_mint, epoch, needed)?;
            let sent = needed.checked_add(input_transfer_fee).ok_or_else(overflow)?;
            require(maximum_in >= sent, EXCEEDED_SLIPPAGE)?;
            let settled = Settlement { trade, sent, input_transfer_fee, released, output_transfer_fee };
            Ok((market, settled))
        }
    }
}

fn event(accounts: &Accounts, order: Order, market: &Market, settled: &Settlement) -> Result<Vec<u8>, Fault> {
    let trade = &settled.trade;
    let on_input = market.creator_fee == CreatorFee::OnInput;
    let key = |key: &Pubkey| key.to_bytes();
    let mut bytes = SWAP_EVENT.to_vec();
    bytes.extend(key(&accounts.pool_account.key));
    bytes.extend(market.reserves.input.to_le_bytes());
    bytes.extend(market.reserves.output.to_le_bytes());
    bytes.extend(narrow(trade.input)?.to_le_bytes());
    bytes.extend(settled.released.to_le_bytes());
    bytes.extend(settled.input_transfer_fee.to_le_bytes());
    bytes.extend(settled.output_transfer_fee.to_le_bytes());
    bytes.push(matches!(order, Order::BaseInput { .. }).into());
    bytes.extend(key(&accounts.input_mint.key));
    bytes.extend(key(&accounts.output_mint.key));
    bytes.extend(narrow(trade.trade_fee)?.to_le_bytes());
    bytes.extend(narrow(trade.creator_fee)?.to_le_bytes());
    bytes.push(on_input.into());
    Ok(bytes)
}

fn net_of(vault: u64, owed: [u64; 3]) -> Result<u64, Fault> {
    let owed = owed.into_iter().try_fold(0_u64, u64::checked_add).ok_or(MATH_OVERFLOW)?;
    Ok(vault.checked_sub(owed).ok_or(INSUFFICIENT_VAULT)?)
}

fn add(counter: &mut u64, fee: u128) -> Result<(), Fault> {
    *counter = counter.checked_add(narrow(fee)?).ok_or(MATH_OVERFLOW)?;
    Ok(())
}

fn narrow(amount: u128) -> Result<u64, Fault> {
    u64::try_from(amount).map_err(|_| Fault::Trap("amount does not fit 64 bits"))
}

fn require(holds: bool, code: Code) -> Result<(), Fault> {
    if holds { Ok(()) } else { Err(code.into()) }
}

fn no_trade(why: NoTrade) -> Fault {
    match why {
        NoTrade::Nothing => ZERO_TRADING_TOKENS.into(),
        NoTrade::Trap => Fault::Trap("arithmetic in the curve"),
    }
}
