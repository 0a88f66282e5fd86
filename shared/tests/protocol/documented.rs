//! `docs/protocol.md` says what the code does: its tables are built here from the code, its examples are lines of the golden
//! files, and both have to stand in the document word for word.

use data_encoding::HEXLOWER;
use serde::Serialize;
use serde::de::DeserializeOwned;
use shared::network::BlockKind;
use shared::pow::Work;
use shared::protocol::{
    Backend, Form, PauseReason, ReplyOutcome, ServiceDemand, Topic, Verdict, WORK_LIST_MAX,
    WORKER_DEVICES_MAX, WORKER_TEXT_MAX, WorkKind,
};
use shared::{Network, Refusal, WorkSource, WorkerId};

use crate::{every_variant, golden, values};

const DOCUMENT: &str = include_str!("../../../docs/protocol.md");

/// The messages that have examples: all of them.
const MESSAGES: [&str; 9] = [
    "work_list",
    "work_result",
    "verdict_notice",
    "worker_hello",
    "worker_status",
    "service_request",
    "service_cancel",
    "service_reply",
    "network_statistics",
];

fn assert_documented(text: &str) {
    assert!(DOCUMENT.contains(text), "docs/protocol.md does not say:\n{text}");
}

/// The lines of all code blocks in this language.
fn examples(language: &str) -> Vec<&'static str> {
    let blocks = DOCUMENT.split("\n```").skip(1).step_by(2);
    blocks.filter_map(|block| block.strip_prefix(language)?.strip_prefix('\n')).flat_map(str::lines).collect()
}

/// The word of a variant in JSON, with or without fields.
fn word<E: Serialize>(variant: &E) -> String {
    match serde_json::to_value(variant).unwrap() {
        serde_json::Value::String(word) => word,
        other => other.as_object().unwrap().keys().next().unwrap().clone(),
    }
}

/// The variants with their numbers, as in ``0 `ondemand`, 1 `precache` ``.
fn numbered<E: Serialize + DeserializeOwned>() -> String {
    let variants = every_variant::<E>();
    let numbered =
        variants.iter().enumerate().map(|(number, variant)| format!("{number} `{}`", word(variant)));
    numbered.collect::<Vec<_>>().join(", ")
}

const fn yes_or_no(is_so: bool) -> &'static str {
    if is_so { "yes" } else { "no" }
}

#[test]
fn examples_in_json_are_those_of_the_golden_files() {
    let examples = examples("json");
    let golden = MESSAGES.map(|message| golden::lines(message, Form::Json));
    for example in &examples {
        assert!(golden.iter().flatten().any(|line| line == example), "{example}");
    }
    for (message, lines) in MESSAGES.iter().zip(&golden) {
        assert!(lines.iter().any(|line| examples.contains(&line.as_str())), "no example of {message}");
    }
}

#[test]
fn the_example_in_binary_is_that_of_the_golden_file() {
    assert_eq!(examples("hex"), golden::lines("work_result", Form::Binary));
}

#[test]
fn the_example_of_work_is_work() {
    let result = values::work_results()[0];
    let work = Work::verify(result.root, result.nonce, Network::Live.send_threshold()).unwrap();
    assert_documented(&format!("The nonce `{}` has the difficulty\n`{}`", work.nonce(), work.difficulty()));
    assert_documented(&format!("for the root `{}`.", work.root()));
}

#[test]
fn the_example_of_a_worker_id_is_derived_as_it_is_here() {
    let secret: [u8; 32] = core::array::from_fn(|index| u8::try_from(index).unwrap());
    let worker = WorkerId::of_secret(&secret);
    assert_documented(&format!(
        "| secret | `{}` |\n| digest | `{}` |\n| worker id | `{worker}` |\n",
        HEXLOWER.encode(&secret),
        HEXLOWER.encode(worker.as_bytes()),
    ));
}

#[test]
fn the_table_of_thresholds_is_the_networks() {
    let rows = Network::ALL.map(|network| {
        format!("| `{network}` | `{}` | `{}` |\n", network.send_threshold(), network.receive_threshold())
    });
    assert_documented(&rows.concat());
}

