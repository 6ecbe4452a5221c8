//! Sizes and growth in settings.

use serde::Deserialize;
use serde_json::Value;

/// A number of bytes, written like `20 MiB`, `1.5 MB` or `300000`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "Value")]
pub(crate) struct ByteSize(pub(crate) u64);

impl TryFrom<Value> for ByteSize {
    type Error = String;

    fn try_from(value: Value) -> Result<Self, String> {
        let invalid = || format!("`{value}` is no size; write for example `20 MiB`");
        if let Some(bytes) = value.as_u64() {
            return Ok(ByteSize(bytes));
        }
        let text = value.as_str().ok_or_else(invalid)?.trim();
        let split = text.find(|c: char| c != '.' && !c.is_ascii_digit()).unwrap_or(text.len());
        let number: f64 = text[..split].parse().map_err(|_| invalid())?;
        let unit: u64 = match text[split..].trim() {
            "" | "B" => 1,
            "kB" | "KB" => 1000,
            "KiB" => 1 << 10,
            "MB" => 1_000_000,
            "MiB" => 1 << 20,
            "GB" => 1_000_000_000,
            "GiB" => 1 << 30,
            _ => return Err(invalid()),
        };
        Ok(ByteSize((number * unit as f64) as u64))
    }
}

/// A share, written like `10%` or `2.5%`.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(try_from = "String")]
pub(crate) struct Percentage(pub(crate) f64);

impl TryFrom<String> for Percentage {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let number = text.strip_suffix('%').and_then(|number| number.trim().parse::<f64>().ok());
        let valid = number.filter(|number| number.is_finite() && *number >= 0.0);
        valid.map(Percentage).ok_or_else(|| format!("`{text}` is no share; write for example `10%`"))
    }
}

/// How much an image may grow: `"10%"`, or `{ warning = "10%", error = "50%" }` with one of them or both.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(try_from = "Value")]
pub(crate) struct Growth {
    /// More is said.
    pub(crate) warning: Option<Percentage>,
    /// More is not published.
    pub(crate) error: Option<Percentage>,
}

impl TryFrom<Value> for Growth {
    type Error = String;

    fn try_from(value: Value) -> Result<Self, String> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Limits {
            warning: Option<Percentage>,
            error: Option<Percentage>,
        }
        if let Value::String(text) = value {
            return Ok(Growth { warning: Some(text.try_into()?), error: None });
        }
        let shown = value.to_string();
        match serde_json::from_value::<Limits>(value).map_err(|error| error.to_string())? {
            Limits { warning: None, error: None } => {
                Err(format!("`{shown}` limits nothing; write for example `\"10%\"` or `{{ error = \"10%\" }}`"))
            }
            Limits { warning, error } => Ok(Growth { warning, error }),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn sizes_are_read_with_their_units() {
        for (text, bytes) in [("20 MiB", 20 << 20), ("1.5 MB", 1_500_000), ("7", 7), ("3KiB", 3072)] {
            assert_eq!(ByteSize::try_from(json!(text)).unwrap().0, bytes, "{text}");
        }
        assert!(ByteSize::try_from(json!("big")).is_err());
        assert!(ByteSize::try_from(json!("20 MiBi")).is_err());
    }

    #[test]
    fn shares_are_percent() {
        assert_eq!(Percentage::try_from("2.5 %".to_owned()).unwrap(), Percentage(2.5));
        for wrong in ["10", "-1%", "NaN%", "%"] {
            assert!(Percentage::try_from(wrong.to_owned()).is_err(), "{wrong}");
        }
    }

    #[test]
    fn growth_is_one_limit_or_two() {
        let growth = |value| Growth::try_from(value);
        let (ten, half) = (Some(Percentage(10.0)), Some(Percentage(50.0)));
        assert_eq!(growth(json!("10%")), Ok(Growth { warning: ten, error: None }));
        assert_eq!(growth(json!({"error": "10%"})), Ok(Growth { warning: None, error: ten }));
        assert_eq!(growth(json!({"warning": "10%", "error": "50%"})), Ok(Growth { warning: ten, error: half }));
        for wrong in [json!(10), json!({}), json!({"eror": "10%"}), json!({"error": "10"})] {
            assert!(growth(wrong.clone()).is_err(), "{wrong}");
        }
    }
}
