//! The handler over a published policy.

use core::fmt::{self, Write as _};
use core::net::IpAddr;

use super::policy::Prepared;
use super::published::Reader;
use super::tally::Tally;
use super::{Policy, Published, Source, Value};
use crate::Handler;
use crate::reputation::{PayloadMatch, Prefix, Random, Reputation as _, Role, Score, Verdict};
use crate::spop::{Ack, FrameFull, Message, Notify, TypedData};

/// The longest reason, in bytes. A longer name of a feed is cut; the prefix never is.
pub const REASON_LEN_MAX: usize = 128;

/// Answers with the policy that is in force. Each worker has its own.
///
/// A NOTIFY is answered with one policy from its first message to its last. Per NOTIFY it takes one
/// atomic load and, once warm, no lock and no memory. The clock is read only if an answer depends on
/// the time, and then once.
#[derive(Debug)]
pub struct Judge {
    policy: Reader,
    random: Random,
    clock: fn() -> u32,
    /// Where a string is put together.
    text: String,
    tally: Tally,
}

impl Judge {
    /// A handler over what is published. `random` is asked if the policy's source is
    /// [`Source::Random`]; `clock` returns the seconds since 1970.
    #[must_use]
    pub fn new(published: &Published, random: Random, clock: fn() -> u32) -> Self {
        Self {
            policy: published.reader(),
            random,
            clock,
            text: String::with_capacity(REASON_LEN_MAX),
            tally: Tally::default(),
        }
    }

    /// Looks at what is published now and lets go of what it has kept. A worker that may have no
    /// traffic for long calls it so that an old policy is not kept for as long.
    pub fn refresh(&mut self) {
        self.policy.load();
    }
}

impl Handler for Judge {
    fn notify(&mut self, notify: &Notify<'_>, ack: &mut Ack<'_>) -> Result<(), FrameFull> {
        let policy: &Policy = self.policy.load();
        self.tally.follow(policy);
        let mut desk = Desk {
            policy,
            tally: &mut self.tally,
            random: &mut self.random,
            now: Now::Unread(self.clock),
            text: &mut self.text,
        };
        for message in notify.messages() {
            for (place, prepared) in policy.messages.iter().enumerate() {
                if prepared.rules.name.as_bytes() == message.name() {
                    desk.tally.message(place);
                    desk.answer(prepared, &message, ack)?;
                }
            }
        }
        Ok(())
    }

    fn tally(&self, tell: &mut dyn FnMut(&'static str, &str, u64)) {
        self.tally.tell(tell);
    }
}

/// What one NOTIFY is answered with.
struct Desk<'a> {
    policy: &'a Policy,
    tally: &'a mut Tally,
    random: &'a mut Random,
    now: Now,
    text: &'a mut String,
}

/// What is known about what a message asks.
struct Findings<'a> {
    address: Option<IpAddr>,
    verdict: Option<Verdict<'a>>,
    /// When the verdict is looked at; any time will do for one that never changes.
    now: u32,
    /// `None` if no address was asked about.
    score: Option<Score>,
    shadow_score: Option<Score>,
    is_payload_asked: bool,
    payload: Option<PayloadMatch<'a>>,
}

/// What becomes of a variable.
enum Outcome<'a> {
    Set(TypedData<'a>),
    Unset,
    /// It was not asked.
    Leave,
}

impl<'a> Desk<'a> {
    fn answer(
        &mut self,
        prepared: &Prepared,
        message: &Message<'_>,
        ack: &mut Ack<'_>,
    ) -> Result<(), FrameFull> {
        let findings = self.look(prepared, message);
        for answer in &prepared.rules.answers {
            let (scope, variable) = (prepared.rules.scope, &answer.variable[..]);
            // What nearly every message sets, with a type that is known here.
            if let (Value::Score, Some(score)) = (answer.value, findings.score) {
                ack.set_var(scope, variable, u32::from(score.value()))?;
                continue;
            }
            match self.outcome(answer.value, &findings) {
                Outcome::Set(value) => ack.set_var(scope, variable, value)?,
                Outcome::Unset => ack.unset_var(scope, variable)?,
                Outcome::Leave => {}
            }
        }
        Ok(())
    }

