//! The handler over a published policy.
//!
//! ```text
//!  message ──▶ its rules ─┬─ the score is all that is asked ──▶ address, table, one action
//!                         └─ anything else ──▶ findings, once ──▶ an action for each answer
//! ```

use core::net::IpAddr;

use super::cell::Reader;
use super::compiled::CompiledMessage;
use super::counters::PolicyCounters;
use super::precedence::{LiveDecision, badness_of, decided, with_points};
use super::{Attribute, LivePolicy, Policy, PolicyCell, Source};
use crate::live::{Hits, LiveReader, ORIGIN_BEHAVIOR, Snapshot, Target, points_prefix};
use haproxy_spoa::{Handler, Reply, WorkerHooks};
use haproxy_spop::{Message, Notify, TypedData, Variable};
use ip_reputation::{
    Contribution, ContributionStatus, Label, PayloadMatch, Random, Reputation as _, Score, Verdict,
};

/// The longest reason, in bytes. A longer name of a feed is cut; the prefix never is.
pub const REASON_LEN_MAX: usize = 128;

/// The longest list of categories or feeds, in bytes.
const LIST_LEN_MAX: usize = 255;

/// Answers with the policy that is in force. Each worker has its own.
///
/// A NOTIFY is answered with one policy from its first message to its last. Per NOTIFY it takes one
/// atomic load and, once warm, no lock and no memory. The clock is read only if an answer depends on
/// the time, and then once.
#[derive(Debug)]
pub struct PolicyHandler {
    policy: Reader,
    random: Random,
    clock: fn() -> u32,
    /// Where a string is put together.
    text: Vec<u8>,
    tally: PolicyCounters,
    /// Of the policy's live table, since there is one.
    live: Option<LiveReader>,
}

impl PolicyHandler {
    /// A handler over what is published. `random` is asked if the policy's source is
    /// [`Source::Random`]; `clock` returns the seconds since 1970.
    #[must_use]
    pub fn new(published: &PolicyCell, random: Random, clock: fn() -> u32) -> Self {
        Self {
            policy: published.reader(),
            random,
            clock,
            text: Vec::with_capacity(LIST_LEN_MAX.max(REASON_LEN_MAX)),
            tally: PolicyCounters::default(),
            live: None,
        }
    }
}

impl Handler for PolicyHandler {
    #[inline]
    fn notify(&mut self, notify: &Notify<'_>, mut reply: Reply<'_>) {
        let policy: &Policy = self.policy.load();
        self.tally.follow(policy);
        let live = policy.live.as_ref().map(|live| {
            // There is one table in a process.
            let reader = self.live.get_or_insert_with(|| live.table.reader());
            (live, reader.load())
        });
        let mut desk = Evaluation {
            policy,
            live,
            tally: &mut self.tally,
            random: &mut self.random,
            clock: Clock {
                read: self.clock,
                now: None,
            },
            text: &mut self.text,
        };
        let mut filler: Option<&Variable> = None;
        let behavior = policy.live.as_ref().and_then(|live| live.behavior.as_ref());
        for message in notify.messages() {
            if let Some(behavior) = behavior
                && is_same(behavior.message.as_bytes(), message.name())
            {
                desk.tally.report(behavior.take(&message));
                filler = Some(&behavior.filler);
            }
            for (place, prepared) in policy.messages.iter().enumerate() {
                if !is_same(prepared.rules.name.as_bytes(), message.name()) {
                    continue;
                }
                desk.tally.message(place);
                filler = Some(&prepared.filler);
                match &prepared.score_only {
                    Some(variable) => {
                        if let Some(address) = address(&message, prepared.rules.argument.as_deref())
                        {
                            let looked = desk.look_up(address);
                            reply.set(variable, u32::from(looked.score.value()));
                        }
                    }
                    None => desk.answer(prepared, &message, &mut reply),
                }
                if prepared.is_last {
                    break;
                }
            }
        }
        // HAProxy 3.1 and early 3.2 do not wake a stream for an ACK without actions.
        if reply.is_empty()
            && let Some(filler) = filler
        {
            reply.unset(filler);
        }
    }
}

