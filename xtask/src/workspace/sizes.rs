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
}
