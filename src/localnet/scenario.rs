//! Scenario: what a fresh embedded chain contains, as plain addresses and numbers.
//!
//! Owns the choice of tokens, fee configs and pools and the derivation of every address. Deterministic, and
//! known without starting a chain, so that a config file can list it. Never touches a chain: `seed` does.

use sha2::{Digest, Sha256};
use solana_sdk::{pubkey::Pubkey, signature::Keypair, signer::Signer};

use super::ids;

/// A fee that Token-2022 withholds from every transfer of a mint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TransferFee {
    /// Hundredths of a percent.
    pub basis_points: u16,
    /// At most this many base units.
    pub maximum: u64,
}

/// A token of the scenario.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Token {
    /// The name people use in orders.
    pub symbol: &'static str,
    /// Its mint.
    pub mint: Pubkey,
    /// Decimal places of one whole token.
    pub decimals: u8,
    /// The token program that owns the mint.
    pub program: Pubkey,
    /// Set for the one token that has it.
    pub transfer_fee: Option<TransferFee>,
}

/// A fee config of the CPMM program. Rates are parts of a million.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FeeConfig {
    /// Part of the address.
    pub index: u16,
    /// Its account.
    pub address: Pubkey,
    /// Of the amount that goes in.
    pub trade_fee_rate: u64,
    /// Of the traded amount, where a pool enables it; no seeded pool does.
    pub creator_fee_rate: u64,
}

/// A seeded pool. Token 0 is the one whose mint sorts first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pool {
    /// The pair by its usual name, and the config that tells pools of a pair apart.
    pub name: String,
    /// The pool's account.
    pub address: Pubkey,
    /// Its fee config.
    pub config: FeeConfig,
    /// The token whose mint sorts first, and the other.
    pub tokens: [Token; 2],
    /// Token accounts of the pool, in the same order.
    pub vaults: [Pubkey; 2],
    /// What the vaults hold at the start, in the same order, in base units.
    pub reserves: [u64; 2],
    /// The mint of its shares.
    pub lp_mint: Pubkey,
    /// Its ring of past prices.
    pub observation: Pubkey,
}

/// Everything that is on a fresh chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scenario {
    /// The CPMM program that owns configs and pools.
    pub cpmm_program: Pubkey,
    /// The one authority over all vaults, and its bump.
    pub authority: (Pubkey, u8),
    /// Receives the fee for creating a pool.
    pub pool_fee_receiver: Pubkey,
    /// Mint authority of the seeded tokens; its key is public knowledge.
    pub faucet: Pubkey,
    /// SOL, USDC and LEVY.
    pub tokens: [Token; 3],
    /// The configs of Raydium's devnet deployment, by index.
    pub configs: Vec<FeeConfig>,
    /// The seeded pools, the deepest one first.
    pub pools: Vec<Pool>,
}

/// Trade and creator rates of devnet's configs 0 to 7, as Raydium publishes them.
const CONFIG_RATES: [(u64, u64); 8] = [
    (2_500, 2_500),
    (3_000, 2_500),
    (5_000, 2_500),
    (10_000, 2_500),
    (40_000, 2_500),
    (5_000, 4_000),
    (50, 14_950),
    (3_500, 6_500),
];

const SOL: usize = 0;
const USDC: usize = 1;
const LEVY: usize = 2;

/// Token, token, config index, and whole tokens in each vault. Prices lie around 150 USDC for a SOL and
/// half a USDC for a LEVY, a little apart, so that routing has something to choose.
const POOLS: [(usize, usize, usize, u64, u64); 5] = [
    (SOL, USDC, 0, 50_000, 7_500_000),
    (SOL, USDC, 1, 20_000, 2_990_000),
    (SOL, USDC, 3, 5_000, 755_000),
    (SOL, LEVY, 0, 20_000, 6_000_000),
    (USDC, LEVY, 2, 2_000_000, 4_000_000),
];

impl Scenario {
    /// The scenario for a CPMM program id. Other ids give other addresses, but the same mints.
    pub fn new(cpmm_program: Pubkey) -> Self {
        let tokens = [
            Token { symbol: "SOL", mint: ids::WRAPPED_SOL, decimals: 9, program: ids::TOKEN, transfer_fee: None },
            Token {
                symbol: "USDC",
                mint: keypair("usdc").pubkey(),
                decimals: 6,
                program: ids::TOKEN,
                transfer_fee: None,
            },
            Token {
                symbol: "LEVY",
                mint: keypair("levy").pubkey(),
                decimals: 6,
                program: ids::TOKEN_2022,
                transfer_fee: Some(TransferFee { basis_points: 200, maximum: 5_000_000_000 }),
            },
        ];
        let derive = |seeds: &[&[u8]]| Pubkey::find_program_address(seeds, &cpmm_program);
        let configs: Vec<_> = (0_u16..)
            .zip(CONFIG_RATES)
            .map(|(index, (trade_fee_rate, creator_fee_rate))| FeeConfig {
                index,
                // Big-endian, unlike everything else on Solana.
                address: derive(&[ids::CONFIG_SEED, &index.to_be_bytes()]).0,
                trade_fee_rate,
                creator_fee_rate,
            })
            .collect();
        let pools = POOLS
            .map(|(a, b, config, whole_a, whole_b)| {
                let side = |token: usize, whole: u64| {
                    let token = tokens[token].clone();
                    let reserve = whole * 10_u64.pow(token.decimals.into());
                    (token, reserve)
                };
                Pool::new(&cpmm_program, configs[config].clone(), [side(a, whole_a), side(b, whole_b)])
            })
            .to_vec();
        Self {
            cpmm_program,
            authority: derive(&[ids::AUTHORITY_SEED]),
            pool_fee_receiver: ids::pool_fee_receiver(&cpmm_program),
            faucet: keypair("faucet").pubkey(),
            tokens,
            configs,
            pools,
        }
    }

