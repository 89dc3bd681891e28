//! Fields: a posted object as JavaScript engines judged it.
//!
//! Owns notions such as "truthy", which the older contracts are written in. Numbers keep their digits.

use std::collections::BTreeMap;

use serde::de::IgnoredAny;
use serde_json::value::RawValue;

/// The fields of a JSON object, each as it was written.
pub struct Fields(BTreeMap<String, Box<RawValue>>);

impl Fields {
    /// Reads an object. Other JSON values have no fields.
    ///
    /// # Errors
    /// When it is no JSON.
    pub fn read(body: &[u8]) -> Result<Self, serde_json::Error> {
        serde_json::from_slice(body)
            .map(Self)
            .or_else(|_| serde_json::from_slice(body).map(|IgnoredAny| Self(BTreeMap::new())))
    }

    /// A field's JSON text.
    pub fn value(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(|raw| raw.get())
    }

    /// A string field's text.
    pub fn text(&self, name: &str) -> Option<String> {
        serde_json::from_str(self.value(name)?).ok()
    }

    /// A number field's digits.
    pub fn number(&self, name: &str) -> Option<&str> {
        self.value(name).filter(|text| text.starts_with(|first: char| first == '-' || first.is_ascii_digit()))
    }

    /// A number field's digits, if it is above zero.
    pub fn positive_number(&self, name: &str) -> Option<&str> {
        self.number(name).filter(|text| is_positive(text))
    }

    /// The digits of a number, or of a string that holds one, if it is above zero: JavaScript compares both alike.
    pub fn positive_decimal(&self, name: &str) -> Option<String> {
        self.decimal(name).filter(|text| is_positive(text))
    }

    /// The text of a number or a string.
    pub fn decimal(&self, name: &str) -> Option<String> {
        self.number(name).map(str::to_owned).or_else(|| self.text(name))
    }

    /// Whether a field is missing or `null`.
    pub fn is_absent(&self, name: &str) -> bool {
        matches!(self.value(name), None | Some("null"))
    }

    /// Whether a field is there and neither `null`, `false`, empty nor zero.
    pub fn is_truthy(&self, name: &str) -> bool {
        match self.value(name) {
            None | Some("null" | "false" | r#""""#) => false,
            Some(text) if self.number(name).is_some() => text.bytes().any(|byte| (b'1'..=b'9').contains(&byte)),
            Some(_) => true,
        }
    }

    /// The kind of value, in the words of a JavaScript validator.
    pub fn kind(&self, name: &str) -> &'static str {
        match self.value(name).and_then(|text| text.bytes().next()) {
            None => "undefined",
            Some(b'"') => "string",
            Some(b'{') => "object",
            Some(b'[') => "array",
            Some(b't' | b'f') => "boolean",
            Some(b'n') => "null",
            Some(_) => "number",
        }
    }
}

fn is_positive(text: &str) -> bool {
    let mantissa = text.split(['e', 'E']).next().unwrap_or_default();
    !mantissa.trim_start().starts_with('-') && mantissa.bytes().any(|byte| (b'1'..=b'9').contains(&byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_is_judged_as_javascript_would() {
        let fields =
            Fields::read(br#"{"a":"","b":0,"c":null,"d":"x","e":-1.5,"f":false,"g":[],"h":0e5,"i":1e-9}"#).unwrap();
        for (name, truthy) in [
            ("a", false),
            ("b", false),
            ("c", false),
            ("d", true),
            ("e", true),
            ("f", false),
            ("g", true),
            ("z", false),
        ] {
            assert_eq!(fields.is_truthy(name), truthy, "{name}");
        }
        assert_eq!(fields.number("e"), Some("-1.5"));
        assert_eq!(fields.positive_number("e"), None);
        assert_eq!(fields.positive_number("h"), None);
        assert_eq!(fields.positive_number("i"), Some("1e-9"));
        assert_eq!((fields.kind("g"), fields.kind("z"), fields.kind("c")), ("array", "undefined", "null"));
        assert_eq!(fields.positive_decimal("i").as_deref(), Some("1e-9"));
        assert_eq!((fields.positive_decimal("d"), fields.positive_decimal("e")), (None, None));
        assert!(Fields::read(b"").is_err() && Fields::read(b"{\"a\":1,}").is_err());
        assert!(Fields::read(b"[{\"a\":1}]").unwrap().value("a").is_none());
    }
}
