//! What the strict reader promises for any type, and what values read and write.

use proptest::prelude::*;
use schemars::JsonSchema;
use serde::Deserialize;

use super::values::{Cpus, CronSchedule, Duration, Memory, Percent, Readable, Scalar, Selector, Share, Zone};
use super::*;

/// Every form of enum that a file format may use.
#[derive(Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Everything {
    #[serde(default)]
    word: Option<Word>,
    #[serde(default)]
    tagged: Option<Tagged>,
    #[serde(default)]
    keyed: Option<Keyed>,
    #[serde(default)]
    list: Vec<Inner>,
    #[serde(default)]
    small: Option<u8>,
    #[serde(default)]
    share: Option<f64>,
    #[serde(default)]
    flag: bool,
}

#[derive(Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
enum Word {
    /// Words with a description...
    OnDemand,
    /// ...are kept in order by `schemars`.
    Spot,
}

#[derive(Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
enum Tagged {
    Constant { after: Duration },
    Uniform { from: Duration, to: Duration },
}

#[derive(Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
enum Keyed {
    Never,
    Every(Inner),
    Times(u32),
}

#[derive(Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Inner {
    cpus: Cpus,
}

fn said(text: &str) -> String {
    match read_toml::<Everything>("f", text) {
        Ok(_) => "fine".to_owned(),
        Err(problems) => render(&problems),
    }
}

#[test]
fn every_form_of_enum_is_read_or_refused_with_its_words() {
    let cases = [
        ("word = 'on-demand'", "fine"),
        (
            "word = 'on_demand'",
            "f:1:8: word: found \"on_demand\", expected one of \"on-demand\", \"spot\"\n  hint: did you mean `on-demand`?",
        ),
        (
            "word = 1",
            "f:1:8: word: found 1, expected one of \"on-demand\", \"spot\"",
        ),
        ("tagged = { kind = 'uniform', from = '1s', to = '2s' }", "fine"),
        (
            "tagged = { kind = 'uniform', from = '1s' }",
            "tagged.to: found nothing, expected a length of time",
        ),
        (
            "tagged = { kind = 'uniform', from = '1s', to = '2s', x = 1 }",
            "tagged.x: found an unknown key, expected one of `kind`, `from`, `to`",
        ),
        (
            "tagged = { kind = 'uniforn' }",
            "tagged.kind: found \"uniforn\", expected one of \"constant\", \"uniform\"\n  hint: did you mean `uniform`?",
        ),
        (
            "tagged = { from = '1s' }",
            "tagged.kind: found nothing, expected one of \"constant\", \"uniform\"",
        ),
        ("tagged = 'uniform'", "tagged: found \"uniform\", expected a table"),
        ("keyed = 'never'", "fine"),
        ("keyed = { every = { cpus = 1 } }", "fine"),
        ("keyed = { times = 3 }", "fine"),
        (
            "keyed = { every = { cpus = 'x' } }",
            "keyed.every.cpus: found \"x\", expected a whole number of vCPUs",
        ),
        (
            "keyed = { evry = 1 }",
            "keyed: found a table without any of them, expected one of `every`, `times`",
        ),
        (
            "keyed = 'nevr'",
            "keyed: found \"nevr\", expected \"never\"\n  hint: did you mean `never`?",
        ),
        (
            "list = [{ cpus = 1 }, 2, {}]",
            "f:1:23: list[1]: found 2, expected a table\nf:1:26: list[2].cpus: found nothing",
        ),
        ("small = 256", "small: found 256, expected a whole number from 0 to 255"),
        ("share = nan", "share: found nan, expected a number"),
        ("share = 1", "fine"),
        ("flag = 'yes'", "flag: found \"yes\", expected true or false"),
        (
            "flag = 1979-05-27",
            "flag: found the date 1979-05-27, expected true or false",
        ),
    ];
    for (text, expected) in cases {
        let said = said(text);
        assert!(
            said.contains(expected),
            "for {text}\nexpected: {expected}\nsaid: {said}"
        );
    }
}

#[test]
fn columns_count_characters_and_lines_survive_windows_endings() {
    let said = said("# äöü\r\nflag = true\r\nlist = [ { cpus = 'ä' }, { cpus = 'x' } ]\r\n");
    assert!(
        said.contains("f:3:19: list[0].cpus") && said.contains("f:3:35: list[1].cpus"),
        "{said}"
    );
}

#[test]
fn hostile_text_is_escaped_and_cut() {
    let said = said(&format!("word = \"\\u001b[31m{}\"", "x".repeat(1000)));
    assert!(
        !said.contains('\u{1b}') && said.contains("\\u{1b}[31m") && said.len() < 250,
        "{said}"
    );
}