#[test]
fn the_table_of_topics_has_all_of_them_and_no_other() {
    let worker = WorkerId::of_secret(&[0; 32]);
    let service = "wallet".parse().unwrap();
    let spelled = [
        Topic::WorkRequest(worker),
        Topic::WorkResult(worker),
        Topic::WorkVerdict(worker),
        Topic::WorkerHello(worker),
        Topic::WorkerStatus(worker),
        Topic::ServiceRequest(service),
        Topic::ServiceCancel(service),
        Topic::ServiceReply(service),
        Topic::Heartbeat,
        Topic::StatsNetwork,
        Topic::StatsServices,
        Topic::StatsWorkers,
    ]
    .map(|topic| topic.to_string().replace(&worker.to_string(), "<worker>").replace("wallet", "<service>"));
    let table = DOCUMENT.split("| topic |").nth(1).unwrap().split("\n\n").next().unwrap();
    let rows: Vec<&str> = table.lines().skip(2).map(|row| row.split('`').nth(1).unwrap()).collect();
    assert_eq!(rows, spelled);
}

#[test]
fn the_numbers_of_all_enums_are_those_on_the_wire() {
    for cell in [
        format!("| `jobs[].kind` | enum | {} |", numbered::<WorkKind>()),
        format!("| `outcome.work.source` | enum | {} |", numbered::<WorkSource>()),
        format!("| `devices[].backend` | enum | {} |", numbered::<Backend>()),
        format!("set while the worker does not work: {} |", numbered::<PauseReason>()),
        format!("A subtype is one of {}.", numbered::<BlockKind>()),
    ] {
        assert_documented(&cell);
    }
    let demand = every_variant::<ServiceDemand>();
    let words: Vec<String> = demand.iter().map(word).collect();
    assert_documented(&format!(
        "0 `{}` with a threshold, 1 `{}` with an `f64`, 2 `{}`",
        words[0], words[1], words[2]
    ));
    let outcome = every_variant::<ReplyOutcome>();
    assert_documented(&format!("0 `{}` with the fields below, 1 `{}`", word(&outcome[0]), word(&outcome[1])));
    assert_eq!((demand.len(), outcome.len()), (3, 2));
}

#[test]
fn the_table_of_verdicts_is_the_enum() {
    let verdicts = every_variant::<Verdict>();
    for (number, verdict) in verdicts.iter().enumerate() {
        let fields = match verdict {
            Verdict::Late { .. } => " `by_ms` (`u32`)",
            Verdict::BelowThreshold { .. } => " `difficulty`, `threshold`",
            _ => "",
        };
        let counts = yes_or_no(verdict.counts_against_worker());
        assert_documented(&format!("| {number} | `{}` |{fields} | {counts} | ", word(verdict)));
    }
    assert_eq!(verdicts.len(), Verdict::NAMES.len());
}

#[test]
fn the_table_of_refusals_is_the_enum() {
    let row = |(number, refusal): (usize, &Refusal)| {
        let (code, status, again) =
            (refusal.code(), refusal.http_status(), yes_or_no(refusal.retry_can_help()));
        let (rpc_error, sentence) = (refusal.rpc_error(), refusal.sentence());
        format!("| {number} | `{code}` | {status} | `{rpc_error}` | {again} | {sentence} |\n")
    };
    let rows: String = Refusal::ALL.iter().enumerate().map(row).collect();
    assert_documented(&format!("{rows}\n"));
    assert_eq!(every_variant::<Refusal>(), Refusal::ALL);
}

#[test]
fn the_bounds_of_messages_are_those_of_the_code() {
    assert_documented(&format!("| `jobs` | list | at most {WORK_LIST_MAX}, "));
    assert_documented(&format!("| `devices` | list | at most {WORKER_DEVICES_MAX} |"));
    assert_documented(&format!("in the order of the newest hello; at most {WORKER_DEVICES_MAX} |"));
    assert_documented(&format!("| `devices[].name` | text | at most {WORKER_TEXT_MAX} bytes |"));
    assert_documented(&format!(
        "| `capacity` | `u8` | how many jobs it wants on its list, 1 to {WORK_LIST_MAX} |"
    ));
}
