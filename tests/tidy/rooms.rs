//! Who may import whom.

use crate::files::{File, sources};
use crate::paths::{self, Found};

/// The rooms of `src/` from the ground up, each with the rooms that it may name. Whoever adds a room, or a window between two
/// rooms, does it here, in the same commit, and changes the map in `src/ARCHITECTURE.md`.
const ROOMS: &str = "
  units:
  ids:
  clock:       units
  files:
  catalog:     units
  observation: units ids catalog
  account:     units ids catalog
  jobs:        units ids catalog observation
  input:       units catalog
  policy:      units ids catalog observation input
  forecast:    units ids
  overrides:   units
  setup:       units ids catalog observation account input policy forecast
  trace:       units ids catalog observation input files
  planner:     units ids catalog observation account forecast overrides setup
  explain:     units ids catalog observation account forecast overrides setup planner
  check:       units ids catalog account input policy forecast setup explain
  control:     units ids catalog observation account forecast overrides setup planner
  metrics:     units ids catalog observation account forecast overrides setup planner control explain
  journal:     units ids catalog observation account forecast overrides setup planner control explain jobs trace input files
  daemon:      units ids catalog observation account check forecast overrides setup planner explain control input policy trace jobs metrics journal clock
  aws:         units ids catalog observation account planner control jobs daemon clock
  simulate:    units ids catalog observation account input policy forecast overrides setup trace planner explain control
  server:      units ids catalog observation account forecast overrides setup trace planner explain control jobs metrics journal daemon clock
  twin:        units ids catalog observation account jobs policy trace simulate journal daemon clock
  sandbox:     units ids catalog observation account trace planner control jobs daemon clock simulate server
  demo:        units ids trace policy simulate daemon journal metrics clock twin server sandbox
  settings:    units input policy
  report:      units ids catalog observation account input policy forecast overrides setup trace planner explain check control simulate files daemon
  cli:         units ids catalog observation account input policy forecast overrides setup trace planner explain check control simulate report clock jobs metrics journal daemon aws twin server sandbox demo settings files
";

/// What rooms without input and output, clock and chance must not name. Maps without an order count as chance.
const IMPURE: &str = "tokio tracing log rand rand_chacha jiff std::time std::fs std::io std::net std::env std::thread \
                      std::process std::collections::HashMap std::collections::HashSet";
const PURE_ROOMS: &str = "units ids catalog observation account forecast overrides setup planner explain check control";

/// Names a pure room may use all the same, each with its reason.
const EXCEPTIONS: &[(&str, &str)] = &[
    ("src/units.rs", "jiff"), // writes a time as people read it; reads no clock
    // Hands its examples to the published service models.
    ("src/check/tests/mod.rs", "std::fs"),
    ("src/check/tests/mod.rs", "std::env"),
    ("src/check/tests/mod.rs", "std::process"),
];

#[test]
fn the_table_goes_from_the_ground_up() {
    let rooms = rooms();
    for (at, (room, sees)) in rooms.iter().enumerate() {
        for seen in sees {
            let below = rooms[..at].iter().any(|(name, _)| name == seen);
            assert!(below, "{room} may not see {seen}: it is not further up in the table");
        }
    }
}

