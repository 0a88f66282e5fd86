//! For every message: it reads back as itself in both forms, nothing that is not exactly one message is read, and no input
//! stops the reader.

use core::fmt::Debug;

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;
use serde::de::DeserializeOwned;
use shared::pow::{Difficulty, Nonce, Root, Threshold};
use shared::protocol::{
    AnswerTimes, DecodeError, DeviceReport, Form, ListedJob, Message, NetworkStatistics, RepliedWork,
    ReplyOutcome, SearchedTimes, ServiceCancel, ServiceDemand, ServiceReply, ServiceRequest, VERSION,
    Verdict, VerdictNotice, WORK_LIST_MAX, WORKER_DEVICES_MAX, WorkList, WorkResult, WorkerHello,
    WorkerStatus, WorkerTotals, decode, encode,
};
use shared::{Account, JobId, Millicredits, RequestId};

use crate::every_variant;

/// Any variant of an enum without fields.
fn variant<E: DeserializeOwned + Clone + Debug + 'static>() -> impl Strategy<Value = E> {
    select(every_variant())
}

/// Numbers of every length alike: a uniform one is nearly always as long as it can be.
fn number() -> impl Strategy<Value = u64> {
    (any::<u64>(), 0_u32..64).prop_map(|(number, bits)| number >> bits)
}

fn job() -> impl Strategy<Value = JobId> {
    any::<u128>().prop_map(JobId::from_u128)
}

fn request() -> impl Strategy<Value = RequestId> {
    any::<u128>().prop_map(RequestId::from_u128)
}

fn root() -> impl Strategy<Value = Root> {
    any::<[u8; 32]>().prop_map(Root::new)
}

fn threshold() -> impl Strategy<Value = Threshold> {
    number().prop_map(Threshold::new)
}

fn difficulty() -> impl Strategy<Value = Difficulty> {
    number().prop_map(Difficulty::new)
}

fn nonce() -> impl Strategy<Value = Nonce> {
    number().prop_map(Nonce::new)
}

fn millicredits() -> impl Strategy<Value = Millicredits> {
    number().prop_map(Millicredits::new)
}

fn work_list() -> impl Strategy<Value = WorkList> {
    let listed = (job(), root(), threshold(), variant(), any::<u32>()).prop_map(
        |(job, root, threshold, kind, remaining_ms)| ListedJob { job, root, threshold, kind, remaining_ms },
    );
    (any::<u32>(), vec(listed, 0..=WORK_LIST_MAX)).prop_map(|(sequence, jobs)| WorkList { sequence, jobs })
}

fn work_result() -> impl Strategy<Value = WorkResult> {
    (job(), root(), nonce()).prop_map(|(job, root, nonce)| WorkResult { job, root, nonce })
}

fn verdict() -> impl Strategy<Value = Verdict> {
    prop_oneof![
        variant(),
        any::<u32>().prop_map(|by_ms| Verdict::Late { by_ms }),
        (difficulty(), threshold())
            .prop_map(|(difficulty, threshold)| Verdict::BelowThreshold { difficulty, threshold }),
    ]
}

fn verdict_notice() -> impl Strategy<Value = VerdictNotice> {
    let totals = (number(), number(), number(), millicredits())
        .prop_map(|(accepted, late, refused, earned_mc)| WorkerTotals { accepted, late, refused, earned_mc });
    (job(), root(), verdict(), totals).prop_map(|(job, root, verdict, totals)| VerdictNotice {
        job,
        root,
        verdict,
        totals,
    })
}

/// With few enough devices that the JSON form, with every character escaped, is within the limit of the uplink.
fn worker_hello() -> impl Strategy<Value = WorkerHello> {
    let text = || "[ -~\u{e4}\u{4e16}]{0,16}";
    let device = (text(), variant(), number()).prop_map(|(name, backend, hashes_per_second)| DeviceReport {
        name,
        backend,
        hashes_per_second,
    });
    (text(), vec(device, 0..=4), number(), 1_u8..=8, threshold(), any::<bool>()).prop_map(
        |(software, devices, hashes_per_second, capacity, threshold_max, precache)| WorkerHello {
            software,
            devices,
            hashes_per_second,
            capacity,
            threshold_max,
            precache,
        },
    )
}

fn worker_status() -> impl Strategy<Value = WorkerStatus> {
    let devices = vec(number(), 0..=WORKER_DEVICES_MAX);
    (number(), devices, option::of(any::<i16>()), option::of(variant())).prop_map(
        |(hashes_per_second, devices_hashes_per_second, temperature_c, paused)| WorkerStatus {
            hashes_per_second,
            devices_hashes_per_second,
            temperature_c,
            paused,
        },
    )
}

fn service_request() -> impl Strategy<Value = ServiceRequest> {
    use proptest::num::f64::{NORMAL, POSITIVE, SUBNORMAL};
    let demand = prop_oneof![
        threshold().prop_map(ServiceDemand::Threshold),
        (POSITIVE | NORMAL | SUBNORMAL).prop_map(ServiceDemand::Multiplier),
        variant().prop_map(ServiceDemand::Subtype),
    ];
    let account = any::<[u8; 32]>().prop_map(Account::from_public_key);
    let may_be_absent = (option::of(account), option::of(any::<u32>()), option::of(variant()));
    (request(), root(), demand, may_be_absent).prop_map(
        |(request, root, demand, (account, timeout_ms, class))| ServiceRequest {
            request,
            root,
            demand,
            account,
            timeout_ms,
            class,
        },
    )
}

fn service_cancel() -> impl Strategy<Value = ServiceCancel> {
    request().prop_map(|request| ServiceCancel { request })
}

