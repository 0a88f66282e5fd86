//! Bytes that are meant to be read in two ways, and bodies that are meant to be more than they look. None of them asks for anything.

use axum::http::Method;
use bridge::Settings;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use crate::connections::{rest, rest_of, start};
use crate::fake::{Fake, ROOT, call, work_given};

/// Sends these bytes, and returns all that comes back before the server closes the connection, which it does by itself.
async fn all_answers(fake: &Fake, bytes: &str) -> String {
    let server = start(fake.router(), Settings::default()).await;
    let mut client = TcpStream::connect(server.address).await.unwrap();
    client.write_all(bytes.as_bytes()).await.unwrap();
    rest_of(&mut client).await
}

/// Where two lengths are given, a proxy in front may have gone by the other one: what it takes for the body is a request here. The
/// connection ends with the answer, so it is never read.
#[tokio::test]
async fn a_request_inside_a_request_is_not_read() {
    let (hidden, length) = (rest(), rest().len());
    let post = "POST /v1/work HTTP/1.1\r\nHost: d\r\nAuthorization: Bearer k1\r\n";
    for lengths in [
        format!("Content-Length: {}\r\nTransfer-Encoding: chunked\r\n", length + 5),
        format!("Transfer-Encoding: chunked\r\nContent-Length: {}\r\n", length + 5),
        "Transfer-Encoding: chunked\r\n".to_owned(),
        "Transfer-Encoding: chunked\r\nContent-Length: 4\r\nContent-Length: 5\r\n".to_owned(),
    ] {
        let fake = Fake::answering(work_given());
        let answers = all_answers(&fake, &format!("{post}{lengths}\r\n0\r\n\r\n{hidden}")).await;
        assert_eq!(answers.matches("HTTP/1.1 ").count(), 1, "{lengths}: {answers}");
        assert!(answers.starts_with("HTTP/1.1 400 ") && answers.contains("connection: close"), "{answers}");
        assert!(fake.asked().is_empty(), "{lengths}");
    }
}

#[tokio::test]
async fn a_head_that_can_be_read_in_two_ways_is_not_read() {
    let many = "X: 1\r\n".repeat(65);
    let long = format!("X: {}\r\n", "x".repeat(17 * 1024));
    for (line, headers, statuses) in [
        ("POST /v1/work HTTP/1.1", "Content-Length: 4\r\nContent-Length: 5\r\n", &["400"][..]),
        ("POST /v1/work HTTP/1.1", "Content-Length: +4\r\n", &["400"]),
        ("POST /v1/work HTTP/1.1", "Content-Length: 0x4\r\n", &["400"]),
        ("POST /v1/work HTTP/1.1", "Content-Length: -1\r\n", &["400"]),
        ("POST /v1/work HTTP/1.1", "Content-Length: 99999999999999999999\r\n", &["400"]),
        ("POST /v1/work HTTP/1.1", "Transfer-Encoding: chunked, identity\r\n", &["400"]),
        ("POST /v1/work HTTP/1.1", "Transfer-Encoding: xchunked\r\n", &["400"]),
        ("POST /v1/work HTTP/1.1", "Transfer-Encoding : chunked\r\n", &["400"]),
        ("POST /v1/work HTTP/1.0", "Transfer-Encoding: chunked\r\n", &["400"]),
        ("POST /v1/work HTTP/1.1", "X: a\r\n b\r\n", &["400"]),
        ("POST /v1/work HTTP/1.1", "X: a\0b\r\n", &["400"]),
        ("POST /v1/work HTTP/1.1", "X\u{e9}: 1\r\n", &["400"]),
        ("POST  /v1/work HTTP/1.1", "", &["400"]),
        ("POST /v1/work HTTP/9.9", "", &["400", "505"]),
        ("POST /v1/work", "", &["400"]),
        ("POST /v1/work HTTP/1.1", &many, &["400", "431"]),
        ("POST /v1/work HTTP/1.1", &long, &["400", "431"]),
    ] {
        let fake = Fake::answering(work_given());
        let answers = all_answers(&fake, &format!("{line}\r\nHost: d\r\n{headers}\r\n{}", rest())).await;
        let status = answers.split(' ').nth(1).unwrap_or("none");
        assert!(statuses.contains(&status), "{line} {headers:.60}: {answers}");
        assert_eq!(answers.matches("HTTP/1.1 ").count(), 1, "{line} {headers:.60}: {answers}");
        assert!(fake.asked().is_empty(), "{line} {headers:.60}");
    }
}

/// On `/v1` and on the Nano RPC: what is not what it looks like, and what would take long to read.
#[tokio::test]
async fn a_body_that_is_more_than_it_looks_asks_for_nothing() {
    let deep = |count: usize| format!("{}{}", "[".repeat(count), "]".repeat(count));
    let with =
        |member: &str| format!(r#"{{"root":"{ROOT}","hash":"{ROOT}","action":"work_generate",{member}}}"#);
    let only = |member: &str| format!(r#"{{"action":"work_generate",{member}}}"#);
    for body in [
        format!(r#"{{"root":{0},"hash":{0},"action":"work_generate"}}"#, deep(1000)),
        deep(2000),
        format!(r#"{{"root":"{ROOT}","ro\u006ft":"{ROOT}"}}"#),
        only(r#""hash":"\ud800","root":"\ud800""#),
        only(r#""hash":"\u0000","root":"\u0000""#),
        only(r#""hash":-1,"root":-1"#),
        only(r#""hash":{"root":1},"root":{"hash":1}"#),
        with(r#""difficulty":"+ffffff800000000","threshold":"+ffffff800000000""#),
        with(r#""difficulty":" fffffff800000000","threshold":" fffffff800000000""#),
        with(r#""multiplier":"0x1""#),
        with(r#""multiplier":[1]"#),
        with(r#""account":"nano_\u0000""#),
        "\u{feff}{}".to_owned(),
        "{\"root\":\"\t\"}".to_owned(),
        "null".to_owned(),
    ] {
        for path in ["/v1/work", "/"] {
            let fake = Fake::answering(work_given());
            let key = ("authorization", "Bearer k1");
            let reply = call(fake.router(), Method::POST, path, &[key], body.clone()).await;
            let status = reply.status.as_u16();
            let is_refused = if path == "/" {
                status == 200 && reply.body.contains("\"error\": ")
            } else {
                status == 400 && reply.body.contains("\"code\":\"malformed\"")
            };
            assert!(is_refused, "{path} {body:.120}: {status} {}", reply.body);
            assert!(fake.asked().is_empty(), "{path} {body:.120}");
        }
    }
}
