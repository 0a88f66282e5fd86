//! The bytes of version 1, pinned: they are what programs in the field read and write.
//!
//! Each message has two files, `golden/<message>.v1.json` and `golden/<message>.v1.bin.hex`, with one payload a line; line n of
//! one is the same value as line n of the other. A file that exists is never written. A missing one is written by
//!
//! ```text
//! GOLDEN_WRITE_MISSING=1 cargo test -p dpow-shared --test protocol
//! ```
//!
//! Lines change only while the version is not released. After that, a difference means a new version with its own files.

#![expect(clippy::disallowed_methods, reason = "the pinned files are read here and, where missing, written")]

use core::fmt::Debug;
use std::path::PathBuf;

use data_encoding::HEXLOWER;
use shared::protocol::{
    Form, Message, ReplyOutcome, ServiceDemand, Verdict, WORK_LIST_MAX, WORKER_DEVICES_MAX, WORKER_TEXT_MAX,
    WorkList, decode, encode,
};

use crate::{every_variant, values};

fn line<M: Message>(message: &M, form: Form) -> String {
    let payload = encode(message, form);
    match form {
        Form::Binary => HEXLOWER.encode(&payload),
        Form::Json => String::from_utf8(payload).unwrap(),
    }
}

fn payload_of(line: &str, form: Form) -> Vec<u8> {
    match form {
        Form::Binary => HEXLOWER.decode(line.as_bytes()).unwrap(),
        Form::Json => line.into(),
    }
}

/// Where the file of a message is, from the directory of the crate.
fn file_of(name: &str, form: Form) -> String {
    let extension = match form {
        Form::Binary => "bin.hex",
        Form::Json => "json",
    };
    format!("tests/golden/{name}.v1.{extension}")
}

fn path_of(file: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(file)
}

/// The lines of a golden file.
pub(crate) fn lines(name: &str, form: Form) -> Vec<String> {
    let file = file_of(name, form);
    let text = std::fs::read_to_string(path_of(&file))
        .unwrap_or_else(|error| panic!("{file}: {error}; GOLDEN_WRITE_MISSING=1 writes what is missing"));
    text.lines().map(String::from).collect()
}

/// Writes a golden file that is missing, if that is asked for.
fn write_missing(name: &str, form: Form, lines: &[String]) {
    let path = path_of(&file_of(name, form));
    if !path.exists() && std::env::var("GOLDEN_WRITE_MISSING").is_ok() {
        std::fs::write(&path, lines.join("\n") + "\n").unwrap();
    }
}

fn check<M: Message + PartialEq + Debug>(name: &str, messages: &[M]) {
    for form in [Form::Binary, Form::Json] {
        let written: Vec<String> = messages.iter().map(|message| line(message, form)).collect();
        write_missing(name, form, &written);
        let pinned = lines(name, form);
        assert_eq!(pinned, written, "{name} as {form:?}");
        for (line, message) in pinned.iter().zip(messages) {
            let payload = payload_of(line, form);
            let (read, read_form) = decode::<M>(&payload).unwrap();
            assert_eq!((&read, read_form), (message, form), "{line}");
            for end in 0..payload.len() {
                assert!(decode::<M>(&payload[..end]).is_err(), "the first {end} bytes of {line}");
            }
        }
    }
    assert!(!messages.is_empty(), "{name}");
}

#[test]
fn work_list() {
    check("work_list", &values::work_lists());
}

#[test]
fn work_result() {
    check("work_result", &values::work_results());
}

#[test]
fn verdict_notice() {
    let notices = values::verdict_notices();
    check("verdict_notice", &notices);
    assert_eq!(
        Verdict::NAMES.to_vec(),
        notices.iter().map(|notice| notice.verdict.as_str()).collect::<Vec<_>>()
    );
}

#[test]
fn worker_hello() {
    check("worker_hello", &values::worker_hellos());
}

#[test]
fn worker_status() {
    check("worker_status", &values::worker_statuses());
}

#[test]
fn service_request() {
    let requests = values::service_requests();
    check("service_request", &requests);
    let demands = requests.iter().map(|request| core::mem::discriminant(&request.demand));
    let kinds = every_variant::<ServiceDemand>();
    assert!(kinds.iter().all(|kind| demands.clone().any(|demand| demand == core::mem::discriminant(kind))));
}

#[test]
fn service_cancel() {
    check("service_cancel", &values::service_cancels());
}

#[test]
fn service_reply() {
    let replies = values::service_replies();
    check("service_reply", &replies);
    let outcomes = replies.iter().map(|reply| core::mem::discriminant(&reply.outcome));
    let kinds = every_variant::<ReplyOutcome>();
    assert!(
        kinds.iter().all(|kind| outcomes.clone().any(|outcome| outcome == core::mem::discriminant(kind)))
    );
}

#[test]
fn network_statistics() {
    check("network_statistics", &values::network_statistics());
}

/// A list with all jobs there may be and all numbers at their longest: what a gate sends to a busy worker at most.
#[test]
fn the_largest_list_has_519_bytes() {
    let mut job = values::work_lists()[0].jobs[0];
    (job.threshold, job.remaining_ms) = (shared::pow::Threshold::new(u64::MAX), u32::MAX);
    let list = WorkList { sequence: u32::MAX, jobs: vec![job; WORK_LIST_MAX] };
    assert_eq!(encode(&list, Form::Binary).len(), 519);
    assert_eq!(encode(&list, Form::Json).len(), 1_568);
    assert_eq!(decode(&encode(&list, Form::Json)), Ok((list, Form::Json)));
}

/// A worker with all devices there may be fits into a binary payload at any rate that hardware has.
#[test]
fn the_largest_hello_has_965_bytes() {
    let mut hello = values::worker_hellos()[0].clone();
    (hello.software, hello.hashes_per_second) = ("s".repeat(WORKER_TEXT_MAX), (1 << 42) - 1);
    (hello.devices[0].name, hello.devices[0].hashes_per_second) =
        ("d".repeat(WORKER_TEXT_MAX), (1 << 42) - 1);
    hello.threshold_max = shared::pow::Threshold::new(u64::MAX);
    hello.devices = vec![hello.devices[0].clone(); WORKER_DEVICES_MAX];
    assert_eq!(encode(&hello, Form::Binary).len(), 965);
    assert_eq!(decode(&encode(&hello, Form::Binary)), Ok((hello, Form::Binary)));
}
