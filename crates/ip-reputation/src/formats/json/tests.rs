use super::*;
use crate::formats::options::{HigherIs, Keys};
use crate::formats::tests::{outcome, parts, refusal};
use crate::formats::{Format, Strip};

fn options(items: &[&str], prefix: &[&str]) -> Options {
    let owned = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
    Options {
        keys: Keys {
            items: owned(items),
            prefix: owned(prefix),
            ..Keys::default()
        },
        ..Options::default()
    }
}

fn entries(options: &Options, feed: &str) -> Vec<String> {
    let (entries, wrong) = parts(Format::Json, options, feed);
    assert_eq!(wrong, [""; 0], "{feed}");
    entries
}

#[test]
fn items_are_found_by_their_path() {
    let cloud = r#"{"syncToken":"1","prefixes":[{"ip_prefix":"192.0.2.0/24","region":"a"},
        {"ip_prefix":"198.51.100.0/24"}],"other":[1,{"ip_prefix":"203.0.113.1"}],
        "ipv6_prefixes":[{"ipv6_prefix":"2001:db8::/32"}]}"#;
    let both = options(
        &["prefixes[]", "ipv6_prefixes[]"],
        &["ip_prefix", "ipv6_prefix"],
    );
    assert_eq!(
        entries(&both, cloud),
        ["192.0.2.0/24 1", "198.51.100.0/24 1", "2001:db8::/32 1"]
    );
    let nested = r#"[{"decisions":[{"value":"192.0.2.1"}]},{"decisions":null},
        {"decisions":[{"value":"192.0.2.2"},{"value":"192.0.2.3"}]}]"#;
    assert_eq!(
        entries(&options(&["[].decisions[]"], &["value"]), nested),
        ["192.0.2.1 1", "192.0.2.2 1", "192.0.2.3 1"]
    );
    let arbitrary = r#"{"71":{"ioc":["192.0.2.1"]},"72":{"ioc":["192.0.2.2"],"x":["192.0.2.9"]}}"#;
    assert_eq!(
        entries(&options(&["*.ioc[]"], &[]), arbitrary),
        ["192.0.2.1 1", "192.0.2.2 1"]
    );
    let in_arrays = r#"[[{"a":{"b":["192.0.2.1","192.0.2.2"]}}]]"#;
    assert_eq!(
        entries(&options(&["[][]"], &["a.b"]), in_arrays),
        ["192.0.2.1 1", "192.0.2.2 1"]
    );
}

#[test]
fn documents_one_behind_the_other_are_items() {
    let lines =
        "{\"cidr\":\"192.0.2.0/24\"}\n\n{\"cidr\":\"2001:db8::/32\"} {\"cidr\":\"192.0.2.1\"}";
    assert_eq!(
        entries(&options(&[], &["cidr"]), lines),
        ["192.0.2.0/24 1", "2001:db8::/32 1", "192.0.2.1 1"]
    );
}

#[test]
fn without_a_path_every_string_is_an_address() {
    let plain = Options::default();
    let feed = r#"{"addresses":["192.0.2.0/24"],"n":7,"v6":["2001:db8::/32"],"z":null}"#;
    assert_eq!(entries(&plain, feed), ["192.0.2.0/24 1", "2001:db8::/32 1"]);
    let other = r#"{"a":[{"region":"here","ip":"192.0.2.1"},{"region":"there","ip":"192.0.2.2"}]}"#;
    let why = refusal(Format::Json, &plain, other);
    assert!(why.contains("here") && why.contains("items = "), "{why}");
}

#[test]
fn what_an_item_says_is_read_by_key() {
    let options = Options {
        now: 1000,
        higher_is: Some(HigherIs::Worse),
        keys: Keys {
            items: vec!["new[]".to_owned()],
            prefix: vec!["value".to_owned()],
            value: Some("score".to_owned()),
            category: Some("why.kind".to_owned()),
            last_seen: Some("seen".to_owned()),
            expires: None,
            duration: Some("duration".to_owned()),
        },
        conditions: vec![
            ("type".to_owned(), "ban".to_owned()),
            ("ok".to_owned(), "true".to_owned()),
        ],
        ..Options::default()
    };
    let feed = r#"{"new":[
        {"type":"ban","ok":true,"value":"192.0.2.1","score":50,"why":{"kind":"ssh"},"duration":"1m1.9s"},
        {"type":"ban","ok":true,"value":"192.0.2.2","score":"250","seen":"1970-01-01 00:00:07"},
        {"type":"ban","ok":true,"value":"192.0.2.3","score":0,"seen":"soon","duration":""},
        {"type":"captcha","ok":true,"value":"192.0.2.4","score":50},
        {"type":"ban","ok":false,"value":"192.0.2.5","score":50},
        {"type":"ban","ok":true,"value":"192.0.2.6"},
        {"type":"ban","ok":true,"score":50}],"deleted":null}"#;
    let (entries, wrong) = parts(Format::Json, &options, feed);
    assert_eq!(
        entries,
        [
            "192.0.2.1 0.5 ssh until 1061",
            "192.0.2.2 1 seen 7",
            "192.0.2.3 0"
        ]
    );
    assert_eq!(wrong.len(), 2, "{wrong:?}");
    let loose = Options {
        max_invalid_ratio: 1.0,
        ..options
    };
    let (_, report) = outcome(Format::Json, &loose, feed.as_bytes()).unwrap();
    assert_eq!(
        (report.filtered, report.clamped, report.bad_times),
        (2, 1, 1)
    );
    assert_eq!((report.lines, report.skipped), (5, 2));
}

