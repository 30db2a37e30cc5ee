//! The admin endpoint, looked at as people and Prometheus do.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use crate::shared::Shared;

fn get(address: SocketAddr, path: &str) -> Result<String, String> {
    let ask = || {
        let mut stream = TcpStream::connect(address)?;
        stream.set_read_timeout(Some(Duration::from_secs(10)))?;
        write!(
            stream,
            "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
        )?;
        let mut text = String::new();
        stream.read_to_string(&mut text)?;
        Ok::<_, std::io::Error>(text)
    };
    let text = ask().map_err(|error| format!("{path}: {:?}", error.kind()))?;
    let (head, body) = text
        .split_once("\r\n\r\n")
        .ok_or("an answer without a head")?;
    let status = head.split(' ').nth(1).unwrap_or_default();
    match status {
        "200" => Ok(body.to_owned()),
        _ => Err(format!("{path}: status {status}")),
    }
}

/// Once a second `/metrics`, and every few seconds what people look at.
pub(crate) fn scrape(shared: &Shared, address: SocketAddr) {
    let mut round = 0_u64;
    shared.again("admin", Duration::from_secs(1), || {
        shared.scraped(get(address, "/metrics")?);
        shared.scrapes.fetch_add(1, Relaxed);
        round += 1;
        match round % 5 {
            1 => get(address, "/").map(drop),
            2 => get(address, "/status.json").map(drop),
            3 => get(address, "/lookup?address=11.0.0.97").map(drop),
            _ => Ok(()),
        }
    });
}

/// Connects and says little, very slowly.
pub(crate) fn dawdle(shared: &Shared, address: SocketAddr) {
    shared.again("admin, slowly", Duration::from_secs(1), || {
        let mut stream =
            TcpStream::connect(address).map_err(|error| format!("{:?}", error.kind()))?;
        for byte in b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n" {
            // It may have had enough.
            if stream.write_all(&[*byte]).is_err() {
                break;
            }
            shared.pause(Duration::from_millis(300));
        }
        Ok(())
    });
}

/// The sum of all samples of this name.
pub(crate) fn sum(metrics: &str, name: &str) -> f64 {
    let samples = metrics.lines().filter_map(|line| {
        let rest = line.strip_prefix(name)?;
        let value = rest
            .starts_with(['{', ' ', '}', ','])
            .then(|| rest.rsplit(' ').next())??;
        value.parse::<f64>().ok()
    });
    // The sum of nothing is -0, which is no figure to show.
    samples.sum::<f64>() + 0.0
}

/// How many answers took no longer than so many seconds, of all workers, from the start.
pub(crate) type Buckets = BTreeMap<u64, f64>;

/// The buckets of the agent's own histogram, by nanoseconds.
pub(crate) fn buckets(metrics: &str) -> Buckets {
    let mut all = Buckets::new();
    for line in metrics.lines() {
        let of_line = || {
            let rest = line.strip_prefix("spoa_answer_duration_seconds_bucket{")?;
            let (_, rest) = rest.split_once("le=\"")?;
            let (bound, rest) = rest.split_once('"')?;
            let bound = bound.parse().unwrap_or(f64::INFINITY) * 1e9;
            Some((
                bound.round() as u64,
                rest.rsplit(' ').next()?.parse::<f64>().ok()?,
            ))
        };
        if let Some((bound, count)) = of_line() {
            *all.entry(bound).or_default() += count;
        }
    }
    all
}

/// The bound below which this share of the answers between two looks was, in nanoseconds.
pub(crate) fn quantile(before: &Buckets, after: &Buckets, share: f64) -> u64 {
    let counts: Vec<_> = after
        .iter()
        .map(|(bound, count)| (*bound, count - before.get(bound).unwrap_or(&0.0)))
        .collect();
    let total = counts.last().map_or(0.0, |(_, count)| *count);
    let found = counts
        .iter()
        .find(|(_, count)| total > 0.0 && *count >= total * share);
    // What is beyond the last bound is shown as that.
    let last = counts
        .iter()
        .rev()
        .map(|(bound, _)| *bound)
        .find(|bound| *bound < u64::MAX);
    found.map_or(0, |(bound, _)| (*bound).min(last.unwrap_or(0)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_add_up_and_quantiles_are_of_what_is_new() {
        let text = "a{worker=\"0\"} 1\na{worker=\"1\"} 2\nab 5\na 3\n\
                    spoa_answer_duration_seconds_bucket{worker=\"0\",le=\"0.001\"} 10\n\
                    spoa_answer_duration_seconds_bucket{worker=\"1\",le=\"0.001\"} 10\n\
                    spoa_answer_duration_seconds_bucket{worker=\"0\",le=\"+Inf\"} 30\n";
        assert_eq!(sum(text, "a") as u64, 6);
        assert_eq!(sum(text, "none") as u64, 0);
        let after = buckets(text);
        assert_eq!(after.get(&1_000_000), Some(&20.0));
        let before = Buckets::from([(1_000_000, 0.0), (u64::MAX, 0.0)]);
        assert_eq!(quantile(&before, &after, 0.5), 1_000_000);
        assert_eq!(quantile(&before, &after, 0.9), 1_000_000);
        assert_eq!(quantile(&after, &after, 0.9), 0);
    }
}
