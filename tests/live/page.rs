//! The status page: it lists and explains live decisions, and its forms ban and unban.

use super::{Agent, CONFIG};
use crate::support::{Answered, Endpoint, Program, Scratch, until};

/// The key that forms of a page bring.
fn key(page: &str) -> String {
    let key = page.split("name=\"key\" value=\"").nth(1).unwrap();
    key.split('"').next().unwrap().to_owned()
}

fn submit(endpoint: &Endpoint, headers: &str, form: &str) -> Answered {
    let request = format!(
        "POST /form HTTP/1.1\r\nConnection: close\r\n{headers}\
         Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {}\r\n\r\n{form}",
        form.len()
    );
    endpoint.raw(request.as_bytes()).unwrap()
}

#[test]
fn the_page_lists_decisions_and_its_forms_change_them() {
    let agent = Agent::start(CONFIG);
    let endpoint = Endpoint::of(&agent.program);
    let own = "Host: localhost\r\n";
    agent.done(&["ban", "192.0.2.1", "--reason", "<b>bad</b>"]);
    let page = endpoint.get("/?decisions=").body;
    assert!(
        page.contains("192.0.2.1</a>") && page.contains("&lt;b&gt;bad"),
        "{page}"
    );
    // No script is needed, and nothing is typed in vain.
    assert!(!page.contains("http-equiv"), "{page}");
    let key = key(&page);
    let form = format!("do=ban&value=192.0.2.8&for=1h&reason=six+logins&key={key}");
    let done = submit(&endpoint, own, &form);
    assert_eq!(done.status, 303, "{done:?}");
    assert!(done.head.contains("location: /?decisions="), "{done:?}");
    assert_eq!(agent.score("192.0.2.8"), "0");
    assert_eq!(agent.variable("192.0.2.8", "origin").unwrap(), "page");
    // The newest first; a tile has the number, and a search what covers an address.
    until("the figures are of now", || {
        let figures = endpoint.get("/figures").body;
        figures.contains("Live decisions</dt><dd>2") && figures.contains("six logins")
    });
    let found = endpoint.get("/?decisions=192.0.2.8").body;
    let section = found.split("<div id=\"figures\">").next().unwrap();
    assert!(section.contains("192.0.2.8</a>") && !section.contains("192.0.2.1</a>"));
    let found = endpoint.get("/?decisions=192.0.2.0/24").body;
    assert!(found.contains("192.0.2.8</a>") && found.contains("192.0.2.1</a>"));
    assert!(
        endpoint
            .get("/?decisions=nonsense")
            .body
            .contains("invalid prefix")
    );
    let explained = endpoint.get("/?address=192.0.2.8").body;
    assert!(explained.contains("decided by live ban"), "{explained}");
    let done = submit(
        &endpoint,
        own,
        &format!("do=unban&value=192.0.2.8&exact=1&key={key}"),
    );
    assert_eq!(done.status, 303, "{done:?}");
    assert_eq!(agent.score("192.0.2.8"), "100");
    let wrong = submit(
        &endpoint,
        own,
        &format!("do=ban&value=192.0.2.9/8&key={key}"),
    );
    assert_eq!(wrong.status, 422, "{wrong:?}");
    assert!(wrong.body.contains("192.0.0.0/8"), "{wrong:?}");
}

#[test]
fn a_form_of_another_site_is_refused() {
    let agent = Agent::start(CONFIG);
    let endpoint = Endpoint::of(&agent.program);
    let key = key(&endpoint.get("/?decisions=").body);
    let form = format!("do=ban&value=192.0.2.8&key={key}");
    for (headers, form) in [
        ("Host: localhost\r\n", "do=ban&value=192.0.2.8"),
        ("Host: localhost\r\n", "do=ban&value=192.0.2.8&key=0123"),
        ("Host: localhost\r\nOrigin: http://evil.example\r\n", &form),
        ("Host: localhost\r\nOrigin: null\r\n", &form),
        ("Host: localhost\r\nSec-Fetch-Site: cross-site\r\n", &form),
        ("Host: localhost\r\nSec-Fetch-Site: same-site\r\n", &form),
        ("Host: rebound.example\r\n", &form),
    ] {
        let answer = submit(&endpoint, headers, form);
        assert_eq!(answer.status, 403, "{headers}: {answer:?}");
    }
    assert_eq!(agent.score("192.0.2.8"), "100");
    let browser =
        "Host: localhost:8080\r\nOrigin: http://localhost:8080\r\nSec-Fetch-Site: same-origin\r\n";
    assert_eq!(submit(&endpoint, browser, &form).status, 303);
    assert_eq!(agent.score("192.0.2.8"), "0");
    let long = format!("{form}&reason={}", "x".repeat(20_000));
    assert_eq!(submit(&endpoint, browser, &long).status, 413);
}

#[test]
fn over_tcp_a_form_brings_the_token() {
    let scratch = Scratch::new();
    let config = scratch.write("spoa.toml", "[live]\n");
    let token = scratch.write("token", "0123456789abcdef\n");
    let admin = [
        "--admin",
        "127.0.0.1:0",
        "--admin-token",
        token.to_str().unwrap(),
    ];
    let program = Program::configured(&config, &admin);
    let endpoint = Endpoint::of(&program);
    until("it is up", || endpoint.get("/readyz").status == 200);
    let page = endpoint.get("/?decisions=").body;
    assert!(page.contains("type=\"password\""), "{page}");
    let form = format!("do=ban&value=192.0.2.8&key={}", key(&page));
    let own = "Host: localhost\r\n";
    assert_eq!(submit(&endpoint, own, &form).status, 403);
    assert_eq!(
        submit(&endpoint, own, &format!("{form}&token=0123")).status,
        403
    );
    let right = format!("{form}&token=0123456789abcdef");
    assert_eq!(submit(&endpoint, own, &right).status, 303);
    // Without a token nobody may.
    let program = Program::configured(&config, &["--admin", "127.0.0.1:0"]);
    let endpoint = Endpoint::of(&program);
    until("it is up", || endpoint.get("/readyz").status == 200);
    let page = endpoint.get("/?decisions=").body;
    assert!(page.contains("Commands are not allowed here"), "{page}");
    assert!(!page.contains("name=\"key\""), "{page}");
    assert_eq!(
        submit(&endpoint, own, "do=ban&value=192.0.2.8&key=").status,
        403
    );
}
