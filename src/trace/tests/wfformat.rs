//! Workflow graphs.

use super::{lines, read_text, sized};
use crate::trace::{ReadOptions, Remark};

const NEW: &str = r#"{"name":"w","schemaVersion":"1.5","workflow":{
 "specification":{"tasks":[
  {"name":"split","id":"split_ID01","parents":[],"children":["work_ID02","work_ID03"]},
  {"name":"work","id":"work_ID02","parents":["split_ID01"],"children":["join_ID04"]},
  {"name":"work","id":"work_ID03","parents":["split_ID01"],"children":["join_ID04"]},
  {"name":"join","id":"join_ID04","parents":["work_ID02","work_ID03"],"children":[]}]},
 "execution":{"makespanInSeconds":9,"executedAt":"1970-01-01T00:01:40Z","tasks":[
  {"id":"split_ID01","runtimeInSeconds":1.5,"coreCount":2,"memoryInBytes":2097152},
  {"id":"work_ID02","runtimeInSeconds":3},{"id":"work_ID03","runtimeInSeconds":4},
  {"id":"join_ID04","runtimeInSeconds":0.25}]}}}"#;

const OLD: &str = r#"{"name":"w","schemaVersion":"1.2","workflow":{"executedAt":"19700101T000140+0000","tasks":[
  {"name":"split_ID01","type":"compute","runtime":1.5,"cores":2,"memory":2048,"parents":[],"children":["work_ID02","work_ID03"]},
  {"name":"work_ID02","runtime":3,"parents":["split_ID01"]},{"name":"work_ID03","runtime":4,"parents":["split_ID01"]},
  {"name":"join_ID04","runtime":0.25,"parents":["work_ID02","work_ID03"]}]}}"#;

const FLAT: &str = concat!(
    r#"{"instance":"w","executed_at":"1970-01-01T00:01:40Z","tasks":["#,
    r#"{"name":"split_ID01","parents":[],"runtime_s":1.5,"cores":2,"memory_bytes":2097152},"#,
    r#"{"name":"work_ID02","parents":[0],"runtime_s":3},{"name":"work_ID03","parents":[0],"runtime_s":4},"#,
    r#"{"name":"join_ID04","parents":[1,2],"runtime_s":0.25}]}"#
);

#[test]
fn all_versions_give_the_same_graph() {
    let followed = [
        "work +0 3000 - 1 1024 3",
        "work +0 4000 - 1 1024 3",
        "join +0 250 - 1 1024 0 1",
        "split 100000 1500 - 2 1024",
    ];
    let ahead = [
        "split 100000 1500 - 2 1024",
        "work 100000 3000 - 1 1024 0",
        "work 100000 4000 - 1 1024 0",
        "join 100000 250 - 1 1024 1 2",
    ];
    for text in [NEW, OLD, FLAT] {
        assert_eq!(lines(&read_text(text, &sized()).unwrap().trace), followed, "{text}");
        let options = ReadOptions {
            submit_ahead: true,
            ..sized()
        };
        assert_eq!(lines(&read_text(text, &options).unwrap().trace), ahead, "{text}");
    }
}

#[test]
fn memory_in_use_is_a_request_only_when_asked_for() {
    let mut options = sized();
    options.sizes.memory_from_use = true;
    for text in [NEW, OLD, FLAT] {
        let loaded = read_text(text, &options).unwrap();
        assert_eq!(lines(&loaded.trace)[3], "split 100000 1500 - 2 2", "{text}");
        assert_eq!(loaded.report.count(Remark::MemoryFromUse), 1);
    }
}

#[test]
fn unknown_parents_are_counted_and_cycles_refused() {
    let unknown = FLAT.replace("[1,2]", "[1,9]");
    assert_eq!(
        read_text(&unknown, &sized())
            .unwrap()
            .report
            .count(Remark::UnknownDependency),
        1
    );
    let cycle = FLAT.replace(r#""split_ID01","parents":[]"#, r#""split_ID01","parents":[3]"#);
    assert!(
        read_text(&cycle, &sized()).unwrap_err()[0]
            .to_string()
            .contains("wait for each other")
    );
    let cut = &NEW[..NEW.len() - 40];
    assert!(
        read_text(cut, &sized()).unwrap_err()[0]
            .to_string()
            .contains("WfFormat")
    );
}