    /// The scenario at Raydium's devnet program id, which is what swapd trades by default.
    pub fn devnet() -> Self {
        Self::new(ids::CPMM_DEVNET)
    }

    /// A token by its symbol.
    pub fn token(&self, symbol: &str) -> Option<&Token> {
        self.tokens.iter().find(|token| token.symbol == symbol)
    }

    /// Where `owner` holds a token of the scenario, at its associated address.
    pub fn token_account(&self, owner: &Pubkey, token: &Token) -> Pubkey {
        ids::token_account(owner, &token.mint, &token.program)
    }
}

impl Pool {
    pub(super) fn new(program: &Pubkey, config: FeeConfig, sides: [(Token, u64); 2]) -> Self {
        let name = format!("{}/{}:{}", sides[0].0.symbol, sides[1].0.symbol, config.index);
        let mut sides = sides;
        sides.sort_by_key(|(token, _)| token.mint);
        let [(token_0, reserve_0), (token_1, reserve_1)] = sides;
        let derive = |seeds: &[&[u8]]| Pubkey::find_program_address(seeds, program).0;
        let address = derive(&[ids::POOL_SEED, config.address.as_ref(), token_0.mint.as_ref(), token_1.mint.as_ref()]);
        let vault = |mint: &Pubkey| derive(&[ids::VAULT_SEED, address.as_ref(), mint.as_ref()]);
        Self {
            name,
            config,
            vaults: [vault(&token_0.mint), vault(&token_1.mint)],
            tokens: [token_0, token_1],
            reserves: [reserve_0, reserve_1],
            lp_mint: derive(&[ids::LP_MINT_SEED, address.as_ref()]),
            observation: derive(&[ids::OBSERVATION_SEED, address.as_ref()]),
            address,
        }
    }
}

/// A key pair anyone can compute: fit for a chain that lives in memory, and for nothing else.
fn keypair(name: &str) -> Keypair {
    let mut hash = Sha256::new();
    hash.update("swapd embedded chain: ");
    hash.update(name);
    Keypair::new_from_array(hash.finalize().into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_those_of_raydiums_deployments() {
        let devnet = Scenario::devnet();
        let (authority, bump) = devnet.authority;
        assert_eq!((authority.to_string().as_str(), bump), ("CXniRufdq5xL8t8jZAPxsPZDpuudwuJSPWnbcD5Y5Nxq", 255));
        let configs: Vec<_> = devnet.configs.iter().map(|c| c.address.to_string()).collect();
        assert_eq!(configs[0], "5MxLgy9oPdTC3YgkiePHqr3EoCRD9uLVYRQS2ANAs7wy");
        assert_eq!(configs[7], "88hjD9xpbXJn54PGHc2Xzx5GmFSp3tLfs9GdtsTAp8Em");
        let mainnet = Scenario::new(ids::CPMM_MAINNET);
        assert_eq!(mainnet.authority.0.to_string(), "GpMZbSM2GgvTKHJirzeGfMFoaZ8UR2X7F4v8vHTvxFbL");
        assert_eq!(mainnet.configs[0].address.to_string(), "D4FPEruKEHrG5TenZ2mpDGEfu1iUvTiqBxvpU8HLBvC2");
    }

    /// Config files list these. Whoever changes the scenario sees here what they break.
    #[test]
    fn the_devnet_scenario_does_not_move() {
        let devnet = Scenario::devnet();
        let tokens: Vec<_> = devnet.tokens.iter().map(|t| format!("{} {}", t.symbol, t.mint)).collect();
        let pools: Vec<_> = devnet.pools.iter().map(|p| format!("{} {}", p.name, p.address)).collect();
        assert_eq!(
            tokens,
            [
                "SOL So11111111111111111111111111111111111111112",
                "USDC AFCXNz3DJdadTSQJAzR6qvLuqPwnvNrhaBcBGndqQrLE",
                "LEVY C1BN9F1vde7X3UHCAzRuu4cZCLidBvjsHv4dg7pkHMap",
            ]
        );
        assert_eq!(
            pools,
            [
                "SOL/USDC:0 13TELmQFMtrqGG8jo7JFeSVF1JzHyzGgy3XtvANcmG2p",
                "SOL/USDC:1 59xbZS6wT38iSBBBbKLVZFAxb2pNe2SxicVnxuQXW29s",
                "SOL/USDC:3 2tV4kLZs5rV8sJw9nJmAUu4EV9ZQewqyM4y9GQUCJ8qZ",
                "SOL/LEVY:0 5raxahA2vpgWjAv3Jfdp4FzuusvNvEkNS7isHeSvrVrC",
                "USDC/LEVY:2 5ux8svNvWWn1HZ5UFEWMH8FVUgqFgezSHph9DAoyjSPe",
            ]
        );
    }

    #[test]
    fn a_pools_tokens_are_in_the_programs_order() {
        for pool in Scenario::devnet().pools {
            assert!(pool.tokens[0].mint < pool.tokens[1].mint, "{}", pool.name);
        }
    }
}
