//! The market in virtual time, with everything that may go wrong.

#[test]
fn first() {
    for seed in 0..2000 {
        let scenario = marketplace::sim::Scenario::faults(seed);
        match marketplace::sim::simulate(&scenario) {
            Ok(_) => {}
            Err(failure) => {
                let mut log = String::new();
                let _ = marketplace::sim::simulate_logged(&scenario, &mut log);
                std::fs::write(format!("/tmp/w/t-sim/seed-{seed}.log"), log).unwrap();
                println!("{failure}")
            }
        }
    }
}
