//! `GET /v1/ws`: who may connect, what is said on it, its bounds, and what becomes of requests when it ends.

use std::time::Duration;

use bridge::Settings;
use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use shared::{Outcome, Refusal, RequestId};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{WebSocketStream, client_async};

use crate::connections::{Server, start};
use crate::fake::{Fake, NONCE, ROOT, in_time, shop, work_given};

const BEARER: (&str, &str) = ("authorization", "Bearer k1");

type Socket = WebSocketStream<TcpStream>;

async fn connect(server: &Server, headers: &[(&'static str, &str)]) -> Result<Socket, Error> {
    let mut request = format!("ws://{}/v1/ws", server.address).into_client_request().unwrap();
    for (name, value) in headers {
        request.headers_mut().insert(*name, value.parse().unwrap());
    }
    let stream = TcpStream::connect(server.address).await.unwrap();
    client_async(request, stream).await.map(|(socket, _)| socket)
}

/// A connection that has been welcomed.
async fn open(fake: &Fake) -> (Server, Socket) {
    let server = start(fake.router(), Settings::default()).await;
    let mut socket = connect(&server, &[BEARER]).await.unwrap();
    assert_eq!(hear(&mut socket).await["type"], "welcome");
    (server, socket)
}

async fn say(socket: &mut Socket, word: &Value) {
    socket.send(Message::text(word.to_string())).await.unwrap();
}

/// The next frame with something in it.
async fn hear(socket: &mut Socket) -> Value {
    loop {
        match in_time(socket.next()).await.unwrap().unwrap() {
            Message::Text(text) => return serde_json::from_str(&text).unwrap(),
            Message::Ping(_) => {}
            other => panic!("{other:?}"),
        }
    }
}

async fn hear_close(socket: &mut Socket) -> (CloseCode, String) {
    loop {
        match in_time(socket.next()).await.unwrap().unwrap() {
            Message::Close(Some(frame)) => return (frame.code, frame.reason.to_string()),
            Message::Ping(_) => {}
            other => panic!("{other:?}"),
        }
    }
}

fn work(number: u128) -> Value {
    json!({ "type": "work", "request_id": RequestId::from_u128(number), "root": ROOT })
}

#[tokio::test]
async fn many_requests_are_in_flight_and_each_has_its_own_answer() {
    let fake = Fake::silent();
    let (_server, mut socket) = open(&fake).await;
    for number in 0..256 {
        say(&mut socket, &work(number)).await;
    }
    say(&mut socket, &work(256)).await;
    let refused = hear(&mut socket).await;
    assert_eq!((&refused["type"], &refused["problem"]["code"]), (&json!("problem"), &json!("overloaded")));
    assert_eq!(
        (&refused["request_id"], &refused["problem"]["charged_mc"]),
        (&json!(RequestId::from_u128(256)), &json!(0))
    );
    say(&mut socket, &json!({ "type": "ping" })).await;
    assert_eq!(hear(&mut socket).await, json!({ "type": "pong" }));
    fake.until_asked(256).await;
    assert!(fake.asked().iter().all(|(service, _)| *service == shop()));
    fake.answer_now(work_given());
    let mut names = std::collections::BTreeSet::new();
    for _ in 0..256 {
        let answer = hear(&mut socket).await;
        assert_eq!((&answer["type"], &answer["result"]["work"]), (&json!("answer"), &json!(NONCE)));
        assert_eq!(answer["result"]["charged_mc"], 1000);
        names.insert(answer["request_id"].as_str().unwrap().to_owned());
    }
    assert_eq!(names, (0..256).map(|number| RequestId::from_u128(number).to_string()).collect());
}

#[tokio::test]
async fn a_key_comes_in_a_header_a_protocol_or_the_first_frame() {
    let fake = Fake::silent();
    let server = start(fake.router(), Settings::default()).await;
    let welcome = json!({ "type": "welcome", "service": "shop", "in_flight_max": 256, "ping_ms": 20_000 });
    for headers in [vec![BEARER], vec![("sec-websocket-protocol", "dpow, dpow.key.k1")], vec![]] {
        let mut socket = connect(&server, &headers).await.unwrap();
        if headers.is_empty() {
            say(&mut socket, &json!({ "type": "key", "key": "k1" })).await;
        }
        assert_eq!(hear(&mut socket).await, welcome, "{headers:?}");
    }
    for (name, value, status) in [
        ("authorization", "Bearer nobody's", 401),
        ("authorization", "Bearer key of the suspended", 403),
        ("sec-websocket-protocol", "dpow, dpow.key.k2", 401),
    ] {
        match connect(&server, &[(name, value)]).await {
            Err(Error::Http(response)) => assert_eq!(response.status(), status, "{value}"),
            other => panic!("{value}: {:?}", other.map(drop)),
        }
    }
    for first in [json!({ "type": "key", "key": "k2" }), work(1), json!([])] {
        let mut socket = connect(&server, &[]).await.unwrap();
        say(&mut socket, &first).await;
        assert_eq!(hear(&mut socket).await["problem"]["code"], "unauthenticated");
        assert_eq!(hear_close(&mut socket).await, (CloseCode::Policy, "unauthenticated".into()));
    }
    assert!(fake.asked().is_empty());
}

/// Where no key is needed, a page that somebody happens to look at must not spend credits.
#[tokio::test]
async fn pages_of_other_places_may_not_connect_to_a_bridge() {
    let settings = Settings { payer: Some(shop()), ..Settings::default() };
    let server = start(bridge::router(Fake::silent(), &settings), settings).await;
    let own = format!("http://{}", server.address);
    for headers in [vec![], vec![("origin", own.as_str())]] {
        let mut socket = connect(&server, &headers).await.unwrap();
        assert_eq!(hear(&mut socket).await["service"], "shop");
    }
    match connect(&server, &[("origin", "https://elsewhere.example")]).await {
        Err(Error::Http(response)) => assert_eq!(response.status(), 403),
        other => panic!("{:?}", other.map(drop)),
    }
}

#[tokio::test]
async fn what_cannot_be_read_is_said_and_costs_nothing() {
    let fake = Fake::silent();
    let (_server, mut socket) = open(&fake).await;
    let name = json!(RequestId::from_u128(7));
    for (word, detail, about) in [
        (json!([]), "The body is JSON, but not an object.", &Value::Null),
        (json!({}), "`type` must be one of work, withdraw and ping.", &Value::Null),
        (json!({ "type": "gift" }), "`type` must be one of work, withdraw and ping.", &Value::Null),
        (
            json!({ "type": "work", "root": ROOT }),
            "`request_id` is missing; on this connection it tells answers apart.",
            &Value::Null,
        ),
        (
            json!({ "type": "work", "root": "x", "request_id": name }),
            "`root` is wrong: expected 64 hexadecimal digits, found 1 characters.",
            &name,
        ),
        (
            json!({ "type": "work", "root": ROOT, "request_id": name, "async": true }),
            "`async` is not a field of this request.",
            &Value::Null,
        ),
    ] {
        say(&mut socket, &word).await;
        let problem = hear(&mut socket).await;
        assert_eq!(
            (&problem["problem"]["detail"], &problem["request_id"]),
            (&json!(detail), about),
            "{word}"
        );
        assert_eq!(
            (&problem["problem"]["code"], &problem["problem"]["charged_mc"]),
            (&json!("malformed"), &json!(0))
        );
    }
    assert!(fake.asked().is_empty());
    socket.send(Message::binary(vec![1])).await.unwrap();
    assert_eq!(hear_close(&mut socket).await.0, CloseCode::Unsupported);
}

#[tokio::test]
async fn a_frame_beyond_all_requests_ends_the_connection() {
    let (_server, mut socket) = open(&Fake::silent()).await;
    let _ = socket.send(Message::text("x".repeat(5000))).await;
    let ended = in_time(socket.next()).await;
    assert!(!matches!(ended, Some(Ok(Message::Text(_)))), "{ended:?}");
}

#[tokio::test]
async fn a_withdrawal_is_confirmed_and_ends_the_request() {
    let fake = Fake::silent();
    let (_server, mut socket) = open(&fake).await;
    say(&mut socket, &work(1)).await;
    fake.until_asked(1).await;
    let name = json!(RequestId::from_u128(1));
    say(&mut socket, &json!({ "type": "withdraw", "request_id": name })).await;
    let mut words = [hear(&mut socket).await, hear(&mut socket).await];
    words.sort_by_key(|word| word["type"].to_string());
    assert_eq!((&words[0]["problem"]["code"], &words[0]["request_id"]), (&json!("cancelled"), &name));
    assert_eq!(words[1], json!({ "type": "withdrawn", "request_id": name }));
    assert_eq!(fake.withdrawn(), [(shop(), RequestId::from_u128(1))]);
}

#[tokio::test]
async fn who_closes_withdraws_at_once() {
    let fake = Fake::silent();
    let (_server, mut socket) = open(&fake).await;
    for number in 0..3 {
        say(&mut socket, &work(number)).await;
    }
    fake.until_asked(3).await;
    socket.close(None).await.unwrap();
    fake.until_dropped(3).await;
}

/// The clock is tokio's paused one: the time that a broken connection's requests go on passes as soon as nothing else happens.
#[tokio::test(start_paused = true)]
async fn what_a_broken_connection_had_open_goes_on_for_a_moment() {
    let fake = Fake::silent();
    let (_server, mut socket) = open(&fake).await;
    say(&mut socket, &work(1)).await;
    fake.until_asked(1).await;
    let began = tokio::time::Instant::now();
    drop(socket);
    fake.until_dropped(1).await;
    assert!(began.elapsed() >= Duration::from_secs(5));
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_says_nothing_is_asked_and_then_closed() {
    let fake = Fake::silent();
    let (server, mut socket) = open(&fake).await;
    let began = tokio::time::Instant::now();
    let asked = in_time(socket.next()).await.unwrap().unwrap();
    assert!(matches!(asked, Message::Ping(_)) && began.elapsed() >= Duration::from_secs(20), "{asked:?}");
    // One that reads nothing answers no ping either.
    let mut deaf = connect(&server, &[BEARER]).await.unwrap();
    tokio::time::sleep(Duration::from_secs(70)).await;
    while let Some(Ok(_)) = in_time(deaf.next()).await {}
}

#[tokio::test]
async fn a_server_that_drains_says_so_and_leaves() {
    let fake = Fake::silent();
    let (_server, mut socket) = open(&fake).await;
    say(&mut socket, &work(1)).await;
    fake.until_asked(1).await;
    fake.answer_now(Outcome::Refused(Refusal::Draining));
    assert_eq!(hear(&mut socket).await["problem"]["code"], "draining");
    assert_eq!(hear_close(&mut socket).await, (CloseCode::Away, "draining".into()));
}

/// A stop: who has nothing open is told at once, also before it has named its key; the others once they have their answers.
#[tokio::test]
async fn a_server_that_stops_says_so_to_everybody() {
    let fake = Fake::silent();
    let (server, mut socket) = open(&fake).await;
    let mut idle = connect(&server, &[BEARER]).await.unwrap();
    assert_eq!(hear(&mut idle).await["type"], "welcome");
    let mut nameless = connect(&server, &[]).await.unwrap();
    say(&mut socket, &work(1)).await;
    fake.until_asked(1).await;

    let stopping = server.stop();
    let goodbye = (CloseCode::Away, "draining".to_owned());
    assert_eq!(hear_close(&mut idle).await, goodbye);
    assert_eq!(hear_close(&mut nameless).await, goodbye);
    say(&mut socket, &work(2)).await;
    let refused = hear(&mut socket).await;
    assert_eq!(
        (&refused["request_id"], &refused["problem"]["code"]),
        (&json!(RequestId::from_u128(2)), &json!("draining"))
    );
    assert!(!stopping.is_finished());
    fake.answer_now(work_given());
    assert_eq!(hear(&mut socket).await["request_id"], json!(RequestId::from_u128(1)));
    assert_eq!(hear_close(&mut socket).await, goodbye);
    in_time(stopping).await.unwrap();
    assert_eq!(fake.asked().len(), 1);
}

/// The clock is tokio's paused one.
#[tokio::test(start_paused = true)]
async fn a_server_that_stops_does_not_wait_for_ever() {
    let fake = Fake::silent();
    let (server, mut socket) = open(&fake).await;
    say(&mut socket, &work(1)).await;
    fake.until_asked(1).await;
    let began = tokio::time::Instant::now();
    server.stop().await.unwrap();
    assert!(began.elapsed() >= Settings::default().shutdown_grace);
}

#[tokio::test]
async fn a_key_that_is_taken_away_ends_the_connection() {
    let fake = Fake::silent();
    let (_server, mut socket) = open(&fake).await;
    fake.take_key_away();
    assert_eq!(hear(&mut socket).await["problem"]["code"], "unauthenticated");
    assert_eq!(hear_close(&mut socket).await.0, CloseCode::Policy);
}

#[tokio::test]
async fn what_is_no_websocket_is_told_what_this_path_is() {
    let server = start(Fake::silent().router(), Settings::default()).await;
    let stream = TcpStream::connect(server.address).await.unwrap();
    let request = "GET /v1/ws HTTP/1.1\r\nHost: d\r\nAuthorization: Bearer k1\r\nConnection: close\r\n\r\n";
    let answer = crate::connections::exchange(stream, request).await;
    assert!(answer.starts_with("HTTP/1.1 426 "), "{answer}");
    assert!(answer.contains("\r\nupgrade: websocket\r\n") && answer.contains("no_websocket"), "{answer}");
}
