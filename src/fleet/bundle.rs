//! Bundle: packs the small acts of many wallets into few transactions.
//!
//! Owns the packet limit and the order of signatures. The payer signs every bundle and pays for it, so that the other
//! wallets can be emptied to the last lamport. Never sends.

use std::sync::Arc;

use solana_compute_budget_interface::ComputeBudgetInstruction;
use solana_sdk::{
    hash::Hash,
    instruction::Instruction,
    message::{VersionedMessage, v0},
    pubkey::Pubkey,
    signature::Signature,
    transaction::VersionedTransaction,
};

use crate::{
    chain::{
        Blockhash, Signed, Wallet,
        fees::PriorityFee,
        transaction::{BASE_FEE, BuildError, MAX_WIRE_BYTES, wire},
    },
    domain::Lamports,
};

/// What a bundle asks for while it is only simulated: the runtime's maximum.
const SIMULATION_UNITS: u32 = 1_400_000;

/// The most instructions a transaction may run, those that programs call among them (the runtime's own limit).
const LONGEST_TRACE: usize = 64;
/// What opening an associated token account counts for: itself, the account's size, its transfer, space and owner, and two
/// steps of initialization.
const OPENING: usize = 7;

/// Instructions that belong together.
#[derive(Clone, Debug)]
pub struct Part {
    /// In their order.
    pub instructions: Vec<Instruction>,
    /// Who signs them, where it is not the payer.
    pub signer: Option<Arc<Wallet>>,
    /// The wallet it is done for: an index into the fleet.
    pub wallet: usize,
}

/// Parts that share a transaction.
#[derive(Clone, Debug)]
pub struct Bundle {
    payer: Arc<Wallet>,
    parts: Vec<Part>,
}

impl Bundle {
    /// Puts as many parts into each transaction as a packet and the runtime hold, in their order.
    ///
    /// # Errors
    /// When one part alone does not fit.
    pub fn pack(payer: &Arc<Wallet>, parts: Vec<Part>) -> Result<Vec<Self>, BuildError> {
        let mut bundles: Vec<Self> = Vec::new();
        for part in parts {
            if let Some(last) = bundles.last_mut() {
                last.parts.push(part);
                if last.size()? <= MAX_WIRE_BYTES && last.trace() <= LONGEST_TRACE {
                    continue;
                }
                let part = last.parts.pop().expect("it was pushed");
                bundles.push(Self { payer: payer.clone(), parts: vec![part] });
            } else {
                bundles.push(Self { payer: payer.clone(), parts: vec![part] });
            }
            let size = bundles.last().map_or(Ok(0), Self::size)?;
            if size > MAX_WIRE_BYTES {
                return Err(BuildError::TooLarge(size));
            }
        }
        Ok(bundles)
    }

    /// Each part by itself.
    pub fn split(self) -> Vec<Self> {
        self.parts.into_iter().map(|part| Self { payer: self.payer.clone(), parts: vec![part] }).collect()
    }

    /// What it does.
    pub fn parts(&self) -> &[Part] {
        &self.parts
    }

    /// Unsigned bytes to simulate.
    ///
    /// # Errors
    /// When it does not compile.
    pub fn for_simulation(&self) -> Result<Vec<u8>, BuildError> {
        wire(self.unsigned(SIMULATION_UNITS, 0, Hash::default())?)
    }

    /// Signs it over a blockhash, by everybody who must; with what it costs.
    ///
    /// # Errors
    /// When it does not compile.
    pub fn sign(&self, units: u32, fee: PriorityFee, blockhash: &Blockhash) -> Result<(Signed, Lamports), BuildError> {
        let mut transaction = self.unsigned(units, fee.price, blockhash.hash)?;
        let message = transaction.message.serialize();
        let signers = self.signers();
        let keys = transaction.message.static_account_keys();
        for (signature, key) in transaction.signatures.iter_mut().zip(keys) {
            let signer = signers.iter().find(|wallet| wallet.address() == *key);
            *signature = signer.expect("only the payer and the parts' signers sign").sign(&message);
        }
        let count = transaction.signatures.len() as u64;
        let cost = Lamports::new(BASE_FEE.get() * count).saturating_add(fee.lamports);
        let signed = Signed {
            signature: transaction.signatures[0],
            wire: wire(transaction)?.into(),
            last_valid_block_height: blockhash.last_valid_block_height,
            context_slot: blockhash.context_slot,
        };
        Ok((signed, cost))
    }

    fn unsigned(&self, units: u32, price: u64, blockhash: Hash) -> Result<VersionedTransaction, BuildError> {
        let mut instructions = vec![
            ComputeBudgetInstruction::set_compute_unit_limit(units),
            ComputeBudgetInstruction::set_compute_unit_price(price),
        ];
        instructions.extend(self.parts.iter().flat_map(|part| part.instructions.iter().cloned()));
        let message = v0::Message::try_compile(&self.payer.address(), &instructions, &[], blockhash)?;
        let signatures = vec![Signature::default(); usize::from(message.header.num_required_signatures)];
        Ok(VersionedTransaction { signatures, message: VersionedMessage::V0(message) })
    }

