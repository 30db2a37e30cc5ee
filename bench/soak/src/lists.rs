//! The lists that the agent reads: replaced all the time, now and then by one that must be refused; and a
//! server that gives one of them out in all the ways in which servers do.

use std::fs;
use std::io::{self, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use crate::peer::{ALLOWED, ALWAYS, ENTRIES, ONE, TWO, URL, entry};
use crate::shared::Shared;

/// How often the list is replaced.
const EVERY: Duration = Duration::from_secs(5);

fn part(first: u8) -> String {
    (0..ENTRIES)
        .map(|number| format!("{}\n", entry(first, number)))
        .collect()
}

fn list(round: u64) -> String {
    let changing = if round.is_multiple_of(2) { ONE } else { TWO };
    [ALWAYS, changing, ALLOWED].map(part).concat()
}

fn write(folder: &Path, name: &str, text: &str) -> io::Result<()> {
    let beside = folder.join(format!("{name}.new"));
    fs::write(&beside, text)?;
    fs::rename(beside, folder.join(name))
}

/// Writes the first lists and the configuration; gives the server of the URL.
pub(crate) fn prepare(folder: &Path) -> io::Result<TcpListener> {
    let server = TcpListener::bind("127.0.0.1:0")?;
    let url = format!("http://{}/list", server.local_addr()?);
    fs::create_dir_all(folder.join("lists"))?;
    fs::create_dir_all(folder.join("cache"))?;
    write(&folder.join("lists"), "list.txt", &list(0))?;
    write(&folder.join("lists"), "deny.txt", "192.0.2.66\n")?;
    let config = format!(
        "[reputation]\ncache-dir = \"cache\"\nactions = [{{ name = \"deny\", max-score = 19 }}]\n\
         [allow]\nprefixes = [\"{ALLOWED}.0.0.0/8\"]\n\
         [deny]\nfiles = [\"lists/deny.txt\"]\n\
         [[feed]]\nname = \"list\"\npath = \"lists/list.txt\"\ndefault-category = \"worm\"\n\
         [[feed]]\nname = \"url\"\nurl = \"{url}\"\nrefresh-interval = \"2s\"\ndefault-category = \"spam\"\n\
         [[message]]\nname = \"check-client-ip\"\nvars = [\
         {{ name = \"listed\", value = \"listed\" }}, \
         {{ name = \"ip_score\", value = \"score\" }}, \
         {{ name = \"category\", value = \"category\" }}, \
         {{ name = \"reason\", value = \"reason\" }}, \
         {{ name = \"action\", value = \"action\" }}]\n"
    );
    fs::write(folder.join("spoa.toml"), config)?;
    Ok(server)
}

/// Replaces the list, and tells the agent to look by SIGHUP every other time.
pub(crate) fn replace(shared: &Shared, folder: &Path, pid: u32) {
    let lists: PathBuf = folder.join("lists");
    let mut round = 0;
    shared.pause(EVERY);
    shared.again("lists", EVERY, || {
        round += 1;
        let bad = round % 6 == 0;
        let text = match round / 6 % 4 {
            _ if !bad => list(round),
            0 => "<!DOCTYPE html><html>Bad gateway</html>\n".to_owned(),
            1 => String::new(),
            2 => part(ALWAYS)[..2000].to_owned(),
            _ => format!("{}{}", part(ALWAYS), "no address\n".repeat(5000)),
        };
        write(&lists, "list.txt", &text).map_err(|error| error.to_string())?;
        let count = if bad {
            &shared.bad_lists
        } else {
            &shared.good_lists
        };
        count.fetch_add(1, Relaxed);
        if round % 2 == 0 {
            let mut kill = Command::new("kill");
            kill.args(["-HUP", &pid.to_string()]).stderr(Stdio::null());
            let told = kill.status().map_err(|error| error.to_string())?;
            if !told.success() {
                return Err("SIGHUP: no such process".to_owned());
            }
        }
        Ok(())
    });
}

/// Serves the list of the URL until all is over.
pub(crate) fn serve(shared: &Shared, listener: &TcpListener) {
    let body = part(URL);
    let mut round = 0_u64;
    if let Err(error) = listener.set_nonblocking(true) {
        shared.wrong(&format!("list server: {error}"));
    }
    while !shared.is_over() {
        match listener.accept() {
            Ok((client, _)) => {
                // A client that goes away is its own business.
                let _ = answer(client, &body, round);
                round += 1;
            }
            Err(_) => shared.pause(Duration::from_millis(50)),
        }
    }
}

fn answer(mut client: TcpStream, body: &str, round: u64) -> io::Result<()> {
    client.set_nonblocking(false)?;
    client.set_read_timeout(Some(Duration::from_secs(1)))?;
    let (mut head, mut byte) = (Vec::new(), [0]);
    while !head.ends_with(b"\r\n\r\n") && head.len() < 8192 && client.read(&mut byte)? == 1 {
        head.push(byte[0]);
    }
    let len = body.len();
    let text = match round % 8 {
        2 => "HTTP/1.1 304 Not Modified\r\nETag: \"a\"\r\nConnection: close\r\n\r\n".to_owned(),
        4 => "HTTP/1.1 500 Internal Server Error\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".to_owned(),
        6 => format!("HTTP/1.1 200 OK\r\nContent-Length: {len}\r\nConnection: close\r\n\r\n{}", &body[..len / 2]),
        7 => "HTTP/1.1 200 OK\r\nContent-Length: 20\r\nConnection: close\r\n\r\n<html>sorry</html>\r\n".to_owned(),
        _ => format!("HTTP/1.1 200 OK\r\nETag: \"{round}\"\r\nContent-Length: {len}\r\nConnection: close\r\n\r\n{body}"),
    };
    client.write_all(text.as_bytes())
}