    /// Looks up once what the message asks about, and no more than its variables need.
    fn look(&mut self, prepared: &Prepared, message: &Message<'_>) -> Findings<'a> {
        let address = if prepared.needs_address {
            address(message, prepared.rules.argument.as_deref())
        } else {
            None
        };
        let mut findings = Findings {
            address,
            verdict: None,
            now: 0,
            score: None,
            shadow_score: None,
            is_payload_asked: false,
            payload: None,
        };
        if let Some(address) = address.filter(|_| prepared.needs_verdict) {
            self.look_up(address, &mut findings);
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

    fn look_up(&mut self, address: IpAddr, findings: &mut Findings<'a>) {
        let (score, shadow_score) = match &self.policy.source {
            Source::Random => {
                let score = self.random.score(address);
                (score, score)
            }
            Source::Table { table, unknown } => match table.lookup(address) {
                None => (*unknown, *unknown),
                Some(verdict) => {
                    findings.verdict = Some(verdict);
                    if verdict.expires().is_some() {
                        findings.now = self.now.read();
                    }
                    let now = findings.now;
                    self.tally.category(category(&verdict, now));
                    (verdict.score(now), verdict.shadow_score(now))
                }
            },
        };
        findings.score = Some(score);
        findings.shadow_score = Some(shadow_score);
    }

    fn outcome<'b>(&'b mut self, value: Value, findings: &Findings<'b>) -> Outcome<'b>
    where
        'a: 'b,
    {
        let (verdict, now) = (findings.verdict, findings.now);
        let Some(address) = findings.address else {
            return self.without_address(value, findings);
        };
        let found = match value {
            Value::Score => findings.score.map(score),
            Value::ShadowScore => findings.shadow_score.map(score),
            Value::Known => Some(verdict.is_some_and(|verdict| verdict.is_known(now)).into()),
            Value::Category => verdict.and_then(|it| it.category(now)).map(Into::into),
            Value::Feed => verdict.and_then(|it| it.feed(now)).map(Into::into),
            Value::Reason => match verdict.and_then(|it| it.reason(now, address)) {
                None => None,
                Some((feed, prefix)) => Some(reason(self.text, feed, prefix).into()),
            },
            Value::Asn => {
                let asn = self.policy.asn.as_deref();
                asn.and_then(|it| it.asn(address)).map(Into::into)
            }
            Value::Country => {
                let country = self.policy.country.as_deref();
                let code = country.and_then(|it| it.country(address));
                code.map(|code| letters(self.text, code).into())
            }
            _ => return self.without_address(value, findings),
        };
        found.map_or(Outcome::Unset, Outcome::Set)
    }

    /// What does not depend on an address alone.
    fn without_address<'b>(&'b mut self, value: Value, findings: &Findings<'b>) -> Outcome<'b>
    where
        'a: 'b,
    {
        let rule = findings.payload.as_ref();
        let found = match value {
            Value::Stale => {
                let stale_from = self.policy.stale_from;
                Some(
                    stale_from
                        .is_some_and(|from| self.now.read() >= from)
                        .into(),
                )
            }
            Value::Payload if findings.is_payload_asked => rule.map(|rule| rule.name.into()),
            Value::PayloadScore if findings.is_payload_asked => rule.map(|rule| score(rule.score)),
            Value::CombinedScore if findings.is_anything_asked() => findings.combined().map(score),
            Value::Action if findings.is_anything_asked() => {
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

    /// The lower score of those that there are.
    fn combined(&self) -> Option<Score> {
        let payload = self.payload.as_ref().map(|rule| rule.score);
        self.score.into_iter().chain(payload).min()
    }
}

/// The time, read once and only if it is asked for.
enum Now {
    Unread(fn() -> u32),
    Read(u32),
}

impl Now {
    fn read(&mut self) -> u32 {
        let now = match *self {
            Self::Unread(clock) => clock(),
            Self::Read(now) => now,
        };
        *self = Self::Read(now);
        now
    }
}

fn score<'a>(score: Score) -> TypedData<'a> {
    u32::from(score.value()).into()
}

/// What a verdict is counted under: its category, or else who decided.
fn category<'a>(verdict: &Verdict<'a>, now: u32) -> &'a str {
    verdict
        .category(now)
        .unwrap_or_else(|| match verdict.ruled_by(now) {
            None => "none",
            Some(Role::Allow) => "allow",
            Some(Role::Deny) => "deny",
            Some(Role::Guard) => "private",
            Some(Role::Feed) => "feed",
        })
}

/// The first address that has the right name. NULL and every other type are none.
fn address(message: &Message<'_>, name: Option<&str>) -> Option<IpAddr> {
    let mut arguments = message
        .arguments()
        .filter(|argument| is_named(argument.name, name));
    arguments.find_map(|argument| argument.value.address())
}

/// The first BINARY or STRING that has the right name. An empty one is one.
fn payload<'m>(message: &Message<'m>, name: Option<&str>) -> Option<&'m [u8]> {
    let mut arguments = message
        .arguments()
        .filter(|argument| is_named(argument.name, name));
    arguments.find_map(|argument| match argument.value {
        TypedData::Binary(bytes) | TypedData::String(bytes) => Some(bytes),
        _ => None,
    })
}

fn is_named(name: &[u8], wanted: Option<&str>) -> bool {
    wanted.is_none_or(|wanted| wanted.as_bytes() == name)
}

/// Writes `feed:prefix`.
fn reason<'a>(text: &'a mut String, feed: &str, prefix: Prefix) -> &'a str {
    /// As long as a prefix can be: `::ffff:255.255.255.255`-like addresses are shorter.
    const PREFIX_LEN_MAX: usize = "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff/128".len();
    let room = REASON_LEN_MAX - PREFIX_LEN_MAX - 1;
    text.clear();
    text.push_str(&feed[..feed.floor_char_boundary(room)]);
    // Writing to a string does not fail.
    let _: fmt::Result = write!(text, ":{prefix}");
    text
}

fn letters(text: &mut String, code: [u8; 2]) -> &str {
    text.clear();
    text.extend(code.map(char::from));
    text
}
