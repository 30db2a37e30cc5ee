//! The autonomous system and the country of an address, from one database or from two.

use std::sync::Arc;

use ip_reputation::formats::Attributes;
use iprep_spoa::policy::{Attribute, PolicyConfig};

use crate::ask::{Became, about, answered, is, judge, message, text};
use crate::mmdb::{Database, Value as Field};
use Became::{Gone, Number};

pub(crate) fn database(networks: Vec<(&str, u8, Field)>) -> Arc<Attributes> {
    let networks = networks
        .into_iter()
        .map(|(address, len, value)| (address.parse().unwrap(), len, value));
    Arc::new(Attributes::new(Database::new(networks.collect()).bytes()).unwrap())
}

pub(crate) fn asn(number: u32) -> Field {
    Field::Map(vec![("autonomous_system_number", Field::Number(number))])
}

pub(crate) fn country(code: &str) -> Field {
    let code = Field::Map(vec![("iso_code", Field::Text(code.to_owned()))]);
    Field::Map(vec![("is_anycast", Field::Flag(true)), ("country", code)])
}

#[test]
fn each_comes_from_its_database_and_is_removed_if_that_does_not_know() {
    let numbers = database(vec![
        ("203.0.113.0", 24, asn(64_496)),
        ("2001:db8::", 32, asn(4_200_000_000)),
    ]);
    let countries = database(vec![
        ("203.0.113.0", 25, country("ZZ")),
        ("2001:db8::", 32, country("XA")),
    ]);
    let mut judge = judge(PolicyConfig {
        messages: vec![message("m", &[Attribute::Asn, Attribute::Country])],
        asn: Some(numbers),
        country: Some(countries),
        ..PolicyConfig::default()
    });
    for (who, asn, country) in [
        ("203.0.113.1", Number(64_496), text("ZZ")),
        ("::ffff:203.0.113.1", Number(64_496), text("ZZ")),
        ("203.0.113.200", Number(64_496), Gone),
        ("2001:db8::1", Number(4_200_000_000), text("XA")),
        ("192.0.2.1", Gone, Gone),
    ] {
        let expected = answered([is("asn", asn), is("country", country)]);
        assert_eq!(about(&mut judge, who), expected, "{who}");
    }
}
