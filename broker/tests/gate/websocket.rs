//! MQTT over WebSocket, with the library's own client at the other end.

use std::net::SocketAddr;
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio::net::TcpStream;
use tokio::time::Instant;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::http::Response;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{WebSocketStream, client_async};

use crate::attacks::forbidden;
use crate::harness::{Client, Connect, Fixture, PIPE_SIZE, Version, publish, soon, subscribe, until, worker};

type Socket = WebSocketStream<TcpStream>;

fn address(fixture: &Fixture) -> SocketAddr {
    fixture.gate.websocket_addr().unwrap()
}

/// Asks for an upgrade at this path, with these sub-protocols.
async fn upgrade(
    fixture: &Fixture,
    path: &str,
    offers: &[&str],
) -> Result<(Socket, Response<Option<Vec<u8>>>), Error> {
    let stream = TcpStream::connect(address(fixture)).await.unwrap();
    let mut request = format!("ws://gate{path}").into_client_request().unwrap();
    for offer in offers {
        request.headers_mut().append("Sec-WebSocket-Protocol", offer.parse().unwrap());
    }
    // Of any origin.
    request.headers_mut().insert("Origin", "https://elsewhere.example".parse().unwrap());
    soon(client_async(request, stream)).await
}

async fn socket(fixture: &Fixture) -> Socket {
    upgrade(fixture, "/mqtt", &["mqtt"]).await.unwrap().0
}

/// The next bytes; `None` when the gate has closed.
async fn receive(socket: &mut Socket) -> Option<Vec<u8>> {
    loop {
        match soon(socket.next()).await {
            Some(Ok(Message::Binary(bytes))) => return Some(bytes.to_vec()),
            Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
            Some(Ok(Message::Close(_)) | Err(_)) | None => return None,
            Some(Ok(other)) => panic!("{other:?}"),
        }
    }
}

/// A client as the others have it, whose bytes go through a WebSocket.
fn as_stream(mut socket: Socket) -> Client<DuplexStream> {
    let (ours, mut theirs) = tokio::io::duplex(PIPE_SIZE);
    tokio::spawn(async move {
        let mut buffer = vec![0; 4096];
        loop {
            tokio::select! {
                count = theirs.read(&mut buffer) => match count {
                    Ok(count @ 1..) => {
                        if socket.send(Message::binary(buffer[..count].to_vec())).await.is_err() {
                            return;
                        }
                    }
                    _ => return,
                },
                bytes = receive(&mut socket) => match bytes {
                    Some(bytes) => theirs.write_all(&bytes).await.unwrap(),
                    None => return,
                },
            }
        }
    });
    Client::new(ours)
}

#[tokio::test]
async fn the_whole_of_a_session_works_in_both_versions_at_each_path() {
    let mut fixture = Fixture::start().await;
    for version in Version::ALL {
        for path in broker::websocket::PATHS {
            let (socket, response) = upgrade(&fixture, path, &["mqtt"]).await.unwrap();
            assert_eq!(response.headers()["Sec-WebSocket-Protocol"], "mqtt");
            fixture.assert_serves_over(as_stream(socket), version).await;
        }
    }
}

#[tokio::test]
async fn an_upgrade_to_something_else_is_refused() {
    let mut fixture = Fixture::start().await;
    for (path, offers, status) in [
        ("/elsewhere", &["mqtt"][..], 404),
        ("/mqtt/x", &["mqtt"], 404),
        ("/mqtt", &[], 400),
        ("/mqtt", &["chat, mqttv3.1"], 400),
    ] {
        match upgrade(&fixture, path, offers).await {
            Err(Error::Http(response)) => assert_eq!(response.status(), status, "{path} {offers:?}"),
            other => panic!("{:?}", other.map(|_| ())),
        }
    }
    let (socket, _) = upgrade(&fixture, "/mqtt?x=y", &["chat, mqttv3.1, mqtt"]).await.unwrap();
    fixture.assert_serves_over(as_stream(socket), Version::V5).await;
}

/// A WebSocket is another way to the same rules.
#[tokio::test]
async fn what_no_client_may_send_ends_the_connection_here_too() {
    let mut fixture = Fixture::start().await;
    for version in Version::ALL {
        for (name, bytes, reason) in forbidden(version) {
            println!("{name}, in {version:?}");
            let mut stranger = as_stream(socket(&fixture).await);
            stranger.send(&bytes).await;
            stranger.expect_closed().await;
            let mut client = as_stream(socket(&fixture).await);
            client.log_in(&Connect::worker(1).version(version)).await;
            let session = fixture.joined().await;
            client.send(&bytes).await;
            client.expect_end(&version.last_words(reason)).await;
            fixture.left(session).await;
            let fresh = as_stream(socket(&fixture).await);
            fixture.assert_serves_over(fresh, version).await;
        }
    }
}

#[tokio::test]
async fn frames_and_packets_need_not_agree() {
    let mut fixture = Fixture::start().await;
    let mut bytes = Connect::worker(1).bytes();
    bytes.extend(subscribe(1, &["heartbeat"]));
    bytes.extend(publish(1, 2, &format!("work/result/{}", worker(1)), &[0; 200]));
    bytes.extend([0xC0, 0]);
    let answer = [0x20, 2, 0, 0, 0x90, 3, 0, 1, 0, 0x40, 2, 0, 2, 0xD0, 0];
    for size in [1, 7, bytes.len()] {
        let mut socket = socket(&fixture).await;
        for piece in bytes.chunks(size) {
            socket.send(Message::binary(piece.to_vec())).await.unwrap();
            socket.send(Message::binary(Vec::new())).await.unwrap();
        }
        let mut answers = Vec::new();
        while answers.len() < answer.len() {
            answers.extend(receive(&mut socket).await.unwrap());
        }
        assert_eq!(answers, answer, "in pieces of {size}");
        let session = fixture.joined().await;
        fixture.up().await;
        drop(socket);
        fixture.left(session).await;
    }
}

