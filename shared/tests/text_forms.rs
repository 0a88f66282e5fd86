//! Properties of everything that has a text: what is written reads back as itself, and what is not the text of a value is
//! refused rather than guessed. And of prices, which follow from thresholds alone.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use proptest::prelude::*;
use shared::account::Prefix;
use shared::credits::price;
use shared::pow::{Difficulty, Nonce, Root, Threshold};
use shared::protocol::{Filter, Topic, WildcardFilter};
use shared::{Account, HoldId, JobId, Millicredits, Network, RequestId, ServiceId, TransferId, WorkerId};

fn service_id() -> impl Strategy<Value = ServiceId> {
    "[a-z0-9][a-z0-9-]{0,31}".prop_map(|name| name.parse().unwrap())
}

fn topic() -> impl Strategy<Value = Topic> {
    (any::<[u8; 16]>().prop_map(WorkerId::from_bytes), service_id(), 0_usize..12).prop_map(
        |(worker, service, index)| {
            [
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
            ][index]
        },
    )
}

/// Thresholds of every hardness alike: a uniform number would nearly always be met at once.
fn threshold() -> impl Strategy<Value = Threshold> {
    (any::<u64>(), 0_u32..64).prop_map(|(below, bits)| Threshold::new(u64::MAX - (below >> bits)))
}

/// Whether an MQTT broker would deliver a message on `topic` to a subscriber of `filter` (MQTT 3.1.1 section 4.7).
fn is_delivered(filter: &str, topic: &str) -> bool {
    match filter.strip_suffix('#') {
        Some(level) => topic.starts_with(level),
        None => filter == topic,
    }
}

proptest! {
    #[test]
    fn numbers_of_work(value: u64) {
        let text = format!("{value:016x}");
        let short = format!("{value:X}");
        prop_assert_eq!(Threshold::new(value).to_string(), text.clone());
        prop_assert_eq!(text.parse(), Ok(Nonce::new(value)));
        prop_assert_eq!(text.to_uppercase().parse(), Ok(Difficulty::new(value)));
        prop_assert_eq!(Threshold::parse_padded(&short), Ok(Threshold::new(value)));
        prop_assert_eq!(short.parse::<Threshold>().is_ok(), short.len() == 16);
    }

    #[test]
    fn roots(bytes: [u8; 32]) {
        let root = Root::new(bytes);
        let text = root.to_string();
        prop_assert_eq!(text.parse(), Ok(root));
        prop_assert_eq!(text.to_lowercase().parse(), Ok(root));
        prop_assert_eq!(Root::parse_padded(text.trim_start_matches('0')).unwrap_or(Root::new([0; 32])), root);
        prop_assert!(text[1..].parse::<Root>().is_err());
    }

    #[test]
    fn accounts(key: [u8; 32], other in 0_usize..60) {
        let account = Account::from_public_key(key);
        for prefix in [Prefix::Nano, Prefix::Xrb, Prefix::Ban] {
            let address = account.to_address(prefix);
            prop_assert_eq!(Account::parse_with_prefix(&address), Ok((account, prefix)));
            let mut wrong = address.into_bytes();
            let position = prefix.as_str().len() + other;
            wrong[position] = if wrong[position] == b'1' { b'3' } else { b'1' };
            prop_assert!(Account::parse_with_prefix(&String::from_utf8(wrong).unwrap()).is_err());
        }
        for network in Network::ALL {
            prop_assert_eq!(network.parse_address(&network.format_address(account)), Ok(account));
        }
    }

    #[test]
    fn ids(number: u128, bytes: [u8; 16]) {
        let text = format!("{number:032x}");
        prop_assert_eq!(RequestId::from_u128(number).to_string(), text.clone());
        prop_assert_eq!(text.parse(), Ok(RequestId::from_u128(number)));
        prop_assert_eq!(text.to_uppercase().parse(), Ok(TransferId::from_u128(number)));
        prop_assert_eq!(JobId::from_u128(number).to_string(), text.clone());
        prop_assert_eq!(text.parse::<HoldId>().map(HoldId::as_u128), Ok(number));
        prop_assert!(text[1..].parse::<RequestId>().is_err());
        let worker = WorkerId::from_bytes(bytes);
        prop_assert_eq!(worker.to_string().parse(), Ok(worker));
    }

    /// Whatever reads as an id is spelled in the one way in which the id is written: there are no aliases.
    #[test]
    fn an_id_in_a_topic_has_one_spelling(text in "[a-z2-7]{26}", name in "[a-zA-Z0-9/+#_. -]{0,34}") {
        if let Ok(worker) = text.parse::<WorkerId>() {
            prop_assert_eq!(worker.to_string(), text);
        }
        if let Ok(service) = name.parse::<ServiceId>() {
            prop_assert_eq!(service.as_str(), name.as_str());
            prop_assert!(!name.contains(['/', '+', '#']));
        }
    }

    #[test]
    fn topics_and_filters(topic in topic()) {
        let text = topic.to_string();
        prop_assert!(text.len() <= 128);
        prop_assert_eq!(text.parse(), Ok(topic));
        prop_assert_eq!(text.parse(), Ok(Filter::Exact(topic)));
        for filter in WildcardFilter::ALL.map(Filter::Wildcard).into_iter().chain([Filter::Exact(topic)]) {
            let spelled = filter.to_string();
            prop_assert_eq!(spelled.parse(), Ok(filter));
            prop_assert_eq!(filter.matches(topic), is_delivered(&spelled, &text));
        }
    }

    #[test]
    fn any_text_is_a_topic_only_as_it_would_be_written(
        text in "(work|worker|service|stats|heartbeat|request|reply|hello|network|[a-z2-7]{26}|[/+#$ ]){0,7}",
    ) {
        if let Ok(topic) = text.parse::<Topic>() {
            prop_assert_eq!(topic.to_string(), text.clone());
            prop_assert!(!text.contains(['+', '#', '$', ' ']));
        }
        if let Ok(filter) = text.parse::<Filter>() {
            prop_assert_eq!(filter.to_string(), text);
        }
    }

    #[test]
    fn a_harder_work_never_costs_less(one in threshold(), other in threshold(), network in 0..Network::ALL.len()) {
        let base = Network::ALL[network].send_threshold();
        let (low, high) = (one.min(other), one.max(other));
        prop_assert!(price(low, base) <= price(high, base));
        prop_assert!(price(low, base) > Millicredits::ZERO);
        prop_assert_eq!(price(base, base), Millicredits::CREDIT);
    }
}
