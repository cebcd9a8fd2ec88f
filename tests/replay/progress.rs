//! What a progress bar shows ends at its end, and costs nothing.

use std::sync::atomic::{AtomicUsize, Ordering};

use autotune::simulate::compare::{Candidate, Settings, Steers, compare};
use autotune::simulate::view::ViewModel;
use autotune::trace::generate::{Days, Generator as _, Trickle};

use crate::worlds::on_demand;

#[test]
fn every_job_of_every_run_is_told_once_and_many_at_a_time() {
    let trace = Trickle::default().generate(3, Days(60));
    let candidates = [
        Candidate::new("stock", Steers::Stock),
        Candidate::new("min-follows-demand", Steers::MinFollowsDemand),
    ];
    let settings = Settings {
        seeds: vec![1, 2],
        view: ViewModel::recent(),
        threads: 2,
    };
    let (told, calls) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let progress = |ended| {
        told.fetch_add(ended, Ordering::Relaxed);
        calls.fetch_add(1, Ordering::Relaxed);
    };
    compare(&on_demand(), &trace, &candidates, &settings, &progress).unwrap();
    assert_eq!(told.into_inner(), 4 * trace.jobs.len());
    let calls = calls.into_inner();
    assert!(calls > 4 && calls < trace.jobs.len() / 100, "{calls} calls");
}