#[test]
fn what_nft_prints_is_understood() {
    let feed = r#"{"nftables":[{"metainfo":{"version":"1.0"}},{"set":{"name":"bl","elem":[
        "192.0.2.1",{"prefix":{"addr":"198.51.100.0","len":24}},
        {"range":["203.0.113.0","203.0.113.1"]},
        {"elem":{"val":{"prefix":{"addr":"2001:db8::","len":32}},"timeout":60}}]}}]}"#;
    assert_eq!(
        entries(&options(&["nftables[].set.elem[]"], &[]), feed),
        [
            "192.0.2.1 1",
            "198.51.100.0/24 1",
            "203.0.113.0/31 1",
            "2001:db8::/32 1"
        ]
    );
}

#[test]
fn a_list_of_urls_is_stripped() {
    let options = Options {
        strip: Some(Strip::Url),
        ..options(&["[]"], &["url"])
    };
    let feed = r#"[{"url":"http://192.0.2.1:8080/x"},{"url":"http://example.org/"}]"#;
    assert_eq!(entries(&options, feed), ["192.0.2.1 1"]);
}

#[test]
fn a_document_that_is_not_whole_or_not_this_one_is_refused() {
    let options = options(&["a[]"], &["ip"]);
    let whole = r#"{"a":[{"ip":"192.0.2.1"}],"b":{}}"#;
    assert!(outcome(Format::Json, &options, whole.as_bytes()).is_ok());
    for end in 1..whole.len() {
        let cut = refusal(Format::Json, &options, &whole[..end]);
        assert!(cut.contains("not well-formed"), "cut after {end}: {cut}");
    }
    let error = refusal(Format::Json, &options, r#"{"message":"rate limit"}"#);
    assert!(error.contains("the keys [\"message\"]"), "{error}");
    let array = refusal(Format::Json, &options, r#"[{"ip":"192.0.2.1"}]"#);
    assert!(
        array.contains("an array at the root is written []"),
        "{array}"
    );
    let empty = Options {
        allow_empty: true,
        ..options.clone()
    };
    assert!(outcome(Format::Json, &empty, br#"{"a":[]}"#).is_ok());
    assert!(outcome(Format::Json, &empty, br#"{"error":[]}"#).is_err());
    assert!(refusal(Format::Json, &options, "{\"a\":[]}").contains("no entry"));
}

#[test]
fn a_condition_that_nothing_meets_makes_an_empty_list() {
    let options = Options {
        conditions: vec![("type".to_owned(), "ban".to_owned())],
        ..options(&["[]"], &["ip"])
    };
    let feed = br#"[{"ip":"192.0.2.1","type":"captcha"}]"#;
    let (entries, report) = outcome(Format::Json, &options, feed).unwrap();
    assert_eq!((entries.len(), report.filtered), (0, 1));
}

#[test]
fn memory_does_not_grow_with_the_document() {
    let ignored = format!(
        "{{\"x\":[{}7],\"a\":[{{\"ip\":\"192.0.2.1\"}}]}}",
        "{\"y\":1},".repeat(300_000)
    );
    let options = options(&["a[]"], &["ip"]);
    assert_eq!(entries(&options, &ignored), ["192.0.2.1 1"]);
    let long = format!("{{\"a\":[{{\"ip\":\"{}\"}}]}}", "x".repeat(3 << 20));
    assert!(refusal(Format::Json, &options, &long).contains("longer than a megabyte"));
    let deep = format!("{{\"a\":[{}", "[".repeat(3 << 20));
    assert!(refusal(Format::Json, &options, &deep).contains("not well-formed"));
}
