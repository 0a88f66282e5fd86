//! MQTT over WebSocket on the HTTP port: its HTTP part. What follows is the gate's.

use std::io;
use std::net::SocketAddr;

use axum::Router;
use axum::body::Body;
use axum::extract::{ConnectInfo, Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use broker::{Entrance, websocket};
use hyper_util::rt::TokioIo;

/// The routes on which an HTTP connection can become one of the gate. `/` belongs to the RPC of the node here.
pub(crate) fn routes(entrance: Entrance) -> Router {
    Router::new().route("/mqtt", get(upgrade)).route("/mqtt/", get(upgrade)).with_state(entrance)
}

async fn upgrade(
    State(entrance): State<Entrance>,
    ConnectInfo(remote): ConnectInfo<SocketAddr>,
    mut request: Request,
) -> Response {
    match websocket::agree(&request) {
        Ok(response) => {
            let upgrade = hyper::upgrade::on(&mut request);
            let upgraded = async { upgrade.await.map(TokioIo::new).map_err(io::Error::other) };
            entrance.serve_websocket(upgraded, remote);
            response.map(|()| Body::empty())
        }
        Err(problem) => {
            let status = StatusCode::from_u16(problem.status()).unwrap_or(StatusCode::BAD_REQUEST);
            (status, problem.to_string()).into_response()
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use broker::bus::{Bus, Up};
    use broker::identity::{Authenticator, Identity, Login, LoginAnswer};
    use broker::{Gate, GateSettings};
    use futures_util::{SinkExt, StreamExt};
    use tokio::net::{TcpListener, TcpStream};
    use tokio_tungstenite::client_async;
    use tokio_tungstenite::tungstenite::client::IntoClientRequest;
    use tokio_tungstenite::tungstenite::{Error, Message};

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(20);

    struct Everybody;

    impl Authenticator for Everybody {
        fn authenticate(&self, login: Login) -> LoginAnswer<'_> {
            let (service, key) = (login.user.parse().unwrap(), shared::KeyId::from_bytes([0; 8]));
            Box::pin(async move { Ok(Identity::Service { service, key }) })
        }
    }

    /// A CONNECT of MQTT 3.1.1 as the service `wallet`.
    const CONNECT: &[u8] = b"\x10\x19\x00\x04MQTT\x04\xC2\x00\x3C\x00\x00\x00\x06wallet\x00\x03key";

    #[tokio::test]
    async fn a_connection_of_http_becomes_one_of_the_gate() {
        let any_port = SocketAddr::from(([127, 0, 0, 1], 0));
        let settings = GateSettings { listen: any_port, ..GateSettings::default() };
        let (gate, mut bus) = Gate::start(settings, Arc::new(Everybody)).await.unwrap();
        let listener = TcpListener::bind(any_port).await.unwrap();
        let address = listener.local_addr().unwrap();
        let serve = bridge::serve(
            listener,
            routes(gate.entrance()),
            bridge::Settings::default(),
            std::future::pending(),
        );
        let http = tokio::spawn(serve);

        let connect = async |path: &str, subprotocol: &'static str| {
            let mut request = format!("ws://{address}{path}").into_client_request().unwrap();
            request.headers_mut().insert("Sec-WebSocket-Protocol", subprotocol.parse().unwrap());
            client_async(request, TcpStream::connect(address).await.unwrap()).await
        };
        for path in ["/mqtt", "/mqtt/"] {
            let (mut socket, _) = connect(path, "mqtt").await.unwrap();
            socket.send(Message::binary(CONNECT)).await.unwrap();
            let answer = tokio::time::timeout(PATIENCE, socket.next()).await.unwrap().unwrap().unwrap();
            assert_eq!(answer, Message::binary(&b"\x20\x02\x00\x00"[..]));
            assert!(
                matches!(bus.receive().await, Some(Up::Joined { remote, .. }) if remote.ip().is_loopback())
            );
            socket.close(None).await.unwrap();
            assert!(matches!(bus.receive().await, Some(Up::Left { .. })));
        }
        match connect("/mqtt", "chat").await {
            Err(Error::Http(response)) => assert_eq!(response.status(), 400),
            other => panic!("{:?}", other.map(|_| ())),
        }
        // The gate stops although the HTTP server still has its entrance.
        drop(gate);
        assert_eq!(bus.receive().await, None);
        http.abort();
    }
}
