//! The demo without a terminal, on time that stands still until everybody waits.

use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::{Demo, Options};
use crate::twin::figures::Look;
use crate::units::Span;

async fn begin(lasts: Span) -> Demo {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let options = Options {
        speed: 120,
        seed: 1,
        lasts,
    };
    Demo::begin(options, listener, async |account| Ok(account))
        .await
        .unwrap()
}

/// What README promises: within the two minutes of the default, jobs start faster than in the twin.
#[tokio::test(start_paused = true)]
async fn within_two_minutes_jobs_start_faster_than_in_the_twin() {
    let demo = begin(Span::from_minutes(2)).await;
    let mut looks: Vec<Look> = Vec::new();
    let (never, every) = (CancellationToken::new(), Span::from_seconds(10));
    let played = demo.play(every, &never, |look| looks.push(look.clone()));
    let last = played.await.unwrap();
    assert_eq!(looks.len(), 11);
    assert!(looks.is_sorted_by_key(|look| look.both.jobs));
    let [tuned, alone] = last.both.mean;
    assert!(last.both.jobs > 300, "{last:?}");
    assert!(tuned.times(2) < alone, "{tuned} and {alone}");
    assert!(last.updates > 0 && last.latest.is_some(), "{last:?}");
    let halfway = &looks[5];
    let [tuned, alone] = halfway.both.mean;
    assert!(tuned < alone, "after a minute: {tuned} and {alone}");
    assert!(demo.end().await.unwrap(), "levels are left raised");
}

#[tokio::test(start_paused = true)]
async fn it_ends_when_it_is_asked_to_and_releases_what_it_has_raised() {
    let demo = begin(Span::from_minutes(60)).await;
    let folder = demo.folder.path().to_owned();
    let stop = CancellationToken::new();
    let token = stop.clone();
    let mut shown = 0;
    let played = demo.play(Span::from_seconds(1), &stop, |look| {
        shown += 1;
        if look.updates > 0 {
            token.cancel();
        }
    });
    played.await.unwrap();
    assert!(shown < 60, "nothing was raised for {shown} seconds");
    assert!(demo.end().await.unwrap(), "levels are left raised");
    assert!(!folder.exists());
}
