//! Layers of settings, and what is refused of them.

use super::*;

fn with(text: &str, variables: &[(&str, &str)]) -> Result<Settings, String> {
    let variables = variables
        .iter()
        .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
    layered("autotune.toml", Path::new(""), text, variables).map_err(|problems| input::render(&problems))
}

#[test]
fn the_environment_goes_over_the_file_and_the_file_over_the_defaults() {
    let text = "apply = true\nunguarded_max_vcpus = 32\n[guard]\ngroup = \"a\"\nrole_arn = \"r\"\n";
    let variables = [
        ("AUTOTUNE__GUARD__GROUP", "b"),
        ("AUTOTUNE__POLICIES", "thrifty,warm-hours"),
        ("AUTOTUNE_LOG", "debug"),
        ("HOME", "/root"),
    ];
    let settings = with(text, &variables).unwrap();
    assert!(settings.apply);
    assert_eq!(settings.unguarded_max_vcpus, Cpus(Vcpus::new(32)));
    assert_eq!(settings.guard.unwrap().group, "b");
    assert_eq!(
        settings.policies,
        [PathBuf::from("thrifty"), PathBuf::from("warm-hours")]
    );
    assert_eq!(settings.on_stop, OnStop::HandOver);
}

#[test]
fn relative_policies_of_a_file_go_by_its_folder_and_others_by_the_working_directory() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    std::fs::write(at("thrifty"), "version = 1\n").unwrap();
    let file = at("autotune.toml");
    let policies = |text: &str, variables: &[(&str, &str)]| {
        let variables = variables
            .iter()
            .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
        let settings = layered("autotune.toml", folder_of(Some(&file)), text, variables);
        settings
            .map(|settings| settings.policies)
            .map_err(|problems| input::render(&problems))
    };
    let named =
        "policies = [\"policy.toml\", \"../teams\", \"/etc/policies\", \"reactive\", \"thrifty\", \"no-such\"]\n";
    let expected = [
        at("policy.toml"),
        at("../teams"),
        "/etc/policies".into(),
        // The one that comes with the program; of the other name there is one in the folder.
        "reactive".into(),
        at("thrifty"),
        at("no-such"),
    ];
    assert_eq!(policies(named, &[]).unwrap(), expected);
    assert_eq!(
        policies(named, &[("AUTOTUNE__LISTEN", "127.0.0.1:80")]).unwrap(),
        expected
    );
    let variable = [("AUTOTUNE__POLICIES", "policy.toml,thrifty")];
    let by_variable = [PathBuf::from("policy.toml"), "thrifty".into()];
    assert_eq!(policies(named, &variable).unwrap(), by_variable);
    assert_eq!(policies("", &variable).unwrap(), by_variable);
    assert_eq!(policies("apply = true\n", &[]).unwrap(), [PathBuf::from("reactive")]);
    // It would be the folder itself.
    let wrong = policies("policies = [\"reactive\", \"\"]\n", &[]).unwrap_err();
    assert!(
        wrong.contains("autotune.toml:1:25: policies[1]: found an empty text"),
        "{wrong}"
    );
}

#[test]
fn a_daemon_serves_at_9464_unless_it_is_told_another_place_or_none() {
    let listens_at = |text: &str, variables: &[(&str, &str)]| {
        let settings = with(text, variables)?;
        Ok::<_, String>(settings.listens_at().map(str::to_owned))
    };
    let at = |address: &str| Ok(Some(address.to_owned()));
    let nowhere = "listen = \"\"\n";
    assert_eq!(listens_at("", &[]), at("127.0.0.1:9464"));
    assert_eq!(listens_at("listen = \"[::1]:80\"\n", &[]), at("[::1]:80"));
    assert_eq!(listens_at(nowhere, &[]), Ok(None));
    assert_eq!(listens_at("", &[("AUTOTUNE__LISTEN", "")]), Ok(None));
    assert_eq!(
        listens_at(nowhere, &[("AUTOTUNE__LISTEN", "127.0.0.1:80")]),
        at("127.0.0.1:80")
    );
    for wrong in [" ", "9464", "localhost:80"] {
        let told = with(&format!("listen = {wrong:?}\n"), &[]).unwrap_err();
        assert!(
            told.contains("listen: found") && told.contains("or \"\" to serve nowhere"),
            "{told}"
        );
    }
}

#[test]
fn another_clock_is_for_accounts_on_this_machine_only() {
    let settings = |endpoint: &str, events: &str, clock: &str| {
        let line = |key: &str, url: &str| {
            if url.is_empty() {
                String::new()
            } else {
                format!("{key} = {url:?}\n")
            }
        };
        let lines = [
            line("endpoint_url", endpoint),
            line("events_queue_url", events),
            line("clock_url", clock),
        ];
        with(&lines.concat(), &[])
    };
    let here = "http://127.0.0.1:4566";
    assert!(settings(here, "", "http://127.0.0.1:4566/_autotune/clock").is_ok());
    assert!(settings("http://[::1]:4566", "http://[::1]:4566/1/q", "http://[::1]:4566/c").is_ok());
    assert!(settings("https://batch.example", "", "").is_ok());
    for (endpoint, events, clock) in [
        ("", "", here),
        ("https://batch.eu-central-1.amazonaws.com", "", here),
        (here, "https://sqs.eu-central-1.amazonaws.com/1/q", here),
        (here, "", "http://10.0.0.1:4566/clock"),
        (here, "", "http://localhost:4566/clock"),
        (here, "", "http://127.0.0.1:80@evil.example/clock"),
        ("http://127.0.0.1.evil.example:80", "", here),
    ] {
        let wrong = settings(endpoint, events, clock).unwrap_err();
        assert!(wrong.contains("clock_url"), "{endpoint} {events} {clock}: {wrong}");
    }
}

