//! Signature: what proves to a receiver that a delivery comes from here, as it is, and not from long ago.
//!
//! `Swapd-Signature: t=<seconds>,v1=<hex>`, where hex is the HMAC-SHA256 of `<seconds>.<body>` under the secret's text as
//! it was shown. A later scheme would stand beside `v1`.

use hmac::{Hmac, Mac};
use sha2::Sha256;

use crate::store::webhooks::SigningSecret;

/// How a secret begins, so that people and scanners for leaked secrets know it.
const PREFIX: &str = "whsec_";

/// A secret of 256 random bits.
pub fn fresh_secret() -> SigningSecret {
    SigningSecret::new(format!("{PREFIX}{}", bs58::encode(rand::random::<[u8; 32]>()).into_string()))
}

/// The header's value for a body that is sent at this Unix time.
pub fn header(secret: &SigningSecret, seconds: i64, body: &str) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.expose().as_bytes()).expect("any length is a key");
    mac.update(format!("{seconds}.{body}").as_bytes());
    let digest = mac.finalize().into_bytes();
    format!("t={seconds},v1={digest:x}")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The hex is what `printf '%s' '1763730000.{"event":"test"}' | openssl dgst -sha256 -hmac whsec_test` prints.
    #[test]
    fn a_body_is_signed_as_other_tools_sign_it() {
        let secret = SigningSecret::new("whsec_test".into());
        let hex = "81e8e446e50cfe0310440a6a4913d40e919a90f3df429728e29a9628c9e61ad5";
        assert_eq!(header(&secret, 1_763_730_000, r#"{"event":"test"}"#), format!("t=1763730000,v1={hex}"));
    }

    #[test]
    fn secrets_are_recognisable_differ_and_are_never_shown() {
        let secret = fresh_secret();
        assert!(secret.expose().starts_with(PREFIX) && secret.expose().len() > 40);
        assert_ne!(secret, fresh_secret());
        assert!(!format!("{secret:?}").contains(secret.expose()));
    }
}