#[test]
fn rooms_see_only_what_the_table_says() {
    let rooms = rooms();
    let mut wrong = Vec::new();
    for file in sources() {
        let Some(room) = room_of(&file.name) else { continue };
        let Some((_, sees)) = rooms.iter().find(|(name, _)| *name == room) else {
            wrong.push(format!(
                "{}: the room `{room}` is not in the table of tests/tidy/rooms.rs",
                file.name
            ));
            continue;
        };
        for found in paths::of(&file.text) {
            if let Some(seen) = seen_room(&file, &found)
                && seen != room
                && !sees.contains(&seen)
            {
                wrong.push(format!("{}:{}: {room} may not see `{seen}`", file.name, found.line));
            }
            if leaves_by_super(&file, &found) {
                let name = found.parts.join("::");
                wrong.push(format!(
                    "{}:{}: `{name}` leaves its room: write crate::",
                    file.name, found.line
                ));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn pure_rooms_name_no_input_output_clock_or_chance() {
    let mut wrong = Vec::new();
    for file in sources() {
        if !room_of(&file.name).is_some_and(|room| PURE_ROOMS.split(' ').any(|pure| pure == room)) {
            continue;
        }
        for found in paths::of(&file.text) {
            let name = found.parts.join("::");
            for impure in IMPURE.split_whitespace() {
                let excepted = EXCEPTIONS
                    .iter()
                    .any(|(at, what)| file.name.starts_with(at) && *what == impure);
                if (name == impure || name.starts_with(&format!("{impure}::"))) && found.parts.len() > 1 && !excepted {
                    wrong.push(format!("{}:{}: `{name}` in a pure room", file.name, found.line));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn only_the_command_line_prints_and_only_the_aws_room_names_aws_crates() {
    let mut wrong = Vec::new();
    for file in sources() {
        let room = room_of(&file.name);
        for found in paths::of(&file.text) {
            let name = found.parts.join("::");
            let macros = ["print", "println", "eprint", "eprintln", "dbg"];
            let prints = found.is_macro && macros.contains(&name.as_str())
                || ["stdout", "stderr"]
                    .iter()
                    .any(|stream| name.ends_with(&format!("io::{stream}")));
            if prints && room != Some("cli") {
                wrong.push(format!("{}:{}: `{name}` prints outside src/cli", file.name, found.line));
            }
            if found.parts[0].starts_with("aws_") && found.parts.len() > 1 && room != Some("aws") {
                wrong.push(format!("{}:{}: `{name}` outside src/aws", file.name, found.line));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// A file that no module names is not compiled: its mistakes stay unseen.
#[test]
fn every_source_file_is_part_of_the_program() {
    let files = sources();
    let orphans: Vec<&str> = files
        .iter()
        .filter(|file| !["src/lib.rs", "src/main.rs"].contains(&file.name.as_str()))
        .filter(|file| {
            let (parents, module) = parents_and_module(&file.name);
            !files
                .iter()
                .any(|parent| parents.contains(&parent.name) && declares(&parent.text, &module))
        })
        .map(|file| file.name.as_str())
        .collect();
    assert!(orphans.is_empty(), "no `mod` names {orphans:?}");
}

#[test]
fn the_map_names_every_room() {
    let map = include_str!("../../src/ARCHITECTURE.md");
    for (room, _) in rooms() {
        let named = map.contains(&format!("`{room}`")) || map.contains(&format!("`{room}/`"));
        assert!(named, "src/ARCHITECTURE.md says nothing of `{room}`");
    }
}

/// The table, line by line.
fn rooms() -> Vec<(&'static str, Vec<&'static str>)> {
    let lines = ROOMS.lines().filter_map(|line| line.split_once(':'));
    lines
        .map(|(room, sees)| (room.trim(), sees.split_whitespace().collect()))
        .collect()
}

/// `planner` of `src/planner/demand.rs`; `None` for `lib.rs`, which names every room, and `main.rs`.
fn room_of(file: &str) -> Option<&str> {
    let inside = file.strip_prefix("src/")?;
    let room = inside.split('/').next()?.trim_end_matches(".rs");
    (room != "lib" && room != "main").then_some(room)
}

/// The room that a path points to, by its full name.
fn seen_room<'a>(file: &File, found: &'a Found) -> Option<&'a str> {
    let first = found.parts.first()?;
    let room = found.parts.get(1)?;
    // In a file of the library `autotune::` can only be a path of the program's own crate in an example.
    let is_own = first == "crate" || first == "autotune" && file.name != "src/main.rs";
    is_own.then_some(room.as_str())
}

/// Whether a chain of `super` climbs to the root of the crate, from where it could enter any room unseen.
fn leaves_by_super(file: &File, found: &Found) -> bool {
    let climbs = found.parts.iter().filter(|part| *part == "super").count();
    let inside = file.name.trim_start_matches("src/").trim_end_matches(".rs");
    let depth = inside.split('/').filter(|part| *part != "mod").count();
    climbs > 0 && climbs >= depth + found.inline_modules
}

/// The files that may declare the module of a file, and the module's name.
fn parents_and_module(file: &str) -> (Vec<String>, String) {
    let path = file.trim_end_matches(".rs").trim_end_matches("/mod");
    let (directory, module) = path.rsplit_once('/').unwrap();
    let parents = match directory {
        "src" => vec!["src/lib.rs".to_owned(), "src/main.rs".to_owned()],
        _ => vec![format!("{directory}/mod.rs"), format!("{directory}.rs")],
    };
    (parents, module.to_owned())
}

fn declares(parent: &str, module: &str) -> bool {
    parent
        .lines()
        .any(|line| line.trim_end().ends_with(&format!("mod {module};")))
}

#[test]
fn a_chain_of_super_is_followed_to_where_it_ends() {
    let climbs = |name: &str, code: &str| {
        let file = File {
            name: name.to_owned(),
            text: code.to_owned(),
        };
        paths::of(code).iter().any(|found| leaves_by_super(&file, found))
    };
    assert!(climbs("src/setup.rs", "use super::trace;"));
    assert!(climbs("src/setup/mod.rs", "use super::trace;"));
    assert!(!climbs("src/setup/compile.rs", "use super::types;"));
    assert!(climbs("src/setup/compile.rs", "use super::super::trace;"));
    assert!(!climbs("src/setup.rs", "mod tests { use super::compile; }"));
    assert!(climbs("src/setup.rs", "mod tests { use super::super::trace; }"));
}