#[test]
fn an_endpoint_is_a_url() {
    for url in [
        "",
        "localhost:5000",
        "http://",
        "https:///x",
        "http://a b",
        "ftp://a",
        "http://:80",
    ] {
        let wrong = with(&format!("endpoint_url = {url:?}\n"), &[]).unwrap_err();
        assert!(wrong.contains("endpoint_url: found"), "{url}: {wrong}");
    }
    for url in [
        "http://localhost:5000",
        "https://vpce-1.batch.eu-west-1.vpce.amazonaws.com/",
        "http://[::1]:80",
    ] {
        assert!(with(&format!("endpoint_url = {url:?}\n"), &[]).is_ok(), "{url}");
    }
}

#[test]
fn every_mistake_says_where_it_is_and_what_was_expected() {
    let wrong = with("aply = true\nlisten = \"0.0.0.0:80\"\npolicies = []\n", &[]).unwrap_err();
    assert!(wrong.contains("autotune.toml:1:1: aply"), "{wrong}");
    let wrong = with("listen = \"0.0.0.0:80\"\npolicies = []\n", &[]).unwrap_err();
    assert!(
        wrong.contains("autotune.toml:1") && wrong.contains("listen_anywhere") && wrong.contains("policies"),
        "{wrong}"
    );
    let wrong = with("", &[("AUTOTUNE__APLY", "true"), ("AUTOTUNE__JOURNAL__KEEP", "long")]).unwrap_err();
    for word in [
        "AUTOTUNE__APLY: aply: found an unknown key",
        "did you mean `apply`?",
        "AUTOTUNE__JOURNAL__KEEP: journal.keep: found",
    ] {
        assert!(wrong.contains(word), "{word} is missing in\n{wrong}");
    }
    let wrong = with("", &[("AUTOTUNE__GUARD__GROUP", "g")]).unwrap_err();
    assert!(
        wrong.contains("AUTOTUNE__GUARD__GROUP") && wrong.contains("role_arn"),
        "{wrong}"
    );
    let wrong = with("", &[("AUTOTUNE__LISTEN", "0.0.0.0:80")]).unwrap_err();
    assert!(
        wrong.contains("AUTOTUNE__LISTEN") && wrong.contains("listen_anywhere"),
        "{wrong}"
    );
    let wrong = with("", &[("AUTOTUNE__", "x"), ("AUTOTUNE__A=1\nB", "x")]).unwrap_err();
    assert!(wrong.contains("AUTOTUNE__"), "{wrong}");
}

/// A leading zero belongs to an account id, and `true` may be the value of a tag.
#[test]
fn a_variable_is_what_its_key_takes() {
    let variables = [
        ("AUTOTUNE__ACCOUNT", "012345678901"),
        ("AUTOTUNE__TAG__VALUE", "true"),
        ("AUTOTUNE__PROFILE", "1e3"),
        ("AUTOTUNE__GUARD__GROUP", "7"),
        ("AUTOTUNE__GUARD__ROLE_ARN", "a\"b\nc"),
        ("AUTOTUNE__UNGUARDED_MAX_VCPUS", "32"),
        ("AUTOTUNE__JOURNAL__MOST_MEBIBYTES", "64"),
        ("AUTOTUNE__JOURNAL__KEEP", "720h"),
        ("AUTOTUNE__APPLY", "true"),
        ("AUTOTUNE__ON_STOP", "restore"),
        ("AUTOTUNE__POLICIES", "thrifty, warm-hours"),
    ];
    let settings = with("", &variables).unwrap();
    assert_eq!(settings.account.unwrap().0, "012345678901");
    assert_eq!(settings.tag.value, "true");
    assert_eq!(settings.profile.as_deref(), Some("1e3"));
    assert_eq!(settings.guard.as_ref().unwrap().group, "7");
    assert_eq!(settings.guard.unwrap().role_arn, "a\"b\nc");
    assert_eq!(settings.unguarded_max_vcpus, Cpus(Vcpus::new(32)));
    assert_eq!(settings.journal.most_mebibytes, 64);
    assert_eq!(settings.journal.keep.0, Span::from_minutes(30 * 24 * 60));
    assert!(settings.apply);
    assert_eq!(settings.on_stop, OnStop::Restore);
    assert_eq!(
        settings.policies,
        [PathBuf::from("thrifty"), PathBuf::from("warm-hours")]
    );
}

#[test]
fn settings_are_known_by_each_of_their_keys() {
    let schema = input::schema_of::<Settings>();
    let keys: Vec<&String> = schema.as_value()["properties"].as_object().unwrap().keys().collect();
    assert_eq!(keys, input::SETTINGS_KEYS);
}
