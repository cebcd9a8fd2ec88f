//! Daemons as they might stand.

use autotune::daemon::checking::{Checked, Found};
use autotune::daemon::snapshot::{
    Demand, EnvironmentStatus, QueueStatus, QuotaStatus, Snapshot, SqsStatus, Told, Waited,
};
use autotune::daemon::twin::{Measured, Saved, Side, Source, Twin};
use autotune::overrides::{Order, Override};
use autotune::units::{MicroUsd, Span, Time, Vcpus};

use crate::hostile;

/// 2026-01-01 09:00.
const NOW: Time = Time::from_seconds(1_767_258_000);

/// A dry run that has read nothing yet.
pub(crate) fn just_begun() -> Snapshot {
    Snapshot {
        at: NOW,
        version: "0.1.0".to_owned(),
        account: "123456789012".to_owned(),
        region: "eu-central-1".to_owned(),
        dry_run: true,
        environments: vec![EnvironmentStatus {
            name: "genomics-spot".to_owned(),
            purchase: "spot".to_owned(),
            steered: true,
            quotas: vec!["L-34B43A08".to_owned()],
            ..EnvironmentStatus::default()
        }],
        queues: vec![QueueStatus {
            name: "nightly".to_owned(),
            environments: vec!["genomics-spot".to_owned()],
            ..QueueStatus::default()
        }],
        quotas: vec![QuotaStatus {
            code: "L-34B43A08".to_owned(),
            sentence: "limit unknown, the use of others unknown, our environments hold 0".to_owned(),
            link: "https://console.aws.amazon.com/servicequotas/home/services/ec2/quotas/L-34B43A08".to_owned(),
            ..QuotaStatus::default()
        }],
        saved: Some(Saved::Unknown {
            at: NOW,
            why: "No job that the model can replay was submitted and has ended within 24 hours.".to_owned(),
        }),
        ..Snapshot::default()
    }
}

fn said(rank: u8, code: &str, sentence: &str) -> Told {
    Told {
        rank,
        ..Told::new(code, sentence.to_owned())
    }
}

fn spot() -> EnvironmentStatus {
    EnvironmentStatus {
        name: "genomics-spot".to_owned(),
        purchase: "spot".to_owned(),
        steered: true,
        usable: true,
        min_vcpus: Vcpus::new(256),
        desired_vcpus: Vcpus::new(1_024),
        max_vcpus: Vcpus::new(20_000),
        there_vcpus: Vcpus::new(512),
        used_vcpus: Vcpus::new(480),
        on_its_way_vcpus: Vcpus::new(512),
        wanted_vcpus: Vcpus::new(640),
        granted_vcpus: Vcpus::new(64),
        per_hour: Some(MicroUsd::new(9_420_000)),
        lease_expires: Some(NOW + Span::from_minutes(14)),
        guarded: true,
        quotas: vec!["L-34B43A08".to_owned()],
        dry_until: Some(NOW + Span::from_minutes(11)),
        age: Some(Span::from_seconds(12)),
        instances_age: Some(Span::from_seconds(20)),
        reasons: vec![
            said(
                1,
                "drought",
                "genomics-spot: no capacity comes; it is asked for again at 09:11:00",
            ),
            said(3, "waiting", "genomics-spot: 1240 vCPUs of RUNNABLE jobs wait"),
            said(6, "not_demand", "genomics-spot: 12 jobs wait for other jobs (PENDING)"),
        ],
        ..EnvironmentStatus::default()
    }
}

fn blind() -> EnvironmentStatus {
    EnvironmentStatus {
        name: "genomics-ondemand".to_owned(),
        purchase: "on_demand".to_owned(),
        steered: true,
        quotas: vec!["L-1216C47A".to_owned()],
        reasons: vec![Told::new(
            "unreadable",
            "genomics-ondemand: not readable since 2026-01-01T08:57:00Z, 3m ago: AccessDenied".to_owned(),
        )],
        ..EnvironmentStatus::default()
    }
}

fn unguarded() -> EnvironmentStatus {
    EnvironmentStatus {
        name: "no-guard".to_owned(),
        min_vcpus: Vcpus::new(32),
        desired_vcpus: Vcpus::new(48),
        max_vcpus: Vcpus::new(64),
        there_vcpus: Vcpus::new(48),
        used_vcpus: Vcpus::new(40),
        on_its_way_vcpus: Vcpus::ZERO,
        granted_vcpus: Vcpus::ZERO,
        guarded: false,
        dry_until: None,
        backs_off_until: Some(NOW + Span::from_seconds(75)),
        updating: true,
        reasons: vec![Told::new(
            "refused",
            "no-guard: the last update was refused: TooManyRequests".to_owned(),
        )],
        overridden: Some(Override {
            order: Order::Boost(Vcpus::new(32)),
            since: NOW - Span::from_minutes(9),
            until: NOW + Span::from_minutes(111),
        }),
        ..spot()
    }
}