    fn size(&self) -> Result<usize, BuildError> {
        Ok(bincode::serialize(&self.unsigned(SIMULATION_UNITS, 0, Hash::default())?)?.len())
    }

    /// How many instructions it runs at most. The other programs that are called here call none, and the compute budget's
    /// two count as well.
    fn trace(&self) -> usize {
        let count = |it: &Instruction| {
            if it.program_id == spl_associated_token_account_interface::program::ID { OPENING } else { 1 }
        };
        2 + self.parts.iter().flat_map(|part| &part.instructions).map(count).sum::<usize>()
    }

    fn signers(&self) -> Vec<&Arc<Wallet>> {
        std::iter::once(&self.payer).chain(self.parts.iter().filter_map(|part| part.signer.as_ref())).collect()
    }

    /// The account everybody contends for: the payer's.
    pub fn payer(&self) -> Pubkey {
        self.payer.address()
    }
}

#[cfg(test)]
mod tests {
    use solana_system_interface::instruction::transfer;

    use super::*;
    use crate::domain::{BlockHeight, Slot};

    fn wallets(count: usize) -> Vec<Arc<Wallet>> {
        let dir = tempfile::tempdir().unwrap();
        (0..count).map(|n| Arc::new(Wallet::create(dir.path(), &n.to_string()).unwrap())).collect()
    }

    fn sign(bundle: &Bundle) -> (VersionedTransaction, Lamports) {
        let hash = Hash::new_from_array([7; 32]);
        let blockhash = Blockhash { hash, last_valid_block_height: BlockHeight(150), context_slot: Slot(1) };
        let fee = PriorityFee { price: 1, lamports: Lamports::new(3) };
        let (signed, cost) = bundle.sign(200_000, fee, &blockhash).unwrap();
        (bincode::deserialize(&signed.wire).unwrap(), cost)
    }

    #[test]
    fn fifty_wallets_are_paid_by_three_transactions() {
        let all = wallets(51);
        let pay = |n: usize| Part {
            instructions: vec![transfer(&all[0].address(), &all[n].address(), 1)],
            signer: None,
            wallet: n,
        };
        let bundles = Bundle::pack(&all[0], (1..51).map(pay).collect()).unwrap();
        assert_eq!(bundles.len(), 3);
        let order: Vec<usize> = bundles.iter().flat_map(|bundle| bundle.parts().iter().map(|it| it.wallet)).collect();
        assert_eq!(order, (1..51).collect::<Vec<_>>(), "everybody once");
        for bundle in &bundles {
            let (transaction, cost) = sign(bundle);
            assert_eq!((transaction.signatures.len(), cost.get()), (1, 5_003));
        }
    }

    #[test]
    fn everybody_whose_money_moves_signs_once() {
        let all = wallets(9);
        let back = |n: usize| Part {
            instructions: vec![transfer(&all[n].address(), &all[0].address(), 1); 2],
            signer: Some(all[n].clone()),
            wallet: n,
        };
        let bundles = Bundle::pack(&all[0], (1..9).map(back).collect()).unwrap();
        assert!(bundles.len() > 1);
        for bundle in &bundles {
            let (transaction, cost) = sign(bundle);
            assert!(transaction.verify_with_results().iter().all(|valid| *valid));
            assert_eq!(transaction.signatures.len(), bundle.parts().len() + 1);
            assert_eq!(cost.get(), 5_000 * transaction.signatures.len() as u64 + 3);
        }
    }

    #[test]
    fn a_transaction_opens_no_more_accounts_than_the_runtime_lets_it() {
        use spl_associated_token_account_interface::instruction::create_associated_token_account_idempotent as open;

        let all = wallets(21);
        let mint = Pubkey::new_unique();
        let part = |n: usize| Part {
            instructions: vec![open(&all[0].address(), &all[n].address(), &mint, &spl_token::ID)],
            signer: None,
            wallet: n,
        };
        let bundles = Bundle::pack(&all[0], (1..21).map(part).collect()).unwrap();
        assert_eq!(bundles.iter().map(|bundle| bundle.parts().len()).collect::<Vec<_>>(), [8, 8, 4]);
    }

    #[test]
    fn a_part_that_fits_no_packet_is_refused() {
        let all = wallets(40);
        let instructions = (1..40).map(|n| transfer(&all[0].address(), &all[n].address(), 1)).collect();
        let part = Part { instructions, signer: None, wallet: 1 };
        assert!(matches!(Bundle::pack(&all[0], vec![part]), Err(BuildError::TooLarge(_))));
    }
}
