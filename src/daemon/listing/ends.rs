//! How jobs ended that a listing no longer shows. The ledger and the statistics of waits want to know; demand does not.
//!
//! Where events come, they tell. For those that were lost, and where none come, DescribeJobs is asked of jobs that are gone; a listing
//! by the time of creation finds those that came and went between two listings; and the children of an array are listed when the
//! array has ended, which takes a call for a thousand of them.

use std::collections::BTreeSet;

use super::book::{FOLLOWED_MOST, Followed};
use super::{CHILD_PAGES_MOST, DESCRIBED_AT_ONCE, Lister, Sizes, parent_of};
use crate::clock;
use crate::daemon::cloud::{Cloud, Read};
use crate::jobs::{JobDescribed, JobSeen, JobStatus};
use crate::units::{Span, Time, to_u64};

/// API calls of one listing for this. What is left is asked for in the next one.
const CALLS_MOST: u32 = 20;
const CALLS_OF_CUT: u32 = 2;
/// And so many seconds: how many jobs wait is not to be known later for it.
const SECONDS_MOST: f64 = 20.0;
/// Pages of a hundred jobs by the time of creation.
const CREATED_PAGES_MOST: u32 = 10;
/// The account's clock may be behind ours by this.
const CLOCKS_APART: Span = Span::from_seconds(5);
/// A job that nobody has looked at.
pub(super) const UNKNOWN: Followed = Followed {
    looked: Time::FAR_PAST,
    told: None,
};

