//! What a request is called elsewhere: a proxy's `X-Request-Id`, and the trace that it is a part of (W3C Trace Context).
//!
//! # Source
//! W3C, Trace Context, section 3.2 (`traceparent`).

use axum::http::{HeaderMap, HeaderName, HeaderValue};
use shared::RequestId;
use tracing::{Span, debug_span};

use crate::problem::X_REQUEST_ID;

/// The header of a trace, in requests and in answers.
const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");

/// The names that a request came with.
pub(crate) struct Trace {
    /// Beside our own names in the log, so that either leads to the other.
    pub(crate) span: Span,
    /// What its answer says of its trace: the same one, and that the next step of it was here.
    pub(crate) answer: Option<HeaderValue>,
}

impl Trace {
    /// Reads the headers of a request. What is not well formed is ignored, since it might hold anything.
    ///
    /// `X-Request-Id` is no [`request_id`](crate::source::WorkRequest::request): one id often goes with several requests. It counts as
    /// 32 hexadecimal digits or a UUID.
    pub(crate) fn of(headers: &HeaderMap) -> Self {
        let is_usual =
            |given: &&str| given.len() <= 36 && given.replace('-', "").parse::<RequestId>().is_ok();
        let given = headers.get(X_REQUEST_ID).and_then(|value| value.to_str().ok()).filter(is_usual);
        let parent = Parent::of(headers);
        let span = match (given, &parent) {
            (None, None) => Span::none(),
            (given, parent) => {
                let trace = parent.as_ref().map(|parent| parent.trace);
                debug_span!("http.request", http.request_id = given, trace.id = trace)
            }
        };
        Self { span, answer: parent.and_then(|parent| parent.next()) }
    }
}

/// A trace, as the header names it.
struct Parent<'a> {
    trace: &'a str,
    flags: &'a str,
}

impl<'a> Parent<'a> {
    fn of(headers: &'a HeaderMap) -> Option<Self> {
        let mut values = headers.get_all(TRACEPARENT).iter();
        let (Some(value), None) = (values.next(), values.next()) else { return None };
        let text = value.to_str().ok()?;
        // Later versions may add to it.
        let is_longer = text.len() > 55 && text.as_bytes().get(55) == Some(&b'-') && !text.starts_with("00");
        if text.len() != 55 && !is_longer {
            return None;
        }
        let parts: Vec<&str> = text.get(..55)?.split('-').collect();
        let [version, trace, parent, flags] = parts[..] else { return None };
        let is_hexadecimal = |part: &str, digits| {
            part.len() == digits && part.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
        };
        let is_name =
            |part: &str, digits| is_hexadecimal(part, digits) && part.bytes().any(|byte| byte != b'0');
        let is_good = is_hexadecimal(version, 2)
            && version != "ff"
            && is_name(trace, 32)
            && is_name(parent, 16)
            && is_hexadecimal(flags, 2);
        is_good.then_some(Self { trace, flags })
    }

    fn next(&self) -> Option<HeaderValue> {
        let mut step = [0; 8];
        getrandom::fill(&mut step).ok()?;
        let step = u64::from_be_bytes(step).max(1);
        HeaderValue::try_from(format!("00-{}-{step:016x}-{}", self.trace, self.flags)).ok()
    }
}

/// Adds to an answer what is said of its trace.
pub(crate) fn add(headers: &mut HeaderMap, answer: Option<HeaderValue>) {
    headers.extend(answer.map(|answer| (TRACEPARENT, answer)));
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

    fn answer(values: &[&str]) -> Option<String> {
        let headers = values.iter().map(|value| (TRACEPARENT, HeaderValue::try_from(*value).unwrap()));
        Trace::of(&headers.collect()).answer.map(|value| value.to_str().unwrap().to_owned())
    }

    #[test]
    fn the_next_step_of_the_same_trace_is_named() {
        for more in ["00-", "cc-"] {
            let given = format!("{more}{TRACE}-00f067aa0ba902b7-01");
            let answer = answer(&[&given]).unwrap();
            assert!(answer.starts_with(&format!("00-{TRACE}-")) && answer.ends_with("-01"), "{answer}");
            assert_eq!(answer.len(), 55);
            assert_ne!(answer, given);
        }
        assert!(answer(&[&format!("cc-{TRACE}-00f067aa0ba902b7-01-more")]).is_some());
    }

    #[test]
    fn what_is_no_trace_is_ignored() {
        let good = format!("00-{TRACE}-00f067aa0ba902b7-01");
        for bad in [
            String::new(),
            format!("ff{}", &good[2..]),
            format!("{good}-more"),
            good.to_uppercase(),
            format!("00-{}-00f067aa0ba902b7-01", "0".repeat(32)),
            format!("00-{TRACE}-{}-01", "0".repeat(16)),
            format!("00-{TRACE}-00f067aa0ba902b7-0"),
            format!("00{TRACE}-00f067aa0ba902b7-001"),
        ] {
            assert_eq!(answer(&[&bad]), None, "{bad}");
        }
        assert_eq!(answer(&[&good, &good]), None, "two of them contradict each other");
        assert_eq!(answer(&[]), None);
    }
}
