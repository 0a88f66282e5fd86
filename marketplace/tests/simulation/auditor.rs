//! A market that does wrong: its effects are changed on their way out, and the auditor must say which rule that breaks.

use marketplace::sim::{Class, Rule, Scenario, Span, simulate_tampered};
use marketplace::{Caller, Effect};
use shared::protocol::{Verdict, WorkKind};
use shared::{Millicredits, Outcome, Payee, Refusal, SessionId};

/// A market in which requests are answered, withdrawn, run out of time, and are asked again.
fn scenario() -> Scenario {
    let mut scenario = Scenario::volunteers(5, 20, 0.5, 200);
    for customer in &mut scenario.customers {
        customer.mix = vec![(Class::Receive, 1.0), (Class::Send, 1.0)];
        customer.timeout_ms = Span::new(200.0, 20_000.0);
        customer.impatience = 0.1;
        customer.known_root = 0.3;
        customer.behind = 0.2;
    }
    scenario
}

/// Changes the first effect that `change` takes; the rule that is broken by it.
fn broken_by(mut change: impl FnMut(&Effect) -> Option<Vec<Effect>>) -> Option<Rule> {
    let mut is_done = false;
    let mut tamper = |effect: Effect, out: &mut Vec<Effect>| match change(&effect).filter(|_| !is_done) {
        Some(instead) => {
            is_done = true;
            out.extend(instead);
        }
        None => out.push(effect),
    };
    simulate_tampered(&scenario(), &mut tamper).err().map(|failure| failure.broken.rule)
}

#[test]
fn an_honest_market_breaks_nothing() {
    assert_eq!(broken_by(|_| None), None);
}

#[test]
fn a_caller_told_twice_or_never_or_a_stranger_is_found() {
    let reply = |effect: &Effect| matches!(effect, Effect::Reply { outcome: Outcome::Answered(_), .. });
    let twice = broken_by(|effect| reply(effect).then(|| vec![effect.clone(), effect.clone()]));
    let never = broken_by(|effect| reply(effect).then(Vec::new));
    let stranger = broken_by(|effect| match effect {
        Effect::Reply { key, outcome, .. } => {
            Some(vec![Effect::Reply { caller: Caller(u64::MAX), key: *key, outcome: *outcome }])
        }
        _ => None,
    });
    assert_eq!([twice, never, stranger], [Some(Rule::EveryCallerIsToldOnce); 3]);
}

#[test]
fn a_false_outcome_is_found() {
    let answered = |change: fn(&mut shared::Answer)| {
        broken_by(|effect| match effect {
            Effect::Reply { caller, key, outcome: Outcome::Answered(answer) } => {
                let mut answer = *answer;
                change(&mut answer);
                Some(vec![Effect::Reply { caller: *caller, key: *key, outcome: Outcome::Answered(answer) }])
            }
            _ => None,
        })
    };
    let more = answered(|answer| answer.charged = Millicredits::new(answer.charged.as_u64() + 1));
    let balance = answered(|answer| answer.balance = Some(Millicredits::MAX));
    let refused = |refusal| {
        broken_by(|effect| match effect {
            Effect::Reply { caller, key, .. } => {
                Some(vec![Effect::Reply { caller: *caller, key: *key, outcome: Outcome::Refused(refusal) }])
            }
            _ => None,
        })
    };
    let early =
        [Refusal::Expired, Refusal::NoWorkers, Refusal::StoreUnavailable, Refusal::InsufficientCredit]
            .map(refused);
    let unsettled = broken_by(|effect| match effect {
        Effect::Reply { caller, key, .. } => {
            Some(vec![Effect::Reply { caller: *caller, key: *key, outcome: Outcome::Unsettled }])
        }
        _ => None,
    });
    assert_eq!([more, balance, unsettled], [Some(Rule::OutcomesAreTrue); 3]);
    assert_eq!(early, [Some(Rule::OutcomesAreTrue); 4]);
}

#[test]
fn a_hold_settled_twice_or_unasked_is_found() {
    let twice =
        broken_by(|effect| matches!(effect, Effect::Settle(_)).then(|| vec![effect.clone(), effect.clone()]));
    let mut held = None;
    let unasked = broken_by(|effect| match effect {
        Effect::Hold { hold, .. } => {
            held = Some(*hold);
            None
        }
        Effect::Settle(order) if held != Some(order.hold) => {
            let other = marketplace::SettleOrder { hold: held?, ..*order };
            Some(vec![Effect::Settle(other)])
        }
        _ => None,
    });
    assert_eq!([twice, unasked], [Some(Rule::HoldsAreClosedOnce); 2]);
}

#[test]
fn a_release_that_is_forgotten_or_too_much_is_found() {
    let forgotten = broken_by(|effect| matches!(effect, Effect::Release { .. }).then(Vec::new));
    let too_much = broken_by(|effect| match effect {
        Effect::Settle(order) => Some(vec![effect.clone(), Effect::Release { hold: order.hold }]),
        _ => None,
    });
    assert_eq!([forgotten, too_much], [Some(Rule::HoldsAreClosedOnce); 2]);
}

#[test]
fn another_price_is_found() {
    let more = broken_by(|effect| match effect {
        Effect::Hold { hold, service, amount, expires, purse } => {
            let amount = Millicredits::new(amount.as_u64() + 1);
            let (hold, service, expires, purse) = (*hold, *service, *expires, *purse);
            Some(vec![Effect::Hold { hold, service, amount, expires, purse }])
        }
        _ => None,
    });
    assert_eq!(more, Some(Rule::PricesAreKept));
}