fn nightly() -> QueueStatus {
    let seconds = |seconds| Some(Span::from_seconds(seconds));
    let waited = |jobs, half, most, longest| Waited {
        jobs,
        half: seconds(half),
        most: seconds(most),
        longest: seconds(longest),
    };
    QueueStatus {
        name: "nightly".to_owned(),
        runnable_jobs: 1_240,
        runnable_vcpus: Vcpus::new(2_480),
        at_least: true,
        placed_jobs: 120,
        placed_vcpus: Vcpus::new(480),
        pending_jobs: 12,
        oldest: seconds(1_512),
        blocked: Some((
            "CAPACITY:INSUFFICIENT_INSTANCE_CAPACITY".to_owned(),
            NOW - Span::from_minutes(12),
        )),
        environments: vec!["genomics-spot".to_owned(), "genomics-ondemand".to_owned()],
        demand: Some(Demand {
            runnable_vcpus: Vcpus::new(2_480),
            messages_vcpus: Vcpus::new(96),
            arriving_vcpus: Vcpus::ZERO,
            denied_vcpus: Vcpus::new(1_400),
        }),
        lately: waited(14, 42, 610, 702),
        today: waited(5_310, 12, 480, 702),
        age: seconds(12),
        reasons: vec![said(6, "not_demand", "nightly: 12 jobs wait for other jobs (PENDING)")],
        ..QueueStatus::default()
    }
}

fn quota(code: &str, limit: Option<i64>, held: i64, left: Option<i64>) -> QuotaStatus {
    QuotaStatus {
        code: code.to_owned(),
        limit_vcpus: limit.map(Vcpus::new),
        used_by_others_vcpus: Some(Vcpus::new(96)),
        held_vcpus: Vcpus::new(held),
        on_its_way_vcpus: Vcpus::new(512),
        overshoot_vcpus: Vcpus::new(96),
        granted_vcpus: Vcpus::new(64),
        left_vcpus: left.map(Vcpus::new),
        sentence: format!(
            "of {code}, others use 96, our environments hold {held}, 512 on the way, 96 kept for overshoot, 64 granted"
        ),
        link: format!("https://console.aws.amazon.com/servicequotas/home/services/ec2/quotas/{code}"),
        ..QuotaStatus::default()
    }
}

fn checked(corpus: &[String]) -> Checked {
    let found = |code: &str, severity: &str, subject: &str, message: &str| Found {
        code: code.to_owned(),
        severity: severity.to_owned(),
        subject: subject.to_owned(),
        message: message.to_owned(),
    };
    Checked {
        at: NOW - Span::from_minutes(22),
        findings: vec![
            found(
                "AT101",
                "error",
                "genomics-spot",
                "the root volume of its launch template has 30 GiB; 16 jobs of 8 GiB each run on an instance",
            ),
            found("AT305", "warning", "nightly", "no retry on Spot interruptions"),
            found("AT999", "warning", &corpus[3], &corpus[4]),
        ],
        could_not_check: 2,
    }
}

/// Spot is short, one environment cannot be read, one has no guard and backs off, and things are called as an enemy would.
pub(crate) fn trouble() -> Snapshot {
    let corpus = hostile::corpus();
    let seconds = |seconds| Some(Span::from_seconds(seconds));
    let hostile = corpus.iter().enumerate().map(|(at, name)| EnvironmentStatus {
        name: name.clone(),
        steered: at % 2 == 0,
        reasons: vec![Told::new("unreadable", name.clone())],
        ..spot()
    });
    let unread = QueueStatus {
        name: "reports".to_owned(),
        age: seconds(1_260),
        runnable_jobs: 3,
        ..QueueStatus::default()
    };
    Snapshot {
        planned_at: Some(NOW - Span::from_seconds(2)),
        dry_run: false,
        leads: true,
        calls_per_minute: 41.6,
        waits_since: Some(NOW - Span::from_minutes(540)),
        reload_refused: Some(
            "autotune.toml:3:1: found key `patiense`\nhint: did you mean `patience`?\n1 problem".to_owned(),
        ),
        environments: [spot(), blind(), unguarded()].into_iter().chain(hostile).collect(),
        queues: vec![
            nightly(),
            unread,
            QueueStatus {
                name: corpus[0].clone(),
                age: seconds(3),
                demand: Some(Demand::default()),
                ..QueueStatus::default()
            },
        ],
        sqs: vec![
            SqsStatus {
                name: "incoming".to_owned(),
                queue: "nightly".to_owned(),
                visible: 48,
                in_flight: 3,
                oldest: seconds(31),
                age: seconds(9),
                ..SqsStatus::default()
            },
            SqsStatus {
                name: corpus[1].clone(),
                queue: "reports".to_owned(),
                reasons: vec![Told::new("unreadable", corpus[2].clone())],
                ..SqsStatus::default()
            },
        ],
        quotas: vec![
            quota("L-34B43A08", Some(1_280), 560, Some(0)),
            quota("L-1216C47A", None, 0, None),
        ],
        checked: Some(checked(&corpus)),
        saved: Some(Saved::Known(Box::new(replayed(&corpus[3])))),
        ..just_begun()
    }
}

/// A day that was replayed, in which jobs waited longest in the morning.
fn replayed(model: &str) -> Twin {
    let side = |seconds, cents: i64, worst: i64| Side {
        mean: Some(Span::from_seconds(seconds)),
        cost: MicroUsd::new(cents * 10_000),
        curve: (0..48)
            .map(|at| {
                (12..40)
                    .contains(&at)
                    .then(|| Span::from_seconds(worst * (52 - at) / 40))
            })
            .collect(),
        ..Side::default()
    };
    Twin {
        source: Source::Recording,
        at: NOW - Span::from_minutes(24),
        model: model.to_owned(),
        passed: Span::from_minutes(24 * 60),
        lasts: Span::from_minutes(24 * 60),
        jobs: 8_120,
        left_out: 31,
        tuned: side(34, 18_240, 60),
        alone: side(171, 16_105, 300),
        measured: Some(Measured {
            jobs: 8_004,
            mean: Span::from_seconds(52),
        }),
        ..Twin::default()
    }
}
