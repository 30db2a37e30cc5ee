//! `PolicyHandler` on one NOTIFY after the other: what a published policy costs beside the fixed questions.

use std::hint::black_box;
use std::sync::Arc;

use bytes::BytesMut;
use gungraun::{library_benchmark, library_benchmark_group, main};
use haproxy_spoa::{Handler, Replies};
use iprep_spoa::policy::{VariableRule, IpReputation, PolicyHandler, MessageRules, Policy, PolicyConfig, PolicyCell};
use iprep_spoa::policy::{Attribute, Source};
use ip_reputation::{Combine, Entry, FeedDataBuilder, FeedTerms, Prefix, Random, Role, Score};
use ip_reputation::{PAYLOAD_BYTES_MAX, Pattern, PayloadRule, PayloadRules, TableBuilder};
use haproxy_spop::{Argument, Frame, Notify, NotifyWriter, Scope, TypedData};

const MAX: u32 = 16_380;

/// A handler, a NOTIFY for it, and room for its answer.
struct Case<H> {
    handler: H,
    replies: Replies,
    notify: BytesMut,
    output: BytesMut,
}

fn case<H: Handler>(handler: H, message: &str, value: TypedData<'_>) -> Case<H> {
    let mut notify = BytesMut::new();
    let mut writer = NotifyWriter::begin(&mut notify, 1, 1, MAX);
    writer
        .message(message, &[Argument { name: b"", value }])
        .unwrap();
    writer.finish();
    let output = BytesMut::with_capacity(1 << 16);
    let mut case = Case {
        handler,
        replies: Replies::detached(),
        notify,
        output,
    };
    // Once to warm up: what is counted is the steady state.
    answer(&mut case);
    case.output.clear();
    case
}

fn judge(terms: PolicyConfig) -> PolicyHandler {
    let published = PolicyCell::new(Policy::new(terms).unwrap());
    PolicyHandler::new(&published, Random::seeded(1, 0), || 2_000)
}

fn message(name: &str, values: &[Attribute]) -> Vec<MessageRules> {
    let answers = values.iter().map(|value| VariableRule::new(value.name(), *value));
    vec![MessageRules {
        name: name.to_owned(),
        argument: None,
        payload_argument: None,
        scope: Scope::Session,
        answers: answers.collect(),
    }]
}

/// A few prefixes: what a large table costs is memory, which instructions do not show.
fn source() -> Source {
    let mut data = FeedDataBuilder::new();
    for third in 0..=255 {
        let prefix = Prefix::new([198, 51, third, 0].into(), 24).unwrap();
        let category = Some("scanner");
        data.add(Entry {
            category,
            ..Entry::bad(prefix)
        })
        .unwrap();
    }
    let mut table = TableBuilder::new(Combine::NoisyOr, Score::BEST);
    table.feed(FeedTerms::new("feed", Role::Feed), Arc::new(data.finish()));
    Source::Table {
        table: Arc::new(table.build(0).unwrap()),
        unknown: Score::BEST,
    }
}

const CLIENT: TypedData<'static> = TypedData::Ipv4(core::net::Ipv4Addr::new(198, 51, 100, 1));

fn fixed() -> Case<IpReputation<Random>> {
    case(
        IpReputation::new(Random::seeded(1, 0)),
        "check-client-ip",
        CLIENT,
    )
}

fn random() -> Case<PolicyHandler> {
    case(judge(PolicyConfig::default()), "check-client-ip", CLIENT)
}

fn table(values: &[Attribute]) -> Case<PolicyHandler> {
    let terms = PolicyConfig {
        messages: message("check-client-ip", values),
        source: source(),
        ..PolicyConfig::default()
    };
    case(judge(terms), "check-client-ip", CLIENT)
}

fn payload() -> Case<PolicyHandler> {
    let rule = |name: &str, pattern: &str| PayloadRule {
        name: name.to_owned(),
        score: Score::WORST,
        pattern: Pattern::Regex(pattern.to_owned()),
    };
    let rules = vec![
        rule("tls", r"^\x16\x03"),
        rule("shell", "/bin/(ba)?sh"),
        rule("sql", r"(?i)union\s+select"),
    ];
    let rules = PayloadRules::new(rules, PAYLOAD_BYTES_MAX).unwrap();
    let terms = PolicyConfig {
        messages: message("check-buffer", &[Attribute::Payload, Attribute::PayloadScore]),
        payload: Some(Arc::new(rules)),
        ..PolicyConfig::default()
    };
    case(
        judge(terms),
        "check-buffer",
        TypedData::Binary(&[b'x'; 1024]),
    )
}

fn answer<H: Handler>(case: &mut Case<H>) {
    let (frame, _) = Frame::split_first(&case.notify, MAX).unwrap().unwrap();
    let notify = Notify::try_from(frame).unwrap();
    let (handler, output) = (&mut case.handler, &mut case.output);
    case.replies.answer(handler, &notify, MAX, output);
}

#[library_benchmark]
#[bench::fixed_random(fixed())]
fn ask_fixed(mut case: Case<IpReputation<Random>>) -> Case<IpReputation<Random>> {
    answer(black_box(&mut case));
    case
}

#[library_benchmark]
#[bench::random(random())]
#[bench::table_score(table(&[Attribute::Score]))]
#[bench::table_known_category_reason(table(&[Attribute::Score, Attribute::Listed, Attribute::Category, Attribute::Reason]))]
#[bench::payload_1kb(payload())]
fn ask_policy(mut case: Case<PolicyHandler>) -> Case<PolicyHandler> {
    answer(black_box(&mut case));
    case
}

library_benchmark_group!(name = policy, benchmarks = [ask_fixed, ask_policy]);
main!(library_benchmark_groups = policy);