#[test]
fn pay_for_somebody_elses_work_is_found() {
    let thief = broken_by(|effect| match effect {
        Effect::Settle(order) => {
            Some(vec![Effect::Settle(marketplace::SettleOrder { payee: Payee::House, ..*order })])
        }
        _ => None,
    });
    assert_eq!(thief, Some(Rule::NoPayWithoutWork));
}

#[test]
fn lists_for_the_gone_and_lists_that_do_not_fit_are_found() {
    let list = |change: fn(&mut SessionId, &mut shared::protocol::WorkList)| {
        broken_by(|effect| match effect {
            Effect::List { session, worker, list } if !list.jobs.is_empty() => {
                let (mut session, mut list) = (*session, list.clone());
                change(&mut session, &mut list);
                Some(vec![Effect::List { session, worker: *worker, list }])
            }
            _ => None,
        })
    };
    let gone = list(|session, _| *session = SessionId::new(u64::MAX));
    let twice = list(|_, list| list.jobs.push(list.jobs[0]));
    let old = list(|_, list| list.sequence = 0);
    assert_eq!([gone, twice, old], [Some(Rule::ListsFitTheirWorkers); 3]);
    let unwanted = list(|_, list| list.jobs[0].root = shared::pow::Root::new([7; 32]));
    let other_name = list(|_, list| list.jobs[0].job.counter += 1_000_000);
    let longer = list(|_, list| list.jobs[0].remaining_ms += 1);
    assert_eq!(unwanted, Some(Rule::ListedJobsAreWanted));
    assert_eq!(longer, Some(Rule::ListedJobsAreWanted));
    // One worker hears another name than the next for the same job.
    assert_eq!(other_name, Some(Rule::ListedJobsAreWanted));
}

#[test]
fn a_cancel_that_is_late_or_lost_is_found() {
    let mut was_listed = false;
    let lost = broken_by(|effect| match effect {
        Effect::List { list, .. } => {
            let is_cancel = was_listed && list.jobs.is_empty();
            was_listed = true;
            is_cancel.then(Vec::new)
        }
        _ => None,
    });
    // A list that waits until the verdict is out.
    let mut kept = Vec::new();
    let mut tamper = |effect: Effect, out: &mut Vec<Effect>| match effect {
        Effect::List { ref list, .. } if list.jobs.is_empty() => kept.push(effect),
        effect => {
            out.push(effect);
            out.append(&mut kept);
        }
    };
    let late = simulate_tampered(&scenario(), &mut tamper).err().map(|failure| failure.broken.rule);
    assert_eq!([lost, late], [Some(Rule::CancelsComeBeforeMoney); 2]);
}

#[test]
fn a_false_verdict_is_found() {
    for verdict in [
        Verdict::Late { by_ms: 1 },
        Verdict::Cancelled,
        Verdict::NeverGiven,
        Verdict::Duplicate,
        Verdict::UnknownJob,
    ] {
        let rule = broken_by(|effect| match effect {
            Effect::Verdict { session, worker, notice } if notice.verdict == Verdict::Accepted => {
                let notice = shared::protocol::VerdictNotice { verdict, ..*notice };
                Some(vec![Effect::Verdict { session: *session, worker: *worker, notice }])
            }
            _ => None,
        });
        assert_eq!(rule, Some(Rule::VerdictsAreTrue), "{verdict:?}");
    }
    let missing = broken_by(|effect| matches!(effect, Effect::Verdict { .. }).then(Vec::new));
    assert_eq!(missing, Some(Rule::VerdictsAreTrue));
}

#[test]
fn a_waiter_that_a_solution_leaves_waiting_is_found() {
    let rule = broken_by(|effect| matches!(effect, Effect::Settle(_)).then(Vec::new));
    assert_eq!(rule, Some(Rule::SolutionsAnswerAll));
}

#[test]
fn false_statistics_are_found() {
    let rule = broken_by(|effect| match effect {
        Effect::Statistics(statistics) => {
            let jobs_open = statistics.jobs_open + 1;
            Some(vec![Effect::Statistics(shared::protocol::NetworkStatistics { jobs_open, ..*statistics })])
        }
        _ => None,
    });
    assert_eq!(rule, Some(Rule::StatisticsAreTrue));
}

#[test]
fn what_can_wait_before_what_is_on_demand_and_another_urgency_are_found() {
    let urgency = broken_by(|effect| match effect {
        Effect::List { session, worker, list } if !list.jobs.is_empty() => {
            let mut list = list.clone();
            list.jobs.last_mut()?.kind = match list.jobs.last()?.kind {
                WorkKind::OnDemand => WorkKind::Precache,
                WorkKind::Precache => return None,
            };
            Some(vec![Effect::List { session: *session, worker: *worker, list }])
        }
        _ => None,
    });
    assert_eq!(urgency, Some(Rule::ListedJobsAreWanted));
    let order = broken_by(|effect| match effect {
        Effect::List { session, worker, list } if list.jobs.first()?.kind != list.jobs.last()?.kind => {
            let mut list = list.clone();
            list.jobs.reverse();
            Some(vec![Effect::List { session: *session, worker: *worker, list }])
        }
        _ => None,
    });
    assert_eq!(order, Some(Rule::ListsFitTheirWorkers));
}