#[tokio::test]
async fn pings_are_answered_and_closes_end_the_session() {
    let mut fixture = Fixture::start().await;
    let mut socket = socket(&fixture).await;
    socket.send(Message::binary(Connect::worker(1).bytes())).await.unwrap();
    assert_eq!(receive(&mut socket).await.unwrap(), [0x20, 2, 0, 0]);
    let session = fixture.joined().await;
    socket.send(Message::Ping("here?".into())).await.unwrap();
    assert_eq!(soon(socket.next()).await.unwrap().unwrap(), Message::Pong("here?".into()));
    socket.close(None).await.unwrap();
    assert!(matches!(soon(socket.next()).await, Some(Ok(Message::Close(_)))));
    fixture.left(session).await;
}

#[tokio::test]
async fn text_is_refused() {
    let mut fixture = Fixture::start().await;
    let mut socket = socket(&fixture).await;
    socket.send(Message::binary(Connect::worker(1).bytes())).await.unwrap();
    assert_eq!(receive(&mut socket).await.unwrap(), [0x20, 2, 0, 0]);
    let session = fixture.joined().await;
    socket.send(Message::text("{}")).await.unwrap();
    match soon(socket.next()).await {
        Some(Ok(Message::Close(Some(frame)))) => assert_eq!(frame.code, CloseCode::Unsupported),
        other => panic!("{other:?}"),
    }
    fixture.left(session).await;
    fixture.assert_serves().await;
}

#[tokio::test]
async fn a_frame_beyond_all_packets_ends_the_session() {
    let mut fixture = Fixture::start().await;
    let mut socket = socket(&fixture).await;
    // The gate may close while this is being written.
    let _ = socket.send(Message::binary(vec![0xC0; 65 * 1024])).await;
    assert_eq!(receive(&mut socket).await, None);
    fixture.assert_serves().await;
}

/// The last words of MQTT, then the close of the WebSocket.
#[tokio::test]
async fn a_refusal_arrives_before_the_close() {
    let mut fixture = Fixture::start().await;
    let mut socket = socket(&fixture).await;
    socket.send(Message::binary(Connect::new("wallet", "no", "id").bytes())).await.unwrap();
    assert_eq!(receive(&mut socket).await.unwrap(), [0x20, 2, 0, 4]);
    assert!(matches!(soon(socket.next()).await, Some(Ok(Message::Close(_)))));
    fixture.assert_serves().await;
}

/// Behind a proxy everybody comes from this machine.
#[tokio::test]
async fn operators_do_not_come_over_a_websocket() {
    let fixture = Fixture::start().await;
    let mut socket = socket(&fixture).await;
    socket.send(Message::binary(Connect::new("operator", "token", "a").bytes())).await.unwrap();
    assert_eq!(receive(&mut socket).await.unwrap(), [0x20, 2, 0, 5]);
}

/// Strangers that do not get on with their handshake hold up nobody, and are rid of in time.
#[tokio::test]
async fn a_handshake_that_stalls_holds_up_nobody() {
    let mut fixture =
        Fixture::with_limits(|limits| limits.connect_timeout = Duration::from_millis(500)).await;
    let mut stalled = Vec::new();
    for bytes in [&b""[..], b"GET /mqtt HTTP/1.1\r\nHost:", b"\x10\x20\x00\x04MQTT"] {
        let mut stream = TcpStream::connect(address(&fixture)).await.unwrap();
        stream.write_all(bytes).await.unwrap();
        stalled.push(Client::new(stream));
    }
    let good = socket(&fixture).await;
    fixture.assert_serves_over(as_stream(good), Version::V311).await;
    let started = Instant::now();
    for mut client in stalled {
        // Perhaps with a few words of HTTP.
        let _ = soon(client.stream.read_to_end(&mut Vec::new())).await;
    }
    assert!(started.elapsed() < Duration::from_secs(10));
    let monitor = fixture.gate.monitor();
    until("health", || monitor.is_healthy()).await;
}

#[tokio::test(start_paused = true)]
async fn a_handshake_below_mqtt_has_ten_seconds_in_a_task_of_its_own() {
    let mut fixture = Fixture::start().await;
    let remote = SocketAddr::from(([127, 0, 0, 1], 9));
    let entrance = fixture.gate.entrance();
    let pipe = |delay: Duration| {
        let (ours, theirs) = tokio::io::duplex(PIPE_SIZE);
        let handshake = async move {
            tokio::time::sleep(delay).await;
            Ok(theirs)
        };
        entrance.serve_after(handshake, remote);
        Client::new(ours)
    };
    let mut stalled = pipe(Duration::from_secs(11));
    let slow = pipe(Duration::from_secs(9));
    let quick = pipe(Duration::ZERO);
    let started = Instant::now();
    fixture.assert_serves_over(quick, Version::V5).await;
    assert!(started.elapsed() < Duration::from_secs(1));
    fixture.assert_serves_over(slow, Version::V311).await;
    assert_eq!(started.elapsed().as_secs(), 9);
    stalled.expect_closed().await;
    assert_eq!(started.elapsed().as_secs(), 10);
    let failed = std::future::ready(Err::<DuplexStream, _>(std::io::ErrorKind::InvalidData.into()));
    entrance.serve_after(failed, remote);
    fixture.assert_serves().await;
}