impl WorkerHooks for PolicyHandler {
    /// Releases a policy and a live snapshot that are no longer in force.
    fn refresh(&mut self) {
        self.tally.follow(self.policy.load());
        if let Some(live) = &mut self.live {
            live.load();
        }
    }

    fn tally(&self, tell: &mut dyn FnMut(&'static str, &str, u64)) {
        self.tally.tell(tell);
    }
}

/// What one NOTIFY is answered with.
struct Evaluation<'a> {
    policy: &'a Policy,
    live: Option<(&'a LivePolicy, &'a Snapshot)>,
    tally: &'a mut PolicyCounters,
    random: &'a mut Random,
    clock: Clock,
    text: &'a mut Vec<u8>,
}

/// What is known about what a message asks.
struct Findings<'a> {
    address: Option<IpAddr>,
    /// `None` if no address was asked about.
    score: Option<Score>,
    found: Option<Found<'a>>,
    /// The live decision that decided, and its origin.
    live: Option<(LiveDecision, &'a str)>,
    points: f64,
    /// Whether points count.
    is_reported: bool,
    is_payload_asked: bool,
    payload: Option<PayloadMatch<'a>>,
}

/// A verdict, and when it is looked at; any time will do for one that never changes.
#[derive(Clone, Copy)]
struct Found<'a> {
    verdict: Verdict<'a>,
    now: u32,
}

impl<'a> Found<'a> {
    /// The entries that list the address: those of what decides, without feeds in shadow. The leading one
    /// comes first.
    fn listing(self) -> impl Iterator<Item = Contribution<'a>> {
        let entries = move |is_wanted: fn(ContributionStatus) -> bool| {
            let entries = self.verdict.contributions(self.now);
            entries.filter(move |entry| is_wanted(entry.part))
        };
        let leads = entries(|part| part == ContributionStatus::Leads);
        leads.chain(entries(|part| {
            matches!(
                part,
                ContributionStatus::Counts | ContributionStatus::Outdone
            )
        }))
    }

    /// Whether one of them fulfills a condition.
    #[inline(never)]
    fn counts(self, condition: impl Fn(&Contribution<'_>) -> bool) -> bool {
        self.listing().any(|entry| condition(&entry))
    }

    /// A name of each, once, with commas between; names that do not fit are left out.
    #[inline(never)]
    fn names<'b>(
        self,
        text: &'b mut Vec<u8>,
        name: impl Fn(&Contribution<'a>) -> Option<&'a str>,
    ) -> &'b [u8] {
        text.clear();
        for name in self.listing().filter_map(|entry| name(&entry)) {
            let is_there = text
                .split(|byte| *byte == b',')
                .any(|other| other == name.as_bytes());
            let comma = usize::from(!text.is_empty());
            if is_there || name.is_empty() || text.len() + comma + name.len() > LIST_LEN_MAX {
                continue;
            }
            if comma == 1 {
                text.push(b',');
            }
            text.extend_from_slice(name.as_bytes());
        }
        text
    }
}

/// What is found of an address.
#[derive(Clone, Copy)]
struct Looked<'a> {
    score: Score,
    /// The verdict of lists.
    found: Option<Found<'a>>,
    /// The live decision that decided, with its origin.
    live: Option<(LiveDecision, &'a str)>,
    /// Of reports.
    points: f64,
    /// Whether points count.
    is_reported: bool,
}

/// What becomes of a variable.
enum Outcome<'a> {
    Set(TypedData<'a>),
    Unset,
    /// It was not asked.
    Leave,
}