fn service_reply() -> impl Strategy<Value = ServiceReply> {
    let amounts = (any::<u32>(), millicredits(), option::of(millicredits()));
    let work = (root(), nonce(), difficulty(), variant(), amounts).prop_map(
        |(root, nonce, difficulty, source, (elapsed_ms, charged_mc, balance_mc))| RepliedWork {
            root,
            nonce,
            difficulty,
            source,
            elapsed_ms,
            charged_mc,
            balance_mc,
        },
    );
    let outcome = prop_oneof![work.prop_map(ReplyOutcome::Work), variant().prop_map(ReplyOutcome::Refused)];
    (request(), outcome).prop_map(|(request, outcome)| ServiceReply { request, outcome })
}

fn network_statistics() -> impl Strategy<Value = NetworkStatistics> {
    let percent = || option::of(any::<u8>());
    let time = || {
        (number(), any::<u32>(), any::<u32>(), any::<u32>())
            .prop_map(|(works, p50_ms, p95_ms, p99_ms)| AnswerTimes { works, p50_ms, p95_ms, p99_ms })
    };
    let times = proptest::array::uniform4(time()).prop_map(
        |[ondemand_send, ondemand_receive, precache_send, precache_receive]| SearchedTimes {
            ondemand_send,
            ondemand_receive,
            precache_send,
            precache_receive,
        },
    );
    let measured = (option::of(any::<u32>()), percent(), percent(), times);
    (proptest::array::uniform11(number()), measured).prop_map(
        |(
            [
                workers,
                hashes_per_second,
                jobs_open,
                jobs_unplaced,
                requests_open,
                requests_answered,
                requests_refused,
                results_accepted,
                works_cached,
                results_received,
                lists_sent,
            ],
            (messages_per_work, efficiency_percent, fairness_percent, searched),
        )| NetworkStatistics {
            workers,
            hashes_per_second,
            jobs_open,
            jobs_unplaced,
            requests_open,
            requests_answered,
            requests_refused,
            results_accepted,
            works_cached,
            results_received,
            lists_sent,
            messages_per_work,
            efficiency_percent,
            fairness_percent,
            searched,
        },
    )
}

fn reads_back_as_itself<M: Message + PartialEq + Debug>(message: &M) -> Result<(), TestCaseError> {
    for form in [Form::Binary, Form::Json] {
        let payload = encode(message, form);
        let (read, read_form) =
            decode::<M>(&payload).map_err(|error| TestCaseError::fail(error.to_string()))?;
        prop_assert_eq!((&read, read_form), (message, form));
    }
    Ok(())
}

/// A message with more or fewer bytes, or of another version, is not a message.
fn nothing_else_is_read<M: Message + PartialEq + Debug>(
    message: &M,
    surplus: &[u8],
    version: u8,
) -> Result<(), TestCaseError> {
    let payload = encode(message, Form::Binary);
    for end in 0..payload.len() {
        prop_assert!(decode::<M>(&payload[..end]).is_err(), "the first {} bytes", end);
    }
    if payload.len() + surplus.len() <= M::SIZE_MAX {
        let refusal = Err(DecodeError::Trailing(surplus.len()));
        prop_assert_eq!(decode::<M>(&[payload.as_slice(), surplus].concat()), refusal);
    }
    if version != VERSION && version != b'{' {
        let other = [&[version], &payload[1..]].concat();
        prop_assert_eq!(decode::<M>(&other), Err(DecodeError::Version(version)));
    }
    let json = [encode(message, Form::Json).as_slice(), b"}"].concat();
    prop_assert!(decode::<M>(&json).is_err());
    Ok(())
}

/// Whatever is read can be written, and then reads as the same: no input is half a message.
fn what_is_read_is_a_message<M: Message + PartialEq + Debug>(payload: &[u8]) -> Result<(), TestCaseError> {
    match decode::<M>(payload) {
        Ok((message, form)) => {
            let again = decode::<M>(&encode(&message, form));
            prop_assert_eq!(again, Ok((message, form)));
        }
        Err(_) if payload.is_empty() => prop_assert_eq!(decode::<M>(payload), Err(DecodeError::Empty)),
        Err(_) => {}
    }
    Ok(())
}

/// A payload of which one byte is another.
fn damaged<M: Message>(message: &M, form: Form, index: usize, byte: u8) -> Vec<u8> {
    let mut payload = encode(message, form);
    let index = index % payload.len();
    payload[index] = byte;
    payload
}

macro_rules! properties {
    ($($message:ident: $type:ty),* $(,)?) => {$(
        mod $message {
            use super::*;

            proptest! {
                #[test]
                fn reads_back(message in super::$message()) {
                    reads_back_as_itself(&message)?;
                }

                #[test]
                fn is_read_whole_or_not_at_all(
                    message in super::$message(), surplus in vec(any::<u8>(), 1..4), version: u8,
                ) {
                    nothing_else_is_read(&message, &surplus, version)?;
                }

                #[test]
                fn damage_is_survived(message in super::$message(), index: usize, byte: u8) {
                    for form in [Form::Binary, Form::Json] {
                        what_is_read_is_a_message::<$type>(&damaged(&message, form, index, byte))?;
                    }
                }

                #[test]
                fn any_bytes_are_survived(mut bytes in vec(any::<u8>(), 0..200)) {
                    what_is_read_is_a_message::<$type>(&bytes)?;
                    bytes.insert(0, VERSION);
                    what_is_read_is_a_message::<$type>(&bytes)?;
                }
            }
        }
    )*};
}

properties! {
    work_list: WorkList,
    work_result: WorkResult,
    verdict_notice: VerdictNotice,
    worker_hello: WorkerHello,
    worker_status: WorkerStatus,
    service_request: ServiceRequest,
    service_cancel: ServiceCancel,
    service_reply: ServiceReply,
    network_statistics: NetworkStatistics,
}
