//! Times as people write them.

use std::time::Duration;

/// Reads `500ms`, `30s`, `2m`, `1h`, and these joined, largest first: `1m30s`.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    let invalid = || format!("`{text}` is no time; write for example `30s` or `2m`");
    let (mut rest, mut total, mut last) = (text, Duration::ZERO, u64::MAX);
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit()).ok_or_else(invalid)?;
        let number: u64 = rest[..digits].parse().map_err(|_| invalid())?;
        rest = &rest[digits..];
        let end = rest.find(|c: char| c.is_ascii_digit()).unwrap_or(rest.len());
        let unit = match &rest[..end] {
            "ms" => 1,
            "s" => 1_000,
            "m" | "min" => 60_000,
            "h" => 3_600_000,
            _ => return Err(invalid()),
        };
        if unit >= last {
            return Err(invalid());
        }
        (rest, last) = (&rest[end..], unit);
        let part = number.checked_mul(unit).map(Duration::from_millis);
        total = part.and_then(|part| total.checked_add(part)).ok_or_else(invalid)?;
    }
    if total.is_zero() {
        return Err(invalid());
    }
    Ok(total)
}

/// As [`duration`], or `0s`.
pub(crate) fn duration_or_none(text: &str) -> Result<Duration, String> {
    if text == "0s" { Ok(Duration::ZERO) } else { duration(text) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_as_people_write_them() {
        let cases = [("30s", 30_000), ("2m", 120_000), ("1m30s", 90_000), ("500ms", 500), ("1h1m", 3_660_000)];
        for (text, milliseconds) in cases {
            assert_eq!(duration(text), Ok(Duration::from_millis(milliseconds)), "{text}");
        }
        for text in ["", "30", "s", "0s", "-1s", "30s1m", "1 m", "1.5m", "99999999999999999999h"] {
            assert!(duration(text).is_err(), "{text}");
        }
    }
}
