//! Durations as Go prints them: `3h59m2.5s`, `-1m0s`, `1.5µs`.

/// Parses a duration into seconds; negative ones are over.
pub(super) fn parse(text: &str) -> Option<f64> {
    let (sign, rest) = match text.strip_prefix('-') {
        Some(rest) => (-1.0, rest),
        None => (1.0, text.strip_prefix('+').unwrap_or(text)),
    };
    if rest == "0" {
        return Some(0.0);
    }
    let mut total = 0.0;
    let mut rest = Some(rest).filter(|it| !it.is_empty())?;
    while !rest.is_empty() {
        let digits = rest.find(|it: char| !it.is_ascii_digit() && it != '.')?;
        let (number, after) = rest.split_at_checked(digits)?;
        let has_digit = number.bytes().any(|it| it.is_ascii_digit());
        let number: f64 = number.parse().ok().filter(|_| has_digit)?;
        let end = after.find(|it: char| it.is_ascii_digit() || it == '.');
        let (unit, after) = after.split_at_checked(end.unwrap_or(after.len()))?;
        let seconds = match unit {
            "ns" => 1e-9,
            "us" | "µs" | "μs" => 1e-6,
            "ms" => 1e-3,
            "s" => 1.0,
            "m" => 60.0,
            "h" => 3600.0,
            _ => return None,
        };
        total += number * seconds;
        rest = after;
    }
    Some(sign * total)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_those_of_go() {
        for (text, seconds) in [
            ("3h59m2.5s", 14342.5),
            ("-1m0s", -60.0),
            ("0", 0.0),
            ("0s", 0.0),
            ("1.5h", 5400.0),
            ("+.5s", 0.5),
            ("1.s", 1.0),
            ("250ms", 0.25),
            ("1m30.000000001s", 90.000_000_001),
            ("87600h0m0s", 315_360_000.0),
            ("2µs", 2e-6),
            ("2μs", 2e-6),
            ("3us4ns", 3.004e-6),
            ("-2562047h47m16.854775808s", -9_223_372_036.854_776),
        ] {
            let parsed = parse(text).unwrap();
            assert!((parsed - seconds).abs() < 1e-6, "{text}: {parsed}");
        }
        for text in [
            "", "-", "1", "s", "1x", ".s", "1h-2m", "1 h", "4d", "1e3s", "1..2s",
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
