//! Real sockets: clients that are slow, hang up, keep their connection or come too many.
//!
//! Where a test waits for a limit, the clock is tokio's paused one: it jumps to the next timer as soon as all tasks and sockets
//! are idle, so nothing here takes the time it is about.

use std::net::SocketAddr;
use std::time::Duration;

use axum::Router;
use bridge::Settings;
use shared::{Outcome, Refusal};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout};

use crate::fake::{Fake, NONCE, ROOT, in_time, work_given};

/// A running server.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    stop: oneshot::Sender<()>,
    ended: JoinHandle<()>,
}

impl Server {
    /// Has it stop; the task ends when it has.
    pub(crate) fn stop(self) -> JoinHandle<()> {
        self.stop.send(()).unwrap();
        self.ended
    }
}

pub(crate) async fn start(router: Router, settings: Settings) -> Server {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (stop, stopped) = oneshot::channel::<()>();
    let ended = tokio::spawn(bridge::serve(listener, router, settings, async {
        let _ = stopped.await;
    }));
    Server { address, stop, ended }
}

/// Everything that is answered to a request, until the connection ends.
pub(crate) async fn exchange(mut client: TcpStream, request: &str) -> String {
    client.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    in_time(client.read_to_string(&mut answer)).await.unwrap();
    answer
}

async fn connected(fake: &Fake) -> (Server, TcpStream) {
    let server = start(fake.router(), Settings::default()).await;
    let client = TcpStream::connect(server.address).await.unwrap();
    (server, client)
}

fn request(path: &str, headers: &str, body: &str) -> String {
    format!("POST {path} HTTP/1.1\r\nHost: d\r\n{headers}Content-Length: {}\r\n\r\n{body}", body.len())
}

