//! What the image and its neighbours are made of, as far as that can be told without building it.

use std::path::Path;

use countersign::config::{Database, Flags, Settings};

fn read(path: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

#[test]
fn the_settings_of_the_container_are_settings() {
    let flags = Flags {
        config: Some(Path::new(env!("CARGO_MANIFEST_DIR")).join("docker/countersign.yaml")),
        data: Some("/var/lib/countersign".into()),
        database: Some("postgres://countersign:00ff@postgres/countersign".to_owned()),
        ..Flags::default()
    };
    let settings = Settings::read(flags).expect("settings");
    assert_eq!(settings.listen.to_string(), "0.0.0.0:7373");
    assert!(matches!(settings.database, Database::Url(_)));
}

/// Everything that the build copies is there, and none of it is kept out.
#[test]
fn the_image_is_made_of_what_is_there() {
    let ignored = read(".dockerignore");
    let let_in: Vec<&str> = ignored.lines().filter_map(|line| line.strip_prefix('!')).collect();
    let dockerfile = read("Dockerfile");
    let copies =
        dockerfile.lines().filter_map(|line| line.strip_prefix("COPY ")).filter(|line| !line.starts_with("--"));
    let mut copied = Vec::new();
    for copy in copies {
        let words: Vec<&str> = copy.split(' ').collect();
        copied.extend_from_slice(&words[..words.len() - 1]);
    }
    for path in &copied {
        assert!(Path::new(env!("CARGO_MANIFEST_DIR")).join(path).exists(), "{path} is not there");
        assert!(let_in.contains(path), "{path} does not reach the build");
    }
    assert_eq!(copied.len(), let_in.len(), "more reaches the build than it copies");
}

#[test]
fn nothing_is_published_beyond_loopback() {
    let compose = read("docker-compose.yml");
    let published: Vec<&str> = compose.lines().filter(|line| line.trim_end().ends_with(":7373\"")).collect();
    assert_eq!(published.iter().map(|line| line.trim()).collect::<Vec<_>>(), ["- \"127.0.0.1:7373:7373\""]);
    assert_eq!(compose.matches("ports:").count(), 1);
}