/// Reads `text`, writes it and reads it again.
fn rewritten<T: Readable>(text: &str) -> Option<String> {
    let value = T::read(Scalar::Text(text)).ok()?;
    let written = value.write();
    let again = T::read(Scalar::Text(&written)).ok().map(|value| value.write());
    assert_eq!(
        again.as_deref(),
        Some(written.as_str()),
        "{text} does not survive being written"
    );
    Some(written)
}

#[test]
fn values_read_the_way_people_write_them() {
    let durations = [
        ("90s", Some("1m 30s")),
        ("2h 30m", Some("2h 30m")),
        ("2h30m", Some("2h 30m")),
        ("1.5 hours", Some("1h 30m")),
        ("0s", Some("0s")),
        ("250ms", Some("250ms")),
        ("1us", None),
        ("2d", None),
        ("1 week", None),
        ("-1h", None),
        ("PT1H", None),
        ("", None),
        ("99999999999999999999h", None),
    ];
    for (text, expected) in durations {
        assert_eq!(rewritten::<Duration>(text).as_deref(), expected, "{text}");
    }
    let cpus = [
        ("256 vcpu", Some("256 vcpu")),
        ("256 vCPUs", Some("256 vcpu")),
        ("7", Some("7 vcpu")),
        ("-1", None),
        ("1.5 vcpu", None),
    ];
    for (text, expected) in cpus {
        assert_eq!(rewritten::<Cpus>(text).as_deref(), expected, "{text}");
    }
    let memory = [
        ("8 GiB", Some("8 GiB")),
        ("7.5gib", Some("7680 MiB")),
        ("1 TiB", Some("1024 GiB")),
        ("8 GB", None),
        ("8", None),
        ("-1 GiB", None),
        ("inf GiB", None),
    ];
    for (text, expected) in memory {
        assert_eq!(rewritten::<Memory>(text).as_deref(), expected, "{text}");
    }
    let shares = [
        ("20%", Some("20%")),
        ("12.5 %", Some("12.5%")),
        ("101%", None),
        ("nan%", None),
        ("64", Some("64 vcpu")),
    ];
    for (text, expected) in shares {
        assert_eq!(rewritten::<Share>(text).as_deref(), expected, "{text}");
    }
    let zones = [
        ("Europe/London", true),
        ("UTC", true),
        ("Mars/Olympus", false),
        ("GMT+25", false),
        ("", false),
    ];
    for (text, known) in zones {
        assert_eq!(rewritten::<Zone>(text).is_some(), known, "{text}");
    }
    assert_eq!(
        Percent(1250).of(crate::units::Vcpus::new(100)).get(),
        12,
        "parts are rounded down"
    );
}

proptest! {
    #[test]
    fn no_text_makes_a_value_panic(text in "\\PC{0,40}|[0-9a-z*/,# -]{0,30}|tag:[a-z=*{\\[]{0,9}") {
        rewritten::<Duration>(&text);
        rewritten::<Cpus>(&text);
        rewritten::<Percent>(&text);
        rewritten::<Share>(&text);
        rewritten::<Memory>(&text);
        rewritten::<CronSchedule>(&text);
        rewritten::<Zone>(&text);
        rewritten::<Selector>(&text);
    }

    #[test]
    fn any_key_is_written_as_toml_reads_it_and_nothing_of_it_is_hidden(key in ".{0,20}|[a-z_-]{1,9}") {
        let path = key_path("", &key);
        let read: toml::Table = toml::from_str(&format!("{path} = 1")).unwrap();
        prop_assert_eq!(read.keys().collect::<Vec<_>>(), [&key]);
        prop_assert!(!path.contains(|c: char| c.is_control() || ('\u{202a}'..='\u{202e}').contains(&c)), "{}", path);
    }

    #[test]
    fn numbers_survive_being_written(millis in 0_i64..1_000_000_000_000, hundredths in 0_i64..=10_000, vcpus in 0_i64..=2_147_483_647) {
        let millis = crate::units::Span::from_millis(millis);
        prop_assert_eq!(Duration::read(Scalar::Text(&Duration(millis).write())).unwrap().0, millis);
        prop_assert_eq!(Percent::read(Scalar::Text(&Percent(hundredths).write())).unwrap().0, hundredths);
        prop_assert_eq!(Cpus::read(Scalar::Integer(vcpus)).unwrap().0.get(), vcpus);
    }
}