impl<'a> Evaluation<'a> {
    /// Looks an address up, and counts what it finds.
    #[inline]
    fn look_up(&mut self, address: IpAddr) -> Looked<'a> {
        let (score, found, label) = self.look_up_lists(address);
        let mut looked = Looked {
            score,
            found,
            live: None,
            points: 0.0,
            is_reported: false,
        };
        if let Some((live, snapshot)) = self.live {
            if snapshot.has_points() {
                looked.points = snapshot.points(address);
                if looked.points > 0.0 {
                    self.weigh(&mut looked);
                }
            }
            let clock = &mut self.clock;
            let mut hits = snapshot.lookup(address, || clock.now());
            if snapshot.places() != (false, false) {
                hits = with_places(snapshot, self.policy, hits, address, clock);
            }
            if let Some(hits) = hits {
                let ruled_by = found.and_then(|it| it.verdict.ruled_by(it.now));
                let score = looked.score;
                if let Some(decision) = decided(&hits, ruled_by, score, live.challenge_score) {
                    self.tally.decision(decision.kind);
                    looked.score = decision.score;
                    looked.live = Some((decision, snapshot.origin(decision.hit)));
                    return looked;
                }
            }
        }
        if let Some(label) = label {
            self.tally.verdict(label);
        } else if looked.is_reported {
            self.tally.behavior();
        }
        looked
    }

    /// Lets points count.
    #[cold]
    fn weigh(&mut self, looked: &mut Looked<'_>) {
        // Random scores rest on no evidence.
        if matches!(self.policy.source, Source::Random) {
            return;
        }
        let now = self.clock.now();
        let verdict = looked.found.as_ref().map(|it| &it.verdict);
        if let Some(score) = with_points(verdict, now, looked.score, looked.points) {
            (looked.score, looked.is_reported) = (score, true);
        }
    }

    #[inline]
    fn look_up_lists(&mut self, address: IpAddr) -> (Score, Option<Found<'a>>, Option<Label>) {
        match &self.policy.source {
            Source::Random => (self.random.score(address), None, None),
            Source::Table { table, unknown } => match table.lookup(address) {
                None => (*unknown, None, None),
                Some(verdict) => {
                    let expires = verdict.expires();
                    let now = expires.map_or(0, |_| self.clock.now());
                    let (score, label) = verdict.score_and_label(now);
                    (score, Some(Found { verdict, now }), Some(label))
                }
            },
        }
    }

    #[inline(never)]
    fn answer(&mut self, prepared: &CompiledMessage, message: &Message<'_>, reply: &mut Reply<'_>) {
        let findings = self.look(prepared, message);
        for (variable, value, of) in &prepared.answers {
            match self.outcome(*value, of.as_deref(), &findings) {
                Outcome::Set(value) => reply.set(variable, value),
                Outcome::Unset => reply.unset(variable),
                Outcome::Leave => {}
            }
        }
    }

    /// Looks up once what the message asks about, and no more than its variables need.
    fn look(&mut self, prepared: &CompiledMessage, message: &Message<'_>) -> Findings<'a> {
        let mut findings = Findings {
            address: None,
            score: None,
            found: None,
            live: None,
            points: 0.0,
            is_reported: false,
            is_payload_asked: false,
            payload: None,
        };
        if prepared.needs_address
            && let Some(address) = address(message, prepared.rules.argument.as_deref())
        {
            findings.address = Some(address);
            if prepared.needs_verdict {
                let looked = self.look_up(address);
                (findings.score, findings.found) = (Some(looked.score), looked.found);
                (findings.live, findings.points) = (looked.live, looked.points);
                findings.is_reported = looked.is_reported;
            }
        }
        if prepared.needs_payload
            && let Some(bytes) = payload(message, prepared.rules.payload_argument.as_deref())
        {
            findings.is_payload_asked = true;
            let rules = self.policy.payload.as_deref();
            findings.payload = rules.and_then(|rules| rules.first_match(bytes));
        }
        findings
    }

    fn outcome<'b>(
        &'b mut self,
        value: Attribute,
        of: Option<&str>,
        findings: &Findings<'b>,
    ) -> Outcome<'b>
    where
        'a: 'b,
    {
        let Some(address) = findings.address else {
            return self.without_address(value, findings);
        };
        // What lists say counts no longer where a ban or an allow decides.
        let is_overruled = findings.live.is_some();
        let found = findings.found.filter(|_| !is_overruled);
        let set = match value {
            Attribute::Score => findings.score.map(score),
            Attribute::ShadowScore => {
                let shadow = found.map(|it| findings.shadow(it));
                shadow.or(findings.score).map(score)
            }
            Attribute::Points => Some(rounded(findings.points).into()),
            Attribute::Listed => {
                let is_listed = found.is_some_and(|it| it.verdict.is_listed(it.now));
                Some((is_listed || is_overruled).into())
            }
            Attribute::Decision => findings.live.map(|(it, _)| it.kind.name().into()),
            Attribute::Origin => findings.live.map(|(_, origin)| origin.into()),
            Attribute::ExpiresIn => {
                let until = findings.live.map(|(it, _)| it.hit.until);
                until.map(|until| until.saturating_sub(self.clock.now()).into())
            }
            Attribute::Reason if is_overruled => findings.live.map(|(it, origin)| {
                let target = it.hit.target(address);
                TypedData::String(reason(self.text, origin, target))
            }),
            Attribute::Reason | Attribute::Feed if findings.is_led_by_points() => {
                let prefix = points_prefix(address);
                Some(match value {
                    Attribute::Feed => ORIGIN_BEHAVIOR.into(),
                    _ => TypedData::String(reason(self.text, ORIGIN_BEHAVIOR, prefix)),
                })
            }
            Attribute::InCategory => {
                let is_listed = found.is_some_and(|found| found.counts(|it| it.category == of));
                Some(is_listed.into())
            }
            Attribute::InFeed => {
                let is_listed = found.is_some_and(|found| found.counts(|it| Some(it.feed) == of));
                Some(is_listed.into())
            }
            Attribute::Categories => {
                let names = found.map(|found| found.names(self.text, |it| it.category));
                names
                    .filter(|names| !names.is_empty())
                    .map(TypedData::String)
            }
            Attribute::Feeds => {
                let names = found.map(|found| found.names(self.text, |it| Some(it.feed)));
                names
                    .filter(|names| !names.is_empty())
                    .map(TypedData::String)
            }
            Attribute::Category => found
                .and_then(|it| it.verdict.category(it.now))
                .map(Into::into),
            Attribute::Feed => found.and_then(|it| it.verdict.feed(it.now)).map(Into::into),
            Attribute::Reason => match found.and_then(|it| it.verdict.reason(it.now, address)) {
                None => None,
                Some((feed, prefix)) => Some(TypedData::String(reason(self.text, feed, prefix))),
            },
            Attribute::Asn => {
                let asn = self.policy.asn.as_deref();
                asn.and_then(|it| it.asn(address)).map(Into::into)
            }
            Attribute::Country => {
                let country = self.policy.country.as_deref();
                let code = country.and_then(|it| it.country(address));
                code.map(|code| TypedData::String(letters(self.text, code)))
            }
            _ => return self.without_address(value, findings),
        };
        set.map_or(Outcome::Unset, Outcome::Set)
    }

    /// What does not depend on an address alone.
    fn without_address<'b>(&'b mut self, value: Attribute, findings: &Findings<'b>) -> Outcome<'b>
    where
        'a: 'b,
    {
        let rule = findings.payload.as_ref();
        let found = match value {
            Attribute::Stale => {
                let stale_from = self.policy.stale_from;
                Some(
                    stale_from
                        .is_some_and(|from| self.clock.now() >= from)
                        .into(),
                )
            }
            Attribute::Payload if findings.is_payload_asked => rule.map(|rule| rule.name.into()),
            Attribute::PayloadScore if findings.is_payload_asked => {
                rule.map(|rule| score(rule.score))
            }
            Attribute::CombinedScore if findings.is_anything_asked() => {
                findings.combined().map(score)
            }
            Attribute::Action if findings.is_anything_asked() => {
                let action = findings.combined().and_then(|it| self.policy.action_at(it));
                action.map(|(place, name)| {
                    self.tally.action(place);
                    name.into()
                })
            }
            _ => return Outcome::Leave,
        };
        found.map_or(Outcome::Unset, Outcome::Set)
    }
}

