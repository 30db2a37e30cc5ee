//! Which paths a Rust source names: enough of a reading to follow `use` trees, no more.

/// The code of a file: without comments, and without the unit tests at its end.
pub(crate) fn code(text: &str) -> String {
    let body = text.split("\n#[cfg(test)]\nmod ").next().unwrap_or(text);
    let lines = body
        .lines()
        .map(|line| if is_comment(line) { "" } else { line });
    lines.collect::<Vec<_>>().join("\n")
}

fn is_comment(line: &str) -> bool {
    line.trim_start().starts_with("//")
}

/// Every path in the code, with the number of its line: `use a::{b, c::*}` is `a::b` and `a::c::*`.
pub(crate) fn paths(code: &str) -> Vec<(usize, String)> {
    let mut paths = Vec::new();
    let mut rest = code;
    while let Some((before, tree, after)) = next_use(rest) {
        inline(before, line_at(code, rest), &mut paths);
        let line = line_at(code, tree);
        let tree: String = tree.split_whitespace().collect::<Vec<_>>().join(" ");
        flatten("", &tree, &mut |path| paths.push((line, path)));
        rest = after;
    }
    inline(rest, line_at(code, rest), &mut paths);
    paths
}

/// The number of the line at which `part` of `code` begins.
fn line_at(code: &str, part: &str) -> usize {
    let start = part.as_ptr().addr() - code.as_ptr().addr();
    1 + code[..start].matches('\n').count()
}

/// What stands before the next `use`, its tree, and what follows.
fn next_use(code: &str) -> Option<(&str, &str, &str)> {
    let is_start = |at: usize| {
        let line = code[..at].rsplit('\n').next().unwrap_or_default().trim();
        line.is_empty() || (line.starts_with("pub") && !line.contains(' '))
    };
    let start = code
        .match_indices("use ")
        .map(|(at, _)| at)
        .find(|at| is_start(*at))?;
    let (tree, after) = code[start + "use ".len()..].split_once(';')?;
    Some((&code[..start], tree, after))
}

/// Gives every path of a `use` tree.
fn flatten(prefix: &str, tree: &str, give: &mut dyn FnMut(String)) {
    let tree = tree.trim();
    let Some((head, group)) = tree.split_once('{') else {
        let path = tree.split(" as ").next().unwrap_or(tree).trim();
        if !path.is_empty() {
            give(format!("{prefix}{path}"));
        }
        return;
    };
    let prefix = format!("{prefix}{}", head.trim());
    let group = group.rsplit_once('}').map_or(group, |(group, _)| group);
    let (mut depth, mut start) = (0, 0);
    for (at, character) in group.char_indices() {
        match character {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 0 => {
                flatten(&prefix, &group[start..at], give);
                start = at + 1;
            }
            _ => {}
        }
    }
    flatten(&prefix, &group[start..], give);
}

/// Gives the paths of at least two segments that stand in code that is no `use`.
fn inline(code: &str, first_line: usize, paths: &mut Vec<(usize, String)>) {
    for (place, line) in code.lines().enumerate() {
        let is_path = |character: char| character.is_alphanumeric() || "_:".contains(character);
        let words = line.split(|character| !is_path(character));
        let words = words
            .map(|word| word.trim_matches(':'))
            .filter(|word| word.contains("::"));
        paths.extend(words.map(|word| (first_line + place, word.to_owned())));
    }
}
