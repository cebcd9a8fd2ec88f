//! Puts base back where guards say that something is raised, without a daemon.

use serde::Serialize;

use super::cloud::{Cloud, EnvironmentRead, NamedGuard, Read};
use crate::clock;
use crate::control::Outcome;
use crate::planner::plan::Change;
use crate::units::Span;

/// How an environment was left.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Restored {
    /// Its name.
    pub environment: String,
    /// Whether base stands there now and no guard is left.
    pub restored: bool,
    /// The base of minvCpus, in vCPUs.
    pub min_vcpus: i64,
    /// What was done, or why it could not be.
    pub message: String,
}

/// Restores what the guards carry and takes them away. Trouble with one environment is no reason to leave the others raised.
///
/// # Errors
/// The environments could not be read.
pub async fn restored<C: Cloud>(cloud: &C, guards: &[NamedGuard]) -> Read<Vec<Restored>> {
    if guards.is_empty() {
        return Ok(Vec::new());
    }
    let names: Vec<String> = guards.iter().map(|guard| guard.environment.clone()).collect();
    let environments = cloud.environments(&names).await?;
    let mut all = Vec::new();
    for guard in guards {
        let seen = environments.iter().find(|read| read.name == guard.environment);
        let (restored, message) = match restore(cloud, guard, seen).await {
            Ok(message) => (true, message),
            Err(message) => (false, message),
        };
        all.push(Restored {
            environment: guard.environment.clone(),
            restored,
            min_vcpus: guard.min_vcpus.get(),
            message,
        });
    }
    Ok(all)
}

async fn restore<C: Cloud>(cloud: &C, guard: &NamedGuard, seen: Option<&EnvironmentRead>) -> Result<String, String> {
    if let Some(seen) = seen {
        let change = Change {
            min_vcpus: (seen.now.min_vcpus != guard.min_vcpus).then_some(guard.min_vcpus),
            desired_vcpus: None,
            max_vcpus: guard.max_vcpus.filter(|max| *max != seen.now.max_vcpus),
        };
        if change != Change::default() {
            let answer = cloud.send(&guard.environment, &change).await;
            if answer.outcome != Outcome::Accepted {
                return Err(answer.message);
            }
            if !stands(cloud, guard).await {
                let name = &guard.environment;
                return Err(format!(
                    "was updated, but {name} does not show it yet: its guard is left, try again"
                ));
            }
        }
    }
    cloud
        .disarm(&guard.environment)
        .await
        .map_err(|unread| unread.message)?;
    Ok(match seen {
        Some(_) => {
            let max = guard
                .max_vcpus
                .map_or_else(String::new, |max| format!(", max {} vCPUs", max.get()));
            format!("min {} vCPUs{max}, no guard any more", guard.min_vcpus.get())
        }
        None => "is gone, and so is its guard".to_owned(),
    })
}

/// Whether the environment shows what its guard restores; looks for some seconds. A guard that is gone too early restores nothing.
async fn stands<C: Cloud>(cloud: &C, guard: &NamedGuard) -> bool {
    for pause in [0, 1, 2, 4] {
        clock::wait(Span::from_seconds(pause)).await;
        let Ok(read) = cloud.environments(std::slice::from_ref(&guard.environment)).await else {
            continue;
        };
        let right = |seen: &EnvironmentRead| {
            seen.now.min_vcpus == guard.min_vcpus && guard.max_vcpus.is_none_or(|max| seen.now.max_vcpus == max)
        };
        if read.iter().all(right) {
            return true;
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Clock;
    use crate::daemon::tests::account::{Account, START};
    use crate::units::Vcpus;

    #[tokio::test(start_paused = true)]
    async fn trouble_with_one_environment_leaves_no_other_raised() {
        let account = Account::new(Clock::Wall);
        let names = account.with(|state| {
            state.min.values_mut().for_each(|min| *min = 64);
            state.min.keys().cloned().collect::<Vec<String>>()
        });
        let guard = |name: &String| NamedGuard {
            environment: name.clone(),
            fires: START,
            min_vcpus: Vcpus::ZERO,
            max_vcpus: None,
        };
        let mut guards: Vec<NamedGuard> = names.iter().map(guard).collect();
        guards.push(guard(&"gone".to_owned()));
        assert!(guards.len() >= 3);
        let (fails, others) = guards.split_first().unwrap();
        for trouble in ["send", "disarm"] {
            account.with(|state| state.fail = [format!("{trouble} {}", fails.environment)].into());
            let all = restored(&account, &guards).await.unwrap();
            assert!(!all[0].restored && !all[0].message.is_empty(), "{all:?}");
            assert!(all[1..].iter().all(|one| one.restored), "{all:?}");
            for other in others.iter().filter(|other| other.environment != "gone") {
                assert_eq!(account.min(&other.environment), 0, "{trouble}");
            }
        }
        account.with(|state| state.fail.clear());
        let all = restored(&account, &guards).await.unwrap();
        assert!(all.iter().all(|one| one.restored), "{all:?}");
        assert_eq!(account.min(&fails.environment), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn a_guard_stays_until_what_it_restores_is_seen_to_stand() {
        let account = Account::new(Clock::paced(START));
        account.with(|state| {
            state.min.insert("spot".to_owned(), 64);
            state.deaf = true;
        });
        let guard = NamedGuard {
            environment: "spot".to_owned(),
            fires: START + Span::from_minutes(10),
            min_vcpus: Vcpus::ZERO,
            max_vcpus: None,
        };
        account.with(|state| state.guards.insert("spot".to_owned(), guard.clone()));
        let all = restored(&account, std::slice::from_ref(&guard)).await.unwrap();
        assert!(!all[0].restored && all[0].message.contains("guard is left"), "{all:?}");
        assert!(account.with(|state| state.guards.contains_key("spot")));
        account.with(|state| state.deaf = false);
        let all = restored(&account, &[guard]).await.unwrap();
        assert!(all[0].restored, "{all:?}");
        assert!(account.with(|state| state.guards.is_empty()));
    }

    #[tokio::test(start_paused = true)]
    async fn a_lowered_max_is_restored_as_well() {
        let account = Account::new(Clock::Wall);
        account.with(|state| state.max = 86);
        let guard = NamedGuard {
            environment: "spot".to_owned(),
            fires: START,
            min_vcpus: Vcpus::ZERO,
            max_vcpus: Some(Vcpus::new(256)),
        };
        let all = restored(&account, &[guard]).await.unwrap();
        assert_eq!(account.with(|state| state.max), 256);
        assert!(all[0].restored && all[0].message.contains("max 256 vCPUs"), "{all:?}");
    }
}