impl Findings<'_> {
    const fn is_anything_asked(&self) -> bool {
        self.address.is_some() || self.is_payload_asked
    }

    /// Whether points count more than every feed.
    fn is_led_by_points(&self) -> bool {
        let of_feeds = self.found.map(|it| it.verdict.worst_badness(it.now));
        self.is_reported
            && self.live.is_none()
            && of_feeds.is_none_or(|it| it < badness_of(self.points))
    }

    /// The score with feeds in shadow.
    fn shadow(&self, found: Found<'_>) -> Score {
        if self.is_reported && self.live.is_none() {
            let badness = badness_of(self.points);
            found.verdict.shadow_score_with(found.now, badness)
        } else {
            found.verdict.shadow_score(found.now)
        }
    }

    /// The lower score of those that there are.
    fn combined(&self) -> Option<Score> {
        let payload = self.payload.as_ref().map(|rule| rule.score);
        self.score.into_iter().chain(payload).min()
    }
}

/// The time, read once and only if it is asked for.
struct Clock {
    read: fn() -> u32,
    now: Option<u32>,
}

impl Clock {
    fn now(&mut self) -> u32 {
        *self.now.get_or_insert_with(self.read)
    }
}

/// Adds decisions about the AS and the country of an address. The databases are searched only for those.
#[cold]
fn with_places(
    snapshot: &Snapshot,
    policy: &Policy,
    hits: Option<Hits>,
    address: IpAddr,
    clock: &mut Clock,
) -> Option<Hits> {
    let (has_asn, has_country) = snapshot.places();
    let asn = has_asn.then(|| policy.asn(address)).flatten();
    let country = has_country.then(|| policy.country(address)).flatten();
    snapshot.with_places(hits, asn, country, || clock.now())
}

