//! What the types cannot hold is refused by its field, and what JSON can spell in two ways means the same.

use shared::protocol::{
    DecodeError, Form, Message, ServiceDemand, ServiceReply, ServiceRequest, WORK_LIST_MAX,
    WORKER_DEVICES_MAX, WORKER_TEXT_MAX, WorkList, WorkerHello, WorkerStatus, decode, encode,
};

use crate::values;

fn refusal_of<M: Message>(message: &M) -> Option<DecodeError> {
    decode::<M>(&encode(message, Form::Binary)).err()
}

#[test]
fn a_list_has_at_most_eight_jobs() {
    let job = values::work_lists()[0].jobs[0];
    let list = |count| WorkList { sequence: 1, jobs: vec![job; count] };
    assert_eq!(refusal_of(&list(WORK_LIST_MAX)), None);
    let refusal = Some(DecodeError::Bounds("jobs: at most 8 are listed"));
    assert_eq!(refusal_of(&list(WORK_LIST_MAX + 1)), refusal);
}

#[test]
fn a_hello_is_bounded_in_every_field() {
    let valid = || values::worker_hellos()[0].clone();
    let long = || "x".repeat(WORKER_TEXT_MAX + 1);
    let mut device = valid().devices[0].clone();
    let many = vec![device.clone(); WORKER_DEVICES_MAX + 1];
    device.name = long();
    for (hello, field) in [
        (WorkerHello { software: long(), ..valid() }, "software: at most 48 bytes"),
        (WorkerHello { devices: many, ..valid() }, "devices: at most 16 are reported"),
        (WorkerHello { devices: vec![device], ..valid() }, "devices: a name has at most 48 bytes"),
        (WorkerHello { capacity: 0, ..valid() }, "capacity: 1 to 8"),
        (WorkerHello { capacity: 9, ..valid() }, "capacity: 1 to 8"),
    ] {
        assert_eq!(refusal_of(&hello), Some(DecodeError::Bounds(field)));
    }
    assert_eq!(refusal_of(&valid()), None);
}

#[test]
fn a_status_tells_of_at_most_sixteen_devices() {
    let status = |count| WorkerStatus {
        devices_hashes_per_second: vec![u64::MAX; count],
        ..values::worker_statuses()[0].clone()
    };
    assert_eq!(refusal_of(&status(WORKER_DEVICES_MAX)), None);
    assert!(encode(&status(WORKER_DEVICES_MAX), Form::Json).len() < 1_024);
    let refusal = Some(DecodeError::Bounds("devices_hashes_per_second: at most 16 are reported"));
    assert_eq!(refusal_of(&status(WORKER_DEVICES_MAX + 1)), refusal);
}

#[test]
fn a_multiplier_is_a_finite_number_above_zero() {
    let request =
        |ratio| ServiceRequest { demand: ServiceDemand::Multiplier(ratio), ..values::service_requests()[0] };
    for ratio in [0.0, -0.0, -1.0, f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
        let refusal = Some(DecodeError::Bounds("multiplier: a finite number greater than 0"));
        assert_eq!(refusal_of(&request(ratio)), refusal, "{ratio}");
    }
    assert_eq!(refusal_of(&request(f64::MIN_POSITIVE)), None);
    let json = String::from_utf8(encode(&request(1.5), Form::Json)).unwrap();
    for ratio in ["0", "-1", "1e999", "null", "NaN", "\"1.5\""] {
        assert!(decode::<ServiceRequest>(json.replace("1.5", ratio).as_bytes()).is_err(), "{ratio}");
    }
}

#[test]
fn payloads_are_bounded_in_both_directions() {
    let padded = |size: usize| format!("{}{}", r#"{"sequence":1,"jobs":[]}"#, " ".repeat(size - 24));
    assert!(decode::<WorkList>(padded(4096).as_bytes()).is_ok());
    let refusal = DecodeError::TooLarge { size: 4097, limit: 4096 };
    assert_eq!(decode::<WorkList>(padded(4097).as_bytes()), Err(refusal));
    let refusal = DecodeError::TooLarge { size: 1025, limit: 1024 };
    assert_eq!(decode::<WorkerHello>(&[b'{'; 1025]), Err(refusal));
}

/// A list that claims four thousand million jobs in a few bytes costs a reader nothing.
#[test]
fn a_claimed_length_is_not_believed() {
    assert_eq!(decode::<WorkList>(&[1, 0, 0xff, 0xff, 0xff, 0xff, 0x0f]), Err(DecodeError::Binary));
}

#[test]
fn json_has_only_the_fields_of_the_message_each_once() {
    for text in [
        r#"{"sequence":1}"#,
        r#"{"sequence":1,"jobs":[],"more":0}"#,
        r#"{"sequence":1,"sequence":1,"jobs":[]}"#,
        r#"{"sequence":-1,"jobs":[]}"#,
        r#"{"sequence":1.0,"jobs":[]}"#,
        r#"{"sequence":"1","jobs":[]}"#,
        r#"{"sequence":4294967296,"jobs":[]}"#,
        r#"{"sequence":1,"jobs":[]}{}"#,
    ] {
        assert!(matches!(decode::<WorkList>(text.as_bytes()), Err(DecodeError::Json(_))), "{text}");
    }
    let secret = decode::<WorkList>(br#"{"sequence":"a secret","a secret":[]}"#).unwrap_err().to_string();
    assert!(secret.contains("line 1 column 22") && !secret.contains("a secret"), "{secret}");
    assert_eq!(decode::<WorkList>(br#" {"sequence":1,"jobs":[]}"#), Err(DecodeError::Version(b' ')));
    let late = r#"{"job":"00000000000000000000000000000000","root":"0000000000000000000000000000000000000000000000000000000000000000","verdict":{"late":{"by_ms":1,"more":2}},"totals":{"accepted":0,"late":0,"refused":0,"earned_mc":0}}"#;
    assert!(decode::<shared::protocol::VerdictNotice>(late.as_bytes()).is_err());
}

/// The JSON reader knows a second spelling of words and of nested objects. Both mean the same, so neither is refused.
#[test]
fn the_second_spelling_in_json_means_the_same() {
    let id = "0f1e2d3c4b5a69788796a5b4c3d2e1f0";
    let word = format!(r#"{{"request":"{id}","outcome":{{"refused":"expired"}}}}"#);
    let object = format!(r#"{{"request":"{id}","outcome":{{"refused":{{"expired":null}}}}}}"#);
    let read = |text: &str| decode::<ServiceReply>(text.as_bytes()).unwrap();
    assert_eq!(read(&word), read(&object));

    let list = &values::work_lists()[0];
    let json = String::from_utf8(encode(list, Form::Json)).unwrap();
    let absent = json.replace(r#""kind":"ondemand""#, r#""kind":{"ondemand":null}"#);
    assert_ne!(json, absent);
    assert_eq!(decode::<WorkList>(absent.as_bytes()).as_ref(), Ok(&(list.clone(), Form::Json)));
}

/// A field that may be null may be absent as well.
#[test]
fn an_absent_option_is_null() {
    let request =
        ServiceRequest { account: None, timeout_ms: None, class: None, ..values::service_requests()[0] };
    let json = String::from_utf8(encode(&request, Form::Json)).unwrap();
    let absent = json
        .replace(r#","account":null"#, "")
        .replace(r#","timeout_ms":null"#, "")
        .replace(r#","class":null"#, "");
    assert_eq!(json.matches("null").count(), 3);
    assert!(!absent.contains("null"), "{absent}");
    assert_eq!(decode(absent.as_bytes()), Ok((request, Form::Json)));
}