fn rpc() -> String {
    request("/", "", &format!(r#"{{"action":"work_generate","hash":"{ROOT}","key":"k1"}}"#))
}

pub(crate) fn rest() -> String {
    request("/v1/work", "Authorization: Bearer k1\r\n", &format!(r#"{{"root":"{ROOT}"}}"#))
}

/// Reads one answer, up to the end of its body.
async fn answer(client: &mut TcpStream) -> String {
    let mut answer = Vec::new();
    let text = |answer: &[u8]| String::from_utf8(answer.to_vec()).unwrap();
    loop {
        let byte = client.read_u8().await.unwrap_or_else(|_| panic!("cut off after {:?}", text(&answer)));
        answer.push(byte);
        let so_far = text(&answer);
        if let Some((head, body)) = so_far.split_once("\r\n\r\n") {
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap_or("0");
            if body.len() == length.parse::<usize>().unwrap() {
                return so_far;
            }
        }
    }
}

/// Everything until the server closes.
pub(crate) async fn rest_of(client: &mut TcpStream) -> String {
    let mut rest = Vec::new();
    // A reset is an end as well.
    let _ = in_time(client.read_to_end(&mut rest)).await;
    String::from_utf8(rest).unwrap()
}

#[tokio::test]
async fn a_connection_serves_one_request_after_another() {
    let fake = Fake::answering(work_given());
    let (_server, mut client) = connected(&fake).await;
    for request in [rpc(), rest(), rpc()] {
        client.write_all(request.as_bytes()).await.unwrap();
        let answer = in_time(answer(&mut client)).await;
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n") && answer.contains(NONCE), "{answer}");
    }
    assert_eq!(fake.asked().len(), 3);
}

#[tokio::test]
async fn a_client_that_hangs_up_withdraws_its_request() {
    for request in [rpc(), rest()] {
        let fake = Fake::silent();
        let (_server, mut client) = connected(&fake).await;
        client.write_all(request.as_bytes()).await.unwrap();
        fake.until_asked(1).await;
        assert_eq!(fake.dropped(), 0);
        drop(client);
        fake.until_dropped(1).await;
    }
}

/// A node that lost interest closes its side; it does not wait for an answer.
#[tokio::test]
async fn half_closing_is_hanging_up() {
    let fake = Fake::silent();
    let (_server, mut client) = connected(&fake).await;
    client.write_all(rpc().as_bytes()).await.unwrap();
    fake.until_asked(1).await;
    client.shutdown().await.unwrap();
    fake.until_dropped(1).await;
    assert_eq!(rest_of(&mut client).await, "");
}

#[tokio::test(start_paused = true)]
async fn a_slow_header_is_cut() {
    for sent in ["", "POST / HTTP/1.1\r\nHost:", "POST / HTTP/1.1\r\nHost: d\r\nContent-Length: 9\r\n"] {
        let fake = Fake::silent();
        let (_server, mut client) = connected(&fake).await;
        client.write_all(sent.as_bytes()).await.unwrap();
        let began = Instant::now();
        assert_eq!(rest_of(&mut client).await, "");
        assert_eq!(began.elapsed().as_secs(), 5, "{sent}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_unused_connection_is_closed() {
    let fake = Fake::answering(work_given());
    let (_server, mut client) = connected(&fake).await;
    client.write_all(rest().as_bytes()).await.unwrap();
    answer(&mut client).await;
    let began = Instant::now();
    assert_eq!(rest_of(&mut client).await, "");
    assert_eq!(began.elapsed().as_secs(), 5);
}

#[tokio::test(start_paused = true)]
async fn a_slow_body_is_refused() {
    for (path, status, text) in [
        ("/v1/work", "400", "The body could not be read: the body did not arrive within 10 s."),
        ("/", "200", "Unable to parse JSON"),
    ] {
        let fake = Fake::silent();
        let (_server, mut client) = connected(&fake).await;
        let whole = request(path, "", r#"{"root":"00"}"#);
        client.write_all(&whole.as_bytes()[..whole.len() - 1]).await.unwrap();
        let began = Instant::now();
        let answer = rest_of(&mut client).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")) && answer.contains(text), "{answer}");
        assert_eq!(began.elapsed().as_secs(), 10);
    }
}

#[tokio::test]
async fn a_truncated_body_asks_for_nothing() {
    let fake = Fake::silent();
    let (_server, mut client) = connected(&fake).await;
    let whole = rpc();
    client.write_all(&whole.as_bytes()[..whole.len() - 1]).await.unwrap();
    client.shutdown().await.unwrap();
    rest_of(&mut client).await;
    assert!(fake.asked().is_empty());
}

#[tokio::test]
async fn a_body_that_is_too_large_is_answered() {
    for (path, surplus, status, text) in [
        ("/v1/work", 5_000, "413", "too_large"),
        ("/v1/work", 200_000, "413", "too_large"),
        ("/", 200_000, "200", "Unable to parse JSON"),
        ("/", 1_000_000, "200", "Unable to parse JSON"),
    ] {
        let fake = Fake::silent();
        let (_server, mut client) = connected(&fake).await;
        client.write_all(request(path, "", &" ".repeat(surplus)).as_bytes()).await.unwrap();
        let answer = in_time(answer(&mut client)).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")) && answer.contains(text), "{answer}");
    }
}

#[tokio::test]
async fn who_asks_before_sending_is_told_at_once() {
    let fake = Fake::answering(work_given());
    let (_server, mut client) = connected(&fake).await;
    let head = "POST /v1/work HTTP/1.1\r\nHost: d\r\nExpect: 100-continue\r\nContent-Length: 5000\r\n\r\n";
    client.write_all(head.as_bytes()).await.unwrap();
    let refused = in_time(answer(&mut client)).await;
    assert!(refused.starts_with("HTTP/1.1 413 "), "{refused}");

    let (_server, mut client) = connected(&fake).await;
    let whole = rpc().replace("Host: d", "Host: d\r\nExpect: 100-continue");
    let (head, body) = whole.split_once("\r\n\r\n").unwrap();
    client.write_all(format!("{head}\r\n\r\n").as_bytes()).await.unwrap();
    assert_eq!(in_time(answer(&mut client)).await, "HTTP/1.1 100 Continue\r\n\r\n");
    client.write_all(body.as_bytes()).await.unwrap();
    assert!(in_time(answer(&mut client)).await.contains(NONCE));
}

/// With one place, a second client waits unheard until the first has gone.
#[tokio::test(start_paused = true)]
async fn connections_beyond_the_bound_wait() {
    let fake = Fake::silent();
    let server = start(fake.router(), Settings { connections_max: 1, ..Settings::default() }).await;
    let mut first = TcpStream::connect(server.address).await.unwrap();
    first.write_all(rpc().as_bytes()).await.unwrap();
    fake.until_asked(1).await;
    let mut second = TcpStream::connect(server.address).await.unwrap();
    second.write_all(rpc().as_bytes()).await.unwrap();
    assert!(timeout(Duration::from_mins(1), second.read_u8()).await.is_err());
    assert_eq!(fake.asked().len(), 1);
    drop(first);
    fake.until_asked(2).await;
    fake.answer_now(work_given());
    assert!(in_time(answer(&mut second)).await.contains(NONCE));
}

#[tokio::test]
async fn an_open_request_is_answered_while_the_server_stops() {
    let fake = Fake::silent();
    let (server, mut client) = connected(&fake).await;
    client.write_all(rest().as_bytes()).await.unwrap();
    fake.until_asked(1).await;
    server.stop.send(()).unwrap();
    // Once the listener is gone, stopping has begun.
    in_time(async { while TcpStream::connect(server.address).await.is_ok() {} }).await;
    assert!(!server.ended.is_finished());
    fake.answer_now(Outcome::Refused(Refusal::Draining));
    let answer = rest_of(&mut client).await;
    assert!(answer.starts_with("HTTP/1.1 503 ") && answer.contains("connection: close"), "{answer}");
    in_time(server.ended).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn what_is_open_after_the_grace_is_cut() {
    let fake = Fake::silent();
    let (server, mut client) = connected(&fake).await;
    client.write_all(rpc().as_bytes()).await.unwrap();
    fake.until_asked(1).await;
    let began = Instant::now();
    server.stop.send(()).unwrap();
    server.ended.await.unwrap();
    assert_eq!(began.elapsed().as_secs(), 10);
    assert_eq!((rest_of(&mut client).await.as_str(), fake.dropped()), ("", 1));
}

#[tokio::test(start_paused = true)]
async fn an_unused_connection_delays_the_stop_by_the_leave_taking_only() {
    let fake = Fake::answering(work_given());
    let (server, mut client) = connected(&fake).await;
    client.write_all(rest().as_bytes()).await.unwrap();
    answer(&mut client).await;
    let began = Instant::now();
    server.stop.send(()).unwrap();
    server.ended.await.unwrap();
    assert_eq!(began.elapsed(), bridge::limits::LEAVE_TAKING);
}

/// A client that asks again and again is not cut off: it hears that an answer was the last one.
#[tokio::test(start_paused = true)]
async fn a_kept_connection_ends_with_its_next_answer() {
    let fake = Fake::answering(work_given());
    let (server, mut client) = connected(&fake).await;
    client.write_all(rest().as_bytes()).await.unwrap();
    assert!(!answer(&mut client).await.contains("connection: close"));
    let began = Instant::now();
    server.stop.send(()).unwrap();
    // Until the server has taken notice.
    tokio::time::sleep(Duration::from_millis(1)).await;
    client.write_all(rest().as_bytes()).await.unwrap();
    assert!(rest_of(&mut client).await.contains("connection: close"));
    server.ended.await.unwrap();
    assert!(began.elapsed() < bridge::limits::LEAVE_TAKING, "nobody is left to wait for");
}

#[tokio::test(start_paused = true)]
async fn nobody_delays_the_stop() {
    let server = start(Fake::silent().router(), Settings::default()).await;
    let began = Instant::now();
    server.stop.send(()).unwrap();
    server.ended.await.unwrap();
    assert_eq!(began.elapsed(), Duration::ZERO);
}