/// Whether two names are the same. Cheaper than the library call that `==` becomes.
#[inline]
fn is_same(one: &[u8], other: &[u8]) -> bool {
    if one.len() != other.len() {
        return false;
    }
    let (mut left, mut right) = (one, other);
    while let (Some((one, ones)), Some((other, others))) = (
        left.split_first_chunk::<8>(),
        right.split_first_chunk::<8>(),
    ) {
        if one != other {
            return false;
        }
        (left, right) = (ones, others);
    }
    match (one.last_chunk::<8>(), other.last_chunk::<8>()) {
        (Some(one), Some(other)) => one == other,
        _ => left.iter().zip(right).all(|(one, other)| one == other),
    }
}

/// Points as they are shown.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "clamped by the cast itself"
)]
fn rounded(points: f64) -> u32 {
    points.round() as u32
}

fn score<'a>(score: Score) -> TypedData<'a> {
    u32::from(score.value()).into()
}

/// The first address that has the right name. NULL and every other type are none.
#[inline]
fn address(message: &Message<'_>, name: Option<&str>) -> Option<IpAddr> {
    message.arguments().find_map(|argument| {
        let address = argument.value.address()?;
        let is_named = name.is_none_or(|name| is_same(name.as_bytes(), argument.name));
        is_named.then_some(address)
    })
}

/// The first BINARY or STRING that has the right name. An empty one is one.
fn payload<'m>(message: &Message<'m>, name: Option<&str>) -> Option<&'m [u8]> {
    message.arguments().find_map(|argument| {
        let is_named = name.is_none_or(|name| name.as_bytes() == argument.name);
        match argument.value {
            TypedData::Binary(bytes) | TypedData::String(bytes) if is_named => Some(bytes),
            _ => None,
        }
    })
}

/// Writes `feed:prefix`.
fn reason<'a>(text: &'a mut Vec<u8>, feed: &str, target: impl Into<Target>) -> &'a [u8] {
    /// As long as a prefix can be: `::ffff:255.255.255.255`-like addresses are shorter.
    const PREFIX_LEN_MAX: usize = "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff/128".len();
    let room = REASON_LEN_MAX - PREFIX_LEN_MAX - 1;
    text.clear();
    let cut = feed.get(..feed.floor_char_boundary(room));
    text.extend_from_slice(cut.unwrap_or(feed).as_bytes());
    text.push(b':');
    target.into().write(text);
    text
}

fn letters(text: &mut Vec<u8>, code: [u8; 2]) -> &[u8] {
    text.clear();
    text.extend_from_slice(&code);
    text
}
