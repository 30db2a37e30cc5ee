//! A rule as chains of states, for [`Word`](super::word::Word), if it is that simple.
//!
//! ```text
//!  ab.*c[0-9]    ○ ──a──▶ ○ ──b──▶ ○ ──c──▶ ○ ──[0-9]──▶ ●     each state leads to the next one,
//!                                  ↺ .                         and may lead to itself
//! ```
//!
//! A choice is a chain for each alternative. What repeats more than one byte, or looks at what stands
//! before or behind it, is no chain.

use regex_automata::nfa::thompson::{NFA, State, Transition};
use regex_automata::util::look::Look;
use regex_automata::util::primitives::StateID;

/// The most states of a rule's chains together: the bits of a word.
pub(super) const STATES_MAX: usize = 64;
/// The most states of a rule that are looked at on the way.
const VISITS_MAX: usize = 4 * STATES_MAX;

/// Some bytes.
pub(super) type Bytes = [bool; 256];

/// The way through one alternative of a rule. It begins anywhere.
#[derive(Clone)]
pub(super) struct Chain {
    /// What comes after the state at its front.
    pub(super) links: Vec<Link>,
    /// It counts only if the payload ends there.
    pub(super) at_end: bool,
}

/// A state of a chain.
#[derive(Clone)]
pub(super) struct Link {
    /// What leads to it, from the one before it.
    pub(super) enter: Bytes,
    /// What leads from it to itself.
    pub(super) stay: Bytes,
}

/// Where a byte may lead from some state of the NFA.
#[derive(Clone, PartialEq, Eq)]
struct Place {
    /// The states that take a byte, in order.
    takers: Vec<StateID>,
    /// The rule has matched.
    is_match: bool,
    /// The rule has matched if the payload ends here.
    is_match_at_end: bool,
}

/// The chains of a rule that is not anchored at the front. `None` if it is not as simple as that.
pub(super) fn chains(nfa: &NFA) -> Option<Vec<Chain>> {
    let front = Place::of(nfa, nfa.start_anchored())?;
    if front.is_match || front.is_match_at_end {
        return None;
    }
    let mut search = Search {
        nfa,
        front: front.clone(),
        found: Vec::new(),
        visits: 0,
    };
    search.go_on(&front, &mut Vec::new())?;
    (states(&search.found) <= STATES_MAX).then_some(search.found)
}

/// How many states chains have together, with those at their fronts.
pub(super) fn states(chains: &[Chain]) -> usize {
    chains.iter().map(|chain| chain.links.len() + 1).sum()
}

/// Whether a chain keeps in mind, for as long as it takes, what stood before.
pub(super) fn is_mindful(chains: &[Chain]) -> bool {
    let mut links = chains.iter().flat_map(|chain| &chain.links);
    links.any(|link| link.stay.contains(&true))
}

struct Search<'a> {
    nfa: &'a NFA,
    front: Place,
    found: Vec<Chain>,
    visits: usize,
}

impl Search<'_> {
    /// All chains that begin with this path, which leads to `place`.
    fn go_on(&mut self, place: &Place, path: &mut Vec<Link>) -> Option<()> {
        self.visits += 1;
        if self.visits > VISITS_MAX || path.len() >= STATES_MAX {
            return None;
        }
        if place.is_match {
            self.found(path, false);
            return Some(());
        }
        let mut ways = place.ways(self.nfa)?;
        if let Some(link) = path.last_mut() {
            let to_itself = ways.iter().find(|(to, _)| to == place);
            link.stay = to_itself.map_or([false; 256], |(_, bytes)| *bytes);
        }
        if place.is_match_at_end {
            self.found(path, true);
        }
        // The front is always there, and need not be come back to.
        ways.retain(|(to, _)| to != place && *to != self.front);
        for (to, enter) in ways {
            path.push(Link {
                enter,
                stay: [false; 256],
            });
            self.go_on(&to, path)?;
            path.pop();
        }
        Some(())
    }

    fn found(&mut self, path: &[Link], at_end: bool) {
        let links = path.to_vec();
        self.found.push(Chain { links, at_end });
    }
}

impl Place {
    /// What a state leads to without a byte.
    fn of(nfa: &NFA, state: StateID) -> Option<Self> {
        let mut place = Self {
            takers: Vec::new(),
            is_match: false,
            is_match_at_end: false,
        };
        // And whether the payload has to end there.
        let mut open = vec![(state, false)];
        let mut seen = Vec::new();
        while let Some((state, at_end)) = open.pop() {
            if seen.contains(&(state, at_end)) {
                continue;
            }
            seen.push((state, at_end));
            match nfa.state(state) {
                State::ByteRange { .. } | State::Sparse(_) if at_end => {}
                State::ByteRange { .. } | State::Sparse(_) => place.takers.push(state),
                State::Look {
                    look: Look::End,
                    next,
                } => open.push((*next, true)),
                State::Look { .. } | State::Dense(_) => return None,
                State::Union { alternates } => {
                    open.extend(alternates.iter().map(|&next| (next, at_end)));
                }
                State::BinaryUnion { alt1, alt2 } => {
                    open.extend([(*alt1, at_end), (*alt2, at_end)]);
                }
                State::Capture { next, .. } => open.push((*next, at_end)),
                State::Fail => {}
                State::Match { .. } if at_end => place.is_match_at_end = true,
                State::Match { .. } => place.is_match = true,
            }
        }
        place.takers.sort_unstable();
        Some(place)
    }

    /// Where bytes lead from here, each place once.
    fn ways(&self, nfa: &NFA) -> Option<Vec<(Self, Bytes)>> {
        let mut ways: Vec<(Self, Bytes)> = Vec::new();
        for &taker in &self.takers {
            for transition in transitions(nfa.state(taker)) {
                let to = Self::of(nfa, transition.next)?;
                let known = ways.iter().position(|(known, _)| *known == to);
                let way = known.unwrap_or(ways.len());
                if known.is_none() {
                    ways.push((to, [false; 256]));
                }
                let bytes = ways.get_mut(way).map(|(_, bytes)| bytes);
                let range = usize::from(transition.start)..=usize::from(transition.end);
                bytes?.get_mut(range)?.fill(true);
            }
        }
        Some(ways)
    }
}

fn transitions(state: &State) -> Vec<Transition> {
    match state {
        State::ByteRange { trans } => vec![*trans],
        State::Sparse(sparse) => sparse.transitions.to_vec(),
        _ => Vec::new(),
    }
}
