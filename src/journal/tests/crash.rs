//! A process that is killed while it writes: nothing that it was told to be durable is lost.

use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use super::*;

/// Commits until it is killed, in the folder that it is started in, and says which number is durable. Alone it does nothing.
#[test]
#[ignore = "the other half of a test: started by it"]
fn commits_until_it_is_killed() {
    let Ok(to) = UnixDatagram::unbound() else { return };
    if to.connect("acknowledged").is_err() {
        return;
    }
    let (journal, _) = Journal::open(Path::new("journal.db")).unwrap();
    for number in 1..10_000_i64 {
        assert_eq!(journal.commit(&intent("a", number), &remembered("a")).unwrap(), number);
        if number % 2 == 0 {
            journal.finish(number, &ended(Outcome::Raced)).unwrap();
        }
        let job = JobSeen {
            id: number.to_string(),
            ..JobSeen::default()
        };
        let seen = Transition {
            at: at(number),
            job,
            ..Transition::default()
        };
        journal.jobs(&[seen]).unwrap();
        let said = Said {
            code: number.to_string(),
            ..Said::default()
        };
        journal
            .tick(&Tick {
                at: at(number),
                reasons: vec![said],
                ..Tick::default()
            })
            .unwrap();
        if to.send(&number.to_le_bytes()).is_err() {
            return;
        }
    }
}

#[test]
fn kill_loses_nothing_that_was_committed() {
    for after in [1, 2, 5, 13, 34] {
        let folder = tempfile::tempdir().unwrap();
        let from = UnixDatagram::bind(folder.path().join("acknowledged")).unwrap();
        from.set_read_timeout(Some(Duration::from_mins(1))).unwrap();
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args([
                "--exact",
                "journal::tests::crash::commits_until_it_is_killed",
                "--include-ignored",
            ])
            .current_dir(folder.path())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let mut bytes = [0; 8];
        let mut acknowledged = 0;
        while acknowledged < after {
            from.recv(&mut bytes).unwrap();
            acknowledged = i64::from_le_bytes(bytes);
        }
        child.kill().unwrap();
        child.wait().unwrap();
        from.set_nonblocking(true).unwrap();
        while from.recv(&mut bytes).is_ok() {
            acknowledged = i64::from_le_bytes(bytes);
        }
        // The lock ended with the process.
        let (journal, recovered) = Journal::open(&folder.path().join("journal.db")).unwrap();
        let count = |sql: &str| -> i64 {
            journal
                .look("", |reader| Ok(reader.query_row(sql, [], |row| row.get(0))?))
                .unwrap()
        };
        for table in ["intents", "jobs", "transitions", "ticks"] {
            let there = count(&format!("SELECT count(*) FROM {table}"));
            assert!(
                (acknowledged..=acknowledged + 1).contains(&there),
                "{there} {table}, {acknowledged} acknowledged"
            );
        }
        let open = recovered.open.iter().filter(|intent| intent.number <= acknowledged);
        assert!(open.clone().all(|intent| intent.number % 2 == 1));
        assert_eq!(open.count(), usize::try_from((acknowledged + 1) / 2).unwrap());
        assert_eq!(recovered.memory, remembered("a"));
        assert_eq!(
            journal.ticks(&all()).unwrap().len(),
            usize::try_from(count("SELECT count(*) FROM ticks")).unwrap()
        );
        let sound: String = journal
            .look("", |reader| {
                Ok(reader.query_row("PRAGMA integrity_check", [], |row| row.get(0))?)
            })
            .unwrap();
        assert_eq!(sound, "ok");
    }
}
