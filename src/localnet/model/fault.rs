//! Fault: why the model refuses an instruction, in the numbers clients see.
//!
//! Owns the error numbers of Anchor and of the CPMM program that the model can give, and the log line
//! that goes with them. Never decides when one applies.

use solana_sdk::instruction::InstructionError;

/// A refusal with a number. The text goes to the log the way Anchor writes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::localnet) struct Code {
    pub number: u32,
    name: &'static str,
    message: &'static str,
}

macro_rules! codes {
    ($($ident:ident = $number:literal $name:literal $message:literal;)*) => {
        $(pub(super) const $ident: Code = Code { number: $number, name: $name, message: $message };)*
    };
}

codes! {
    NO_INSTRUCTION = 100 "InstructionMissing" "8 byte instruction identifier not provided";
    UNKNOWN_INSTRUCTION = 101 "InstructionFallbackNotFound" "Fallback functions are not supported";
    BAD_ARGUMENTS = 102 "InstructionDidNotDeserialize" "The program could not deserialize the given instruction";
    NOT_MUT = 2000 "ConstraintMut" "A mut constraint was violated";
    RAW = 2003 "ConstraintRaw" "A raw constraint was violated";
    SEEDS = 2006 "ConstraintSeeds" "A seeds constraint was violated";
    ADDRESS = 2012 "ConstraintAddress" "An address constraint was violated";
    TOKEN_MINT = 2014 "ConstraintTokenMint" "A token mint constraint was violated";
    TOKEN_OWNER = 2015 "ConstraintTokenOwner" "A token owner constraint was violated";
    MINT_PROGRAM = 2022 "ConstraintMintTokenProgram" "A mint token program constraint was violated";
    REQUIRE_EQ = 2501 "RequireEqViolated" "A require_eq expression was violated";
    REQUIRE_GT = 2505 "RequireGtViolated" "A require_gt expression was violated";
    REQUIRE_GTE = 2506 "RequireGteViolated" "A require_gte expression was violated";
    NO_DISCRIMINATOR = 3001 "AccountDiscriminatorNotFound" "No discriminator was found on the account";
    WRONG_DISCRIMINATOR = 3002 "AccountDiscriminatorMismatch" "Account discriminator did not match what was expected";
    UNREADABLE = 3003 "AccountDidNotDeserialize" "Failed to deserialize the account";
    TOO_FEW_ACCOUNTS = 3005 "AccountNotEnoughKeys" "Not enough account keys given to the instruction";
    WRONG_OWNER = 3007 "AccountOwnedByWrongProgram" "The given account is owned by a different program than expected";
    WRONG_PROGRAM = 3008 "InvalidProgramId" "Program ID was not as expected";
    NOT_SIGNER = 3010 "AccountNotSigner" "The given account did not sign";
    NOT_INITIALISED = 3012 "AccountNotInitialized" "The program expected this account to be already initialized";
    NOT_SYSVAR = 3015 "AccountSysvarMismatch" "The given public key does not match the required sysvar";
    NOT_APPROVED = 6000 "NotApproved" "Not approved";
    EMPTY_SUPPLY = 6002 "EmptySupply" "Input token account empty";
    INVALID_INPUT = 6003 "InvalidInput" "InvalidInput";
    EXCEEDED_SLIPPAGE = 6005 "ExceededSlippage" "Exceeds desired slippage limit";
    ZERO_TRADING_TOKENS = 6006 "ZeroTradingTokens" "Given pool token amount results in zero trading tokens";
    NOT_SUPPORT_MINT = 6007 "NotSupportMint" "Not support token_2022 mint extension";
    INVALID_VAULT = 6008 "InvalidVault" "invaild vault";
    INIT_LP_TOO_LESS = 6009 "InitLpAmountTooLess" "Init lp amount is too less(Because 100 amount lp will be locked)";
    TRANSFER_FEE_MISMATCH = 6010 "TransferFeeCalculateNotMatch" "TransferFee calculate not match";
    MATH_OVERFLOW = 6011 "MathOverflow" "Math overflow";
    INSUFFICIENT_VAULT = 6012 "InsufficientVault" "Insufficient vault";
    BAD_CREATOR_FEE_ON = 6013 "InvalidFeeModel" "Invalid fee model";
}

/// Why an instruction ends without effect.
#[derive(Debug)]
pub(in crate::localnet) enum Fault {
    /// A number, and the account it is about.
    Coded(Code, Option<&'static str>),
    /// Where the real program panics: `ProgramFailedToComplete`.
    Trap(&'static str),
    /// The runtime, or a program that was called, refused.
    Runtime(InstructionError),
}

impl Fault {
    /// A refusal about one account.
    pub(super) fn account(code: Code, name: &'static str) -> Self {
        Self::Coded(code, Some(name))
    }

    /// What the program would have written to the log, if anything.
    pub(super) fn log_line(&self) -> Option<String> {
        match self {
            Self::Coded(code, None) => Some(format!(
                "AnchorError occurred. Error Code: {}. Error Number: {}. Error Message: {}.",
                code.name, code.number, code.message
            )),
            Self::Coded(code, Some(account)) => Some(format!(
                "AnchorError caused by account: {account}. Error Code: {}. Error Number: {}. Error Message: {}.",
                code.name, code.number, code.message
            )),
            Self::Trap(what) => Some(format!("panicked: {what}")),
            Self::Runtime(_) => None,
        }
    }
}

impl From<Code> for Fault {
    fn from(code: Code) -> Self {
        Self::Coded(code, None)
    }
}

impl From<InstructionError> for Fault {
    fn from(error: InstructionError) -> Self {
        Self::Runtime(error)
    }
}

impl From<Fault> for InstructionError {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Coded(code, _) => Self::Custom(code.number),
            Fault::Trap(_) => Self::ProgramFailedToComplete,
            Fault::Runtime(error) => error,
        }
    }
}
