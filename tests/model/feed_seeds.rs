//! The seeds of the feeds' fuzz targets: the samples of `tests/feeds`, and a line for each trap.

use crate::mmdb::{Database, Value};

type Seeds = Vec<(&'static str, Vec<u8>)>;

fn owned(seeds: &[(&'static str, &[u8])]) -> Seeds {
    seeds
        .iter()
        .map(|(name, bytes)| (*name, bytes.to_vec()))
        .collect()
}

pub(crate) fn plain() -> Seeds {
    owned(&[
        ("sample", include_bytes!("../feeds/plain.txt")),
        ("glued", b"192.0.2.1192.0.2.2\n192.0.2.1 192.0.2.2\n"),
        ("octal", b"192.0.2.01\n010.0.0.1/8\n"),
        ("port", b"192.0.2.1:80\n[2001:db8::1]:80\n"),
        ("mask", b"192.0.2.0/255.255.255.0\n"),
        ("range", b"0.0.0.1-255.255.255.254\n::1-2001:db8::\n"),
        ("mapped", b"::ffff:192.0.2.0/120\n::ffff:0:0/95\n"),
        ("everything", b"0.0.0.0/0\n::/0\n"),
        ("emptied", b"# spoa: empty\n"),
        ("page", b"<!DOCTYPE html>\n192.0.2.1\n"),
        ("nul", b"192.0.2.1\n\0\0\0\0\n192.0.2.2\n"),
    ])
}

pub(crate) fn netset() -> Seeds {
    owned(&[("sample", include_bytes!("../feeds/example.netset"))])
}

pub(crate) fn drop_text() -> Seeds {
    owned(&[("sample", include_bytes!("../feeds/drop.txt"))])
}

pub(crate) fn drop_json() -> Seeds {
    owned(&[
        ("sample", include_bytes!("../feeds/drop.json")),
        (
            "escaped",
            b"{\"cidr\":\"192.0.2.0\\/24\"}\n{\"type\":\"metadata\",\"records\":1}\n",
        ),
    ])
}

pub(crate) fn csv() -> Seeds {
    owned(&[
        ("sample", include_bytes!("../feeds/own.csv")),
        (
            "quotes",
            b"\"192.0.2.1\",\"7\",\"a \"\"b\"\", c\",\"1796083200\"\n",
        ),
    ])
}

pub(crate) fn json() -> Seeds {
    owned(&[
        (
            "ranges",
            b"{\"prefixes\":[{\"ipv4Prefix\":\"192.0.2.0/24\"},{\"ipv6Prefix\":\"2001:db8::/32\"}]}",
        ),
        ("strings", b"{\"addresses\":[\"192.0.2.0/24\"]}"),
        ("lines", b"{\"prefix\":\"192.0.2.1\"}\n{\"prefix\":\"192.0.2.2\"}\n"),
        ("nft", b"{\"elem\":[{\"prefix\":{\"addr\":\"192.0.2.0\",\"len\":24}},{\"range\":[\"192.0.2.1\",\"192.0.2.9\"]}]}"),
    ])
}

pub(crate) fn lines() -> Seeds {
    owned(&[
        (
            "tor",
            b"ExitNode 01\nExitAddress 192.0.2.1 2026-12-01 00:00:00\n",
        ),
        ("nginx", b"deny 192.0.2.0/24;\ndeny 2001:db8::/32;\n"),
    ])
}

pub(crate) fn p2p() -> Seeds {
    owned(&[("ranges", b"Some: name:192.0.2.0-192.0.2.9\n")])
}

pub(crate) fn dat() -> Seeds {
    owned(&[(
        "ranges",
        b"192.000.002.000 - 192.000.002.009 , 100 , name\n",
    )])
}

pub(crate) fn asn() -> Seeds {
    owned(&[
        (
            "asndrop",
            b"{\"asn\":64496,\"rir\":\"arin\",\"domain\":\"example.org\",\"cc\":\"ZZ\",\"asname\":\"EXAMPLE\"}\n{\"type\":\"metadata\",\"timestamp\":1796083200,\"records\":1}\n",
        ),
        ("csv", b"ASN,Entity\n\"64496\",\"Example\"\nAS64497 # note\n"),
    ])
}

pub(crate) fn suricata() -> Seeds {
    owned(&[
        (
            "categories",
            include_bytes!("../feeds/iprep-categories.txt"),
        ),
        ("sample", include_bytes!("../feeds/iprep.list")),
    ])
}

pub(crate) fn abuseipdb() -> Seeds {
    owned(&[
        ("sample", include_bytes!("../feeds/abuseipdb.json")),
        ("plain", b"203.0.113.5\n2001:db8::1\n"),
        (
            "error",
            b"{\"errors\":[{\"detail\":\"limit\",\"status\":429}]}",
        ),
        (
            "odd",
            b"{\"data\":[7,null,[1],{\"ipAddress\":{}},{\"abuseConfidenceScore\":\"9\"}]}",
        ),
    ])
}

pub(crate) fn ipset_save() -> Seeds {
    owned(&[
        ("sample", include_bytes!("../feeds/saved.ipset")),
        (
            "netmask",
            b"create w hash:ip family inet netmask 28\nadd w 203.0.113.16 nomatch\n",
        ),
    ])
}

pub(crate) fn haproxy_map() -> Seeds {
    owned(&[("sample", include_bytes!("../feeds/haproxy.map"))])
}

pub(crate) fn mmdb() -> Seeds {
    let tor = Value::Map(vec![("is_tor_exit_node", Value::Flag(true))]);
    let system = Value::Map(vec![("autonomous_system_number", Value::Number(64_496))]);
    let code = Value::Map(vec![("iso_code", Value::Text("ZZ".to_owned()))]);
    let country = Value::Map(vec![("country", code)]);
    let v4 = vec![
        ([192, 0, 2, 0].into(), 6, tor),
        ([198, 51, 100, 0].into(), 7, system),
        ([203, 0, 113, 0].into(), 8, country),
    ];
    let shape = |ip_version, record_size| {
        let database = Database {
            ip_version,
            record_size,
            ..Database::new(v4.clone())
        };
        database.bytes()
    };
    vec![
        ("both_28", shape(6, 28)),
        ("v4_24", shape(4, 24)),
        ("v4_28", shape(4, 28)),
        ("v4_32", shape(4, 32)),
    ]
}
