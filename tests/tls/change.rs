//! What changes while clients ask: certificates, and the agent itself.

use crate::Stage;
use crate::support::Signal;

#[test]
fn a_shutdown_answers_says_goodbye_and_closes() {
    let stage = Stage::new(&["-n", "2"]);
    let mut peers: Vec<_> = (0..4)
        .map(|_| stage.client().greeted(stage.agent.address()))
        .collect();
    peers.iter_mut().for_each(|peer| {
        peer.ask();
    });
    stage.agent.signal(Signal::SIGTERM);
    for peer in &mut peers {
        peer.dismissed(0);
    }
    assert_eq!(stage.agent.wait().code, Some(0));
}
