//! What a request is called: by the field `request_id`, by the header `Idempotency-Key`, and in a trace.

use axum::http::Method;
use serde_json::{Value, json};
use shared::RequestId;

use crate::fake::{Fake, ROOT, call, work_given};

const KEY: (&str, &str) = ("authorization", "Bearer k1");
const NAME: RequestId = RequestId::from_u128(0x8e03_978e_40d5_43dd_bc93_6894_a57f_9324);

#[tokio::test]
async fn the_header_names_a_request_as_the_field_does() {
    let uuid = "8e03978e-40d5-43dd-bc93-6894a57f9324";
    let plain = uuid.replace('-', "");
    for header in [uuid, &plain, &format!("\"{uuid}\""), &format!("\"{plain}\""), &uuid.to_uppercase()] {
        for body in [json!({ "root": ROOT }), json!({ "root": ROOT, "request_id": uuid })] {
            let fake = Fake::answering(work_given());
            let headers = [KEY, ("idempotency-key", header)];
            let reply = call(fake.router(), Method::POST, "/v1/work", &headers, body.to_string()).await;
            assert_eq!(fake.asked()[0].1.request, Some(NAME), "{header}");
            assert_eq!(reply.header("x-request-id"), Some(plain.as_str()));
        }
    }
}

#[tokio::test]
async fn a_name_that_is_none_or_two_of_them_are_refused() {
    let form = "The header Idempotency-Key must be 32 hexadecimal digits or a UUID.";
    let two = "`request_id` and the header Idempotency-Key name different requests; give one of them.";
    for (header, detail) in [
        ("", form),
        ("\"\"", form),
        ("order 17", form),
        ("8e03978e40d5-43dd-bc93-6894a57f9324", form),
        ("8e03978e-40d5-43dd-bc93-6894a57f9325", two),
    ] {
        let fake = Fake::answering(work_given());
        let body = json!({ "root": ROOT, "request_id": NAME }).to_string();
        let headers = [KEY, ("idempotency-key", header)];
        let reply = call(fake.router(), Method::POST, "/v1/work", &headers, body).await;
        let problem: Value = serde_json::from_str(&reply.body).unwrap();
        assert_eq!((reply.status.as_u16(), &problem["detail"]), (400, &json!(detail)), "{header}");
        assert!(fake.asked().is_empty());
    }
}
