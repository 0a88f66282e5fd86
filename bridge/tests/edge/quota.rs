//! What a service is told of how fast it may ask.

use std::time::Duration;

use axum::http::Method;
use bridge::source::Quota;
use shared::{Outcome, Refusal};

use crate::fake::{Fake, ROOT, call, work_given};

const KEY: (&str, &str) = ("authorization", "Bearer k1");

#[tokio::test]
async fn each_answer_says_what_is_left() {
    let body = format!(r#"{{"root":"{ROOT}"}}"#);
    let (window, full_in) = (Duration::from_secs(2), Duration::from_millis(1500));
    let quota = Quota { burst: 20, window, left: 5, full_in, wait: None };
    let wait = Some(Duration::from_millis(2100));
    for (outcome, quota, state, retry_after) in [
        (work_given(), quota, r#""requests";r=5;t=2"#, None),
        (Outcome::Refused(Refusal::RateLimited), quota, r#""requests";r=5;t=2"#, Some("1")),
        (
            Outcome::Refused(Refusal::RateLimited),
            Quota { left: 0, full_in: window, wait, ..quota },
            r#""requests";r=0;t=2"#,
            Some("3"),
        ),
        (Outcome::Refused(Refusal::NoWorkers), Quota { wait, ..quota }, r#""requests";r=5;t=2"#, Some("10")),
    ] {
        let fake = Fake::answering(outcome);
        fake.limit(quota);
        let reply = call(fake.router(), Method::POST, "/v1/work", &[KEY], body.clone()).await;
        assert_eq!(reply.header("ratelimit-policy"), Some(r#""requests";q=20;w=2"#), "{outcome:?}");
        assert_eq!(reply.header("ratelimit"), Some(state), "{outcome:?}");
        assert_eq!(reply.header("retry-after"), retry_after, "{outcome:?}");
    }
}

#[tokio::test]
async fn who_is_not_known_or_not_limited_is_told_nothing() {
    let body = format!(r#"{{"root":"{ROOT}"}}"#);
    let fake = Fake::answering(work_given());
    let reply = call(fake.router(), Method::POST, "/v1/work", &[KEY], body.clone()).await;
    assert_eq!((reply.status.as_u16(), reply.header("ratelimit")), (200, None));
    let second = Duration::from_secs(1);
    fake.limit(Quota { burst: 1, window: second, left: 1, full_in: Duration::ZERO, wait: None });
    let reply = call(fake.router(), Method::POST, "/v1/work", &[], body).await;
    assert_eq!((reply.status.as_u16(), reply.header("ratelimit")), (401, None));
}
