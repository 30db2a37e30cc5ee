//! A line of a configuration as words: quotes, escapes, comments and environment variables
//! (configuration.txt, "Quoting and escaping" and "Environment variables").

/// Splits a line into words. A quote that is not closed ends with the line.
pub(super) fn words(line: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quote: Option<char> = None;
    let mut rest = line.chars();
    while let Some(letter) = rest.next() {
        match (quote, letter) {
            (None, '#') => break,
            (None, letter) if letter.is_whitespace() => words.extend(word.take()),
            (None, '"' | '\'') => {
                quote = Some(letter);
                word.get_or_insert_default();
            }
            (Some(open), letter) if letter == open => quote = None,
            (None | Some('"'), '\\') => {
                if let Some(escaped) = rest.next() {
                    word.get_or_insert_default().push(escaped);
                }
            }
            (Some('"'), '$') => {
                let (value, length) = variable(rest.as_str());
                word.get_or_insert_default().push_str(&value);
                let after = rest.as_str().get(length..).unwrap_or_default();
                rest = after.chars();
            }
            (_, letter) => word.get_or_insert_default().push(letter),
        }
    }
    words.extend(word);
    words
}

/// Returns what stands for a variable whose `$` has been read, and how many bytes its name takes.
///
/// A variable that is not set leads to its default, and without one to nothing.
fn variable(text: &str) -> (String, usize) {
    let value = |name: &str| std::env::var(name).ok();
    let is_name = |letter: char| letter.is_ascii_alphanumeric() || letter == '_';
    let braced = text
        .strip_prefix('{')
        .and_then(|inner| inner.split_once('}'));
    if let Some((inner, _)) = braced {
        let (name, default) = inner.split_once('-').unwrap_or((inner, ""));
        let name = name.trim_end_matches("[*]");
        let value = value(name).unwrap_or_else(|| default.to_owned());
        return (value, inner.len() + 2);
    }
    let length = text.find(|letter| !is_name(letter)).unwrap_or(text.len());
    match text.get(..length) {
        None | Some("") => ("$".to_owned(), 0),
        Some(name) => (value(name).unwrap_or_default(), length),
    }
}

#[cfg(test)]
mod tests {
    use super::words;

    #[test]
    fn quotes_escapes_and_comments() {
        let cases: [(&str, &[&str]); 10] = [
            ("", &[]),
            ("  # a comment", &[]),
            ("\tmode  http\r", &["mode", "http"]),
            ("bind :80 # here", &["bind", ":80"]),
            (r#"log-format "%ci # %cp""#, &["log-format", "%ci # %cp"]),
            (
                r"acl a hdr(x) a\ b \#c",
                &["acl", "a", "hdr(x)", "a b", "#c"],
            ),
            (r#"x "a\"b" 'c"d'"#, &["x", "a\"b", "c\"d"]),
            (r"x '$HOME\n'", &["x", r"$HOME\n"]),
            (r#"x """#, &["x", ""]),
            (r#"x "not closed"#, &["x", "not closed"]),
        ];
        for (line, expected) in cases {
            assert_eq!(words(line), expected, "{line}");
        }
    }

    #[test]
    fn a_variable_has_its_value_or_its_default() {
        assert_eq!(words(r#"a "${SPOA_NOT_SET-x y}/z""#), ["a", "x y/z"]);
        assert_eq!(words(r#"a "${SPOA_NOT_SET}z""#), ["a", "z"]);
        assert_eq!(words(r#"a "$SPOA_NOT_SET:80""#), ["a", ":80"]);
        assert_eq!(words(r#"a "$ 5" "$""#), ["a", "$ 5", "$"]);
        // Set in every test run by cargo.
        assert_eq!(words(r#"a "${CARGO_PKG_NAME-none}""#), ["a", "iprep-spoa"]);
        // Only in double quotes.
        assert_eq!(words("a $HOME"), ["a", "$HOME"]);
    }
}
