//! What operators and their tools ask: alive, ready, metrics.

use std::time::Duration;

use axum::Router;
use axum::http::Method;
use axum::routing;
use bridge::Settings;
use metrics_exporter_prometheus::PrometheusBuilder;
use shared::{Outcome, Refusal};
use tokio::time::timeout;

use crate::fake::{Fake, ROOT, call, work_given};

async fn get(fake: &Fake, path: &str) -> (u16, String) {
    let reply = call(fake.router(), Method::GET, path, &[], "").await;
    (reply.status.as_u16(), reply.body)
}

#[tokio::test]
async fn readiness_says_which_part_is_amiss() {
    let fake = Fake::silent();
    assert_eq!(get(&fake, "/livez").await, (200, "ok\n".into()));
    assert_eq!(get(&fake, "/readyz").await, (200, "ready\n".into()));
    assert_eq!(get(&fake, "/readyz?verbose").await, (200, "ready\nstore: ok\nbroker: ok\n".into()));
    fake.break_part(0, "the disk is full");
    assert_eq!(get(&fake, "/livez").await, (200, "ok\n".into()));
    assert_eq!(get(&fake, "/readyz").await, (503, "not ready\n".into()));
    let verbose = "not ready\nstore: the disk is full\nbroker: ok\n";
    assert_eq!(get(&fake, "/readyz?a=b&verbose=1").await, (503, verbose.into()));
}

#[tokio::test]
async fn metrics_are_the_sources_and_can_be_kept_off_the_port() {
    let fake = Fake::silent();
    let reply = call(fake.router(), Method::GET, "/metrics", &[], "").await;
    assert_eq!((reply.status.as_u16(), reply.body.as_str()), (200, "dpow_jobs_in_flight 3\n"));
    assert_eq!(reply.header("content-type"), Some("text/plain; version=0.0.4; charset=utf-8"));
    let private = bridge::router(fake, &Settings { metrics: false, ..Settings::default() });
    assert_eq!(call(private, Method::GET, "/metrics", &[], "").await.status, 404);
}

/// All counters exist from the first scrape, and each exchange counts once, under what it ended with.
#[tokio::test(start_paused = true)]
async fn requests_are_counted_by_route_and_code() {
    let recorder = PrometheusBuilder::new().build_recorder();
    let _guard = metrics::set_default_local_recorder(&recorder);
    let fake = Fake::answering(work_given());
    let count = |route: &str, code: &str| {
        let name = format!("http_requests_total{{route=\"{route}\",code=\"{code}\"}} ");
        let text = recorder.handle().render();
        let line = text.lines().find_map(|line| line.strip_prefix(&name).map(str::to_owned));
        line.unwrap_or_else(|| panic!("no {name}in {text}"))
    };
    let router = fake.router();
    for refusal in Refusal::ALL {
        assert_eq!(count("/v1/work", refusal.code()), "0");
        assert_eq!(count("/", refusal.code()), "0");
    }
    let key = [("authorization", "Bearer k1")];
    let work = format!(r#"{{"root":"{ROOT}"}}"#);
    let rpc = format!(r#"{{"action":"work_generate","hash":"{ROOT}","key":"k1"}}"#);
    call(router.clone(), Method::POST, "/v1/work", &key, work.clone()).await;
    call(router.clone(), Method::POST, "/v1/work", &[], work).await;
    call(router.clone(), Method::GET, "/v1/work", &[], "").await;
    call(router.clone(), Method::GET, "/v1/nothing", &[], "").await;
    call(router.clone(), Method::POST, "/", &[], rpc.clone()).await;
    call(router.clone(), Method::POST, "/", &[], "{}").await;
    call(router.clone(), Method::GET, "/", &[], "").await;
    fake.answer_now(Outcome::Refused(Refusal::Expired));
    call(router, Method::POST, "/", &[], rpc.clone()).await;
    let waiting = Fake::silent();
    let hung_up = call(waiting.router(), Method::POST, "/", &[], rpc);
    assert!(timeout(Duration::from_millis(1), hung_up).await.is_err());
    assert_eq!((waiting.asked().len(), waiting.dropped()), (1, 1));
    for (route, code) in [
        ("/v1/work", "ok"),
        ("/v1/work", "unauthenticated"),
        ("/v1/work", "method_not_allowed"),
        ("unknown", "not_found"),
        ("/", "ok"),
        ("/", "malformed"),
        ("/", "method_not_allowed"),
        ("/", "expired"),
        ("/", "cancelled"),
    ] {
        assert_eq!(count(route, code), "1", "{route} {code}");
    }
    assert!(recorder.handle().render().contains("http_request_seconds_count{route=\"/\"} 5"));
}

/// Whoever serves pages puts one at `/`, where a node has none; the RPC stays.
#[tokio::test]
async fn a_page_can_be_merged_at_the_root() {
    let fake = Fake::silent();
    let router = fake.router().merge(Router::new().route("/", routing::get(|| async { "overview" })));
    assert_eq!(call(router.clone(), Method::GET, "/", &[], "").await.body, "overview");
    let reply = call(router, Method::PUT, "/", &[], "").await;
    assert!(reply.status == 200 && reply.body.contains("Can only POST requests"));
}