impl<C: Cloud> Lister<'_, C> {
    /// Asks what became of jobs that are gone. What cannot be told now is asked for again.
    pub(super) async fn ends(&mut self, sizes: &Sizes) {
        let took = clock::Stopwatch::start();
        // A listing that was cut off says little of who is gone.
        let cut = self.at_least || self.placed_at_least;
        if self.found.book.missed.is_none() {
            // Events tell of those that are too many to follow.
            self.found.unfollowed = 0;
        } else if self.found.unfollowed > 0 {
            let most = format!("more than {FOLLOWED_MOST} jobs at a time: those beyond are not all recorded");
            self.found.trouble.get_or_insert(most);
        } else {
            // Beyond the cut nobody counts.
            self.found.unfollowed = u64::from(cut);
        }
        let mut asked = self.came_and_went().await;
        let most = self.found.calls + if cut { CALLS_OF_CUT } else { CALLS_MOST };
        if asked.is_ok() {
            asked = self.gone(most, &took, sizes).await;
        }
        if let Err(unread) = asked {
            self.found.trouble.get_or_insert(unread.message);
        }
        // Those that nobody has looked at for longest come first next time. What was not noted is kept besides.
        let unnoted = &self.found.book.unnoted;
        let left = std::mem::take(&mut self.gone).into_iter();
        let mut left: Vec<(String, Followed)> = left.filter(|(id, _)| !unnoted.contains_key(id)).collect();
        left.sort_by_key(|(_, followed)| followed.looked);
        let open = &mut self.found.book.open;
        let room = FOLLOWED_MOST.saturating_sub(open.len());
        if left.len() > room {
            let beyond = left.len() - room;
            let trouble = format!("of {beyond} jobs it is not asked how they ended: they are too many");
            self.found.trouble.get_or_insert(trouble);
            self.found.unfollowed += to_u64(beyond);
        }
        open.extend(left.into_iter().take(room));
    }

    /// Jobs that were submitted since the last listing and are over already.
    async fn came_and_went(&mut self) -> Read<()> {
        let book = &mut self.found.book;
        let since = book.listed.filter(|_| book.missed.is_some());
        let Some(listed) = since else {
            (book.listed, book.missed) = (Some(self.now), None);
            return Ok(());
        };
        let (after, mut next) = (listed - CLOCKS_APART, None);
        for _ in 0..CREATED_PAGES_MOST {
            self.found.calls += 1;
            let page = self.cloud.list_created(self.queue, after, next).await?;
            let new = |job: &&JobSeen| job.created.is_some_and(|created| created > after);
            for job in page.jobs.iter().filter(new) {
                if !job.status.is_over() {
                    let told = self.found.book.open.get(&job.id).and_then(|followed| followed.told);
                    self.found.book.follow(&job.id, self.now, told);
                } else if parent_of(&job.id).is_none() {
                    self.gone.entry(job.id.clone()).or_insert(UNKNOWN);
                }
            }
            next = page.next;
            if next.is_none() {
                break;
            }
        }
        if next.is_some() {
            let most = "more than a thousand jobs came since the last listing; those of them that are over are not all recorded";
            self.found.trouble.get_or_insert(most.to_owned());
            // How many more, nobody counts.
            self.found.unfollowed = self.found.unfollowed.max(1);
        }
        (self.found.book.listed, self.found.book.missed) = (Some(self.now), None);
        Ok(())
    }

    /// Asks for all that are gone, those first that nobody has looked at for longest.
    async fn gone(&mut self, most: u32, took: &clock::Stopwatch, sizes: &Sizes) -> Read<()> {
        let mut ids: Vec<(Time, String)> = self.gone.iter().map(|(id, known)| (known.looked, id.clone())).collect();
        ids.sort_unstable();
        let ids: Vec<String> = ids.into_iter().map(|(_, id)| id).collect();
        let (mut arrays, mut answered) = (Vec::new(), Ok(()));
        for ids in ids.chunks(DESCRIBED_AT_ONCE) {
            if self.found.calls >= most || took.seconds() > SECONDS_MOST {
                break;
            }
            self.found.calls += 1;
            let described = match self.cloud.describe_jobs(ids).await {
                Ok(described) => described,
                Err(unread) => {
                    answered = Err(unread);
                    break;
                }
            };
            let mut forgotten: BTreeSet<&String> = ids.iter().collect();
            for id in ids {
                self.gone.remove(id);
            }
            for job in described {
                sizes.put(&job);
                forgotten.remove(&job.seen.id);
                if !job.seen.status.is_over() {
                    self.found.book.follow(&job.seen.id, self.now, None);
                } else if job.seen.array.is_some() {
                    arrays.push(job.seen);
                } else {
                    self.ended(job);
                }
            }
            // AWS Batch forgets a job a week after its end.
            for id in forgotten {
                self.found.book.unnoted.remove(id);
            }
        }
        for array in arrays {
            if answered.is_ok() && self.found.calls < most && took.seconds() < SECONDS_MOST {
                answered = self.array_ended(&array).await;
            } else {
                self.found.book.again(&array.id, self.now);
            }
        }
        answered
    }

    fn ended(&mut self, job: JobDescribed) {
        self.found.book.unnoted.remove(&job.seen.id);
        self.found.jobs.push(job.seen);
    }

    /// Of an array all children have ended: they are told with it, or both later.
    async fn array_ended(&mut self, array: &JobSeen) -> Read<()> {
        let mut jobs = vec![array.clone()];
        for status in [JobStatus::Succeeded, JobStatus::Failed] {
            let mut next = None;
            for _ in 0..CHILD_PAGES_MOST {
                self.found.calls += 1;
                let page = self.cloud.list_children(&array.id, status, next).await;
                let page = page.inspect_err(|_| self.found.book.again(&array.id, self.now))?;
                jobs.extend(page.jobs);
                next = page.next;
                if next.is_none() {
                    break;
                }
            }
        }
        self.found.jobs.extend(jobs);
        self.found.book.unnoted.remove(&array.id);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Clock;
    use crate::daemon::listing::{Book, Listed, TOLD_MOST, list};
    use crate::daemon::tests::account::{Account, START, shape};
    use crate::jobs::ArraySeen;
    use crate::journal::Heard;
    use crate::units::Vcpus;

    fn job(id: &str, status: JobStatus) -> JobSeen {
        let at = |seconds| START + Span::from_seconds(seconds);
        JobSeen {
            id: id.to_owned(),
            status,
            created: Some(at(10)),
            started: (status.is_over() || status == JobStatus::Running).then(|| at(20)),
            stopped: status.is_over().then(|| at(50)),
            nodes: 1,
            ..JobSeen::default()
        }
    }

    fn account(jobs: impl IntoIterator<Item = JobSeen>) -> Account {
        let account = Account::new(Clock::paced(START));
        set(&account, jobs);
        account
    }

    fn set(account: &Account, jobs: impl IntoIterator<Item = JobSeen>) {
        account.with(|state| {
            state.jobs = jobs.into_iter().map(|job| (job, shape(4))).collect();
            state.reads.clear();
        });
    }

    /// A listing a minute later.
    async fn listed(account: &Account, book: &mut Book, polled: bool) -> Listed {
        clock::wait(Span::from_seconds(60)).await;
        let now = account.clock.now();
        if polled {
            book.miss(now);
        }
        let sizes = Sizes::default();
        let found = list(account, "q", now, Vcpus::MAX, book.clone(), &sizes).await;
        let mut found = found.unwrap();
        book.absorb(std::mem::take(&mut found.book), now);
        found
    }

    fn over(found: &Listed) -> Vec<(&str, JobStatus)> {
        let over = found.jobs.iter().filter(|job| job.status.is_over());
        over.map(|job| (job.id.as_str(), job.status)).collect()
    }

    fn asked(account: &Account, call: &str) -> u32 {
        account.with(|state| state.reads.get(call).copied().unwrap_or(0))
    }

    use JobStatus::{Failed, Pending, Runnable, Running, Succeeded};

    #[tokio::test(start_paused = true)]
    async fn a_job_that_is_gone_is_asked_for_and_its_end_is_told_once() {
        let account = account([job("a", Running), job("b", Runnable), job("c", Runnable)]);
        let mut book = Book::default();
        assert_eq!(over(&listed(&account, &mut book, false).await), []);
        set(&account, [job("a", Failed), job("b", Running)]);
        let found = listed(&account, &mut book, false).await;
        assert_eq!(over(&found), [("a", Failed)], "of c nobody knows any more");
        let told = found.jobs.iter().find(|job| job.id == "a").unwrap();
        assert_eq!(told.stopped, Some(START + Span::from_seconds(50)));
        assert_eq!(book.open.keys().collect::<Vec<_>>(), ["b"]);
        set(&account, [job("a", Failed), job("b", Running)]);
        let found = listed(&account, &mut book, false).await;
        assert_eq!(over(&found), []);
        assert_eq!(found.calls, 5, "four statuses, and the size of b");
    }

    #[tokio::test(start_paused = true)]
    async fn who_was_told_by_an_event_is_not_asked_for() {
        let account = account([job("a", Running)]);
        let mut book = Book::default();
        listed(&account, &mut book, false).await;
        book.tell("a", Succeeded, START);
        set(&account, [job("a", Succeeded)]);
        let found = listed(&account, &mut book, false).await;
        assert_eq!(
            (over(&found), found.calls),
            (vec![], 4),
            "four statuses, and nothing waits"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn jobs_that_came_and_went_between_two_polls_are_found() {
        let mut new = job("new", Succeeded);
        new.created = Some(START + Span::from_seconds(90));
        let jobs = || [job("old", Succeeded), new.clone()];
        let account = account(jobs());
        let mut book = Book::default();
        let first = listed(&account, &mut book, true).await;
        assert_eq!(
            (over(&first), asked(&account, "list_created")),
            (vec![], 0),
            "what was before"
        );
        assert_eq!(over(&listed(&account, &mut book, true).await), [("new", Succeeded)]);
        assert_eq!(over(&listed(&account, &mut book, true).await), []);
        // Events that were lost are as good as none.
        set(&account, jobs());
        book.listed = Some(START);
        book.miss(START);
        listed(&account, &mut book, false).await;
        assert_eq!(asked(&account, "list_created"), 1);
        listed(&account, &mut book, false).await;
        assert_eq!(asked(&account, "list_created"), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn an_array_that_ended_tells_of_its_children() {
        let array = |status| JobSeen {
            array: Some(ArraySeen {
                size: 3,
                summary: [(Running, 3)].into(),
                updated: Some(START),
                sequential: false,
            }),
            ..job("p", status)
        };
        let account = account([array(Pending)]);
        let children = [job("p:0", Succeeded), job("p:1", Failed), job("p:2", Succeeded)];
        account.with(|state| state.children = children.to_vec());
        let mut book = Book::default();
        listed(&account, &mut book, false).await;
        for fails in ["list_children", "describe_jobs", "list_created"] {
            set(&account, [array(Failed)]);
            account.with(|state| state.fail.insert(fails.to_owned()));
            let found = listed(&account, &mut book, fails == "list_created").await;
            assert_eq!((over(&found), found.trouble.is_some()), (vec![], true), "{fails}");
            account.with(|state| state.fail.clear());
        }
        let all = [("p", Failed), ("p:0", Succeeded), ("p:2", Succeeded), ("p:1", Failed)];
        assert_eq!(over(&listed(&account, &mut book, false).await), all);
        assert_eq!(over(&listed(&account, &mut book, false).await), []);
    }

    /// Throttled at the first look after an absence: all of it is asked for again.
    #[tokio::test(start_paused = true)]
    async fn the_time_of_a_look_that_failed_or_was_cut_off_is_looked_at_again() {
        let mut new = job("new", Succeeded);
        new.created = Some(START + Span::from_seconds(90));
        let account = account([new]);
        let heard = Heard {
            latest: START + Span::from_seconds(60),
            open: Vec::new(),
        };
        let mut book = Book::after(&heard, START);
        account.with(|state| state.fail.insert("list_created".to_owned()));
        for _ in 0..2 {
            let found = listed(&account, &mut book, false).await;
            assert_eq!((over(&found), found.trouble.is_some()), (vec![], true));
        }
        account.with(|state| state.fail.clear());
        assert_eq!(over(&listed(&account, &mut book, false).await), [("new", Succeeded)]);
        assert_eq!(over(&listed(&account, &mut book, false).await), []);
        assert_eq!(asked(&account, "list_created"), 3);
    }

    /// Jobs beyond the page at which a listing ended are not gone, and need not be asked for each time.
    #[tokio::test(start_paused = true)]
    async fn a_listing_that_was_cut_off_asks_for_few() {
        let jobs = (0..4_000).map(|number| job(&format!("{number:04}"), Runnable));
        let account = account(jobs);
        let now = START + Span::from_seconds(60);
        let mut book = Book::default();
        for number in 2_000..4_000 {
            book.follow(&format!("{number:04}"), START, None);
        }
        let sizes = Sizes::default();
        let found = list(&account, "q", now, Vcpus::new(100), book, &sizes).await.unwrap();
        let first_sizes = 1;
        assert_eq!(asked(&account, "describe_jobs"), CALLS_OF_CUT + first_sizes);
        assert_eq!(found.book.open.len(), 3_000, "none is forgotten");
        // Without events, whoever comes and goes beyond the cut is not seen.
        assert_eq!(found.unfollowed, 0);
        let mut book = found.book;
        book.miss(now);
        let found = list(&account, "q", now, Vcpus::new(100), book, &sizes).await.unwrap();
        assert_eq!(found.unfollowed, 1);
    }

    /// The journal had no room for what an event told.
    #[tokio::test(start_paused = true)]
    async fn what_could_not_be_noted_is_asked_for_whatever_events_say_later() {
        let mut array = job("p", Pending);
        array.array = Some(ArraySeen {
            size: 1,
            summary: [(Running, 1)].into(),
            updated: Some(START),
            sequential: false,
        });
        let account = account([job("a", Running), array.clone()]);
        account.with(|state| state.children = vec![job("p:0", Succeeded)]);
        let mut book = Book::default();
        listed(&account, &mut book, false).await;
        book.not_noted("a", START + Span::from_seconds(70));
        book.not_noted("p:0", START + Span::from_seconds(70));
        for id in ["a", "p:0", "p"] {
            book.tell(id, Succeeded, START + Span::from_seconds(80));
        }
        array.status = Succeeded;
        set(&account, [job("a", Succeeded), array]);
        let all = [("a", Succeeded), ("p", Succeeded), ("p:0", Succeeded)];
        assert_eq!(over(&listed(&account, &mut book, false).await), all);
        assert_eq!(over(&listed(&account, &mut book, false).await), []);
    }

    #[tokio::test(start_paused = true)]
    async fn what_could_not_be_noted_again_is_told_once_more() {
        let account = account([job("a", Running)]);
        let mut book = Book::default();
        listed(&account, &mut book, false).await;
        for _ in 0..3 {
            book.not_noted("a", account.clock.now());
            clock::wait(Span::from_seconds(60)).await;
            let began = account.clock.now();
            let sizes = Sizes::default();
            let found = list(&account, "q", began, Vcpus::MAX, book.clone(), &sizes)
                .await
                .unwrap();
            assert_eq!(found.jobs.len(), 1);
            // As the loop takes it: refused before the rest is absorbed.
            book.not_noted("a", account.clock.now());
            book.absorb(found.book, began);
        }
    }

    /// With events a quiet queue is listed every five minutes.
    #[tokio::test(start_paused = true)]
    async fn what_was_never_told_comes_before_what_is_told_again() {
        let account = account((0..4_000).map(|number| job(&format!("{number:04}"), Runnable)));
        let mut book = Book::default();
        let mut told = BTreeSet::new();
        for _ in 0..4 {
            clock::wait(Span::from_minutes(4)).await;
            let found = listed(&account, &mut book, false).await;
            told.extend(found.jobs.into_iter().map(|job| job.id));
        }
        assert_eq!(told.len(), 4_000);
    }

    #[tokio::test(start_paused = true)]
    async fn many_jobs_are_told_and_asked_for_in_several_listings_and_those_beyond_are_counted() {
        let jobs = |status| (0..FOLLOWED_MOST + 500).map(move |number| job(&format!("{number:05}"), status));
        let account = account(jobs(Runnable));
        let mut book = Book::default();
        for listing in 1..=6 {
            let found = listed(&account, &mut book, true).await;
            assert_eq!(found.jobs.len(), if listing < 6 { TOLD_MOST } else { 500 }, "{listing}");
            assert_eq!((book.open.len(), found.unfollowed), (FOLLOWED_MOST, 500), "{listing}");
            assert!(found.trouble.unwrap().contains("5000 jobs at a time"), "{listing}");
        }
        // Of these an event tells.
        assert_eq!(listed(&account, &mut book, false).await.unfollowed, 0);
        // Nothing is told anew, but what has changed.
        set(&account, jobs(Runnable).take(FOLLOWED_MOST));
        assert_eq!(listed(&account, &mut book, true).await.jobs, []);
        set(
            &account,
            [job("00007", Running)]
                .into_iter()
                .chain(jobs(Runnable).skip(8).take(4_000)),
        );
        let found = listed(&account, &mut book, true).await;
        assert_eq!(found.jobs.iter().map(|job| &*job.id).collect::<Vec<_>>(), ["00007"]);
        book.not_noted("00009", account.clock.now());
        let found = listed(&account, &mut book, true).await;
        assert_eq!(found.jobs.iter().map(|job| &*job.id).collect::<Vec<_>>(), ["00009"]);
        // Those of ten minutes ago are told again, no others.
        let again = listed(&account, &mut book, true).await.jobs;
        assert_eq!(again.len(), TOLD_MOST - 9);
        assert!(!again.iter().any(|job| job.id == "00007" || job.id == "00009"));
        set(&account, jobs(Succeeded));
        let mut ends = 0;
        for _ in 0..3 {
            let found = listed(&account, &mut book, true).await;
            assert!(found.calls <= 5 + CALLS_MOST, "{}", found.calls);
            ends += over(&found).len();
        }
        assert_eq!((ends, book.open.len()), (4_001, 0));
    }
}
